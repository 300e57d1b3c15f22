"""AraCLIPModel: a text tower and an image tower with projections into one space, called like a CLIPModel."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize
from transformers import AutoModel, AutoModelForZeroShotImageClassification, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, can_return_tuple

from araclip.errors import InputError, RecipeError
from araclip.models import folder as model_folder
from araclip.training.losses import contrastive_loss, matryoshka, sigmoid_loss
from araclip.training.model import foreign, heads, hub_files, towers, unpack
from araclip.training.model.branches import BranchesModel
from araclip.training.model.configuration import AraCLIPConfig, BranchesConfig


@dataclass
class AraCLIPOutput(ModelOutput):  # type: ignore[misc]
    """What `AraCLIPModel` returns for N texts and M pictures; a part that was not computed is None.

    loss: scalar, with `return_loss`.
    logits_per_image, logits_per_text: (M, N) and (N, M), scaled cosine similarities, plus the bias if there is one.
    text_embeds, image_embeds: (N, D) and (M, D), rows of unit length.
    text_model_output, vision_model_output: what `get_text_features` and `get_image_features` returned.
    hidden_states, attentions: of the tower that ran, if they were asked for. If both towers ran, the two outputs above
    have them.
    """

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    text_model_output: BaseModelOutputWithPooling | None = None
    vision_model_output: BaseModelOutputWithPooling | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the computed parts as a tuple; the towers' outputs are tuples, too."""
        return tuple(part.to_tuple() if isinstance(part, ModelOutput) else part for part in self.values())


def with_features(output: Any, features: Tensor) -> BaseModelOutputWithPooling:
    """Return a tower's output with the projected features (B, D) as `pooler_output`, as CLIPModel does."""
    states = getattr(output, "hidden_states", None)
    return BaseModelOutputWithPooling(
        last_hidden_state=output.last_hidden_state,
        pooler_output=features,
        hidden_states=None if states is None else tuple(states),
        attentions=getattr(output, "attentions", None),
    )


def objective(model: Any, loss: str | None = None, prefixes: bool | None = None) -> Callable[..., Tensor]:
    """Return a model's contrastive loss, for `AraCLIPModel` and for the stages that train it.

    Args:
        model: an AraCLIPModel.
        loss: "infonce" (CLIP, Radford et al. 2021) or "sigmoid" (SigLIP, Zhai et al. 2023); None: "sigmoid" if the
            model has a bias, else "infonce".
        prefixes: true: average the loss over the Matryoshka prefixes and the full width; None: do so if the model names
            prefixes.

    Returns:
        A function of (text, image, same=None, owner=None), unit rows (T, D) and (I, D) → scalar; `same` and `owner` as
        in `losses.contrastive_loss`.

    Raises:
        RecipeError: the sigmoid loss for a model without bias, or prefixes for a model without Matryoshka widths.
    """
    has_bias = model.config.logit_bias_init is not None
    kind: Callable[..., Tensor] = contrastive_loss
    learned = [model.logit_scale]
    if loss == "sigmoid" or (loss is None and has_bias):
        if not has_bias:
            raise RecipeError("the sigmoid loss needs a bias, and the model has none. Set [model] logit_bias = -10.0.")
        kind, learned = sigmoid_loss, [model.logit_scale, model.logit_bias]
    if prefixes or (prefixes is None and model.config.matryoshka_dims):
        kind = matryoshka(kind, matryoshka_widths(model))
    return lambda text, image, **pairs: kind(text, image, *learned, **pairs)


def matryoshka_widths(model: Any) -> list[int]:
    """Return the Matryoshka prefixes' lengths and the full width, rising; raise RecipeError if there is no prefix."""
    if not model.config.matryoshka_dims:
        raise RecipeError("matryoshka = true, but the model has no widths for it. Set [model] matryoshka_dims.")
    return sorted({*model.config.matryoshka_dims, model.config.projection_dim})


class AraCLIPModel(hub_files.Published, PreTrainedModel):  # type: ignore[misc]
    """An Arabic CLIP: any text encoder and any vision tower (or none), each pooled and projected.

    `AraCLIPModel(config)` has random weights and downloads nothing. `from_towers` starts from pretrained towers,
    `from_pretrained` reads what `save_pretrained` wrote. `text_model` and `vision_model`, if given, are used in place
    of random towers.

    Raises:
        ModelMismatch: the image tower's width is not `projection_dim` although its projection is the identity.
    """

    config_class = AraCLIPConfig
    base_model_prefix = "araclip"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True  # true for all kinds of attention: each tower checks itself which of them it supports
    _supports_flash_attn = True
    _supports_flex_attn = True
    text_model: Any
    text_projection: Any
    vision_model: Any  # None without image tower
    visual_projection: Any
    _timm_checkpointing = False

    def __init__(
        self,
        config: AraCLIPConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ) -> None:
        super().__init__(config)
        for given in (text_model, vision_model):
            for module in () if given is None else given.modules():
                module._is_hf_initialized = True  # keeps transformers from initialising the module's weights again
        self.text_model = text_model or towers.text_tower(config.text_config)
        self.text_projection = heads.text_projection(config)
        self.vision_model = self.visual_projection = None
        if config.vision_config is not None:
            self.vision_model = vision_model or towers.image_tower(
                config.vision_config, config.vision_projection == "identity", config.vision_pooling
            )
            self.visual_projection = heads.visual_projection(config, towers.image_width(self.vision_model))
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))
        if config.logit_bias_init is not None:
            self.logit_bias = nn.Parameter(torch.tensor(float(config.logit_bias_init)))
        self.post_init()

    @classmethod
    def from_towers(
        cls,
        text: str | Path | PreTrainedModel,
        vision: str | Path | PreTrainedModel | None = None,
        projection_dim: int | None = None,
        **config: Any,
    ) -> "AraCLIPModel":
        """Make a model of pretrained towers and new projections.

        Args:
            text, vision: hub id or folder of an encoder or of a dual encoder (its tower is taken), or a loaded model;
                None for `vision`: no image tower.
            projection_dim: width of the shared space; None: the image tower's width if the projection is the identity,
                otherwise the default of `AraCLIPConfig`.
            config: further arguments of `AraCLIPConfig`.
        """
        keep_space = config.get("vision_projection") == "identity"
        text_model = towers.load_text_tower(text)
        vision_model = vision and towers.load_image_tower(vision, keep_space, config.get("vision_pooling"))
        if projection_dim is None and vision_model is not None and keep_space:
            projection_dim = towers.image_width(vision_model)
        if projection_dim is not None:
            config["projection_dim"] = projection_dim
        whole = AraCLIPConfig(text_model.config, vision_model and vision_model.config, **config)
        return cls(whole, text_model, vision_model)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """Load the model of a hub id or folder as transformers does, but refuse a checkpoint that lacks weights.

        With `output_loading_info=True` such a checkpoint is loaded; a report, returned as well, names what it lacks.

        For a bundled model's name, such as "araclip-mini", or a model folder, the model is rebuilt from the ONNX graphs
        and compared with them, which takes some seconds.

        Raises:
            ModelMismatch: the checkpoint lacks weights, which transformers would draw at random, or the graphs do not
                give their model back, see `unpack`.
        """
        source: Any = pretrained_model_name_or_path
        found = None
        if source is not None and model_folder.names_model_folder(source):
            found = unpack.model_of_graphs(cls, model_folder.find(source))
            source, args = None, ()
            kwargs |= {"config": found.config, "state_dict": found.state_dict()}
        elif source is not None and "config" not in kwargs:
            foreign.check_size(source, lambda: cls(cls.config_class.from_pretrained(source)))
        model, report = super().from_pretrained(source, *args, output_loading_info=True, **kwargs)
        if found is not None:
            model.config.name_or_path = found.config.name_or_path
        if output_loading_info:
            return model, report
        # A checkpoint that was not trained with the sigmoid loss has no bias.
        towers.check_complete(model, report["missing_keys"], source, spare=("logit_bias",))
        return model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise weights that no checkpoint has: the projections and the two scalars. Called by transformers."""
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=module.in_features**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif module is self:
            init.constant_(self.logit_scale, self.config.logit_scale_init_value)
            if self.config.logit_bias_init is not None:
                init.constant_(self.logit_bias, self.config.logit_bias_init)

    def get_input_embeddings(self) -> nn.Module:
        """Return the text tower's input embeddings.

        Adapters ask for them, and gradient checkpointing does if the embeddings are frozen.
        """
        embeddings: nn.Module = self.text_model.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the text tower's input embeddings."""
        self.text_model.set_input_embeddings(value)

    @can_return_tuple  # type: ignore[untyped-decorator,unused-ignore]
    def get_text_features(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **tower: Any,
    ) -> BaseModelOutputWithPooling:
        """Run the text tower on (B, T) token ids; `pooler_output` (B, D) is projected, not of unit length.

        Without a mask all T tokens count. `tower`: further arguments of the text tower, such as `output_hidden_states`
        and `output_attentions`.

        Raises:
            InputError: neither `input_ids` nor `inputs_embeds` is given.
        """
        tokens_in = input_ids if input_ids is not None else inputs_embeds
        if tokens_in is None:
            raise InputError("get_text_features got no text. Pass input_ids, as AraCLIPProcessor(text=…) makes them.")
        if attention_mask is None:
            attention_mask = torch.ones(tokens_in.shape[:2], dtype=torch.long, device=tokens_in.device)
        given = _without_nones(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
            token_type_ids=token_type_ids, inputs_embeds=inputs_embeds,
        )  # fmt: skip
        output = self.text_model(**given, return_dict=True, **tower)
        pooled = towers.pooled_text(output.last_hidden_state, attention_mask, self.config.text_pooling)  # (B, H)
        return with_features(output, self.text_projection(pooled))

    @can_return_tuple  # type: ignore[untyped-decorator,unused-ignore]
    def get_image_features(
        self,
        pixel_values: Tensor,
        pixel_attention_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        interpolate_pos_encoding: bool | None = None,
        **tower: Any,
    ) -> BaseModelOutputWithPooling:
        """Run the image tower on (B, 3, S, S) pixels; `pooler_output` (B, D) is projected, not of unit length.

        Args:
            pixel_attention_mask, spatial_shapes: for a SigLIP 2 NaFlex tower, which takes patches as pixels.
            interpolate_pos_encoding: true for pictures of another size than the tower was made for.
            tower: further arguments of the image tower, such as `output_hidden_states` and `output_attentions`.

        Raises:
            InputError: the model has no image tower.
        """
        if self.vision_model is None:
            raise InputError(
                "this model has no image tower (vision_config is None): it was trained on image vectors computed "
                "beforehand. Compute them with that tower, or build the model with a vision_config."
            )
        tower |= _without_nones(
            pixel_attention_mask=pixel_attention_mask, spatial_shapes=spatial_shapes,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )  # fmt: skip
        pixels, mirror = pixel_values.to(self.vision_model.dtype), self.config.vision_mirror
        output, pooled = towers.image_features(self.vision_model, pixels, self.config, mirror, **tower)  # (B, W)
        found = with_features(output, self.visual_projection(pooled))
        if not mirror:
            return found
        count = pixels.shape[0]  # the output's other rows are those of the mirror images
        return BaseModelOutputWithPooling(**{
            name: part[:count] if isinstance(part, Tensor) else tuple(layer[:count] for layer in part)
            for name, part in found.items()
        })  # fmt: skip

    @can_return_tuple  # type: ignore[untyped-decorator,unused-ignore]
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        return_loss: bool | None = None,
        token_type_ids: Tensor | None = None,
        pixel_attention_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        interpolate_pos_encoding: bool | None = None,
        **towers: Any,
    ) -> AraCLIPOutput:
        """Encode texts, pictures or both; with both, also return logits.

        Args:
            return_loss: true: return the loss, where text i belongs to picture i. It is InfoNCE, or the sigmoid loss if
                the model has a bias, averaged over the full width and the Matryoshka prefixes.
            pixel_attention_mask, spatial_shapes, interpolate_pos_encoding: see `get_image_features`.
            towers: arguments for both towers: `output_hidden_states`, `output_attentions`.

        Raises:
            InputError: neither text nor pixels are given, pixels are given to a model without image tower, or a loss is
                asked for without texts or without pictures.
            DataError: a loss is asked for, but the numbers of texts and pictures differ.
        """
        towers["return_dict"] = True
        text_embeds = image_embeds = logits_per_text = loss = text = image = None
        if input_ids is not None:
            text = self.get_text_features(input_ids, attention_mask, position_ids, token_type_ids, **towers)
            text_embeds = l2_normalize(text.pooler_output, dim=-1)
        if pixel_values is not None:
            image = self.get_image_features(
                pixel_values, pixel_attention_mask, spatial_shapes, interpolate_pos_encoding, **towers
            )
            image_embeds = l2_normalize(image.pooler_output, dim=-1)
        if text_embeds is None and image_embeds is None:
            raise InputError("the model got neither text nor picture. Pass input_ids, pixel_values or both.")
        if text_embeds is not None and image_embeds is not None:
            logits_per_text = self.logits(text_embeds, image_embeds)
            loss = self.contrastive_loss(text_embeds, image_embeds) if return_loss else None
        elif return_loss:
            missing = "pictures (pixel_values)" if image_embeds is None else "texts (input_ids)"
            raise InputError(f"return_loss=True needs texts and pictures, the {missing} are missing.")
        alone = text if image is None else image if text is None else None  # the output of the only tower that ran
        return AraCLIPOutput(
            loss=loss,
            logits_per_image=None if logits_per_text is None else logits_per_text.T,
            logits_per_text=logits_per_text,
            text_embeds=text_embeds,
            image_embeds=image_embeds,
            text_model_output=text,
            vision_model_output=image,
            hidden_states=getattr(alone, "hidden_states", None),
            attentions=getattr(alone, "attentions", None),
        )

    def logits(self, text: Tensor, image: Tensor) -> Tensor:
        """Return the logits (N, M), one row for each text, of unit rows (N, D) and (M, D)."""
        similarities: Tensor = text @ image.T * self.logit_scale.exp()
        return similarities if self.config.logit_bias_init is None else similarities + self.logit_bias

    def contrastive_loss(
        self, text: Tensor, image: Tensor, *, same: Tensor | None = None, owner: Tensor | None = None
    ) -> Tensor:
        """Return the model's training loss, a scalar, of unit rows (T, D) and (I, D); see `objective`."""
        return objective(self)(text, image, same=same, owner=owner)

    @property
    def gradient_checkpointing(self) -> bool:
        """True while a tower of timm computes its activations again in the backward pass.

        transformers switches each module that has this attribute; timm's have a method instead.

        Raises:
            AttributeError: there is no tower of timm, or it cannot do so: then only other modules have the attribute.
        """
        tower = self.vision_model
        if tower is None or tower.config.model_type != "timm_wrapper" or not tower.supports_gradient_checkpointing:
            raise AttributeError("gradient_checkpointing: there is no tower of timm that could do so")
        return self._timm_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, on: bool) -> None:
        self.vision_model.timm_model.set_grad_checkpointing(on)
        self._timm_checkpointing = on


def _without_nones(**inputs: Any) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if value is not None}


for kind in (AutoModel, AutoModelForZeroShotImageClassification):
    kind.register(AraCLIPConfig, AraCLIPModel, exist_ok=True)
AutoModel.register(BranchesConfig, BranchesModel, exist_ok=True)

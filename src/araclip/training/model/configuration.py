"""AraCLIPConfig: everything about an AraCLIP model except its weights; it works without torch."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from araclip.errors import ModelMismatch, RecipeError
from araclip.text.normalization import NORMALIZER_VERSION
from araclip.training.foreign import settings
from araclip.training.small_cnn.branches_configuration import BranchesConfig

MAX_TOKENS = 32  # 99.9 % of the captions have fewer; longer text is cut
TEMPERATURE = 2.6592  # ln(1 / 0.07), where CLIP's training starts
QUERY_BANK_AXES = 2  # numbers of a vector that carry the query bank's correction
NAME_AXES = 1  # beside a names part: fills a picture's vector up to unit length
ARABERT = {"model_type": "bert", "vocab_size": 64_000}  # aubmindlab/bert-base-arabertv02; the rest is BERT's default
VIT = {"model_type": "vit"}

MODULE = "modeling_araclip"  # of every saved folder; for transformers' Auto classes where araclip was not imported
# transformers takes the value of this key for a file of weights. CLIPModel, BertModel and every class of its own, which
# would draw random weights, thus refuse a saved folder with this sentence.
_NO_WEIGHTS = "transformers_weights"
SENTENCE = (
    "this is an AraCLIP model. Load it with AraCLIPModel.from_pretrained and AraCLIPProcessor.from_pretrained of the "
    "package araclip: pip install 'araclip[train]'"
)
# Keys of config.json that araclip itself does not read.
FOR_OTHERS = {
    "auto_map": {
        "AutoConfig": f"{MODULE}.AraCLIPConfig",
        "AutoModel": f"{MODULE}.AraCLIPModel",
        "AutoModelForZeroShotImageClassification": f"{MODULE}.AraCLIPModel",
    },
    _NO_WEIGHTS: SENTENCE,
}

Tower: TypeAlias = dict[str, Any] | PreTrainedConfig

TEXT_POOLINGS = ("mean", "cls", "max")
VISION_POOLINGS = ("pooler", "cls", "mean")
VISION_PROJECTIONS = ("linear", "identity")
# Their pooler is a dense layer that few checkpoints have; classifiers use the first token.
_CLS_TOWERS = ("vit", "deit", "ijepa", "yolos", "vivit")


class AraCLIPConfig(PreTrainedConfig):  # type: ignore[misc]
    """Two towers and the space they share.

    Args:
        text_config: any text encoder's configuration or its dictionary with `model_type`; None is AraBERT v02's.
        vision_config: any vision tower's, timm's through `model_type="timm_wrapper"`; None is no image tower, for
            training on image vectors computed beforehand.
        projection_dim: width D of the shared space.
        text_pooling: "mean" over the tokens that are no padding, "cls" (the first token) or "max".
        vision_pooling: "pooler" (what the tower itself pools), "cls" or "mean" over the tokens; None takes "cls" for
            plain ViTs, "pooler" for all others.
        vision_projection: "linear", or "identity" to keep the image space of a teacher as it is: SigLIP's pooled
            output, CLIP's with its own projection. The tower's width must then be `projection_dim`.
        vision_mirror: a picture's features are the mean of its own and of its mirror image's, for twice the time.
        matryoshka_dims: prefixes of the vectors that are good vectors as well (Kusupati et al. 2022).
        logit_scale_init_value: log of the inverse temperature before training.
        logit_bias_init: bias of the sigmoid loss (SigLIP starts at -10) before training; None trains with InfoNCE.
        query_bank: number of texts in the query bank that corrects scores for hubness (QB-Norm), see `heads`; 0 is no
            query bank. `query_bank_sharpness` and `query_bank_weight`: see `heads.QueryBankImageHead`.
        names: width of the names part, see `name_heads`; 0 is none. `name_classes`, `name_exclusive`, `name_features`:
            its classifier's classes, those of one softmax, and the numbers of a picture that it reads, 0 being all;
            `name_features_shared`: the captions' head reads these, too; `name_hidden` and `name_weight`: see
            `name_heads.NameTextHead`.
        max_tokens: length in tokens, special ones included, at which text is cut.
        normalizer: version of `araclip.text.normalization.normalize` that the model was trained with.

    Raises:
        RecipeError: an unknown pooling or projection, a prefix wider than the vectors, a size that is not positive, a
            query bank where there is no room for one.
        ModelMismatch: the model was trained with another text normaliser than this release has.
    """

    model_type = "araclip"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig, "vision_config": AutoConfig}

    def __init__(
        self,
        text_config: Tower | None = None,
        vision_config: Tower | None = VIT,
        projection_dim: int = 512,
        text_pooling: str = "mean",
        vision_pooling: str | None = None,
        vision_projection: str = "linear",
        vision_mirror: bool = False,
        matryoshka_dims: Iterable[int] = (),
        logit_scale_init_value: float = TEMPERATURE,
        logit_bias_init: float | None = None,
        query_bank: int = 0,
        query_bank_sharpness: float = 20.0,
        query_bank_weight: float = 0.6,
        names: int = 0,
        name_classes: int = 0,
        name_exclusive: int = 0,
        name_features: int = 0,
        name_features_shared: bool = False,
        name_hidden: int = 256,
        name_weight: float = 1.0,
        max_tokens: int = MAX_TOKENS,
        normalizer: int = NORMALIZER_VERSION,
        **kwargs: Any,
    ) -> None:
        attention = kwargs.pop("attn_implementation", None)
        super().__init__(**{key: value for key, value in kwargs.items() if key not in FOR_OTHERS})
        self.text_config = _tower(ARABERT if text_config is None else text_config)
        self.vision_config: Any = None if vision_config is None else _tower(vision_config)
        if attention is not None:  # for both towers, or a dictionary of them; without it each keeps its own
            self._attn_implementation = attention
        if vision_pooling is None:
            vision_pooling = usual_vision_pooling(self.vision_config)
        self.projection_dim = projection_dim
        self.text_pooling = _one_of(TEXT_POOLINGS, "text_pooling", text_pooling)
        self.vision_pooling = _one_of(VISION_POOLINGS, "vision_pooling", vision_pooling)
        self.vision_projection = _one_of(VISION_PROJECTIONS, "vision_projection", vision_projection)
        self.vision_mirror = vision_mirror
        self.matryoshka_dims = sorted(set(matryoshka_dims))
        self.logit_scale_init_value = logit_scale_init_value
        self.logit_bias_init = logit_bias_init
        self.query_bank = query_bank
        self.query_bank_sharpness, self.query_bank_weight = query_bank_sharpness, query_bank_weight
        self.names, self.name_classes, self.name_exclusive = names, name_classes, name_exclusive
        self.name_features, self.name_features_shared = name_features, bool(name_features_shared)
        self.name_hidden, self.name_weight = name_hidden, name_weight
        self.max_tokens = max_tokens
        self.normalizer = normalizer
        self._check()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The configuration of a config.json; transformers 5.0 drops that file's `attn_implementation`."""
        if (asked := config_dict.get("attn_implementation")) is not None:
            kwargs.setdefault("attn_implementation", asked)
        return super().from_dict(config_dict, **kwargs)

    @property
    def own_width(self) -> int:
        """Width of the vectors without the names part."""
        return self.projection_dim - (self.names + NAME_AXES if self.names else 0)

    @property
    def names_alone(self) -> int:
        """How many numbers of a picture the names part reads and captions do not: the last ones."""
        return 0 if self.name_features_shared else self.name_features

    def to_diff_dict(self) -> dict[str, Any]:
        """What config.json holds: the settings that are not the default ones, and what is for others than araclip."""
        own: dict[str, Any] = super().to_diff_dict()
        towers = {name: own[name] | {_NO_WEIGHTS: SENTENCE} for name in self.sub_configs if own.get(name)}
        return {**own, **towers, **FOR_OTHERS}

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoConfig") -> None:
        """Does nothing: every saved folder names its classes already, and no source code is copied into it."""

    def _check(self) -> None:
        named = (self.names, self.name_classes, self.name_exclusive, self.name_features, self.name_hidden)
        sizes = (self.projection_dim, self.max_tokens, *self.matryoshka_dims, self.query_bank, *named)
        if not all(
            isinstance(size, int) and not isinstance(size, bool) and size <= settings.MAX_WIDTH for size in sizes
        ):
            raise RecipeError(
                f"projection_dim={self.projection_dim!r:.40}, max_tokens={self.max_tokens!r:.40}, "
                f"matryoshka_dims={self.matryoshka_dims!r:.80}, query_bank={self.query_bank!r:.40} and the sizes "
                f"of a names part, {named!r:.120}, must be whole numbers of at most {settings.MAX_WIDTH:,}."
            )
        scalars = (self.logit_scale_init_value, self.logit_bias_init or 0, self.query_bank_sharpness,
                   self.query_bank_weight, self.name_weight)  # fmt: skip
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in scalars):
            raise RecipeError(f"logit_scale_init_value, logit_bias_init or a query bank's number in {scalars!r:.100} "
                              "is no finite number. Correct config.json.")  # fmt: skip
        if min(self.projection_dim, self.max_tokens, *self.matryoshka_dims, 1) < 1:
            raise RecipeError(
                f"projection_dim={self.projection_dim}, max_tokens={self.max_tokens} and "
                f"matryoshka_dims={self.matryoshka_dims} must be positive."
            )
        if self.matryoshka_dims and self.matryoshka_dims[-1] > self.projection_dim:
            raise RecipeError(
                f"matryoshka_dims has {self.matryoshka_dims[-1]}, but the vectors are {self.projection_dim} wide. "
                "Leave that prefix out, or raise projection_dim."
            )
        if self.query_bank and (self.vision_projection != "linear" or self.own_width <= QUERY_BANK_AXES):
            raise RecipeError(
                f"query_bank={self.query_bank} needs linear projections, more than {QUERY_BANK_AXES} numbers wide; "
                f"these are {self.vision_projection}, projection_dim={self.projection_dim}. Leave the query bank out."
            )
        if self.names and not (
            self.vision_projection == "linear" and self.own_width > 0 and 0 <= self.name_exclusive <= self.name_classes
            and min(self.names, self.name_classes, self.name_hidden) > 0 <= self.name_features
        ):  # fmt: skip
            raise RecipeError(
                f"names={self.names} needs linear projections and room in projection_dim={self.projection_dim}, and "
                f"name_classes={self.name_classes}, of which name_exclusive={self.name_exclusive} share a softmax. "
                "Leave the names part out."
            )
        if self.normalizer != NORMALIZER_VERSION:
            raise ModelMismatch(
                f"the model was trained with text normaliser {self.normalizer}, this release has "
                f"{NORMALIZER_VERSION}. Install the araclip release the model was made for, or train it again."
            )


def usual_vision_pooling(config: PreTrainedConfig | None) -> str:
    """ "cls" for plain ViTs, whose pooler few checkpoints carry, and what the tower itself pools for all others."""
    return "cls" if config is not None and config.model_type in _CLS_TOWERS else "pooler"


def _tower(config: Tower) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    if not isinstance(config, dict):
        raise RecipeError(f"a tower's configuration is {config!r:.60}, expected an object. Copy the folder again.")
    if "model_type" not in config:
        raise RecipeError(
            f"a tower's configuration says no model_type, only {', '.join(config) or 'nothing'}. "
            'Add it, for instance "bert", "siglip_vision_model" or "timm_wrapper".'
        )
    settings.check(config, "a tower's configuration")
    rest = {key: value for key, value in config.items() if key not in ("model_type", _NO_WEIGHTS)}
    return AutoConfig.for_model(config["model_type"], **rest)


def _one_of(known: tuple[str, ...], name: str, value: str) -> str:
    if value not in known:
        raise RecipeError(f"{name} is {value!r}, expected one of {', '.join(known)}.")
    return value


AutoConfig.register("araclip_branches", BranchesConfig, exist_ok=True)
AutoConfig.register("araclip", AraCLIPConfig, exist_ok=True)

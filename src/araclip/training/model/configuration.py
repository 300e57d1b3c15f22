"""AraCLIPConfig: all settings of an AraCLIP model, without its weights. This module works without torch.

BranchesConfig has those of an image tower of several networks over shared first blocks.
"""

import math
from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from araclip.errors import ModelMismatch, RecipeError
from araclip.text.normalization import NORMALIZER_VERSION
from araclip.training.model import foreign

MAX_TOKENS = 32  # limit: tokens of a text; 99.9 % of captions have fewer
TEMPERATURE = 2.6592  # ln(1 / 0.07), the value with which CLIP's training starts
# The size of aubmindlab/bert-base-arabertv02; every setting but the vocabulary's size is the default of BertConfig.
ARABERT = {"model_type": "bert", "vocab_size": 64_000}
VIT = {"model_type": "vit"}

MODULE = "modeling_araclip"  # Python file in every saved folder: transformers' Auto classes use it to import araclip
# transformers takes the value of this key for the name of a weights file. If one of its own classes (CLIPModel,
# BertModel …) loads a saved folder, it fails with SENTENCE as the name of the missing file, instead of drawing random
# weights.
_NO_WEIGHTS = "transformers_weights"
SENTENCE = (
    "this is an AraCLIP model. Load it with AraCLIPModel.from_pretrained and AraCLIPProcessor.from_pretrained of the "
    "package araclip: pip install 'araclip[train]'"
)
# Keys of config.json that other libraries read, but not araclip itself.
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
# These towers' pooler is a dense layer, which most checkpoints lack; so their first token is used, as classifiers do.
_CLS_TOWERS = ("vit", "deit", "ijepa", "yolos", "vivit")


QUERY_BANK_AXES = 2  # how many numbers of a vector carry the query bank's correction of scores, see `heads`
# A vector with a names part (numbers for class names, see `heads`) also has this many numbers that fill up a picture's
# vector to length 1.
NAME_AXES = 1
HEADS: dict[str, Any] = {  # settings of AraCLIPConfig for projection heads beyond linear ones → defaults
    "query_bank": 0,  # number of texts in the query bank that corrects scores for hubness, see `heads`; 0: no bank
    "query_bank_sharpness": 20.0,  # inverse temperature of cosines with the bank's texts, `heads.QueryBankImageHead`
    "query_bank_weight": 0.6,
    "names": 0,  # how many numbers of a vector serve class names (its names part, see `heads`); 0: none
    "name_classes": 0,  # how many classes queries can name; a classifier finds them in pictures
    "name_exclusive": 0,  # how many of the nameable classes, the first ones, exclude each other (softmax)
    "name_features": 0,  # how many image features, the last ones, the classifier of class names reads; 0: all
    "name_features_shared": False,  # true: numbers for captions are made from the classifier's features, too
    "name_hidden": 256,  # width of the layer before a text's numbers for class names, see `heads.NameTextHead`
    "name_weight": 1.0,
    "name_length": 1.0,  # exponent for the length of a picture's numbers for class names, `heads.NameImageHead`
}


def own_width(config: Any) -> int:
    """Return how many numbers of a vector serve captions: all but the names part, which serves class names."""
    return int(config.projection_dim - (config.names + NAME_AXES if config.names else 0))


def names_alone(config: Any) -> int:
    """Return how many numbers at the end of the image tower's output serve only the classifier of class names.

    Return 0 if the projection for captions reads all numbers, too.
    """
    return 0 if config.name_features_shared else int(config.name_features)


def _check_heads(config: Any) -> None:
    """Raise RecipeError if the settings of projection heads contradict each other or the rest of an AraCLIPConfig."""
    named = (config.names, config.name_classes, config.name_exclusive, config.name_features, config.name_hidden)
    if not all(map(foreign.is_size, (config.query_bank, *named))):
        raise RecipeError(
            f"query_bank={config.query_bank!r:.40} and the sizes of a names part, {named!r:.120}, must be whole "
            f"numbers of at most {foreign.MAX_WIDTH:,}."
        )
    scalars = (config.query_bank_sharpness, config.query_bank_weight, config.name_weight, config.name_length)
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in scalars):
        raise RecipeError(f"a number of a query bank or names part in {scalars!r:.100} is no finite number. "
                          "Correct config.json.")  # fmt: skip
    if config.query_bank and (config.vision_projection != "linear" or own_width(config) <= QUERY_BANK_AXES):
        raise RecipeError(
            f"query_bank={config.query_bank} needs linear projections, more than {QUERY_BANK_AXES} numbers wide; these "
            f"are {config.vision_projection}, projection_dim={config.projection_dim}. Leave the query bank out."
        )
    if config.names and not (
        config.vision_projection == "linear" and own_width(config) > 0
        and 0 <= config.name_exclusive <= config.name_classes
        and min(config.names, config.name_classes, config.name_hidden) > 0 <= config.name_features
    ):  # fmt: skip
        raise RecipeError(
            f"names={config.names} needs linear projections and room in projection_dim={config.projection_dim}, and "
            f"name_classes={config.name_classes}, of which name_exclusive={config.name_exclusive} share a softmax. "
            "Leave the names part out."
        )


class Named:
    """Base of the classes that transformers saves. It keeps their source code from being copied into the folder."""

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> None:
        """Do nothing; transformers' own method would copy the class's source file."""


class AraCLIPConfig(Named, PreTrainedConfig):  # type: ignore[misc]
    """The settings of two towers and of the vector space they share.

    Args:
        text_config: the configuration of any text encoder, or its dictionary with `model_type`; None: AraBERT v02's.
        vision_config: the configuration of any vision tower, or its dictionary with `model_type` ("timm_wrapper" for a
            tower of timm); None: no image tower, for training on image vectors computed beforehand.
        projection_dim: width D of the shared space.
        text_pooling: "mean" over the tokens except padding, "cls" (the first token) or "max".
        vision_pooling: "pooler" (the tower's own pooled output), "cls" or "mean" over the tokens; None: "cls" for plain
            ViTs, "pooler" for all others.
        vision_projection: "linear", or "identity" to keep a teacher's image space unchanged: SigLIP's pooled output, or
            CLIP's with CLIP's own projection. The tower's width must then be `projection_dim`.
        vision_mirror: true: average the features of each picture and its mirror image, for twice the time.
        matryoshka_dims: lengths at which a prefix of a vector is a good vector, too (Kusupati et al. 2022).
        logit_scale_init_value: log of the inverse temperature before training.
        logit_bias_init: bias of the sigmoid loss (SigLIP starts at -10) before training; None: InfoNCE, no bias.
        max_tokens: a longer text is cut to this many tokens, special tokens included.
        normalizer: version of `araclip.text.normalization.normalize` that the model was trained with.
        license, training_data: licence and training data of the weights, or of the weights they were trained from, as
            a model folder states them; they stay with every copy.
        kwargs: settings of projection heads with a query bank or a names part, see `HEADS`, and transformers' settings.

    Raises:
        RecipeError: an unknown pooling or projection, a prefix wider than the vectors, a size that is not positive, or
            settings of the heads that contradict each other.
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
        max_tokens: int = MAX_TOKENS,
        normalizer: int = NORMALIZER_VERSION,
        license: str | None = None,
        training_data: Iterable[str] = (),
        **kwargs: Any,
    ) -> None:
        for name, default in HEADS.items():
            setattr(self, name, kwargs.pop(name, default))
        self.text_config = _tower_config(ARABERT if text_config is None else text_config)
        self.vision_config: Any = None if vision_config is None else _tower_config(vision_config)
        # the kind of attention, for both towers or for each by name, which transformers hands on to the towers
        if kwargs.get("attn_implementation") is None:
            kwargs["attn_implementation"] = {}  # the towers' own
        super().__init__(**{key: value for key, value in kwargs.items() if key not in FOR_OTHERS})
        if vision_pooling is None:
            vision_pooling = usual_vision_pooling(self.vision_config)
        self.projection_dim = projection_dim
        self.text_pooling = _check_one_of(TEXT_POOLINGS, "text_pooling", text_pooling)
        self.vision_pooling = _check_one_of(VISION_POOLINGS, "vision_pooling", vision_pooling)
        self.vision_projection = _check_one_of(VISION_PROJECTIONS, "vision_projection", vision_projection)
        self.vision_mirror = vision_mirror
        self.matryoshka_dims = sorted(set(matryoshka_dims))
        self.logit_scale_init_value = logit_scale_init_value
        self.logit_bias_init = logit_bias_init
        self.max_tokens = max_tokens
        self.normalizer = normalizer
        self.license, self.training_data = license, list(training_data)
        self._check()
        _check_heads(self)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make the configuration of a config.json; keep its `attn_implementation`, which transformers 5.0 drops."""
        if (implementation := config_dict.get("attn_implementation")) is not None:
            kwargs.setdefault("attn_implementation", implementation)
        return super().from_dict(config_dict, **kwargs)

    def to_diff_dict(self) -> dict[str, Any]:
        """Return what config.json holds: settings that differ from the default, and keys for other libraries."""
        own: dict[str, Any] = super().to_diff_dict()
        towers = {name: own[name] | {_NO_WEIGHTS: SENTENCE} for name in self.sub_configs if own.get(name)}
        return {**own, **towers, **FOR_OTHERS}

    def _check(self) -> None:
        if not all(map(foreign.is_size, (self.projection_dim, self.max_tokens, *self.matryoshka_dims))):
            raise RecipeError(
                f"projection_dim={self.projection_dim!r:.40}, max_tokens={self.max_tokens!r:.40} and "
                f"matryoshka_dims={self.matryoshka_dims!r:.80} must be whole numbers of at most {foreign.MAX_WIDTH:,}."
            )
        if not all(isinstance(text, str) for text in (self.license or "", *self.training_data)):
            raise RecipeError("license must be a text and training_data a list of texts. Correct config.json.")
        scalars = (self.logit_scale_init_value, self.logit_bias_init or 0)
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in scalars):
            raise RecipeError(
                f"logit_scale_init_value or logit_bias_init in {scalars!r:.90} is no finite number. "
                "Correct config.json."
            )
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
        if self.normalizer != NORMALIZER_VERSION:
            raise ModelMismatch(
                f"the model was trained with text normaliser {self.normalizer}, this release has "
                f"{NORMALIZER_VERSION}. Install the araclip release the model was made for, or train it again."
            )


def usual_vision_pooling(config: PreTrainedConfig | None) -> str:
    """Return "cls" for plain ViTs, few of whose checkpoints have a pooler; otherwise, and for None, "pooler"."""
    return "cls" if config is not None and config.model_type in _CLS_TOWERS else "pooler"


def _tower_config(config: Tower) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    if not isinstance(config, dict):
        raise RecipeError(f"a tower's configuration is {config!r:.60}, expected an object. Copy the folder again.")
    if "model_type" not in config:
        raise RecipeError(
            f"a tower's configuration says no model_type, only {', '.join(config) or 'nothing'}. "
            'Add it, for instance "bert", "siglip_vision_model" or "timm_wrapper".'
        )
    foreign.check_settings(config, "a tower's configuration")
    rest = {key: value for key, value in config.items() if key not in ("model_type", _NO_WEIGHTS)}
    return AutoConfig.for_model(config["model_type"], **rest)


def _check_one_of(known: tuple[str, ...], name: str, value: str) -> str:
    if value not in known:
        raise RecipeError(f"{name} is {value!r}, expected one of {', '.join(known)}.")
    return value


class BranchesConfig(PreTrainedConfig):  # type: ignore[misc]
    """The settings of an image tower of several branches over shared first blocks, see `branches`.

    Args:
        architecture: timm's name of the network.
        branches: how many branches there are.
        shared_blocks: how many first blocks of the network the branches share.
        hidden_size: number of features of a picture, of all branches together.
        gated: the numbers, from 0, of the branches that have a gate.
        routed: the numbers of the gated branches that compute only for some pictures. A router reads the features of
            the branches before such a branch and decides for which pictures.
        map_scales: for each branch, the side of the maps it reads relative to the shared blocks' maps; (): 1 for all.
    """

    model_type = "araclip_branches"

    def __init__(
        self, architecture: str = "tf_efficientnet_lite2", branches: int = 2, shared_blocks: int = 3,
        hidden_size: int = 2560, gated: Iterable[int] = (), routed: Iterable[int] = (),
        map_scales: Iterable[float] = (), **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.architecture = architecture
        self.branches, self.shared_blocks = branches, shared_blocks
        self.hidden_size, self.gated, self.routed = hidden_size, sorted(gated), sorted(routed)
        self.map_scales = list(map_scales) or [1.0] * self.branches
        # this tower has no attention, but CLIPModel divides by this number before it refuses a saved folder
        self.num_attention_heads = 1


AutoConfig.register("araclip", AraCLIPConfig, exist_ok=True)
AutoConfig.register("araclip_branches", BranchesConfig, exist_ok=True)

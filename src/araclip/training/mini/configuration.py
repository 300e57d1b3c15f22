"""Defines settings without importing torch: of an image tower of several networks over shared first blocks, and of
projection heads with a query bank (against hubness) or a names part (for queries by the name of a class).
"""

import math
from collections.abc import Iterable
from typing import Any

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from araclip.errors import RecipeError
from araclip.training.model.foreign import MAX_WIDTH, is_size

QUERY_BANK_AXES = 2  # how many numbers of a vector carry the query bank's correction of scores, see `heads`
# A vector with a names part (numbers for class names, see `heads`) also has this many numbers that fill up a picture's
# vector to length 1.
NAME_AXES = 1
SETTINGS: dict[str, Any] = {  # settings added to AraCLIPConfig → defaults
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


def check(config: Any) -> None:
    """Raise RecipeError if the settings of projection heads contradict each other or the rest of an AraCLIPConfig."""
    named = (config.names, config.name_classes, config.name_exclusive, config.name_features, config.name_hidden)
    if not all(map(is_size, (config.query_bank, *named))):
        raise RecipeError(
            f"query_bank={config.query_bank!r:.40} and the sizes of a names part, {named!r:.120}, must be whole "
            f"numbers of at most {MAX_WIDTH:,}."
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


AutoConfig.register("araclip_branches", BranchesConfig, exist_ok=True)

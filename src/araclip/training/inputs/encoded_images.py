"""What an image tower and its projection make of a step's pictures."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.training.model.model import AraCLIPModel


class EncodedImages(NamedTuple):
    """Output of an image tower and its projection for B pictures.

    Attributes:
        vectors: (B, K, D) float32, each of unit length. K is 1, or the number of branches where each has its own loss.
        features: (B, W) float32, the tower's output before the projection.
    """

    vectors: Tensor
    features: Tensor


def projected(model: AraCLIPModel, features: Tensor) -> Tensor:
    """(B, W) pooled outputs → (B, D), rows of unit length in float32, under autocast too."""
    vectors: Tensor = model.visual_projection(features.to(model.logit_scale.device))
    return l2_normalize(vectors.float(), dim=-1)


def encoded(model: AraCLIPModel, features: Tensor) -> EncodedImages:
    """(B, W) pooled outputs and one vector of each."""
    features = features.float()
    return EncodedImages(projected(model, features).unsqueeze(1), features)

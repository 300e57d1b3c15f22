"""Adds a names part to a model's heads, or removes it; see `name_heads` for its effect."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from araclip.training.model import towers
from araclip.training.model.configuration import NAME_AXES
from araclip.training.model.model import AraCLIPModel
from araclip.training.small_cnn.branches import BranchesModel, first_branches, joined
from araclip.training.small_cnn.shared_weights import first_difference

ALWAYS = 20.0  # a bias whose sigmoid is 1


@dataclass(frozen=True)
class Classifier:
    """A linear classifier of pooled features: weight (C, F), bias (C,); the first `exclusive` classes by softmax."""

    weight: Tensor
    bias: Tensor
    exclusive: int


@torch.no_grad()
def with_names(
    before: AraCLIPModel, classifier: Classifier, names: int, hidden: int, weight: float,
    tower: BranchesModel | None = None, features: int = 0,
) -> AraCLIPModel:  # fmt: skip
    """The model with a names part whose text side and directions are random yet; a query bank stays.

    All pictures are of a kind that the classifier knows, until its `familiar` says otherwise.

    Args:
        names, hidden, weight: see `name_heads.NameTextHead`.
        tower: the image tower with the classifier's own branch as its last one; None: the classifier reads `before`'s.
        features: numbers of its last branch, if it reads that alone.
    """
    config = type(before.config).from_dict({
        **before.config.to_dict(), "projection_dim": before.config.projection_dim + names + NAME_AXES, "names": names,
        "name_classes": len(classifier.bias), "name_exclusive": classifier.exclusive, "name_features": features,
        "name_features_shared": bool(features) and tower is None,
        "name_hidden": hidden, "name_weight": weight,
        "vision_config": (tower or before.vision_model).config.to_dict(),
    })  # fmt: skip
    model = AraCLIPModel(config, before.text_model, before.vision_model if tower is None else tower)
    model.text_projection.captions.load_state_dict(before.text_projection.state_dict())
    model.visual_projection.captions.load_state_dict(before.visual_projection.state_dict())
    model.visual_projection.classifier.weight.copy_(classifier.weight)
    model.visual_projection.classifier.bias.copy_(classifier.bias)
    model.visual_projection.familiar.weight.zero_()
    model.visual_projection.familiar.bias.fill_(ALWAYS)
    _copy_scalars(before, model)
    return model


def tower_with(model: AraCLIPModel, other: Any, shared_blocks: int) -> tuple[BranchesModel | None, int]:
    """A model's image tower with another one as one more branch, and how many numbers that makes a picture.

    None where the other one is the model's last branch already, which is not computed twice.

    Raises:
        RecipeError: the two cannot share blocks.
    """
    tower = joined([model.vision_model, other], shared_blocks)
    features = tower.config.hidden_size - towers.image_width(model.vision_model)
    (last, added), scales = tower.branches[-2:], tower.config.map_scales
    several = features * tower.config.branches > tower.config.hidden_size
    differs = several or scales[-2] != scales[-1] or first_difference(last.state_dict(), added.state_dict())
    return tower if differs else None, features


@torch.no_grad()
def without_names(model: AraCLIPModel) -> AraCLIPModel:
    """The model before its names part, without a branch that served it alone; one without is returned as it is."""
    config = model.config
    if not config.names:
        return model
    tower = model.vision_model
    if config.names_alone:
        tower = first_branches(tower, config.names_alone)
    width = config.projection_dim - config.names - NAME_AXES
    none = dict.fromkeys(("names", "name_classes", "name_exclusive", "name_features", "name_features_shared"), 0)
    changes = {"projection_dim": width, **none, "vision_config": tower.config.to_dict()}
    plain_config = type(config).from_dict({**config.to_dict(), **changes})
    plain = AraCLIPModel(plain_config, model.text_model, tower)
    plain.text_projection.load_state_dict(model.text_projection.captions.state_dict())
    plain.visual_projection.load_state_dict(model.visual_projection.captions.state_dict())
    _copy_scalars(model, plain)
    return plain


def _copy_scalars(source: AraCLIPModel, target: AraCLIPModel) -> None:
    for scalar in ("logit_scale", "logit_bias"):  # the bias is there with the sigmoid loss alone
        if hasattr(target, scalar) and hasattr(source, scalar):
            getattr(target, scalar).copy_(getattr(source, scalar))

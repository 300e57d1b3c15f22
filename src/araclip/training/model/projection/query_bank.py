"""Adds a query bank to a model's image head, or removes it; see `heads` for its effect."""

import torch
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize
from torch.nn.functional import pad

from araclip.training.model.configuration import QUERY_BANK_AXES
from araclip.training.model.model import AraCLIPModel

_HEADS = ("text_projection", "visual_projection")


@torch.no_grad()
def with_query_bank(before: AraCLIPModel, texts: Tensor, sharpness: float, weight: float) -> AraCLIPModel:
    """The model with a query bank of the texts whose vectors are (N, D), of unit length; the towers are shared.

    Two dimensions of the vectors carry the correction; the two principal axes of least variance are dropped for it.
    """
    model = _with_config(before, query_bank=len(texts), query_bank_sharpness=sharpness, query_bank_weight=weight)
    _, axes = torch.linalg.eigh(texts.T @ texts)  # in the order of rising variance
    rotation = axes[:, QUERY_BANK_AXES:].T  # (D − 2, D)
    for head in _HEADS:
        ours, theirs = getattr(model, head).linear, getattr(before, head)
        ours.weight.copy_(rotation @ theirs.weight)
        ours.bias.copy_(rotation @ theirs.bias)
    model.visual_projection.bank.copy_(l2_normalize(texts @ rotation.T, dim=-1))
    return model


@torch.no_grad()
def without_query_bank(model: AraCLIPModel) -> AraCLIPModel:
    """The model before its query bank, with zeros on the two dropped axes; the towers are shared.

    A model without a query bank is returned as it is.
    """
    if not model.config.query_bank:
        return model
    plain = _with_config(model, query_bank=0)
    for head in _HEADS:
        ours, theirs = getattr(plain, head), getattr(model, head).linear
        ours.weight.copy_(pad(theirs.weight, (0, 0, 0, QUERY_BANK_AXES)))
        ours.bias.copy_(pad(theirs.bias, (0, QUERY_BANK_AXES)))
    return plain


def _with_config(model: AraCLIPModel, **changes: float) -> AraCLIPModel:
    config = type(model.config).from_dict({**model.config.to_dict(), **changes})
    other = AraCLIPModel(config, model.text_model, model.vision_model)
    for scalar in ("logit_scale", "logit_bias"):  # the bias is there with the sigmoid loss alone
        if hasattr(model, scalar):
            getattr(other, scalar).copy_(getattr(model, scalar))
    return other

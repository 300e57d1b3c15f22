"""Projection heads whose scores are hubness-corrected: query-bank normalisation inside the vectors.

In a space of many dimensions some pictures, the hubs, lie near to most texts and outrank the right picture again and
again (Radovanović et al. 2010). Query-bank normalisation (QB-Norm, Bogolin et al. 2022) measures with a bank of texts
how near a picture is to texts in general, its popularity, and subtracts that from its score for every query. The
popularity is the logarithm of the inverted softmax's denominator (Smith et al. 2017), less that of an average picture:

    popularity(v) = log(mean over the bank's texts q of exp(sharpness · v·q)) / sharpness − centre

The correction is part of the vectors, in two numbers of their own, so that any index of cosines ranks by it:

    text     t → [a t, c, 0]
    picture  v → [b v, y, r],   y = −(a b / c) · weight · popularity(v),   r fills up to unit length

The cosine of the two is a b (t·v − weight · popularity(v)).

Projection heads with a names part: beside the captions' vector stands one of class names, for queries by name.

A classifier's knowledge is lost when its network learns captions, so the class probabilities go into the vector
themselves: a picture's names part is the mean of its classes' directions, weighted by their probabilities (ConSE,
Norouzi et al. 2013), and short where the classifier is unsure. A text's names part points to the directions of the
classes that it names, and a gate, which the text tower's output opens, says how much it counts:

    text     t → [v_t, g n_t, 0] / √(1 + g²),   g = weight · sigmoid(gate(h)),   |n_t| = 1
    picture  p → [v_p, n_p, r] / √2,            n_p = s |m|^(length − 1) m,  m = Σ probability · direction;  r fills up

n_p is at most of length 1. With a `length` below 1 the part is less short where the classifier is unsure.

s, from 0 to 1, says whether the picture is of a kind that the classifier knows: it is sure of drawings, too, and wrong.

The cosine of the two is (v_t·v_p + g n_t·n_p) / √(2 (1 + g²)), so a query ranks pictures by the sum of both cosines,
and any index of cosines searches such vectors. For captions the gate is nearly shut.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import ModelMismatch
from araclip.training.mini.branches import BranchesModel, first_branches, first_difference, joined
from araclip.training.mini.configuration import NAME_AXES, QUERY_BANK_AXES, names_alone, own_width
from araclip.training.model import towers
from araclip.training.model.model import AraCLIPModel

CONSTANT = 0.3  # c
TEXT_SCALE = math.sqrt(1 - CONSTANT**2)  # a
IMAGE_SCALE = 0.95  # b; leaves ±.31 for y, about five standard deviations of what pictures have


class QueryBankTextHead(nn.Module):
    """(N, H) pooled outputs → (N, D) of unit length."""

    def __init__(self, width: int, projection_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, projection_dim - QUERY_BANK_AXES)

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        constant = torch.full_like(vectors[:, :1], CONSTANT)
        return torch.cat([TEXT_SCALE * vectors, constant, torch.zeros_like(constant)], dim=1)


class QueryBankImageHead(nn.Module):
    """(M, W) pooled outputs → (M, D) of unit length.

    Args:
        texts: number of texts in the bank.
        sharpness: inverse temperature at which cosines with the bank are averaged: at 0 all texts count the same,
            above 30 only the nearest.
        weight: of the popularity that is subtracted.
    """

    bank: Tensor
    centre: Tensor

    def __init__(self, width: int, projection_dim: int, texts: int, sharpness: float, weight: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, projection_dim - QUERY_BANK_AXES)
        self.sharpness, self.weight = sharpness, weight
        self.register_buffer("bank", torch.zeros(texts, projection_dim - QUERY_BANK_AXES))
        self.register_buffer("centre", torch.zeros(()))

    def popularity(self, vectors: Tensor) -> Tensor:
        """(M, D − 2) of unit length → (M,): how near they are to the bank's texts, less an average picture's."""
        similar = self.sharpness * (vectors @ self.bank.float().T)  # (M, N)
        return (torch.logsumexp(similar, dim=1) - math.log(len(self.bank))) / self.sharpness - self.centre.float()

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        most = math.sqrt(1 - IMAGE_SCALE**2)
        shift = -(TEXT_SCALE * IMAGE_SCALE / CONSTANT) * self.weight * self.popularity(vectors)[:, None]
        shift = shift.clamp(-most, most)
        return torch.cat([IMAGE_SCALE * vectors, shift, (most**2 - shift**2).clamp_min(0).sqrt()], dim=1)


class NameTextHead(nn.Module):
    """(N, H) pooled outputs → (N, D) of unit length.

    Args:
        captions: the head of the captions' part, (N, H) → (N, D − names − 1).
        width, hidden, names: H, of the layer between, and of the names part.
        weight: of the names part where the gate is open.
    """

    def __init__(self, captions: nn.Module, width: int, hidden: int, names: int, weight: float) -> None:
        super().__init__()
        self.captions = captions
        self.hidden = nn.Linear(width, hidden)
        self.names = nn.Linear(hidden, names)
        self.gate = nn.Linear(hidden, 1)
        self.weight = weight

    def named(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, names) of unit length, and the gate before the sigmoid (N, 1)."""
        between = gelu(self.hidden(pooled).float()).to(self.names.weight.dtype)  # (N, hidden)
        return l2_normalize(self.names(between).float(), dim=-1), self.gate(between).float()

    def forward(self, pooled: Tensor) -> Tensor:
        captions = l2_normalize(self.captions(pooled).float(), dim=-1)
        names, gate = self.named(pooled)
        weight = self.weight * torch.sigmoid(gate)
        return l2_normalize(torch.cat([captions, weight * names, torch.zeros_like(weight)], dim=1), dim=-1)


SHORTEST = 1e-3  # length from which on a mean direction tells nothing


class NameImageHead(nn.Module):
    """(M, W) pooled outputs → (M, D) of unit length.

    Args:
        captions: the head of the captions' part; it reads the first W − alone numbers.
        features: how many numbers, the last ones, the classifier reads; 0: all.
        alone: how many of these captions do not read: all or none.
        classes: of the classifier; the first `exclusive` of them exclude each other (softmax), the others do not.
        length: power to which the mean direction's length is raised. With 1 a picture whose class is in doubt has a
            short names part, with 0 all have the same length, and a picture in doubt is found by its likeliest class.
    """

    directions: Tensor

    def __init__(
        self, captions: nn.Module, width: int, features: int, alone: int, classes: int, exclusive: int, names: int,
        length: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.captions = captions
        self.classifier = nn.Linear(features or width, classes)
        self.familiar = nn.Linear(features or width, 1)
        self.features, self.alone, self.exclusive, self.length = features, alone, exclusive, length
        self.register_buffer("directions", torch.zeros(classes, names))

    def probabilities(self, own: Tensor) -> Tensor:
        """(M, F), the numbers that the classifier reads → (M, classes)."""
        logits = self.classifier(own).float()
        parts = []
        if self.exclusive:
            parts.append(logits[:, : self.exclusive].softmax(dim=1))
        if self.exclusive < logits.shape[1]:
            parts.append(logits[:, self.exclusive :].sigmoid())
        return torch.cat(parts, dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        rest = pooled[:, : -self.alone] if self.alone else pooled
        captions = l2_normalize(self.captions(rest).float(), dim=-1)
        own = pooled[:, -self.features :] if self.features else pooled
        names = self.probabilities(own) @ self.directions.float()
        if self.length != 1:
            names = names * names.norm(dim=-1, keepdim=True).clamp_min(SHORTEST) ** (self.length - 1)
        names = torch.sigmoid(self.familiar(own).float()) * names
        names = names / names.norm(dim=-1, keepdim=True).clamp_min(1.0)
        fill = (1 - names.square().sum(dim=-1, keepdim=True)).clamp_min(0).sqrt()
        return math.sqrt(0.5) * torch.cat([captions, names, fill], dim=1)


def text_projection(config: Any) -> nn.Module:
    """The text side of a model whose configuration has a query bank, a names part or both."""
    width, own = config.text_config.hidden_size, own_width(config)
    head: nn.Module = QueryBankTextHead(width, own) if config.query_bank else nn.Linear(width, own)
    return NameTextHead(head, width, config.name_hidden, config.names, config.name_weight) if config.names else head


def visual_projection(config: Any, width: int) -> nn.Module:
    """The picture side, of an image tower that makes `width` numbers a picture."""
    if config.names and (names_alone(config) == width or config.name_features > width):
        raise ModelMismatch(
            f"name_features={config.name_features}, but the image tower makes {width} numbers a picture, of which "
            "captions need some. Correct config.json, or take the names part off."
        )
    alone, own = names_alone(config) if config.names else 0, own_width(config)
    bank = (config.query_bank, config.query_bank_sharpness, config.query_bank_weight)
    head = QueryBankImageHead(width - alone, own, *bank) if config.query_bank else nn.Linear(width - alone, own)
    if not config.names:
        return head
    read = (config.name_features, alone, config.name_classes, config.name_exclusive)
    return NameImageHead(head, width, *read, config.names, config.name_length)


def plain(model: AraCLIPModel) -> AraCLIPModel:
    """The model without names part and query bank, to be trained further; the towers are shared."""
    return without_query_bank(without_names(model))


_HEADS = ("text_projection", "visual_projection")


@torch.no_grad()
def with_query_bank(before: AraCLIPModel, texts: Tensor, sharpness: float, weight: float) -> AraCLIPModel:
    """The model with a query bank of the texts whose vectors are (N, D), of unit length; the towers are shared.

    Two dimensions of the vectors carry the correction; the two principal axes of least variance are dropped for it.
    """
    model = rebuilt(before, query_bank=len(texts), query_bank_sharpness=sharpness, query_bank_weight=weight)
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
    plain = rebuilt(model, query_bank=0)
    for head in _HEADS:
        ours, theirs = getattr(plain, head), getattr(model, head).linear
        ours.weight.copy_(pad(theirs.weight, (0, 0, 0, QUERY_BANK_AXES)))
        ours.bias.copy_(pad(theirs.bias, (0, QUERY_BANK_AXES)))
    return plain


@torch.no_grad()
def rebuilt(model: AraCLIPModel, tower: Any = None, **changes: float) -> AraCLIPModel:
    """The model with other settings, and with another image tower if one is given; its projections are random yet."""
    tower = tower or model.vision_model
    settings = {**model.config.to_dict(), **changes, "vision_config": tower.config.to_dict()}
    other = AraCLIPModel(type(model.config).from_dict(settings), model.text_model, tower)
    for scalar in ("logit_scale", "logit_bias"):  # the bias is there with the sigmoid loss alone
        if hasattr(model, scalar):
            getattr(other, scalar).copy_(getattr(model, scalar))
    return other


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
    tower: BranchesModel | None = None, features: int = 0, length: float = 1.0,
) -> AraCLIPModel:  # fmt: skip
    """The model with a names part whose text side and directions are random yet; a query bank stays.

    All pictures are of a kind that the classifier knows, until its `familiar` says otherwise.

    Args:
        names, hidden, weight: see `NameTextHead`; length: see `NameImageHead`.
        tower: the image tower with the classifier's own branch as its last one; None: the classifier reads `before`'s.
        features: numbers of its last branch, if it reads that alone.
    """
    model = rebuilt(
        before, tower, projection_dim=before.config.projection_dim + names + NAME_AXES, names=names,
        name_classes=len(classifier.bias), name_exclusive=classifier.exclusive, name_features=features,
        name_features_shared=bool(features) and tower is None, name_hidden=hidden, name_weight=weight,
        name_length=length,
    )  # fmt: skip
    model.text_projection.captions.load_state_dict(before.text_projection.state_dict())
    model.visual_projection.captions.load_state_dict(before.visual_projection.state_dict())
    model.visual_projection.classifier.weight.copy_(classifier.weight)
    model.visual_projection.classifier.bias.copy_(classifier.bias)
    model.visual_projection.familiar.weight.zero_()
    model.visual_projection.familiar.bias.fill_(ALWAYS)
    return model


def tower_with(model: AraCLIPModel, other: Any, shared_blocks: int) -> tuple[BranchesModel | None, int]:
    """A model's image tower with another one as one more branch, and how many numbers that makes a picture.

    None where the other one is the model's last branch already, which is not computed twice.
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
    if alone := names_alone(config):
        tower = first_branches(tower, alone)
    none = dict.fromkeys(("names", "name_classes", "name_exclusive", "name_features", "name_features_shared"), 0)
    plain = rebuilt(model, tower, projection_dim=own_width(config), **none)
    plain.text_projection.load_state_dict(model.text_projection.captions.state_dict())
    plain.visual_projection.load_state_dict(model.visual_projection.captions.state_dict())
    return plain

"""Projections of towers' outputs to the shared space: linear, the identity, with a query bank, with a names part.

The query bank. In a space of many dimensions some pictures, the hubs, lie near most texts and outrank the right picture
again and again (Radovanović et al. 2010). Query-bank normalisation (QB-Norm, Bogolin et al. 2022) measures a picture's
popularity, which is how near it is to a bank of texts, and subtracts the popularity from the picture's score for every
query. Popularity is the logarithm of the inverted softmax's denominator (Smith et al. 2017), less an average picture's:

    popularity(v) = log(mean over the bank's texts q of exp(sharpness · v·q)) / sharpness − centre

Two numbers of each vector carry the correction, so that any index of cosines ranks by corrected scores:

    text     t → [a t, c, 0]
    picture  v → [b v, y, r],   y = −(a b / c) · weight · popularity(v),   r fills up to unit length

with constants a, b and c, a² + c² = 1.

The cosine of these two vectors is a b (t·v − weight · popularity(v)).

The names part of a vector stands beside the captions' part and serves queries by a class's name. A classifier's
knowledge is lost when its network learns captions, so the class probabilities go into the vector: a picture's names
part is the mean of its classes' directions, weighted by their probabilities (ConSE, Norouzi et al. 2013), and short if
the classifier is unsure. A text's names part points to the directions of the classes that it names, and a gate,
computed from the text tower's output, says how much the part counts:

    text     t → [v_t, g n_t, 0] / √(1 + g²),   g = weight · sigmoid(gate(output)),   |n_t| = 1
    picture  p → [v_p, n_p, r] / √2,            n_p = s |m|^(length − 1) m,  m = Σ probability · direction;  r fills up

n_p has at most length 1. A `length` below 1 makes n_p longer for pictures of which the classifier is unsure.

s, from 0 to 1, says whether the picture is of a kind that the classifier knows; of other kinds, such as drawings, the
classifier would be sure and wrong.

The cosine of text and picture is (v_t·v_p + g n_t·n_p) / √(2 (1 + g²)), so pictures are ranked by the sum of both
cosines, and any index of cosines can search such vectors. For captions the gate is nearly shut.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import ModelMismatch
from araclip.training.model.configuration import QUERY_BANK_AXES, AraCLIPConfig, names_alone, own_width

CONSTANT = (
    0.3  # the number in every text's vector by which a picture's correction is multiplied: c in the docstring above
)
TEXT_SCALE = math.sqrt(1 - CONSTANT**2)  # the module docstring's a, which gives a text's vector length 1
# the module docstring's b; with it, y is at most ±.31, about five standard deviations of y over pictures
IMAGE_SCALE = 0.95


class QueryBankTextHead(nn.Module):
    """The text projection beside a `QueryBankImageHead`: pooled outputs (N, width) → vectors (N, D) of unit length.

    One number of each vector is a constant. In the cosine of a text and a picture, it is multiplied by the number of
    the picture's vector that corrects for hubness.
    """

    def __init__(self, width: int, projection_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, projection_dim - QUERY_BANK_AXES)

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        constant = torch.full_like(vectors[:, :1], CONSTANT)
        return torch.cat([TEXT_SCALE * vectors, constant, torch.zeros_like(constant)], dim=1)


class QueryBankImageHead(nn.Module):
    """The image projection with a query bank, texts by which scores are corrected for hubness.

    Turns pooled outputs (M, width) into vectors (M, D) of unit length. A number in each vector carries the correction,
    so that cosines are corrected scores.

    Args:
        texts: number of texts in the bank.
        sharpness: inverse temperature at which cosines with the bank are averaged: at 0 all texts count the same, above
            30 only the nearest texts count.
        weight: this times the popularity, a picture's nearness to the bank's texts, is subtracted from its scores.
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
        """Return how near unit vectors (M, D − 2) are to the bank's texts, minus the nearness of an average picture."""
        similar = self.sharpness * (vectors @ self.bank.float().T)  # (M, N)
        return (torch.logsumexp(similar, dim=1) - math.log(len(self.bank))) / self.sharpness - self.centre.float()

    def forward(self, pooled: Tensor) -> Tensor:
        vectors = l2_normalize(self.linear(pooled).float(), dim=-1)
        most = math.sqrt(1 - IMAGE_SCALE**2)
        shift = -(TEXT_SCALE * IMAGE_SCALE / CONSTANT) * self.weight * self.popularity(vectors)[:, None]
        shift = shift.clamp(-most, most)
        return torch.cat([IMAGE_SCALE * vectors, shift, (most**2 - shift**2).clamp_min(0).sqrt()], dim=1)


class NameTextHead(nn.Module):
    """The text projection with a names part, numbers for class names: pooled outputs (N, H) → unit vectors (N, D).

    Args:
        captions: the projection that makes the part for captions, (N, H) → (N, D − names − 1).
        width, hidden, names: H, the width of the layer between, and the width of the names part.
        weight: weight of the names part if the gate is fully open; the gate is a factor that is about 0 for captions.
    """

    def __init__(self, captions: nn.Module, width: int, hidden: int, names: int, weight: float) -> None:
        super().__init__()
        self.captions = captions
        self.hidden = nn.Linear(width, hidden)
        self.names = nn.Linear(hidden, names)
        self.gate = nn.Linear(hidden, 1)
        self.weight = weight

    def named(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return the names part (N, names) of each vector, of unit length, and the gate (N, 1) before its sigmoid."""
        between = gelu(self.hidden(pooled).float()).to(self.names.weight.dtype)  # (N, hidden)
        return l2_normalize(self.names(between).float(), dim=-1), self.gate(between).float()

    def forward(self, pooled: Tensor) -> Tensor:
        captions = l2_normalize(self.captions(pooled).float(), dim=-1)
        names, gate = self.named(pooled)
        weight = self.weight * torch.sigmoid(gate)
        return l2_normalize(torch.cat([captions, weight * names, torch.zeros_like(weight)], dim=1), dim=-1)


# Least length that is assumed for the mean of a picture's class directions when the mean is made longer: so a shorter
# mean, of a picture of no known class, stays short.
SHORTEST = 1e-3


class NameImageHead(nn.Module):
    """The image projection with a names part, numbers for class names: pooled outputs (M, W) → unit vectors (M, D).

    Args:
        captions: the projection that makes the part for captions; it reads the first W − alone features.
        features: how many features the classifier reads, the last ones; 0: all.
        alone: how many of the classifier's features `captions` does not read: all of them, or 0.
        classes: number of classes; the first `exclusive` of them exclude each other (softmax), the others do not.
        length: the mean direction's length is raised to this power. With 1 a picture of doubtful class has a short
            names part. With 0 all names parts are equally long: a doubtful picture is found by its likeliest class.
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
        """Return class probabilities (M, classes) for the features (M, F) that the classifier reads."""
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


def text_projection(config: AraCLIPConfig) -> nn.Module:
    """Make the projection from the text tower's width to the shared space, with query bank and names part if asked."""
    width, own = config.text_config.hidden_size, own_width(config)
    head: nn.Module = QueryBankTextHead(width, own) if config.query_bank else nn.Linear(width, own)
    return NameTextHead(head, width, config.name_hidden, config.names, config.name_weight) if config.names else head


def visual_projection(config: AraCLIPConfig, width: int) -> nn.Module:
    """Make the projection of `width` image features to the shared space; raise ModelMismatch if widths cannot fit."""
    if config.vision_projection == "identity":
        if width != config.projection_dim:
            raise ModelMismatch(
                f'vision_projection="identity", but the image tower "{config.vision_config.model_type}" makes '
                f"{width}-wide vectors and projection_dim is {config.projection_dim}. Set projection_dim={width}, or "
                'vision_projection="linear".'
            )
        return nn.Identity()
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

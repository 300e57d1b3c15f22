"""Query-bank normalisation: the two numbers of the vectors that carry it, against the formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.training.model.configuration import QUERY_BANK_AXES
from araclip.training.model.heads import IMAGE_SCALE, TEXT_SCALE, QueryBankImageHead, QueryBankTextHead

WIDTH, D, TEXTS = 6, 10, 7


def heads(seed: int = 0, weight: float = 0.6) -> tuple[QueryBankTextHead, QueryBankImageHead]:
    torch.manual_seed(seed)
    text, image = QueryBankTextHead(WIDTH, D), QueryBankImageHead(WIDTH, D, TEXTS, 20.0, weight)
    image.bank.copy_(l2_normalize(torch.randn(TEXTS, D - QUERY_BANK_AXES), dim=-1))
    image.centre.fill_(0.2)
    return text.eval(), image.eval()


@given(st.integers(0, 50), st.floats(0.01, 100))
@torch.no_grad()
def test_vectors_have_unit_length_however_heavy_the_bank(seed: int, weight: float) -> None:
    text, image = heads(seed, weight)
    pooled = torch.randn(9, WIDTH)
    for vectors in (text(pooled), image(pooled)):
        assert vectors.shape == (9, D)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(9), atol=1e-5)


@torch.no_grad()
def test_cosine_is_similarity_less_popularity_of_picture() -> None:
    text, image = heads(weight=0.1)  # of heavier ones some would reach the bound
    texts, pictures = torch.randn(4, WIDTH), torch.randn(5, WIDTH)
    found = text(texts) @ image(pictures).T

    def popularity(vector: Tensor) -> float:
        return math.log(sum(math.exp(20 * float(vector @ q)) for q in image.bank) / TEXTS) / 20 - 0.2

    for i, t in enumerate(l2_normalize(text.linear(texts), dim=-1)):
        for j, v in enumerate(l2_normalize(image.linear(pictures), dim=-1)):
            corrected = float(t @ v) - 0.1 * popularity(v)
            assert found[i, j].item() == pytest.approx(TEXT_SCALE * IMAGE_SCALE * corrected, abs=1e-5)


@torch.no_grad()
def test_a_hub_ranks_below_a_picture_near_to_this_text_alone() -> None:
    text, image = heads()
    for head in (text, image):  # the first numbers pass as they are
        head.linear.weight.copy_(torch.eye(D - QUERY_BANK_AXES, WIDTH))
        head.linear.bias.zero_()
    axes = torch.eye(WIDTH)
    image.bank.zero_()
    image.bank[:, :WIDTH] = l2_normalize(
        axes[0] + 0.3 * torch.randn(TEXTS, WIDTH), dim=-1
    )  # the bank's texts lie around the first axis
    image.centre.fill_(0.65)
    query = l2_normalize(axes[0] + axes[1], dim=-1)
    hub, right = l2_normalize(axes[0] + 0.65 * axes[1], dim=-1), l2_normalize(axes[1] + 0.6 * axes[0], dim=-1)
    assert query @ hub > query @ right
    scores = text(query[None]) @ image(torch.stack([hub, right])).T
    assert scores[0, 1] > scores[0, 0]

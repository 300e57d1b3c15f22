"""The terms of a finetune step's loss, with vectors in and scalars out."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from araclip.training.data.concepts import Concepts
from araclip.training.data.pictures import Batch
from araclip.training.losses import contrastive_loss
from araclip.training.stages.finetune_step import (
    AllCaptionsLoss,
    ConceptLoss,
    ContrastLoss,
    ForgettingLoss,
    TeacherLoss,
)

ZERO = torch.tensor(0.0)
PAIR = math.log(1 + math.exp(-1))  # cross-entropy of the logits (1, 0)
SWAPPED = math.log(1 + math.exp(1))  # of the logits (0, 1)


def model() -> Any:
    """Projections that change nothing, and an inverse temperature of 1."""
    return SimpleNamespace(logit_scale=ZERO, text_projection=nn.Identity(), visual_projection=nn.Identity())


def batch(rows: list[int]) -> Batch:
    """A text of each picture."""
    texts = [f"text {row}" for row in rows]
    return Batch(rows, texts, [None] * len(rows), list(range(len(rows))), np.eye(len(rows), dtype=np.bool_))


def objective(text: Tensor, image: Tensor, **pairs: Any) -> Tensor:
    return contrastive_loss(text, image, ZERO, **pairs)


def all_captions() -> AllCaptionsLoss:
    """Pictures 0 and 1 with a caption each, e0 and e1; the text tower also read a class name, which is no caption."""
    vectors = {"text 0": torch.eye(2)[0], "a class name": -torch.ones(2), "text 1": torch.eye(2)[1]}
    texts = SimpleNamespace(inputs=lambda names, _: ([torch.stack([vectors[name] for name in names])], None))
    files, captions = [Path("0.png"), Path("1.png")], ["text 0", "text 1"]
    mixture = SimpleNamespace(files=files, texts=captions, texts_of=lambda row: [f"text {row}"])
    return AllCaptionsLoss(model(), texts, mixture)  # type: ignore[arg-type]


def test_all_captions_find_a_batchs_pictures_and_count_half() -> None:
    every = all_captions()
    assert every([1, 0], torch.eye(2).flip(0)).item() == pytest.approx(PAIR)
    assert every([0, 1], torch.eye(2).flip(0)).item() == pytest.approx(SWAPPED)
    loss = ContrastLoss(objective, every)(batch([1, 0]), torch.eye(2), torch.eye(2))
    assert loss.item() == pytest.approx((PAIR + SWAPPED) / 2)  # among the batch right, among all captions wrong


def test_teachers_distance_is_that_of_texts_with_english_caption() -> None:
    asked = []

    def lookup(texts: list[str]) -> Any:
        asked.extend(texts)
        return np.array([[0.0, 1.0]], np.float32)

    text = torch.eye(2).requires_grad_()
    teacher = TeacherLoss(SimpleNamespace(lookup=lookup))  # type: ignore[arg-type]
    assert teacher([None, "a cat"], text).item() == 0.0
    assert teacher(["a cat", None], text).item() == 1.0
    assert asked == ["a cat", "a cat"]
    none = teacher([None, None], text)
    none.backward()  # a step without English captions still has a graph
    assert none.item() == 0.0


def test_names_are_compared_with_projections_of_their_classes() -> None:
    features = np.diag([3.0, 2.0]).astype(np.float32)  # of no unit length
    loss = ConceptLoss(model(), Concepts(features, [("a",), ("b",)], None))
    assert loss([1, 0], torch.eye(2).flip(0)).item() == pytest.approx(PAIR)
    assert loss([0, 1], torch.eye(2).flip(0)).item() == pytest.approx(SWAPPED)


def test_forgetting_compares_answers_of_classifier_not_features() -> None:
    weight = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)  # the second feature counts for nothing
    loss = ForgettingLoss((weight, np.zeros(2, np.float32)), torch.device("cpu"))
    before = torch.tensor([[math.log(3.0), 0.0]])
    assert loss(torch.tensor([[math.log(3.0), 9.0]]), before).item() == pytest.approx(0.0)
    assert loss(torch.tensor([[0.0, 0.0]]), before).item() == pytest.approx(0.130812, abs=1e-6)  # see test_losses

"""Recall on dev pictures while training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from araclip.errors import DataError
from araclip.evaluation.datasets import Picture
from araclip.evaluation.metrics import ranks, summary
from araclip.training import students
from araclip.training.image_side import Say, image_side
from araclip.training.picture_data import listed_pictures
from araclip.training.recipe import DevSet, ImageSide

Recall = Callable[[], dict[str, float]]
TextVectors = Callable[[Sequence[str]], Tensor]


class Dev:
    """The pictures of a dev set and the captions that are asked, each finding its own picture.

    Raises:
        DataError: the set's list is missing or malformed, it has no caption in the fields asked for, or one of its
            pictures is missing.
    """

    def __init__(self, spec: DevSet) -> None:
        found = listed_pictures(spec.folder, (), spec.captions, spec.split)
        self.pictures: list[Picture] = [picture for picture in found if picture.arabic]
        if not self.pictures:
            raise DataError(
                f"{spec.folder} (split {spec.split}) has no caption in {', '.join(spec.captions)}: nothing to measure. "
                "Correct `dev` in the recipe."
            )
        asked = [(text, row) for row, p in enumerate(self.pictures) for text in p.arabic[: spec.per_picture]]
        self.texts = [text for text, _ in asked]
        self.owner = [row for _, row in asked]

    @property
    def paths(self) -> list[Path]:
        """The pictures' files, which `recall` takes the vectors of."""
        return [picture.path for picture in self.pictures]

    def recall(self, text_vectors: TextVectors, image_vectors: Callable[[Sequence[Path]], Tensor]) -> dict[str, float]:
        """R@1, R@5, R@10 and MRR, text → picture, any-hit, of what two encoders make of the set."""
        with torch.inference_mode():
            queries = text_vectors(self.texts).float().cpu().numpy()
            gallery = image_vectors(self.paths).float().cpu().numpy()
        found = summary(ranks(queries, gallery, [[row] for row in self.owner]))
        return {name: value for name, value in found.items() if name != "median rank"}


def locked_recall(spec: DevSet, student: students.Student, text_vectors: TextVectors, cache: Path, say: Say) -> Recall:
    """Dev recall for a stage in which the image side stands still: its pictures pass the tower once.

    Raises:
        RecipeError: the model has no image tower. DataError: see `Dev`, or a picture cannot be read.
    """
    model, processor = student
    dev = Dev(spec)
    size, norm = students.image_size(processor), students.norm(processor)
    images = image_side(model, size, norm, dev.paths, ImageSide(), 0, cache, say)
    return lambda: dev.recall(text_vectors, images.vectors)

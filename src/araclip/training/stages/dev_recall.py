"""Measures dev recall during training: from captions to pictures, or to other captions of the same picture."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import DataError
from araclip.evaluation.scores import ranks, summary
from araclip.evaluation.sets import CaptionedPicture
from araclip.training.data.pictures import listed_pictures
from araclip.training.model.saved_models import ModelAndProcessor
from araclip.training.recipe.stages import Captions, DevSet, ImageSide, Stage
from araclip.training.stages.pictures import training_images
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.starting_model import StageContext

Recall = Callable[[], dict[str, float]]
TextVectors = Callable[[Sequence[str]], Tensor]


class Dev:
    """A dev set: each caption is a query, and the picture that it describes is the one relevant result."""

    def __init__(self, spec: DevSet) -> None:
        found = listed_pictures(spec.folder, (), spec.captions, spec.split, images=spec.images)
        self.pictures: list[CaptionedPicture] = [picture for picture in found if picture.arabic]
        if not self.pictures:
            raise DataError(
                f"{spec.folder} (split {spec.split}) has no caption in {', '.join(spec.captions)}: nothing to measure. "
                "Correct `dev` in the recipe."
            )
        queries = [(text, row) for row, p in enumerate(self.pictures) for text in p.arabic[: spec.per_picture]]
        self.texts = [text for text, _ in queries]
        self.owner = [row for _, row in queries]

    @property
    def paths(self) -> list[Path]:
        """The pictures' files, in the order in which `recall` encodes them."""
        return [picture.path for picture in self.pictures]

    def recall(self, text_vectors: TextVectors, image_vectors: Callable[[Sequence[Path]], Tensor]) -> dict[str, float]:
        """Return R@1, R@5, R@10 and MRR of captions searching pictures; the two functions encode captions and files."""
        with torch.inference_mode():
            return _recall_of(text_vectors(self.texts), image_vectors(self.paths), self.owner)


class CaptionDev:
    """A dev set without picture files: the mean vector of a picture's English captions stands for the picture.

    The queries are the captions in the fields that `spec.captions` names.
    """

    def __init__(self, spec: DevSet) -> None:
        found = listed_pictures(spec.folder, ("caption_en",), spec.captions, spec.split, needs_files=False)
        self.pictures = [picture for picture in found if picture.english and picture.arabic]
        if not self.pictures:
            raise DataError(
                f"{spec.folder} (split {spec.split}) has no picture with caption_en and {', '.join(spec.captions)}: "
                "nothing to measure. Correct `dev` in the recipe."
            )
        self.queries = [(text, row) for row, p in enumerate(self.pictures) for text in p.arabic[: spec.per_picture]]
        self.gallery = [(text, row) for row, p in enumerate(self.pictures) for text in p.english]
        self.owner = [row for _, row in self.queries]

    def recall(self, text_vectors: TextVectors) -> dict[str, float]:
        """Return R@1, R@5, R@10 and MRR: how well a caption finds the mean vector of its picture's English captions."""
        with torch.inference_mode():
            queries, captions = (text_vectors([text for text, _ in side]) for side in (self.queries, self.gallery))
            rows = torch.tensor([row for _, row in self.gallery], device=captions.device)
            sums = captions.new_zeros(int(rows[-1]) + 1, captions.shape[1]).index_add(0, rows, captions)
            return _recall_of(queries, l2_normalize(sums, dim=-1), self.owner)


def dev_fingerprint(stage: Stage) -> str:
    """Return sixteen hex digits, a hash of the dev set's captions and its pictures' names; "" without a dev set."""
    if stage.dev is None:
        return ""
    dev = CaptionDev(stage.dev) if isinstance(stage, Captions) else Dev(stage.dev)
    read = [(picture.path.name, picture.english, picture.arabic) for picture in dev.pictures]
    return hashlib.sha256(repr(read).encode()).hexdigest()[:16]


def protocol(stage: Stage) -> str:
    """Say what the queries of a stage's dev recall are, and among how many pictures they search; "" without a dev set.

    "" too if the dev set is no longer there, as for a stage that was finished long ago.
    """
    if (spec := stage.dev) is None:
        return ""
    try:
        dev, found = (
            (CaptionDev(spec), "mean English captions") if isinstance(stage, Captions) else (Dev(spec), "pictures")
        )
    except DataError:
        return ""
    named = {None: "every caption", 1: "the first caption"}
    which = named.get(spec.per_picture, f"the first {spec.per_picture} captions")
    fields, split = ", ".join(spec.captions), f", {spec.split}" if spec.split else ""
    return (
        f"{len(dev.owner):,} queries ({which} of each picture: {fields}) among {len(dev.pictures):,} {found} "
        f"({spec.folder.name}{split})"
    )


def locked_recall(
    stage: Stage, context: StageContext, student: ModelAndProcessor, text_vectors: TextVectors
) -> Recall | None:
    """Return a function that measures a stage's dev recall if its image tower does not learn; None without a dev set.

    The dev pictures pass the tower once, in this call.
    """
    if stage.dev is None:
        return None
    model, processor = student
    dev, log = Dev(stage.dev), context.reporter.log
    images = training_images(model, Pixels.of(processor), dev.paths, ImageSide(), 0, context.cache, log)
    return lambda: dev.recall(text_vectors, images.vectors)


def _recall_of(queries: Tensor, gallery: Tensor, owner: Sequence[int]) -> dict[str, float]:
    found = summary(ranks(queries.float().cpu().numpy(), gallery.float().cpu().numpy(), [[row] for row in owner]))
    return {name: value for name, value in found.items() if name != "median rank"}

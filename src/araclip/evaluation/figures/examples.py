"""The best and the worst queries with thumbnails of their pictures, for the report."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from araclip.errors import ImageError
from araclip.evaluation.figures.breakdown import best, worst
from araclip.evaluation.results import Evaluated
from araclip.pictures.images import open_image

CASES = 24  # queries in one report, of all models together: 24 × (1 + 4) pictures of 7 kB are 0.8 MB
OTHERS = 4  # other pictures, shown beside the right one
SIDE = 192  # pixels of a thumbnail's longer side: sharp at 96 on a screen of double density
QUALITY = 70


@dataclass(frozen=True)
class Thumbnail:
    """One picture of an example: a data URI (None where the file cannot be opened), its file name, rank and cosine."""

    uri: str | None
    name: str
    rank: float
    score: float


@dataclass(frozen=True)
class Example:
    """A query, the picture it was written for, and the best of the others."""

    query: str
    right: Thumbnail
    others: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class Examples:
    """One model's worst and best queries."""

    name: str
    worst: tuple[Example, ...]
    best: tuple[Example, ...]


def examples(models: Sequence[Evaluated]) -> list[Examples]:
    """The worst and the best queries of text→image, two to one, of as many models as CASES have room for."""
    reported = models[: CASES // 2]
    share = CASES // len(reported)
    strong = max(1, share // 3)
    return [
        Examples(
            model.name,
            tuple(_example(model, row) for row in worst(model.t2i, share - strong)),
            tuple(_example(model, row) for row in best(model.t2i, strong)),
        )
        for model in reported
    ]


def _example(model: Evaluated, row: int) -> Example:
    direction, own = model.t2i, int(model.owner[row])

    def thumb(picture: int, rank: float, score: float) -> Thumbnail:
        path = model.pictures[picture]
        return Thumbnail(thumbnail(path), path.name, rank, score)

    ranked = zip(direction.found[row].tolist(), direction.scores[row].tolist(), strict=True)
    others = [(picture, rank, score) for rank, (picture, score) in enumerate(ranked, 1) if picture != own]
    return Example(
        model.queries[row],
        thumb(own, float(direction.ranks[row]), float(direction.relevant_score[row])),
        tuple(thumb(*other) for other in others[:OTHERS]),
    )


def thumbnail(path: Path) -> str | None:
    """A small JPEG as a data URI that carries pixels and no metadata; None if the file cannot be opened."""
    try:
        opened = open_image(path, SIDE)
    except ImageError:
        return None
    opened.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    bare = Image.new("RGB", opened.size)  # Pillow would carry EXIF, comments and colour profiles over
    bare.paste(opened)
    written = io.BytesIO()
    bare.save(written, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")

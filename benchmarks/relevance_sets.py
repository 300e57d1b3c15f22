"""Judged pairs of query and picture, and galleries of pictures that araclip-mini never learned from.

judged.jsonl says of each query which pictures show what it asks: who judged them, when and how stands in its first
line. Its two halves have a gallery each, 800 pictures of Flickr8k's choice split and of the held-out labelled sets
(recipes/mini/data.py), and share no picture and no query. Constants are fitted on one half, figures reported on the
other. Further queries over the pictures of that one, `check`, were judged after the constants were fixed.
"""

import argparse
import json
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
from everyday_words import rows_of
from numpy.typing import NDArray

from araclip import AraCLIP
from araclip.gallery.plan import QueryPlan, plan
from araclip.gallery.query import combine, parse
from araclip.gallery.ranking import Candidate, Exclusion, drop_excluded, exclusion_of
from araclip.gallery.reference_queries import EVERYDAY, nonsense_queries
from araclip.gallery.relevance import ReferenceVectors, RelevanceScale, relevance_scale
from araclip.text.resources import default_interpreter

SHOWN = 10  # hits of a first page
LABELLED = {  # held-out part of a set (recipes/mini/data.py) → field of the label
    "nips17-held": "class_ar",
    "grocery-held": "class_ar",
    "clothing-held": "class_ar",
    "flowers-held": "class_ar",
    "scenes-held": "class_ar",
    "scenes15-held": "class_ar",
    "caltech101-held": "label",
}
DRAWINGS = ("gcompris_words-held", "caption_ar")
CHOICE = "flickr8k-choice"
PICTURES = {  # of each half's gallery
    CHOICE: 300,
    "nips17-held": 125,
    "scenes-held": 60,
    "scenes15-held": 50,
    "clothing-held": 45,
    "flowers-held": 25,
    "grocery-held": 45,
    "caltech101-held": 60,
    "sports100-held": 60,
    "gcompris_words-held": 30,
}
JUDGED = Path(__file__).with_name("judged.jsonl")

Half = Literal["fit", "report", "check"]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Query:
    """A judged query: its plan, its unit vector (D,) and that of what it excludes, (m, D) or None; for each judged
    picture its row in the gallery and its grade (n,), 0 to 1, and that of what is excluded."""

    text: str
    kind: str
    plan: QueryPlan
    vector: Vectors
    excluded: Vectors | None
    rows: NDArray[np.int64]
    grades: NDArray[np.float64]
    shows_excluded: NDArray[np.float64]


def arguments(about: str | None) -> argparse.ArgumentParser:
    """The arguments of every script that takes the sets."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=Path, required=True, help="folder of the held-out sets (recipes/mini/data.py)")
    parser.add_argument("--cache", type=Path, required=True, help="folder for vectors of pictures")
    parser.add_argument("--model", default="araclip-mini")
    return parser


class Bench:
    """One model with its vectors of pictures cached in a folder, and the reference queries' vectors."""

    def __init__(self, model: AraCLIP, cache: Path, noise: float = 0.0) -> None:
        """noise: length of a random vector added to each picture's, for a model that knows its pictures less well."""
        self.model, self.cache, self.noise = model, cache, noise
        cache.mkdir(parents=True, exist_ok=True)
        everyday, nonsense = self.texts(EVERYDAY), self.texts(nonsense_queries())
        self.reference = ReferenceVectors(everyday, nonsense)

    def texts(self, texts: Sequence[str]) -> Vectors:
        return self.model.encode_text(list(texts))

    def pictures(self, name: str, paths: Sequence[Path]) -> Vectors:
        """(N, D), from the cache where they are there."""
        file = self.cache / f"{self.model.label.replace('@', '-')}-{name}-{len(paths)}.npy"
        if not file.is_file():
            np.save(file, self.model.encode_image(list(paths)))
        vectors: Vectors = np.load(file)
        if not self.noise:
            return vectors
        drawn = np.random.default_rng(0).standard_normal(vectors.shape) * self.noise / np.sqrt(vectors.shape[1])
        noisy = vectors + drawn.astype(np.float32)
        return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)

    def scale(self, vectors: Vectors) -> RelevanceScale:
        scale = relevance_scale(vectors, self.reference)
        assert scale is not None
        return scale

    def gallery(self, held: Path, half: Half) -> tuple[Vectors, dict[str, int]]:
        """The pictures of a half, (N, D), and the row of each by its name in judged.jsonl."""
        images = [(name, image) for name in PICTURES for image in chosen(held, name, half)]
        names = {f"{name}/{Path(image).name}": row for row, (name, image) in enumerate(images)}
        gallery = "fit" if half == "fit" else "report"
        return self.pictures(f"judged-{gallery}", [Path(image) for _, image in images]), names

    def judged(self, half: Half, rows: dict[str, int]) -> list[Query]:
        """The judged queries of a half, each read and encoded as a gallery does."""
        with JUDGED.open(encoding="utf-8") as lines:
            listed = [json.loads(line) for line in lines]
        return [self._query(each, rows) for each in listed if each.get("half") == half]

    def _query(self, judged: dict[str, Any], rows: dict[str, int]) -> Query:
        read = plan(parse(judged["query"]), default_interpreter(), today=date(2026, 11, 30))
        found = read.vectors(self.texts(read.texts), lambda name: np.zeros(0, np.float32))
        pictures = judged["pictures"]
        return Query(
            judged["query"],
            judged["kind"],
            read,
            combine(found.terms, read.query),
            read.excluded(found),
            np.array([rows[name] for name, *_ in pictures]),
            np.array([each[2] / 2 for each in pictures]),
            np.array([each[3] / 2 if len(each) > 3 else 0.0 for each in pictures]),
        )

    def half(self, held: Path, name: str, field: str, part: Half) -> tuple[Vectors, list[str]]:
        """Vectors and labels of every other picture of each label; a label in a list is its first."""
        rows = [row for row in rows_of(held, name) if row[field]]
        labelled = [(row[field] if isinstance(row[field], str) else row[field][0], row["image"]) for row in rows]
        every = sorted(labelled)[part != "fit" :: 2]
        pictures = self.pictures(f"{name}-{part}", [Path(image) for _, image in every])
        return pictures, [label for label, _ in every]


def chosen(held: Path, name: str, half: Half) -> list[str]:
    """The pictures of a set that are in the gallery of a half: every other one, evenly taken over the labels."""
    rows = rows_of(held, name)
    images = [row["image"] for row in rows]
    if name != CHOICE:
        labels = (row["label"] if isinstance(row["label"], str) else row["label"][0] for row in rows)
        images = [image for _, image in sorted(set(zip(labels, images, strict=True)))]
    mine = images[half != "fit" :: 2]
    count = min(PICTURES[name], len(mine))
    return [mine[int(k * len(mine) / count)] for k in range(count)]


def hits(query: Query, vectors: Vectors, exclusion: Exclusion | None) -> list[int]:
    """The rows of the pictures (N, D) that an exclusion keeps, best first."""
    scores = vectors @ query.vector
    order = np.argsort(-scores, kind="stable")
    candidates = (Candidate(int(row), float(scores[row]), None, float(scores[row])) for row in order)
    return [
        each.content for each in drop_excluded(candidates, exclusion, lambda ids, terms: vectors[list(ids)] @ terms.T)
    ]


def excluding(query: Query, scale: RelevanceScale, *, alone: bool = False) -> Exclusion | None:
    """What a gallery leaves out of a query's hits; `alone`: as where all that the query does is exclude."""
    return None if query.excluded is None else exclusion_of(query.excluded, scale, alone=alone)


def random_strings(count: int) -> list[str]:
    """Letters, digits and punctuation, not those that the package ships."""
    draw = random.Random(7)
    arabic = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"

    def word(letters: str) -> str:
        return "".join(draw.choice(letters) for _ in range(draw.randint(3, 10)))

    kinds = (
        lambda: word(arabic),
        lambda: f"{word(arabic)} {word(arabic)}",
        lambda: word(string.ascii_lowercase),
        lambda: word(string.digits),
        lambda: word("!؟.،#@*"),
    )
    return [kinds[i % len(kinds)]() for i in range(count)]

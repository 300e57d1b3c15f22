"""Queries with known answers, for measuring and fitting relevance; shared by relevance.py and relevance_fit.py.

Captions leave out much of what a picture shows, and sets of labels overlap. also_shown.json adds what is shown: for
each common word, pictures of Flickr8k that show it though no caption says so (the first hits of araclip-mini 6, looked
at one by one, in dev and in the choice split); for a label, others whose pictures show it too, from the list of labels.
"""

import argparse
import json
import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from depicted import COMMON, depicted
from everyday_words import rows_of
from judged_captions import right_pictures
from numpy.typing import NDArray

from araclip import AraCLIP
from araclip.evaluation.sets import LISTING, read_pictures
from araclip.gallery.reference_queries import EVERYDAY, nonsense_queries
from araclip.gallery.relevance import ReferenceVectors, RelevanceScale, relevance_scale

SHOWN = 10  # hits of a first page
REMOVED = 40  # words of a large set that are tried with their pictures taken out
WORDS = {
    **COMMON,
    "شجرة": "tree|trees",
    "سيارة": "car|cars|truck",
    "ملعب": "field|court|stadium",
    "جدار": "wall",
    "مقعد": "bench|seat|chair",
}
NOT_SHOWN = """معادلة تفاضلية من الدرجة الثانية، قانون الضريبة على القيمة المضافة، كيفية تثبيت نظام التشغيل،
سعر صرف الدولار اليوم،
إعراب الجملة الاسمية، تاريخ الدولة العباسية، مجرة درب التبانة، خلية تحت المجهر، محرك صاروخ فضائي، وصفة الكبسة باللحم،
طبق سوشي ياباني، غواصة نووية، جراحة القلب المفتوح، لوحة مفاتيح حاسوب، زرافة في السافانا، ديناصور، بركان ثائر،
فنجان قهوة تركية، قلم رصاص ودفتر، مسجد بمئذنتين، أهرامات الجيزة، غسالة ملابس، دب الباندا يأكل الخيزران، سمكة قرش،
خريطة العالم، شهادة تخرج، مخطط كهربائي، فاتورة كهرباء، جواز سفر، صورة أشعة للصدر""".replace("\n", " ").split("، ")
LABELLED = {  # held-out part of a set (recipes/mini_data.py) → field of the label
    "nips17-held": "class_ar",
    "grocery-held": "class_ar",
    "clothing-held": "class_ar",
    "flowers-held": "class_ar",
    "scenes-held": "class_ar",
    "scenes15-held": "class_ar",
    "caltech101-held": "label",
}

DRAWINGS = ("gcompris_words-held", "caption_ar")
ALSO_SHOWN = json.loads(Path(__file__).with_name("also_shown.json").read_text(encoding="utf-8"))

Vectors = NDArray[np.float32]
Shown = NDArray[np.bool_]  # (Q, N): whether a picture shows a word


@dataclass(frozen=True)
class Cases:
    """Queries of one kind over galleries: vectors (Q, D), words (Q,), scales (Q,) and right answers, (n,) each."""

    name: str
    queries: Vectors
    words: Sequence[int]
    scales: Sequence[RelevanceScale]
    right: Sequence[NDArray[np.bool_]]

    def hits(self) -> Iterator[tuple[RelevanceScale, Vectors, int, Vectors, NDArray[np.bool_]]]:
        """Scale, query, words, cosines and rightness of the first SHOWN hits, best first."""
        for query, words, scale, right in zip(self.queries, self.words, self.scales, self.right, strict=True):
            scores = scale.sample @ query
            first = np.argsort(-scores, kind="stable")[:SHOWN]
            yield scale, query, words, scores[first], right[first]


def arguments(about: str | None) -> argparse.ArgumentParser:
    """The arguments of both scripts."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--held", type=Path, required=True, help="folder of the held-out sets (recipes/mini_data.py)")
    parser.add_argument("--cache", type=Path, required=True, help="folder for vectors of pictures")
    parser.add_argument("--model", default="araclip-mini")
    return parser


class Bench:
    """One model with its vectors of pictures cached in a folder, and the reference queries' vectors."""

    def __init__(self, model: AraCLIP, cache: Path, noise: float = 0.0, also_shown: bool = True) -> None:
        """noise: length of a random vector added to each picture's, for a model that knows its pictures less well."""
        self.model, self.cache, self.noise = model, cache, noise
        self.also: dict[str, dict[str, list[str]]] = ALSO_SHOWN if also_shown else {"labels": {}, "pictures": {}}
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

    # ------------------------------------------------------------------ kinds of queries

    def captioned(self, folder: Path, split: str, step: int = 1, most: int = 10**9) -> list[Cases]:
        """Captions, common words, the same with their pictures taken out, things that are not shown, and nonsense."""
        rows = sorted(read_pictures(folder, ("caption_en",), ("caption_ar",), split), key=lambda row: row.path.name)
        rows = rows[::step][:most]
        paths, tag = [row.path for row in rows], f"{split}{step}"
        vectors = self.pictures(f"{folder.name}-{tag}", paths)
        scale = self.scale(vectors)
        texts = [text for row in rows for text in row.arabic]
        owner = [i for i, row in enumerate(rows) for _ in row.arabic]
        right = right_pictures(folder / LISTING, paths, texts, owner)
        nothing = np.zeros(len(rows), bool)
        file = self.cache / f"{self.model.label.replace('@', '-')}-{folder.name}-{tag}-texts-{len(texts)}.npy"
        if not file.is_file():
            np.save(file, self.texts(texts))
        said = depicted([row.english for row in rows], list(WORDS.values())).T  # (W, N)
        seen = np.array([[path.name in self.also["pictures"].get(word, ()) for path in paths] for word in WORDS])
        shows = said | seen
        words = self.texts(list(WORDS))

        def same(name: str, texts: Sequence[str], vectors: Vectors, right: Sequence[NDArray[np.bool_]]) -> Cases:
            return Cases(name, vectors, [len(text.split()) for text in texts], [scale] * len(texts), right)

        odd = random_strings(300)
        return [
            same("captions", texts, np.load(file), list(right)),
            same("common words", list(WORDS), words, list(shows)),
            self._removed("common words, pictures taken out", list(WORDS), words, vectors, said, shows),
            same("things not shown", NOT_SHOWN, self.texts(NOT_SHOWN), [nothing] * len(NOT_SHOWN)),
            same("nonsense", odd, self.texts(odd), [nothing] * len(odd)),
        ]

    def labelled(self, held: Path, part: Literal["fit", "report"]) -> list[Cases]:
        """Labels of the held-out sets as queries over all their pictures; and with a label's pictures taken out.

        Args:
            part: every other picture of each label, one half for choices and the other for what is reported.
        """
        found = [self.half(held, name, field, part) for name, field in LABELLED.items()]
        return self._named(
            "labels", np.concatenate([part[0] for part in found]), [x for part in found for x in part[1]]
        )

    def drawn(self, held: Path, part: Literal["fit", "report"]) -> list[Cases]:
        """The same of held-out drawings, in a gallery of their own, by their Arabic word."""
        return self._named("drawings", *self.half(held, *DRAWINGS, part))

    def half(self, held: Path, name: str, field: str, part: Literal["fit", "report"]) -> tuple[Vectors, list[str]]:
        """Vectors and labels of every other picture of each label; a label in a list is its first."""
        rows = [row for row in rows_of(held, name) if row[field]]
        labelled = [(row[field] if isinstance(row[field], str) else row[field][0], row["image"]) for row in rows]
        chosen = sorted(labelled)[part == "report" :: 2]
        pictures = self.pictures(f"{name}-{part}", [Path(image) for _, image in chosen])
        return pictures, [label for label, _ in chosen]

    def _named(self, kind: str, pictures: Vectors, labels: list[str]) -> list[Cases]:
        label_of, names = np.array(labels), sorted(set(labels))
        queries, scale = self.texts(names), self.scale(pictures)
        shows = np.array([np.isin(label_of, [name, *self.also["labels"].get(name, ())]) for name in names])
        words = [len(name.split()) for name in names]
        some = slice(None, None, max(1, len(names) // REMOVED))
        return [
            Cases(kind, queries, words, [scale] * len(names), list(shows)),
            self._removed(f"{kind}, pictures taken out", names[some], queries[some], pictures, shows[some]),
        ]

    def _removed(
        self,
        name: str,
        texts: Sequence[str],
        queries: Vectors,
        pictures: Vectors,
        taken: Shown,
        shows: Shown | None = None,
    ) -> Cases:
        """Each query in a gallery without the pictures that are `taken` out; what `shows` it and is left is right."""
        scales = [self.scale(pictures[~row]) for row in taken]
        left = [shown[~row] for row, shown in zip(taken, taken if shows is None else shows, strict=True)]
        return Cases(name, queries, [len(text.split()) for text in texts], scales, left)


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

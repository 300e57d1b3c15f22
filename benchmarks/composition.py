"""Combining terms of a query: the weight of a minus, of a picture beside text, and whether centring helps.

    python benchmarks/composition.py --data FLICKR8K_FOLDER [--model araclip-mini] [--split dev]

A picture has a concept when one of its English captions has one of the concept's words. «A - B» should find pictures
with A and without B, «A + B» and «picture of A (without B) + B» pictures with both: precision of the first ten, over
the ordered pairs of concepts with at least fifteen such pictures. Weights are chosen on half of the pictures (even
rows), the other half is reported; each half is a separate gallery.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip import AraCLIP
from araclip.evaluation.sets import read_pictures

COMMON = {  # Arabic word → pattern of English words
    "كلب": "dog|dogs|puppy",
    "رجل": "man|men",
    "امرأة": "woman|women|lady",
    "طفل": "child|children|kid|boy|girl|baby|toddler",
    "شاطئ": "beach|ocean|sea|shore",
    "ثلج": "snow|snowy",
    "عشب": "grass|grassy|field",
    "ماء": "water|pool|lake|river",
    "كرة": "ball|soccer|football|basketball|tennis",
    "دراجة": "bike|bicycle|bicyclist|motorcycle|biker",
    "جبل": "mountain|mountains|cliff|rock|climbing|climber",
    "شارع": "street|road|sidewalk",
    "سباحة": "swim|swimming|pool",
}
CONCEPTS = {**COMMON, "أحمر": "red", "قفز": "jump|jumps|jumping|leaps|air"}
MIN_PICTURES = 15

Sum = Callable[[np.ndarray, np.ndarray], np.ndarray]


def depicted(captions: Sequence[Sequence[str]], patterns: Sequence[str]) -> NDArray[np.bool_]:
    """(n pictures, n patterns): whether one of a picture's captions has one of a pattern's words."""
    compiled = [re.compile(rf"\b({pattern})\b") for pattern in patterns]
    return np.array([[any(p.search(text.lower()) for text in texts) for p in compiled] for texts in captions])


def l2_normalize(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class Half:
    """A gallery of half the pictures: vectors (n, D), concepts (n, C)."""

    def __init__(self, vectors: np.ndarray, has: np.ndarray, words: np.ndarray) -> None:
        self.vectors, self.has, self.words = vectors, has, words
        self.pairs = list(permutations(range(len(words)), 2))

    def precision(self, query: np.ndarray, right: np.ndarray, exclude: int | None = None) -> float:
        scores = self.vectors @ l2_normalize(query)
        if exclude is not None:
            scores[exclude] = -np.inf
        return float(right[np.argsort(-scores)[:10]].mean())

    def minus(self, add: Sum) -> float:
        found = []
        for a, b in self.pairs:
            right = self.has[:, a] & ~self.has[:, b]
            if right.sum() >= MIN_PICTURES and (self.has[:, a] & self.has[:, b]).sum() >= MIN_PICTURES:
                found.append(self.precision(add(self.words[a], self.words[b]), right))
        return float(np.mean(found))

    def plus(self, add: Sum) -> float:
        both = [(a, b, self.has[:, a] & self.has[:, b]) for a, b in self.pairs if a < b]
        return float(
            np.mean(
                [self.precision(add(self.words[a], self.words[b]), r) for a, b, r in both if r.sum() >= MIN_PICTURES]
            )
        )

    def beside(self, add: Sum) -> float:
        rng, found = np.random.default_rng(0), []
        for a, b in self.pairs:
            right, only = self.has[:, a] & self.has[:, b], np.flatnonzero(self.has[:, a] & ~self.has[:, b])
            if right.sum() >= MIN_PICTURES and len(only) >= MIN_PICTURES:
                for row in rng.choice(only, 10, replace=False):
                    found.append(self.precision(add(self.vectors[row], self.words[b]), right, int(row)))
        return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="araclip-mini")
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    model = AraCLIP.load(arguments.model)
    rows = read_pictures(arguments.data, ("caption_en",), ("caption_ar",), arguments.split)
    vectors = model.encode_image([row.path for row in rows])
    words = model.encode_text(list(CONCEPTS))
    texts = model.encode_text([row.arabic[0] for row in rows]).mean(0)  # the centre of the cone of texts
    has = depicted([row.english for row in rows], list(CONCEPTS.values()))
    halves = [Half(vectors[start::2], has[start::2], words) for start in (0, 1)]
    centre = halves[0].vectors.mean(0)  # of the cone of pictures
    print(f"{model.config.label}; distance of the cones' centres {np.linalg.norm(texts - centre):.2f}")

    tries: dict[str, tuple[str, Sum]] = {"A alone": ("minus", lambda a, b: a)}
    for w in (1.0, 0.7, 0.5, 0.3):
        tries[f"A - {w} B"] = ("minus", lambda a, b, w=w: a - w * b)
        tries[f"A - {w} B, B centred"] = ("minus", lambda a, b, w=w: a - w * (b - texts))
        tries[f"A - {w} B, both centred"] = ("minus", lambda a, b, w=w: a - texts - w * (b - texts))
    tries["A + B"] = ("plus", lambda a, b: a + b)
    tries["A + B, both centred"] = ("plus", lambda a, b: a - texts + b - texts)
    tries["text alone"] = ("beside", lambda p, t: t)
    for w in (1.0, 0.7, 0.5, 0.3, 0.2):
        tries[f"{w} picture + text"] = ("beside", lambda p, t, w=w: w * p + t)
        tries[f"{w} picture + text, both centred"] = (
            "beside",
            lambda p, t, w=w: w * l2_normalize(p - centre) + l2_normalize(t - texts),
        )
    print("| sum | P@10, choosing half | P@10, reported half |\n|---|---|---|")
    for name, (kind, add) in tries.items():
        chosen, reported = (getattr(half, kind)(add) for half in halves)
        print(f"| {name} | {chosen:.3f} | {reported:.3f} |")


if __name__ == "__main__":
    main()

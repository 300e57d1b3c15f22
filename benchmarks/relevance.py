"""Relevance on judged pairs: is a hit shown at relevance r right r of the time, and is what people are told true?

    python benchmarks/relevance.py --held HELD --cache DIR [--model NAME] [--half report] [--noise 0]
                                   [--diagram FILE.svg]
    python benchmarks/relevance.py --held HELD --cache DIR --fit

Protocol: judged.jsonl says of each query which pictures show what it asks; who judged them, when and how stands in its
first line. Its two halves have a gallery each, 800 pictures of Flickr8k's choice split and of the held-out labelled
sets (recipes/mini/data.py), and share no picture and no query. Constants are fitted on one half, figures reported on
the other. Further queries over the pictures of that one, `check`, were judged after the constants were fixed. A
query's vector as a gallery reads it, exclusions included; its first ten hits that are judged, where a hit is right by
its grade, half where it shows the query partly, and less where it shows what is excluded. Expected calibration error
(ECE) over ten bins of equal width (Naeini et al. 2015). What people are told: how often «no picture fits» stands
above a right first row (its first picture shows the query, or two of its five do) and above the first row of
something that is not there; how many hits of absent things are called strong.

--fit prints the constants of `gallery.relevance` (FEATURES and INTERCEPT): logistic regression (Newton's method, ridge
penalty on standardised features) on all judged pairs of the half `fit` and on random strings, every kind of query with
its weight; and the same figures, cross-validated over queries. --noise adds a random vector to each picture's, so that
another, weaker model is measured.
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
from araclip.gallery.relevance import FEATURES, INTERCEPT, ReferenceVectors, RelevanceScale, relevance_scale
from araclip.gallery.results import FIRST_ROW, STRONG, WEAK, fits_nothing
from araclip.text.resources import default_interpreter

BINS, FOLDS = 10, 8
KINDS = {  # of queries, as they are reported
    "words": ("word",),
    "phrases": ("phrase",),
    "English": ("english",),
    "dialect": ("dialect",),
    "exclusion": ("exclusion", "exclusion of a quality"),
    "absent things": ("absent thing",),
    "absent phrases": ("absent phrase",),
    "nonsense": ("nonsense",),
}
WEIGHTS = {"nonsense": 0.2, "exclusion of a quality": 0.5}  # of a kind in the fit; others 1
LATER = 0.5  # weight in the fit of a hit that is not among the first ten
PENALTY = 1 / 30  # of squared standardised weights, against a loss summed over kinds

Floats = NDArray[np.float64]


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


@dataclass(frozen=True)
class Pairs:
    """The judged hits of a query, best first: features (n, F), grades (n,) and ranks (n,) among all pictures."""

    kind: str
    features: Floats
    grades: Floats
    ranks: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.bool_]:
        """Which of them are on the first page."""
        return self.ranks <= SHOWN

    @property
    def right_row(self) -> bool:
        """Whether its first row is right."""
        row = self.grades[:FIRST_ROW]
        return bool(row[0] == 1 or (row == 1).sum() >= 2)


@dataclass(frozen=True)
class Constants:
    """Weights, least and greatest values of the features, (F,) each, and the intercept."""

    weights: Floats
    low: Floats
    high: Floats
    intercept: float

    def relevance(self, features: Floats) -> Floats:
        """(n, F) → (n,)"""
        odds = features.clip(self.low, self.high) @ self.weights + self.intercept
        relevance: Floats = 1 / (1 + np.exp(-odds.clip(-30, 30)))
        return relevance


SHIPPED = Constants(*np.array(list(FEATURES.values())).T, INTERCEPT)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--half", choices=("fit", "report", "check"), default="report")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--diagram", type=Path, help="write a reliability diagram (matplotlib)")
    args = parser.parse_args()
    half: Half = "fit" if args.fit else args.half
    bench = Bench(AraCLIP.load(args.model), args.cache, args.noise)
    pairs = judged_pairs(bench, args, half)
    if args.fit:
        constants = fitted(pairs)
        for name, *values in zip(FEATURES, constants.weights, constants.low, constants.high, strict=True):
            print(f'    "{name}": ({", ".join(f"{value:.3g}" for value in values)}),')
        print(f"INTERCEPT = {constants.intercept:.3g}\n")
    values = cross_validated(pairs) if args.fit else [SHIPPED.relevance(each.features) for each in pairs]
    print(f"{bench.model.label}, noise {args.noise}, half {half}{', cross-validated' if args.fit else ''}")
    report(pairs, values)
    if args.diagram:
        draw(args.diagram, pairs, values)


def judged_pairs(bench: Bench, args: argparse.Namespace, half: Half) -> list[Pairs]:
    vectors, rows = bench.gallery(args.held, half)
    scale = bench.scale(vectors)
    found = [of_query(each, vectors, scale, as_shown=not args.fit) for each in bench.judged(half, rows)]
    for query in bench.texts(random_strings(100)):
        first = np.argsort(-(vectors @ query), kind="stable")[:SHOWN]
        ranks = np.arange(1, SHOWN + 1)
        found.append(Pairs("nonsense", features(scale, query, vectors[first]), np.zeros(SHOWN), ranks))
    return found


def of_query(query: Query, vectors: Vectors, scale: RelevanceScale, *, as_shown: bool) -> Pairs:
    """The judged hits of a query; `as_shown`: without what it excludes, and a hit that shows it is not right."""
    exclusion = excluding(query, scale) if as_shown else None
    ranks = {row: rank for rank, row in enumerate(hits(query, vectors, exclusion), 1)}
    grades = query.grades * (1 - query.shows_excluded if as_shown else 1)
    listed = zip(query.rows.tolist(), grades, strict=True)
    judged = sorted((ranks[row], row, grade) for row, grade in listed if row in ranks)
    found = features(scale, query.vector, vectors[[row for _, row, _ in judged]])
    return Pairs(query.kind, found, np.array([each[2] for each in judged]), np.array([each[0] for each in judged]))


def features(scale: RelevanceScale, query: Vectors, pictures: Vectors) -> Floats:
    """(n, F) of FEATURES of a query (D,) with pictures (n, D)."""
    shared = scale.features(query)
    return np.array([[scale.deviation(query, float(score)), *shared.values()] for score in pictures @ query])


# ------------------------------------------------------------------ the figures


def report(pairs: Sequence[Pairs], values: Sequence[Floats]) -> None:
    """Print calibration by kinds of queries, and what people are told."""
    print("| queries | number | mean relevance | right | ECE | first row told that nothing fits | strong |")
    print("|---|---|---|---|---|---|---|")
    every = {"all but nonsense": sum(list(KINDS.values())[:-1], ())} | KINDS
    for name, kinds in every.items():
        mine = [(each, found) for each, found in zip(pairs, values, strict=True) if each.kind in kinds]
        shown = np.concatenate([found[each.first] for each, found in mine])
        right = np.concatenate([each.grades[each.first] for each, _ in mine])
        told = np.mean([fits_nothing(found[: min(FIRST_ROW, each.first.sum())].tolist()) for each, found in mine])
        print(
            f"| {name} | {len(mine)} | {shown.mean():.2f} | {right.mean():.2f} | {ece(shown, right):.3f} "
            f"| {told:.0%} | {(shown >= STRONG).mean():.1%} |"
        )
    asked = [(each, found) for each, found in zip(pairs, values, strict=True) if each.right_row]
    lost = sum(fits_nothing(found[:FIRST_ROW].tolist()) for _, found in asked)
    print(f"\nRight first rows told that nothing fits: {lost} of {len(asked)} ({lost / len(asked):.1%}).")
    print(f"A relevance under {WEAK} is weak, from {STRONG} strong.")


def ece(values: Floats, right: Floats) -> float:
    """Expected calibration error: mean over hits of the gap between relevance and mean grade in its bin."""
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    gaps = [(bins == b).mean() * abs(values[bins == b].mean() - right[bins == b].mean()) for b in np.unique(bins)]
    return float(np.sum(gaps))


def draw(path: Path, pairs: Sequence[Pairs], values: Sequence[Floats]) -> None:
    """Mean grade of hits over relevance, a line a kind of query; areas of the marks: numbers of hits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    for name, kinds in list(KINDS.items())[:5]:
        mine = [(each, found) for each, found in zip(pairs, values, strict=True) if each.kind in kinds]
        shown = np.concatenate([found[each.first] for each, found in mine])
        right = np.concatenate([each.grades[each.first] for each, _ in mine])
        bins = np.minimum((shown * BINS).astype(int), BINS - 1)
        used = np.unique(bins)
        points = [shown[bins == b].mean() for b in used]
        shares = [right[bins == b].mean() for b in used]
        axes.plot(points, shares, linewidth=1.4, label=name)
        axes.scatter(points, shares, [4 + 200 * (bins == b).mean() for b in used])
    axes.set_xlabel("relevance")
    axes.set_ylabel("mean grade of hits")
    axes.legend()
    figure.savefig(path)


# ------------------------------------------------------------------ the fit


def fitted(pairs: Sequence[Pairs]) -> Constants:
    found = np.concatenate([each.features for each in pairs])
    right = np.concatenate([each.grades for each in pairs])
    weights = np.concatenate([np.where(each.first, 1.0, LATER) for each in pairs])
    kinds = np.concatenate([[each.kind] * len(each.ranks) for each in pairs])
    for kind in np.unique(kinds):
        weights[kinds == kind] *= WEIGHTS.get(kind, 1.0) / weights[kinds == kind].sum()
    low, high = np.percentile(found, [1, 99], axis=0)
    low[0], high[0] = -np.inf, np.inf  # the hit's own deviation is not bounded
    found = found.clip(low, high)
    mean, deviation = found.mean(axis=0), found.std(axis=0)
    result = logistic((found - mean) / deviation, right, weights)
    scaled = result[:-1] / deviation
    return Constants(scaled, low, high, float(result[-1] - scaled @ mean))


def cross_validated(pairs: Sequence[Pairs]) -> list[Floats]:
    """Each query's relevances by the constants that the other queries give."""
    folds = np.random.default_rng(0).permutation(len(pairs)) % FOLDS
    found = [fitted([each for each, mine in zip(pairs, folds, strict=True) if mine != fold]) for fold in range(FOLDS)]
    return [found[fold].relevance(each.features) for each, fold in zip(pairs, folds, strict=True)]


def logistic(features: Floats, right: Floats, weights: Floats) -> Floats:
    """(F + 1,) weights and intercept that minimise the weighted log-loss and the ridge penalty."""
    design = np.column_stack([features, np.ones(len(features))])
    penalty = np.diag([PENALTY] * features.shape[1] + [0.0])
    result = np.zeros(design.shape[1])
    for _ in range(50):
        share = 1 / (1 + np.exp(-design @ result))
        gradient = design.T @ (weights * (share - right)) + penalty @ result
        hessian = (design * (weights * share * (1 - share))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        result -= step
        if np.abs(step).max() < 1e-8:
            break
    return result


if __name__ == "__main__":
    main()

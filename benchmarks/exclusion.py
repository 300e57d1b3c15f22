"""Exclusion on judged pairs: what is left of the excluded thing on the first page, and of the wanted one.

    python benchmarks/exclusion.py --held HELD --cache DIR [--model NAME] [--half report]

Protocol: the queries of judged.jsonl that exclude a thing («شاطئ بدون ناس»), in the gallery of their half. The first
ten hits: of the same query without its exclusion, and as a gallery answers it; beside that, other rules. Shares of the
first ten that show nothing of the excluded thing, that do not show it plainly (a person far away counts half), and the
mean grade for the wanted thing. Of deeper hits only those are counted that were judged; their share stands beside.

A quality («قميص مش أبيض») excludes nothing; its line says how many of the hits show it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from relevance import SHOWN, Bench, Query, Vectors, arguments, excluding, hits

from araclip import AraCLIP
from araclip.gallery.query import MINUS, unit_sum
from araclip.gallery.relevance import RelevanceScale

Rule = Callable[[Query, Vectors, RelevanceScale], list[int]]


def without(query: Query, vectors: Vectors, scale: RelevanceScale) -> list[int]:
    return hits(query, vectors, None)


def shipped(query: Query, vectors: Vectors, scale: RelevanceScale) -> list[int]:
    return hits(query, vectors, excluding(query, scale))


def by_the_gallery(query: Query, vectors: Vectors, scale: RelevanceScale) -> list[int]:
    return hits(query, vectors, excluding(query, scale, alone=True))


def strong_only(query: Query, vectors: Vectors, scale: RelevanceScale) -> list[int]:
    exclusion = excluding(query, scale)
    return hits(query, vectors, exclusion and replace(exclusion, relative=False))


def subtracted(query: Query, vectors: Vectors, scale: RelevanceScale) -> list[int]:
    if query.excluded is None:
        return without(query, vectors, scale)
    terms = np.stack([query.vector, *query.excluded])
    less = unit_sum(terms, [1.0, *[-MINUS] * len(query.excluded)])
    return hits(replace(query, vector=less), vectors, None)


RULES: dict[str, Rule] = {
    "without the exclusion": without,
    "shipped: strong, or a deviation above the first hits": shipped,
    "strong only": strong_only,
    "above the gallery's average (as of a query that only excludes)": by_the_gallery,
    "subtracted": subtracted,
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--half", choices=("fit", "report", "check"), default="report")
    args = parser.parse_args()
    bench = Bench(AraCLIP.load(args.model), args.cache)
    vectors, rows = bench.gallery(args.held, args.half)
    scale = bench.scale(vectors)
    queries = bench.judged(args.half, rows)
    print(f"{bench.model.label}, half {args.half}; of the first ten hits")
    print("| excluded | rule | queries | show nothing of it | not plainly | wanted | judged |")
    print("|---|---|---|---|---|---|---|")
    for kind, name in (("exclusion", "a thing"), ("exclusion of a quality", "a quality")):
        mine = [query for query in queries if query.kind == kind]
        for rule, found in list(RULES.items())[: None if kind == "exclusion" else 1] if mine else ():
            cells = np.nanmean([measured(query, found(query, vectors, scale)[:SHOWN]) for query in mine], axis=0)
            print(f"| {name} | {rule} | {len(mine)} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


def measured(query: Query, first: Sequence[int]) -> NDArray[np.float64]:
    at = {int(row): place for place, row in enumerate(query.rows)}
    judged = [at[row] for row in first if row in at]
    excluded, wanted = query.shows_excluded[judged], query.grades[judged]
    return np.array([(excluded == 0).mean(), (excluded < 1).mean(), wanted.mean(), len(judged) / max(len(first), 1)])


if __name__ == "__main__":
    main()

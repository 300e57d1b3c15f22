"""Calibration of relevance: among hits shown at relevance r, about r should be right.

    python benchmarks/relevance.py --flickr8k FLICKR8K --held HELD --cache DIR [--model NAME] [--noise 0]
                                   [--diagram FILE.svg]

Protocol: the first ten hits of every query, each with its relevance and whether it is right; expected calibration error
(ECE) over ten bins of equal width (Naeini et al. 2015). Kinds of queries:

- Arabic captions of Flickr8k dev, one gallery of 1,000 pictures; right by judged_captions.py, the own picture included;
- labels of photographs (the held-out parts of nips17, grocery, clothing, flowers, scenes, scenes15 and caltech101 in
  HELD, the folder `data` of `make mini`; every other picture, the others are for relevance_fit.py), one gallery of all
  of them together; right is the same label;
- words of held-out drawings of GCompris, in a gallery of their own, every other one as well;
- labels, and common words in dev, each in a gallery without the pictures that show it: nothing is right;
- things that Flickr8k does not show, and random strings.

--noise adds a random vector to each picture's, so that another, weaker model is measured.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from relevance_sets import Bench, Cases, arguments

from araclip import AraCLIP
from araclip.gallery.results import STRONG, WEAK

BINS = 10


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--diagram", type=Path, help="write a reliability diagram (matplotlib)")
    args = parser.parse_args()
    bench = Bench(AraCLIP.load(args.model), args.cache, args.noise)
    kinds = [*bench.captioned(args.flickr8k, "dev"), *bench.labelled(args.held, "report")]
    kinds += bench.drawn(args.held, "report")
    print(f"{bench.model.label}, noise {args.noise}; ECE of the first ten hits; a relevance under {WEAK} is weak, from")
    print(f"{STRONG} strong. Shares of all hits, and how many of them are right.")
    print("| queries | number | mean relevance | right | ECE | best hit: relevance | right | strong: share | right |")
    print("|---|---|---|---|---|---|---|---|---|")
    measured = {kind.name: rated(kind) for kind in kinds}
    for kind in kinds:
        values, right = measured[kind.name]
        strong = values >= STRONG
        of_strong = f"{right[strong].mean():.2f}" if strong.any() else "–"
        print(
            f"| {kind.name} | {len(kind.queries):,} | {values.mean():.3f} | {right.mean():.3f} "
            f"| {ece(values, right):.3f} "
            f"| {values[:, 0].mean():.2f} | {right[:, 0].mean():.2f} | {strong.mean():.2f} | {of_strong} |"
        )
    print("\n| relevance | " + " | ".join(measured) + " |\n|---" + "|---" * len(measured) + "|")
    for low in range(BINS):
        cells = []
        for values, right in measured.values():
            inside = np.minimum((values * BINS).astype(int), BINS - 1) == low
            cells.append(f"{right[inside].mean():.2f} of {inside.sum():,}" if inside.any() else "–")
        print(f"| {low / BINS:.1f}–{(low + 1) / BINS:.1f} | " + " | ".join(cells) + " |")
    if args.diagram:
        draw(args.diagram, measured)


def rated(kind: Cases) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(Q, k) relevance of the first hits, and whether each is right."""
    values, right = [], []
    for scale, query, words, cosines, answers in kind.hits():
        relevance = scale.relevance(query, words)
        values.append([relevance(float(cosine)) for cosine in cosines])
        right.append(answers)
    return np.array(values), np.array(right)


def ece(values: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean over hits of the gap between relevance and share of right ones in its bin."""
    values, right = values.ravel(), right.ravel()
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    gaps = [(bins == b).mean() * abs(values[bins == b].mean() - right[bins == b].mean()) for b in np.unique(bins)]
    return float(np.sum(gaps))


def draw(path: Path, measured: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]) -> None:
    """Share of right hits over relevance, a line a kind of query; areas of the marks: numbers of hits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    for name, (values, right) in measured.items():
        if not right.any():
            continue
        bins = np.minimum((values.ravel() * BINS).astype(int), BINS - 1)
        used = np.unique(bins)
        points: Sequence[float] = [values.ravel()[bins == b].mean() for b in used]
        shares = [right.ravel()[bins == b].mean() for b in used]
        axes.plot(points, shares, linewidth=1.4, label=name)
        axes.scatter(points, shares, [4 + 200 * (bins == b).mean() for b in used])
    axes.set_xlabel("relevance")
    axes.set_ylabel("share of right hits")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()

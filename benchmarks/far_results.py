"""The threshold below which the page hides all results (FAR in web/assets/i18n.js): what it hides, right and wrong.

    python benchmarks/far_results.py --flickr8k FLICKR8K --held HELD --cache DIR [--model NAME]

Where the best hit's relevance is below it, the page says that it found nothing, and shows the nearest pictures when
asked. For each threshold: the share of queries that are hidden, and how many of these have a right picture among the
first ten, so that they are hidden wrongly; last, the shares of all queries with and of all without a right picture.

Data, none of which reported figures use: Flickr8k's choice split (600 pictures of train, by name every tenth) with its
captions and common words; the same words, each in a gallery without the pictures that show it; things that Flickr8k
does not show; random strings; labels of every other picture of the held-out labelled sets, and words of every other
held-out drawing (HELD: the folder `data` of `make mini`), with their pictures and without. The same is shown with noise
added to the pictures' vectors (as `--noise` of relevance.py does), as for a weaker model.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from relevance_sets import Bench, Cases, arguments

from araclip import AraCLIP

THRESHOLDS = (0.02, 0.03, 0.04, 0.05, 0.1)
NOISES = (0.0, 1.5)


def main() -> None:
    args = arguments(__doc__).parse_args()
    model = AraCLIP.load(args.model)
    for noise in NOISES:
        print(f"\n{model.label}, noise {noise}: hidden, share of queries (with a right picture among the first ten)\n")
        print("| queries | number | found | " + " | ".join(f"below {each}" for each in THRESHOLDS) + " |")
        print("|---|---|---" + "|---" * len(THRESHOLDS) + "|")
        sums = np.zeros((len(THRESHOLDS), 2), int)  # of hidden queries, those that had a right picture, and the others
        total = np.zeros(2, int)
        for kind in kinds(model, args, noise):
            best, found = rated(kind)
            cells = []
            for row, threshold in enumerate(THRESHOLDS):
                hidden = best < threshold
                sums[row] += (hidden & found).sum(), (hidden & ~found).sum()
                cells.append(f"{hidden.mean():.3f} ({(hidden & found).sum():,})")
            total += found.sum(), (~found).sum()
            print(f"| {kind.name} | {len(best):,} | {found.mean():.3f} | {' | '.join(cells)} |")
        shares = [f"{right / total[0]:.3f}, {wrong / total[1]:.3f}" for right, wrong in sums]
        print(f"| hidden of those with a right picture, of those without | {total.sum():,} | | {' | '.join(shares)} |")


def kinds(model: AraCLIP, args: argparse.Namespace, noise: float) -> Iterator[Cases]:
    bench = Bench(model, args.cache, noise)
    yield from bench.captioned(args.flickr8k, "train", 10, 600)
    yield from bench.labelled(args.held, "fit")
    yield from bench.drawn(args.held, "fit")


def rated(kind: Cases) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(Q,) relevance of the best hit, and whether a right picture is among the first ten."""
    best, found = [], []
    for scale, query, words, cosines, right in kind.hits():
        best.append(scale.relevance(query, words)(float(cosines[0])))
        found.append(bool(right.any()))
    return np.array(best), np.array(found)


if __name__ == "__main__":
    main()

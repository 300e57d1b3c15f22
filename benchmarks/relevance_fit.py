"""Fit the constants of `gallery.relevance` (FEATURES and INTERCEPT) and print them.

    python benchmarks/relevance_fit.py --flickr8k FLICKR8K --held HELD --cache DIR [--model araclip-mini]

Data, none of which benchmarks/relevance.py reports or araclip-mini 6 was trained on: Flickr8k's choice split (600
pictures of train, by name every tenth) with its captions, common words, and the same words with their pictures taken
out; every other picture of the held-out labelled sets and drawings (HELD: the folder `data` of `make mini`). Each is
also used with noise added to the pictures' vectors, as models of other strength would have it. Captions and labels are
taken at their word: with what also_shown.json adds, the fit came out worse (docs/log/2026-11.md).

Logistic regression (Newton's method, ridge penalty on standardised features), every kind of query with its weight.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from relevance_sets import Bench, Cases, arguments

from araclip import AraCLIP
from araclip.gallery.relevance import FEATURES

WEIGHTS = {"things not shown": 0.5, "nonsense": 0.5}  # of a kind of query; others 1
PENALTY = 1 / 30  # of squared standardised weights, against a loss summed over kinds

Floats = NDArray[np.float64]


def main() -> None:
    args = arguments(__doc__).parse_args()
    model = AraCLIP.load(args.model)
    parts = [rows(kind) for kind in kinds(model, args)]
    features, right, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    low, high = np.percentile(features, [1, 99], axis=0)
    low[0], high[0] = -np.inf, np.inf  # the hit's own deviation is not bounded
    features = features.clip(low, high)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    fitted = logistic((features - mean) / deviation, right, weights)
    scaled = fitted[:-1] / deviation
    for name, *values in zip(FEATURES, scaled, low, high, strict=True):
        print(f'    "{name}": ({", ".join(f"{value:.3g}" for value in values)}),')
    print(f"INTERCEPT = {fitted[-1] - scaled @ mean:.3g}")


def kinds(model: AraCLIP, args: argparse.Namespace) -> Iterator[Cases]:
    for noise in (0.0, 1.0):
        bench = Bench(model, args.cache, noise, also_shown=False)
        yield from bench.captioned(args.flickr8k, "train", 10, 600)
        yield from bench.labelled(args.held, "fit")
        yield from bench.drawn(args.held, "fit")


def rows(kind: Cases) -> tuple[Floats, Floats, Floats]:
    """(n, F) features, (n,) rightness, and (n,) weights of the first hits of every query of a kind."""
    features, right = [], []
    for scale, query, words, cosines, answers in kind.hits():
        scores = scale.sample @ query
        deviations = (cosines - scores.mean()) / max(float(scores.std()), 1e-6)
        found = scale.features(query, words, scores)
        shared = [found[name] for name in list(FEATURES)[1:]]
        features.append(np.column_stack([deviations, np.tile(shared, (len(cosines), 1))]))
        right.append(answers)
    count = sum(map(len, right))
    weight = WEIGHTS.get(kind.name, 1.0)
    return np.concatenate(features), np.concatenate(right).astype(float), np.full(count, weight / count)


def logistic(features: Floats, right: Floats, weights: Floats) -> Floats:
    """(F + 1,) weights and intercept that minimise the weighted log-loss and the ridge penalty."""
    design = np.column_stack([features, np.ones(len(features))])
    penalty = np.diag([PENALTY] * features.shape[1] + [0.0])
    fitted = np.zeros(design.shape[1])
    for _ in range(50):
        share = 1 / (1 + np.exp(-design @ fitted))
        gradient = design.T @ (weights * (share - right)) + penalty @ fitted
        hessian = (design * (weights * share * (1 - share))[:, None]).T @ design + penalty
        step = np.linalg.solve(hessian, gradient)
        fitted -= step
        if np.abs(step).max() < 1e-8:
            break
    return fitted


if __name__ == "__main__":
    main()

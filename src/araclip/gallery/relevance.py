"""From score to relevance: 0…1 for each hit, calibrated with this gallery and the reference queries. Pure.

A raw cosine has no fixed cut-off: a good hit of a single word scores as low as a bad hit of a long sentence. Relevance
is the product of two factors:

- **Is the query meaningful here?** Scores of a meaningful query differ from picture to picture, those of nonsense
  little. The spread is the standard deviation, over the gallery's pictures, of the score minus an average query's score
  of the same picture; a logistic function maps it, relative to the spreads of the reference queries, to 0…1.
- **How good is the hit for this query?** The position of its score between the average picture's and the best one's.

Choices and numbers: benchmarks/relevance.py, docs/log/2026-11.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MIN_PICTURES = 10  # below that the spread says nothing
WEAK = 0.5  # a hit of lower relevance is weak
MIDPOINT = 0.3  # relative spread at which a query is as likely meaningful as nonsense
SLOPE = np.log(19) / MIDPOINT  # nonsense gets a relevance of .05
STRONG_PERCENTILE = 90  # of the everyday queries' spreads: that of queries whose pictures the gallery has

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class RelevanceScale:
    """A gallery's scale: mean of the everyday queries (D,), mean (D,) and covariance (D, D) of its pictures, and the
    spreads of nonsense and of strong everyday queries."""

    queries: Vectors
    pictures: Vectors
    covariance: Vectors
    nonsense: float
    strong: float

    def spread(self, queries: Vectors) -> Vectors:
        """(n, D) → (n,) standard deviations, over the pictures, of the score minus an average query's score."""
        apart = queries - self.queries
        variances = np.einsum("nd,de,ne->n", apart, self.covariance, apart)
        spreads: Vectors = np.sqrt(np.maximum(variances, 0))
        return spreads

    def relative_spread(self, queries: Vectors) -> Vectors:
        """(n, D) → (n,) spreads on a scale from nonsense, 0, to strong everyday queries, 1."""
        relative: Vectors = (self.spread(queries) - self.nonsense) / max(self.strong - self.nonsense, 1e-6)
        return relative

    def meaning(self, query: Vectors) -> float:
        """How likely a query (D,) is meaningful in this gallery, 0…1."""
        return float(1 / (1 + np.exp(-SLOPE * np.clip(float(self.relative_spread(query[None])[0]) - MIDPOINT, -5, 5))))

    def relevance(self, query: Vectors, best: float) -> Callable[[float], float]:
        """A function from score to relevance, for a query (D,) whose best picture in the gallery scores `best`."""
        meaning, average = self.meaning(query), float(query @ self.pictures)
        return lambda score: meaning * min(max((score - average) / max(best - average, 1e-6), 0.0), 1.0)


@dataclass(frozen=True)
class ReferenceVectors:
    """Vectors of the reference queries: everyday ones (E, D) and nonsense (M, D)."""

    everyday: Vectors
    nonsense: Vectors


def relevance_scale(sample: Vectors, reference: ReferenceVectors) -> RelevanceScale | None:
    """The scale of a gallery from a sample of its pictures (n, D); None below MIN_PICTURES."""
    if len(sample) < MIN_PICTURES:
        return None
    covariance = np.cov(sample, rowvar=False).astype(np.float32)
    bare = RelevanceScale(reference.everyday.mean(axis=0), sample.mean(axis=0), covariance, 0.0, 1.0)
    low = float(bare.spread(reference.nonsense).mean())
    high = float(np.percentile(bare.spread(reference.everyday), STRONG_PERCENTILE))
    return replace(bare, nonsense=low, strong=high)

"""What a score means: a relevance in 0…1 for each hit, measured against this gallery and reference queries. Pure.

A raw cosine has no fixed cut-off: a good hit of a single word scores as low as a bad hit of a long sentence. Two things
were found to tell good from bad, and are multiplied:

- **Does the query mean anything here?** A query that does spreads the pictures apart, one that does not scores them all
  alike. The spread is the standard deviation, over the gallery's pictures, of the score less what an average query
  would give the same picture; it is placed between that of nonsense and that of everyday reference queries.
- **How far down the list?** The place of the hit's score between the average picture and the best.

Choices and numbers: benchmarks/relevance.py, docs/log/2026-11.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FEWEST = 10  # pictures; below that there is no spread to speak of
WEAK = 0.5
CUT = 0.3  # of the way from nonsense to everyday, where a query is as likely one as the other
SLOPE = np.log(19) / CUT  # nonsense gets a relevance of .05
STRONG = 90  # percentile of the everyday queries' spreads: those whose pictures a gallery surely has

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class RelevanceScale:
    """A gallery's scale: mean of the everyday queries (D,), mean (D,) and covariance (D, D) of its pictures, and the
    spreads of nonsense and of strong queries."""

    queries: Vectors
    pictures: Vectors
    covariance: Vectors
    nonsense: float
    strong: float

    def spread(self, queries: Vectors) -> Vectors:
        """(n, D) → (n,) standard deviations over the pictures of the score less an average query's."""
        apart = queries - self.queries
        variances = np.einsum("nd,de,ne->n", apart, self.covariance, apart)
        spreads: Vectors = np.sqrt(np.maximum(variances, 0))
        return spreads

    def way(self, queries: Vectors) -> Vectors:
        """(n, D) → (n,) how far queries have come from nonsense, 0, to the strong, 1."""
        ways: Vectors = (self.spread(queries) - self.nonsense) / max(self.strong - self.nonsense, 1e-6)
        return ways

    def meaning(self, query: Vectors) -> float:
        """How surely a query (D,) means something in this gallery, 0…1."""
        return float(1 / (1 + np.exp(-SLOPE * np.clip(float(self.way(query[None])[0]) - CUT, -5, 5))))

    def relevance(self, query: Vectors, best: float) -> Callable[[float], float]:
        """From score to relevance, for a query (D,) of which the gallery's best picture has the score `best`."""
        meaning, average = self.meaning(query), float(query @ self.pictures)
        return lambda score: meaning * min(max((score - average) / max(best - average, 1e-6), 0.0), 1.0)


@dataclass(frozen=True)
class ReferenceVectors:
    """Vectors of the reference queries: everyday ones (E, D) and nonsense (M, D)."""

    everyday: Vectors
    nonsense: Vectors


def relevance_scale(sample: Vectors, reference: ReferenceVectors) -> RelevanceScale | None:
    """The scale of a gallery from a sample of its pictures (n, D) and the reference queries; None below FEWEST."""
    if len(sample) < FEWEST:
        return None
    covariance = np.cov(sample, rowvar=False).astype(np.float32)
    bare = RelevanceScale(reference.everyday.mean(axis=0), sample.mean(axis=0), covariance, 0.0, 1.0)
    low = float(bare.spread(reference.nonsense).mean())
    high = float(np.percentile(bare.spread(reference.everyday), STRONG))
    return replace(bare, nonsense=low, strong=high)

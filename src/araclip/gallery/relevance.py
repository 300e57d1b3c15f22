"""From score to relevance: the probability that a hit shows what the query says. Pure.

A raw cosine has no fixed cut-off: a good hit of a single word scores as low as a bad hit of a long sentence. Relevance
is a logistic function (Platt 1999) of features that hold for any model and any gallery, as each is relative to the
query's scores over the gallery's own pictures or to the scores of the reference queries there:

- how far the hit stands above the query's average score, in standard deviations;
- how strongly the query parts the gallery's pictures, from nonsense, 0, to everyday queries, 1;
- how the query's best ten pictures like it compared with the everyday queries: a picture of a whale that «سمكة»
  describes better than «أكل» does is no food;
- how long the query is: of a longer one more must be right.

It rises with the score, so the order of hits stays. Constants were fitted by benchmarks/relevance_fit.py on pictures
that are not those of the reported numbers; benchmarks/relevance.py has the calibration, docs/log/2026-11.md what else
was tried.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from araclip.gallery.results import WEAK
from araclip.models.vectors import Vectors

MIN_PICTURES = 10  # below that the scores say nothing
EXCLUDED = 0.2  # a picture at which an excluded term has this relevance is left out,
EXCLUDED_DEVIATION = 1.0  # and so is one so many standard deviations above the term's average: what fills a gallery
MIDPOINT = 0.3  # relative spread at which a query is as likely meaningful as nonsense
SLOPE = np.log(19) / MIDPOINT  # nonsense gets a meaning of .05
STRONG_PERCENTILE = 90  # of the everyday queries' spreads: that of queries whose pictures the gallery has
TOP, TOP_SHARE = 10, 60  # best pictures of a query that are compared with the everyday queries; one in 60 at most
AVERAGE = np.log(WEAK / (1 - WEAK))  # log-odds that an average picture has at most: it is weak for every query

# (weight, least value, greatest value) of each feature; the score's own deviation, the first, is not bounded.
FEATURES: dict[str, tuple[float, float, float]] = {
    "deviation": (1.24, -np.inf, np.inf),
    "best deviation": (-0.688, 2.23, 7.13),
    "relative spread": (2.48, -0.429, 1.94),
    "above everyday": (0.236, 1.05, 5.49),
    "above best everyday": (-0.0997, -2.37, 2.31),
    "everyday above": (-34.2, 0.0, 0.149),
    "words": (-1.24, 0.0, 2.4),
    "best": (0.564, -1.91, 2.34),
    "top": (-1.38, -2.28, 1.5),
}
INTERCEPT = -5.1


@dataclass(frozen=True)
class ReferenceVectors:
    """Vectors of the reference queries: everyday ones (E, D) and nonsense (M, D)."""

    everyday: Vectors
    nonsense: Vectors


@dataclass(frozen=True)
class RelevanceScale:
    """A gallery's scale, from a sample of its pictures (n, D) and the reference queries."""

    sample: Vectors
    reference: ReferenceVectors

    def __post_init__(self) -> None:
        """Compute what does not depend on the query: the first one would wait for it otherwise."""
        _ = self._covariance, self._spreads, self._everyday_best

    # ------------------------------------------------------------------ the query as a whole

    def spread(self, queries: Vectors) -> Vectors:
        """(n, D) → (n,) standard deviations, over the pictures, of the score minus an average query's score."""
        apart = queries - self.reference.everyday.mean(axis=0)
        variances = np.einsum("nd,nd->n", apart @ self._covariance, apart)
        spreads: Vectors = np.sqrt(np.maximum(variances, 0))
        return spreads

    def relative_spread(self, queries: Vectors) -> Vectors:
        """(n, D) → (n,) spreads on a scale from nonsense, 0, to strong everyday queries, 1."""
        nonsense, strong = self._spreads
        relative: Vectors = (self.spread(queries) - nonsense) / max(strong - nonsense, 1e-6)
        return relative

    def meaning(self, query: Vectors) -> float:
        """How likely a query (D,) is meaningful in this gallery, 0…1."""
        return float(1 / (1 + np.exp(-SLOPE * np.clip(float(self.relative_spread(query[None])[0]) - MIDPOINT, -5, 5))))

    # ------------------------------------------------------------------ hits

    def relevance(self, query: Vectors, words: int = 1) -> Callable[[float], float]:
        """A function from score to relevance, for a query (D,) of so many words."""
        intercept, slope = self._line(query, words, self.sample @ query)

        def relevance(score: float) -> float:
            return float(1 / (1 + np.exp(-np.clip(intercept + slope * score, -30, 30))))

        return relevance

    def cosine_at(self, relevance: float, query: Vectors, words: int = 1) -> float:
        """The cosine at which a hit of a query (D,) has this relevance; the inverse of `relevance`."""
        return _crossing(relevance, *self._line(query, words, self.sample @ query))

    def excluded_cosine(self, term: Vectors) -> float:
        """The cosine with an excluded term (D,) from which a picture is left out."""
        scores = self.sample @ term
        outstanding = float(scores.mean()) + EXCLUDED_DEVIATION * float(scores.std())
        return min(_crossing(EXCLUDED, *self._line(term, 1, scores)), outstanding)

    def features(self, query: Vectors, words: int, scores: Vectors) -> dict[str, float]:
        """The values of FEATURES for a query (D,) with its scores (n,) in the sample, but "deviation", which depends on
        the hit."""
        average, deviation = float(scores.mean()), max(float(scores.std()), 1e-6)
        best = min(TOP, max(1, len(scores) // TOP_SHARE))
        rows = np.argpartition(scores, -best)[-best:]  # (T,)
        top = scores[rows]
        everyday = self.reference.everyday @ self.sample[rows].T  # (E, T)
        scale = np.maximum(everyday.std(axis=0), 1e-6)
        usual, unusual = self._everyday_best
        return {
            "best deviation": (float(top.max()) - average) / deviation,
            "relative spread": float(self.relative_spread(query[None])[0]),
            "above everyday": float(((top - everyday.mean(axis=0)) / scale).mean()),
            "above best everyday": float(((top - everyday.max(axis=0)) / scale).mean()),
            "everyday above": float((everyday > top).mean()),
            "words": float(np.log(max(words, 1))),
            "best": (float(top.max()) - usual) / unusual,
            "top": (float(top.mean()) - usual) / unusual,
        }

    def _line(self, query: Vectors, words: int, scores: Vectors) -> tuple[float, float]:
        """Intercept and slope of the log-odds of a hit over its cosine."""
        slope = FEATURES["deviation"][0] / max(float(scores.std()), 1e-6)
        odds = INTERCEPT
        for name, value in self.features(query, words, scores).items():
            weight, least, greatest = FEATURES[name]
            odds += weight * min(max(value, least), greatest)
        return min(odds, AVERAGE) - slope * float(scores.mean()), slope

    @cached_property
    def _covariance(self) -> Vectors:
        centred = self.sample - self.sample.mean(axis=0)
        products = centred.T @ centred  # np.cov takes float64, and twice as long
        covariance: Vectors = np.divide(products, len(centred) - 1, dtype=np.float32)
        return covariance

    @cached_property
    def _spreads(self) -> tuple[float, float]:
        """Those of nonsense and of strong everyday queries."""
        everyday = np.sort(self.spread(self.reference.everyday))
        at = STRONG_PERCENTILE / 100 * (len(everyday) - 1)
        strong = np.interp(at, np.arange(len(everyday)), everyday)  # np.percentile imports numpy.ma, 20 ms
        return float(self.spread(self.reference.nonsense).mean()), float(strong)

    @cached_property
    def _everyday_best(self) -> tuple[float, float]:
        """Mean and deviation of the everyday queries' best scores in this gallery."""
        best = (self.reference.everyday @ self.sample.T).max(axis=1)
        return float(best.mean()), max(float(best.std()), 1e-6)


def _crossing(relevance: float, intercept: float, slope: float) -> float:
    """The cosine at which a line of log-odds reaches a relevance."""
    return float((np.log(relevance / (1 - relevance)) - intercept) / slope)


def relevance_scale(sample: Vectors, reference: ReferenceVectors) -> RelevanceScale | None:
    """The scale of a gallery from a sample of its pictures (n, D); None below MIN_PICTURES."""
    return RelevanceScale(sample, reference) if len(sample) >= MIN_PICTURES else None

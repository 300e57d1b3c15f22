"""From score to relevance: the probability that a hit shows what the query says. Pure.

A raw cosine has no fixed cut-off: a good hit of a single word scores as low as a bad hit of a long sentence. Relevance
is a logistic function (Platt 1999) of four features. Each is relative to the scores that the reference queries have for
the gallery's own pictures. So the function adapts to a gallery, and to a model whose
cosines are others, when the gallery is made and without labels:

- how far the hit stands above the query's average score, in the everyday queries' standard deviations;
- how far the query's best pictures stand above what nonsense scores for them, as a share of what strong everyday
  queries reach: of a thing that is not there, the best pictures are those that anything is near to;
- how the query's best scores compare with the best scores of everyday queries;
- how near the query is to its nearest everyday query: what a text tower has never read lies near none.

It rises with the score, so the order of hits stays. The constants were fitted by `benchmarks/relevance.py --fit` on
pairs of query and picture that were looked at one by one (benchmarks/judged.jsonl); the same script reports the other
half of the pairs, docs/log/2026-11.md what else was tried.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from araclip.gallery.results import STRONG, WEAK
from araclip.models.vectors import Vectors

MIN_PICTURES = 10  # below that the scores say nothing
# Of a query that only excludes: a picture at which an excluded term has this relevance is left out,
EXCLUDED = 0.2
EXCLUDED_DEVIATION = 1.0  # and so is one so many standard deviations above the term's average: what fills a gallery
MIDPOINT = 0.3  # relative spread at which a query is as likely meaningful as nonsense
SLOPE = np.log(19) / MIDPOINT  # nonsense gets a meaning of .05
STRONG_PERCENTILE = 90  # of the everyday queries: that of queries whose pictures the gallery has
TOP, BEST, BEST_SHARE = 20, 5, 40  # best pictures of a query, and the very best; of each one in 40 pictures at most
AVERAGE = np.log(WEAK / (1 - WEAK))  # log-odds that an average picture has at most: it is weak for every query

# (weight, least value, greatest value) of each feature; the score's own deviation, the first, is not bounded.
FEATURES: dict[str, tuple[float, float, float]] = {
    "deviation": (0.817, -np.inf, np.inf),
    "above nonsense": (3.93, 0.175, 1.75),
    "best": (-0.795, -1.68, 3.37),
    "familiar": (0.13, -1.98, 6.1),
}
INTERCEPT = -6.59


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
        _ = self._covariance, self._spreads, self._usual_above, self._usual_best, self._usual_nearest

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

    def relevance(self, query: Vectors) -> Callable[[float], float]:
        """For a query (D,), the function that turns a picture's cosine into its relevance."""
        intercept, slope = self._line(query)

        def relevance(score: float) -> float:
            return float(1 / (1 + np.exp(-np.clip(intercept + slope * score, -30, 30))))

        return relevance

    def cosine_at(self, relevance: float, query: Vectors) -> float:
        """The cosine at which a hit of a query (D,) has this relevance; the inverse of `relevance`."""
        intercept, slope = self._line(query)
        return float((np.log(relevance / (1 - relevance)) - intercept) / slope)

    def strong_cosine(self, term: Vectors) -> float:
        """The cosine with a term (D,) from which a picture shows it more likely than not."""
        return self.cosine_at(STRONG, term)

    def excluded_cosine(self, term: Vectors) -> float:
        """The cosine with an excluded term (D,) from which a picture is left out, of a query that only excludes."""
        scores = self.sample @ term
        outstanding = float(scores.mean()) + EXCLUDED_DEVIATION * float(scores.std())
        return min(self.cosine_at(EXCLUDED, term), outstanding)

    def deviation(self, query: Vectors, score: float) -> float:
        """How far a score stands above the average of a query (D,), in the everyday queries' standard deviations."""
        return (score - float((self.sample @ query).mean())) / self._deviation

    def features(self, query: Vectors) -> dict[str, float]:
        """The values of FEATURES for a query (D,), but "deviation", which depends on the hit."""
        scores = self.sample @ query
        usual, unusual = self._usual_best
        near, nearer = self._usual_nearest
        return {
            "above nonsense": self._above(scores) / self._usual_above,
            "best": (_mean_of_best(scores, self._count(BEST)) - usual) / unusual,
            "familiar": (float((self.reference.everyday @ query).max()) - near) / nearer,
        }

    def _line(self, query: Vectors) -> tuple[float, float]:
        """Intercept and slope of the log-odds of a hit over its cosine."""
        slope = FEATURES["deviation"][0] / self._deviation
        odds = INTERCEPT
        for name, value in self.features(query).items():
            weight, least, greatest = FEATURES[name]
            odds += weight * min(max(value, least), greatest)
        return min(odds, AVERAGE) - slope * float((self.sample @ query).mean()), slope

    def _count(self, most: int) -> int:
        """How many of a query's best pictures are looked at."""
        return min(most, max(1, len(self.sample) // BEST_SHARE))

    def _above(self, scores: Vectors) -> float:
        """How far a query's best scores (of (n,)) stand above what nonsense scores for the same pictures, in standard
        deviations of nonsense."""
        count = self._count(TOP)
        rows = np.argpartition(scores, -count)[-count:]
        mean, deviation = self._nonsense
        return float(((scores[rows] - mean[rows]) / deviation[rows]).mean())

    # ------------------------------------------------------------------ of the reference queries, computed once

    @cached_property
    def _everyday(self) -> Vectors:
        """The scores (E, n) of the E everyday queries for the n pictures of the sample."""
        scores: Vectors = self.reference.everyday @ self.sample.T
        return scores

    @cached_property
    def _deviation(self) -> float:
        """The everyday queries' standard deviation over the pictures, on average."""
        return max(float(self._everyday.std(axis=1).mean()), 1e-6)

    @cached_property
    def _nonsense(self) -> tuple[Vectors, Vectors]:
        """Mean and deviation of nonsense's scores for each picture, (n,) each."""
        scores = self.reference.nonsense @ self.sample.T
        return scores.mean(axis=0), np.maximum(scores.std(axis=0), 1e-6)

    @cached_property
    def _usual_above(self) -> float:
        """`_above` of strong everyday queries."""
        return max(_percentile([self._above(scores) for scores in self._everyday]), 1e-6)

    @cached_property
    def _usual_best(self) -> tuple[float, float]:
        """Mean and deviation of the everyday queries' best scores."""
        best = np.array([_mean_of_best(scores, self._count(BEST)) for scores in self._everyday])
        return float(best.mean()), max(float(best.std()), 1e-6)

    @cached_property
    def _usual_nearest(self) -> tuple[float, float]:
        """Mean and deviation of the everyday queries' cosines to the nearest other one."""
        cosines = self.reference.everyday @ self.reference.everyday.T
        np.fill_diagonal(cosines, -1)
        nearest = cosines.max(axis=1)
        return float(nearest.mean()), max(float(nearest.std()), 1e-6)

    @cached_property
    def _covariance(self) -> Vectors:
        centred = self.sample - self.sample.mean(axis=0)
        products = centred.T @ centred  # np.cov takes float64, and twice as long
        covariance: Vectors = np.divide(products, len(centred) - 1, dtype=np.float32)
        return covariance

    @cached_property
    def _spreads(self) -> tuple[float, float]:
        """Those of nonsense and of strong everyday queries."""
        return (
            float(self.spread(self.reference.nonsense).mean()),
            _percentile(self.spread(self.reference.everyday).tolist()),
        )


def _mean_of_best(scores: Vectors, count: int) -> float:
    return float(np.partition(scores, -count)[-count:].mean())


def _percentile(values: Sequence[float]) -> float:
    """That of STRONG_PERCENTILE; np.percentile imports numpy.ma, 20 ms."""
    at = STRONG_PERCENTILE / 100 * (len(values) - 1)
    return float(np.interp(at, np.arange(len(values)), np.sort(values)))


def relevance_scale(sample: Vectors, reference: ReferenceVectors) -> RelevanceScale | None:
    """The scale of a gallery from a sample of its pictures (n, D); None below MIN_PICTURES."""
    return RelevanceScale(sample, reference) if len(sample) >= MIN_PICTURES else None

"""Turn a hit's score (a cosine) into its relevance: the probability that it shows what the query says. Pure.

A raw cosine has no fixed cut-off: a good hit of a single word scores as low as a bad hit of a long sentence. Relevance
is a logistic function (Platt 1999) of four features. Each compares the query's scores with the scores of the reference
queries (everyday and nonsense) on the gallery's own pictures. So the function adapts to each gallery and each model,
without labels:

- "deviation": how far the hit is above the query's average score, in standard deviations of everyday queries;
- "above nonsense": how far the scores of the query's best pictures are above the scores of nonsense queries for these
  pictures, as a share of the value that strong everyday queries reach. It is small if nothing in the gallery fits: then
  the best pictures are merely near to every text;
- "best": how the query's best scores compare with the best scores of everyday queries;
- "familiar": how near the query is to its nearest everyday query: a text that the model never learned is near to none.

Relevance rises with the score, so it keeps the order of hits. The constants were fitted by `benchmarks/relevance.py
--fit` on half of the hand-judged pairs of query and picture (benchmarks/judged.jsonl); the same script reports the
results on the other half. docs/log/2026-11.md lists what else was tried.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from araclip.gallery.results import WEAK
from araclip.models.vectors import Vectors, products

MIN_PICTURES = 10  # with fewer pictures, the statistics of scores say nothing
# A query that only excludes leaves out a picture whose relevance for an excluded term is at least EXCLUDED, or whose
# score is EXCLUDED_DEVIATION standard deviations above the term's average (most pictures may show the excluded thing).
EXCLUDED = 0.2
EXCLUDED_DEVIATION = 1.0
# `meaning` is 0.5 for a query whose scores have this relative spread; nonsense has 0, queries with fitting pictures 1.
MIDPOINT = 0.3
SLOPE = np.log(19) / MIDPOINT  # chosen so that `meaning` returns 0.05 for nonsense, whose relative spread is 0
# The value of a measure (`spread`, `_lead_over_nonsense`) that this percentile of the everyday queries reaches is taken
# for that of a "strong" query, one for which the gallery has pictures.
STRONG_PERCENTILE = 90
# Most features use only the scores of the TOP or BEST best pictures of a query. In a small gallery they use fewer: at
# most one in BEST_SHARE of its pictures.
TOP, BEST, BEST_SHARE = 20, 5, 40
# The log-odds of an average picture are at most this value, so that such a picture is weak for every query.
AVERAGE = np.log(WEAK / (1 - WEAK))

# (weight, least value, greatest value) of each feature. The first feature, the score's deviation, is not bounded.
FEATURES: dict[str, tuple[float, float, float]] = {
    "deviation": (0.822, -np.inf, np.inf),
    "above nonsense": (4.87, 0.219, 1.76),
    "best": (-1.03, -1.47, 3.25),
    "familiar": (0.144, -1.74, 6.39),
}
INTERCEPT = -7.09


@dataclass(frozen=True)
class ReferenceVectors:
    """The vectors of the reference queries: (E, D) of queries that people might type, (M, D) of random letters."""

    everyday: Vectors
    nonsense: Vectors


@dataclass(frozen=True)
class RelevanceScale:
    """Turns cosines into relevance, the probability that a hit is right, for one gallery.

    It uses the scores of everyday and nonsense queries (`reference`) for a sample of the gallery's pictures (n, D).
    """

    sample: Vectors
    reference: ReferenceVectors

    def __post_init__(self) -> None:
        """Compute what does not depend on the query now, so that the first query need not wait for it."""
        _ = self._covariance, self._spread_range, self._strong_lead, self._best_statistics, self._nearest_statistics

    # ------------------------------------------------------------------ the query as a whole

    def spread(self, queries: Vectors) -> Vectors:
        """Return for each query (n, D) how much its scores vary over the pictures, as standard deviations (n,).

        From the score of each picture, the picture's average score with everyday queries is subtracted first.
        """
        apart = queries - self.reference.everyday.mean(axis=0)
        variances = np.einsum("nd,nd->n", apart @ self._covariance, apart)
        spreads: Vectors = np.sqrt(np.maximum(variances, 0))
        return spreads

    def meaning(self, query: Vectors) -> float:
        """Return how likely (0…1) a query (D,) has a meaning: nonsense scores nearly alike on all pictures here."""
        nonsense, strong = self._spread_range
        # scaled: nonsense has 0, everyday queries with fitting pictures have 1
        relative = float((self.spread(query[None]) - nonsense)[0] / max(strong - nonsense, 1e-6))
        return float(1 / (1 + np.exp(-SLOPE * np.clip(relative - MIDPOINT, -5, 5))))

    # ------------------------------------------------------------------ hits

    def relevance(self, query: Vectors) -> Callable[[float], float]:
        """Return the function that turns a picture's cosine with a query (D,) into the probability that it is right."""
        intercept, slope = self._logit_line(query)

        def relevance(score: float) -> float:
            return float(1 / (1 + np.exp(-np.clip(intercept + slope * score, -30, 30))))

        return relevance

    def cosine_at(self, relevance: float, query: Vectors) -> float:
        """Return the cosine at which a hit of a query (D,) has this relevance (0 to 1); the inverse of `relevance`."""
        intercept, slope = self._logit_line(query)
        return float((np.log(relevance / (1 - relevance)) - intercept) / slope)

    def excluded_cosine(self, term: Vectors) -> float:
        """Return the cosine to the term (D,) from which a picture is left out, for a query that only excludes."""
        scores = products(self.sample, term)
        outstanding = float(scores.mean()) + EXCLUDED_DEVIATION * float(scores.std())
        return min(self.cosine_at(EXCLUDED, term), outstanding)

    def deviation(self, query: Vectors, score: float) -> float:
        """Return how far a score is above the average score of its query (D,) over the pictures.

        The unit is the standard deviation that the scores of an everyday query (see `ReferenceVectors`) usually have.
        """
        return (score - float(self._mean_picture @ query)) / self._everyday_deviation

    def features(self, query: Vectors) -> dict[str, float]:
        """Compute the FEATURES of a query (D,), except "deviation", which depends on the hit."""
        scores = products(self.sample, query)
        usual, unusual = self._best_statistics
        near, nearer = self._nearest_statistics
        return {
            "above nonsense": self._lead_over_nonsense(scores) / self._strong_lead,
            "best": (_mean_of_best(scores, self._number_of_best(BEST)) - usual) / unusual,
            "familiar": (float(products(self.reference.everyday, query).max()) - near) / nearer,
        }

    def _logit_line(self, query: Vectors) -> tuple[float, float]:
        """Return intercept and slope of the line from a hit's cosine to the log-odds of its relevance."""
        slope = FEATURES["deviation"][0] / self._everyday_deviation
        odds = INTERCEPT
        for name, value in self.features(query).items():
            weight, least, greatest = FEATURES[name]
            odds += weight * min(max(value, least), greatest)
        return min(odds, AVERAGE) - slope * float(self._mean_picture @ query), slope

    def _number_of_best(self, most: int) -> int:
        """Return how many of a query's best pictures to look at: `most`, or if that is less, pictures / BEST_SHARE."""
        return min(most, max(1, len(self.sample) // BEST_SHARE))

    def _lead_over_nonsense(self, scores: Vectors) -> float:
        """Return how far a query's best scores exceed the nonsense queries' scores for these pictures.

        The unit is the standard deviation of nonsense. `scores` (n,): the query's scores for all pictures of the
        sample.
        """
        count = self._number_of_best(TOP)
        rows = np.argpartition(scores, -count)[-count:]
        mean, deviation = self._nonsense_statistics
        return float(((scores[rows] - mean[rows]) / deviation[rows]).mean())

    # ------------------------------------------------------------------ statistics of the reference queries, made once

    @cached_property
    def _mean_picture(self) -> Vectors:
        """The mean vector (D,) of the sample; its score with a query is the query's average score."""
        centre: Vectors = self.sample.mean(axis=0)
        return centre

    @cached_property
    def _everyday_scores(self) -> Vectors:
        """The scores (E, n) of the E everyday queries for the n pictures of the sample."""
        scores: Vectors = self.reference.everyday @ self.sample.T
        return scores

    @cached_property
    def _everyday_deviation(self) -> float:
        """The standard deviation of an everyday query's scores over the pictures, averaged over these queries."""
        return max(float(self._everyday_scores.std(axis=1).mean()), 1e-6)

    @cached_property
    def _nonsense_statistics(self) -> tuple[Vectors, Vectors]:
        """For each picture, the mean and the standard deviation of the nonsense queries' scores, (n,) each."""
        scores = self.reference.nonsense @ self.sample.T
        return scores.mean(axis=0), np.maximum(scores.std(axis=0), 1e-6)

    @cached_property
    def _strong_lead(self) -> float:
        """The value of `_lead_over_nonsense` that a query with fitting pictures reaches.

        It is a percentile of the values of the everyday queries, since some of them have fitting pictures.
        """
        return max(_strong_percentile([self._lead_over_nonsense(scores) for scores in self._everyday_scores]), 1e-6)

    @cached_property
    def _best_statistics(self) -> tuple[float, float]:
        """Mean and standard deviation, over everyday queries, of the query's mean score for its best pictures."""
        best = np.array([_mean_of_best(scores, self._number_of_best(BEST)) for scores in self._everyday_scores])
        return float(best.mean()), max(float(best.std()), 1e-6)

    @cached_property
    def _nearest_statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of the cosine between an everyday query and the nearest other everyday query."""
        cosines = self.reference.everyday @ self.reference.everyday.T
        np.fill_diagonal(cosines, -1)
        nearest = cosines.max(axis=1)
        return float(nearest.mean()), max(float(nearest.std()), 1e-6)

    @cached_property
    def _covariance(self) -> Vectors:
        """The covariance matrix (D, D) of the sample's vectors."""
        centred = self.sample - self._mean_picture
        products = centred.T @ centred  # np.cov would use float64, which takes twice as long
        covariance: Vectors = np.divide(products, len(centred) - 1, dtype=np.float32)
        return covariance

    @cached_property
    def _spread_range(self) -> tuple[float, float]:
        """Return the mean spread of nonsense queries' scores, and a high percentile of everyday queries' spreads.

        The percentile stands for queries that have fitting pictures.
        """
        return (
            float(self.spread(self.reference.nonsense).mean()),
            _strong_percentile(self.spread(self.reference.everyday).tolist()),
        )


def _mean_of_best(scores: Vectors, count: int) -> float:
    return float(np.partition(scores, -count)[-count:].mean())


def _strong_percentile(values: Sequence[float]) -> float:
    """Return the STRONG_PERCENTILE-th percentile of values; np.percentile would import numpy.ma, which takes 20 ms."""
    at = STRONG_PERCENTILE / 100 * (len(values) - 1)
    return float(np.interp(at, np.arange(len(values)), np.sort(values)))


def relevance_scale(sample: Vectors, reference: ReferenceVectors) -> RelevanceScale | None:
    """Make a gallery's scale from a sample of its pictures (n, D); None if there are fewer than MIN_PICTURES."""
    return RelevanceScale(sample, reference) if len(sample) >= MIN_PICTURES else None

"""Whose turn it is: several sources take turns in fixed shares, each in a fresh order every epoch.

A draw is a function of the seed and the number of the slot alone. Nothing has to be saved for a run to go on with the
very rows it would have seen.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from araclip.errors import RecipeError

CYCLE = 10_000  # slots after which the pattern of sources repeats; shares are whole ten-thousandths


class InterleavedSampler:
    """An endless stream of (source, row): shares are kept exactly, not by chance.

    Args:
        sizes: rows of each source, 1 or more. weights: their shares, relative to each other. seed: of the orders.

    Raises:
        RecipeError: no source, a weight that is not positive, or one too small for a row in 10,000.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.sizes, self.seed = tuple(sizes), seed
        self._turns, self._before = _pattern(weights)
        self._order = lru_cache(maxsize=2 * len(self.sizes))(self._shuffled)  # a batch may span two epochs

    @property
    def shares(self) -> list[float]:
        """Part of each source in the stream, 0…1, in sum 1."""
        return [float(quota) / CYCLE for quota in self._before[-1]]

    def draw(self, slot: int) -> tuple[int, int, int]:
        """What stands in one slot: the source, its row, and how many rows of the source came before."""
        cycle, turn = divmod(slot, CYCLE)
        which = int(self._turns[turn])
        drawn = cycle * int(self._before[-1, which]) + int(self._before[turn, which])
        epoch, place = divmod(drawn, self.sizes[which])
        return which, int(self._order(which, epoch)[place]), drawn

    def _shuffled(self, which: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, which, epoch]).permutation(self.sizes[which])


def _pattern(weights: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whose turn each slot of a cycle is, (CYCLE,), and how often each source had one before, (CYCLE + 1, sources)."""
    if not weights:
        raise RecipeError("the mixture has no source. Name at least one.")
    wrong = [weight for weight in weights if not 0 < weight < float("inf")]
    if wrong:
        raise RecipeError(f"a source has weight {wrong[0]}, expected a positive number. Leave it out for none.")
    exact = np.array(weights, np.float64) / sum(weights) * CYCLE
    quota = np.floor(exact).astype(np.int64)  # largest remainders fill the cycle up
    quota[np.argsort(quota - exact, kind="stable")[: CYCLE - quota.sum()]] += 1
    if quota.min() < 1:
        raise RecipeError(
            f"weight {weights[int(quota.argmin())]} of {sum(weights)} is less than one row in {CYCLE}. Raise it."
        )
    turns = np.repeat(np.arange(len(weights)), quota)
    spread = np.concatenate([(np.arange(n) + 0.5) / n for n in quota])  # each source's turns evenly over the cycle
    turns = turns[np.argsort(spread, kind="stable")]
    before = np.zeros((CYCLE + 1, len(weights)), np.int64)
    np.cumsum(np.eye(len(weights), dtype=np.int64)[turns], axis=0, out=before[1:])
    return turns, before

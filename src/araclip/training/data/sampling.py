"""Interleaves several sources into one stream, in fixed shares; each source is shuffled anew in every epoch.

The stream is a sequence of slots, 0, 1, 2, …, with one row each. The row of a slot depends on the seed and the slot's
number alone, so a resumed run draws the same rows without saved state.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from araclip.errors import RecipeError

CYCLE = 10_000  # the order of sources repeats after so many rows; so their shares are multiples of 1/10,000


class Draw(NamedTuple):
    """What a slot (a place in the stream) holds: a source, a row of it, and how many rows of the source came before."""

    source: int
    row: int
    earlier: int


class InterleavedSampler:
    """An endless stream of rows from several sources, with the same shares, rounded to rows, in every CYCLE rows.

    `sizes` has each source's number of rows, 1 or more; `weights` its share, relative to the other sources.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.sizes, self.seed = tuple(sizes), seed
        self._pattern, self._earlier = _pattern(weights)
        self._order = lru_cache(maxsize=2 * len(self.sizes))(self._shuffled)  # caches row orders: two epochs per source

    @property
    def shares(self) -> list[float]:
        """The share of each source in the stream, from 0 to 1; the shares add up to 1."""
        return [float(quota) / CYCLE for quota in self._earlier[-1]]

    def draw(self, slot: int) -> Draw:
        """Return what slot number `slot` of the stream holds: a source and one of its rows. Slots count from 0."""
        cycle, offset = divmod(slot, CYCLE)
        source = int(self._pattern[offset])
        earlier = cycle * int(self._earlier[-1, source]) + int(self._earlier[offset, source])
        epoch, position = divmod(earlier, self.sizes[source])
        return Draw(source, int(self._order(source, epoch)[position]), earlier)

    def _shuffled(self, source: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, source, epoch]).permutation(self.sizes[source])


def _pattern(weights: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each slot's source (CYCLE,), and how many earlier slots each source has (CYCLE + 1 slots, sources)."""
    if not weights:
        raise RecipeError("the mixture has no source. Name at least one.")
    wrong = [weight for weight in weights if not 0 < weight < float("inf")]
    if wrong:
        raise RecipeError(f"a source has weight {wrong[0]}, expected a positive number. Leave it out for none.")
    exact = np.array(weights, np.float64) / sum(weights) * CYCLE
    # slots of each source, rounded down; the remaining slots go to the sources with the largest remainders
    quota = np.floor(exact).astype(np.int64)
    quota[np.argsort(quota - exact, kind="stable")[: CYCLE - quota.sum()]] += 1
    if quota.min() < 1:
        raise RecipeError(
            f"weight {weights[int(quota.argmin())]} of {sum(weights)} is less than one row in {CYCLE}. Raise it."
        )
    sources = np.repeat(np.arange(len(weights)), quota)
    spread = np.concatenate([(np.arange(n) + 0.5) / n for n in quota])  # spreads a source's slots evenly over the cycle
    sources = sources[np.argsort(spread, kind="stable")]
    earlier = np.zeros((CYCLE + 1, len(weights)), np.int64)
    np.cumsum(np.eye(len(weights), dtype=np.int64)[sources], axis=0, out=earlier[1:])
    return sources, earlier

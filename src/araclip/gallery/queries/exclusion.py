"""Exclusion: what a minus term names is left out of the hits, not only pushed away. Pure.

Subtracting the term's vector moves pictures of the excluded thing down, but the first page still shows some. A picture
is therefore dropped where the term alone has a relevance that is not weak, by the gallery's own calibration
(`gallery.relevance`), or where it stands far above the gallery's average for the term: a thing that fills the gallery,
such as people, has no outstanding hits. Measured by benchmarks/exclusion.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.queries.fusion import Candidate
from araclip.gallery.queries.query import Query, excluding_terms
from araclip.gallery.relevance import RelevanceScale

FIRST_CHUNK, LARGEST_CHUNK = 32, 4096  # candidates looked at together; grows, for galleries full of the excluded thing

Vectors = NDArray[np.float32]
Cosines = Callable[[Sequence[int], Vectors], Vectors]


@dataclass(frozen=True)
class Exclusion:
    """Excluded terms: their unit vectors (m, D), and the cosines (m,) from which a picture is taken to show the
    thing."""

    vectors: Vectors
    limits: NDArray[np.float64]

    def drops(self, cosines: Vectors) -> NDArray[np.bool_]:
        """(n, m) cosines of pictures with the terms → (n,) whether each is left out."""
        dropped: NDArray[np.bool_] = np.any(cosines >= self.limits, axis=1)
        return dropped


def excluded_terms(query: Query, vectors: Vectors) -> Vectors | None:
    """The vectors of the terms that exclude, of the terms' and, after them, what these stand for (n + m, D)."""
    rows = [*excluding_terms(query), *range(len(query.terms), len(vectors))]
    return vectors[rows] if rows else None


def exclusion_of(terms: Vectors, scale: RelevanceScale | None) -> Exclusion | None:
    """The exclusion of terms (m, D); None in a gallery of too few pictures for a scale."""
    if scale is None:
        return None
    return Exclusion(terms, np.array([scale.excluded_cosine(term) for term in terms]))


def kept(candidates: Iterator[Candidate], exclusion: Exclusion | None, cosines: Cosines) -> Iterator[Candidate]:
    """The candidates that are not left out, in the order given; `cosines` gives (n, m) for n ids and (m, D)."""
    if exclusion is None:
        yield from candidates
        return
    size = FIRST_CHUNK
    while chunk := list(islice(candidates, size)):
        dropped = exclusion.drops(cosines([each.content for each in chunk], exclusion.vectors))
        yield from (each for each, drop in zip(chunk, dropped.tolist(), strict=True) if not drop)
        size = min(2 * size, LARGEST_CHUNK)

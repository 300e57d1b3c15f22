"""Words of pictures' texts on the server: an index of stems in the payload. Parts of words are not found there."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from araclip.gallery.qdrant.conditions import equals, visible
from araclip.gallery.qdrant.connection import Connection

Ids = NDArray[np.int64]


class WordIndex:
    """The stems in one generation of a collection; see `text_matches.TextIndex`."""

    def __init__(self, connection: Connection, generation: int) -> None:
        self._connection, self._generation = connection, generation

    def with_stem(self, stem: str, most: int) -> Ids:
        """Ids of pictures with a word of this stem in any text, ascending; at most one more than `most`."""
        points, _ = self._connection.call(
            "scroll",
            scroll_filter=models.Filter(must=[visible(self._generation), equals("words", stem)]),
            limit=most + 1,
            with_payload=["order"],
            with_vectors=False,
        )
        return np.unique(np.array([point.payload["order"] for point in points], np.int64))

    def with_part(self, folded: str, most: int) -> Ids:
        """None: the server has no index of parts of words."""
        return np.empty(0, np.int64)


def having(ids: Sequence[int]) -> models.Filter:
    """Pictures with these ids."""
    return models.Filter(must=[models.FieldCondition(key="order", match=models.MatchAny(any=list(ids)))])

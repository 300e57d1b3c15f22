"""Texts encoded as a search encodes them: words understood, all readings added up. For `measure(encode=…)`."""

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from araclip.encoder_base import Vectors
from araclip.evaluation.retrieval import MinimalEncoder
from araclip.gallery.plan import FILTERS, QueryPlan, plan
from araclip.gallery.query import Query, Term, combine
from araclip.text.interpretation import Interpreter

BLOCK = 512  # texts that are encoded together


class UnderstoodEncoder:
    """Encodes texts with a model and an interpreter. Dates and folders are words here: a set of captions has neither.

    Signs in a text are ordinary characters. `readings` and `texts` count what was encoded so far.
    """

    def __init__(self, model: MinimalEncoder, interpreter: Interpreter) -> None:
        self._model, self._interpreter = model, interpreter
        self.texts = self.readings = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Texts → (n, D) unit vectors."""
        parts = [self._block(texts[start : start + BLOCK]) for start in range(0, len(texts), BLOCK)]
        return np.concatenate(parts)

    def _block(self, texts: Sequence[str]) -> Vectors:
        read = [self._understood(text) for text in texts]
        different = list(dict.fromkeys(reading for each in read for reading in each.texts))
        self.texts, self.readings = self.texts + len(texts), self.readings + len(different)
        vectors = dict(zip(different, self._model.encode_text(different), strict=True))
        rows = []
        for each in read:
            terms = each.term_vectors([vectors[text] for text in each.texts], _no_picture)
            rows.append(combine(each.own(terms), each.query))
        return np.stack(rows)

    def _understood(self, text: str) -> QueryPlan:
        query = Query((Term("text", text),))
        return plan(query, self._interpreter, today=date.today(), ignore=FILTERS)


def _no_picture(name: str) -> NDArray[np.float32]:
    raise AssertionError(f"a text of a set names no picture, and {name} was asked for")

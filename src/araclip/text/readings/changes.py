"""A change of one or several words of a query, with its confidence: what the parts of this room hand to each other."""

from dataclasses import dataclass
from typing import Literal

LEAST_CONFIDENCE = 0.2  # of a choice

Kind = Literal["spelling", "dialect", "arabizi", "typo"]


@dataclass(frozen=True)
class Change:
    """Words as typed → words as the model knows them. `target` may be empty: a word that has no counterpart.

    `dialects` are the lexicon's labels of the form that was typed; `width` is how many words it spans.
    """

    source: str
    target: str
    kind: Kind
    confidence: float  # 0…1: how likely the target is what was meant
    dialects: tuple[str, ...] = ()
    width: int = 1
    ambiguous: bool = False

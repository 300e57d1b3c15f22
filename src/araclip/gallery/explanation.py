"""Why a picture was found: what each word of the query adds, and which of the picture's texts match.

A word's share is the cosine that is lost when the query is asked without it (leave one out; Li et al. 2016,
"Understanding neural networks through representation erasure"). Shares do not add up to the score: words work together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from araclip.gallery.plan import Interpretation, QueryPlan
from araclip.gallery.query import combine, excluding_terms
from araclip.gallery.results import Match, WordShare, strength
from araclip.models.vectors import Vectors

MAX_WORDS = 32  # of a query that are left out in turn; a model reads little more


@dataclass(frozen=True)
class Explanation:
    """Why a query finds a picture: cosine, relevance (None: unknown), shares of words, texts that match, reading."""

    path: str
    score: float
    relevance: float | None
    words: tuple[WordShare, ...]
    matched: tuple[Match, ...]
    interpretation: Interpretation

    @property
    def strength(self) -> str | None:
        """The relevance in a word: "strong", "fair" or "weak"; None where it is unknown."""
        return strength(self.relevance)


def texts_of_shares(read: QueryPlan) -> list[str]:
    """The texts whose vectors `word_shares` needs: those of the query, and each without each of its words."""
    whole = (" ".join(words) for _, words in _spoken(read))
    return list(dict.fromkeys(text for text in (*whole, *(shorter for *_, shorter in _left_out(read))) if text))


def word_shares(
    read: QueryPlan, terms: Vectors, picture: Vectors, vector_of: Mapping[str, Vectors]
) -> tuple[WordShare, ...]:
    """The share of each word, in order.

    The words are those of each text's likeliest reading. A term of one word is left out as a whole, and is its whole
    cosine where nothing else is left.

    Args:
        terms: the vectors of the query's terms, (n, D). picture: (D,).
        vector_of: the vectors of `texts_of_shares`, (D,) each.
    """
    whole = terms.copy()
    for row, words in _spoken(read):
        whole[row] = vector_of[" ".join(words)]  # as read at its likeliest, so that only the word differs
    score = _cosine(whole, read, picture)
    shares = []
    for row, word, shorter in _left_out(read):
        without = whole.copy()
        without[row] = vector_of[shorter] if shorter else 0.0
        shares.append(WordShare(word, score - _cosine(without, read, picture)))
    return tuple(shares)


def _spoken(read: QueryPlan) -> list[tuple[int, list[str]]]:
    """The rows of the terms that are texts and take part in the score, and their words."""
    if read.only_filters:
        return []
    out = excluding_terms(read.query)
    return [(row, each[0].text.split()) for row, each in enumerate(read.readings) if each and row not in out]


def _left_out(read: QueryPlan) -> Iterator[tuple[int, str, str]]:
    """The row of a term, one of its words, and its text without that word; at most MAX_WORDS of them."""
    every = ((row, words, at) for row, words in _spoken(read) for at in range(len(words)))
    for row, words, at in islice(every, MAX_WORDS):
        yield row, words[at], " ".join(words[:at] + words[at + 1 :])


def _cosine(terms: Vectors, read: QueryPlan, picture: Vectors) -> float:
    """The query's cosine with a picture; 0 where no term with a plus is left."""
    left = [row for row in range(len(terms)) if terms[row].any()]
    if not any(read.query.terms[row].weight > 0 for row in left):
        return 0.0
    query = replace(read.query, terms=tuple(read.query.terms[row] for row in left))
    return float(combine(terms[left], query) @ picture)

"""Explain why a picture was found: what each word of the query adds, and which of the picture's texts match.

A word's share is the cosine that the query loses without the word (leave one out; Li et al. 2016, "Understanding
neural networks through representation erasure"). Shares do not add up to the score, because words work together.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from araclip.gallery.plan import Interpretation, Planner, QueryPlan, QueryVectors
from araclip.gallery.query import combine, excluding_terms
from araclip.gallery.reader import Snapshot
from araclip.gallery.results import Match, WordShare, strength
from araclip.gallery.search import Steps, plan_steps
from araclip.models.vectors import Vectors

# Limit: this many words at a query's beginning get a share (what its cosine loses without the word); models read few
# more.
MAX_WORDS = 32


@dataclass(frozen=True)
class Explanation:
    """Why a query finds a picture: its cosine (`score`), its relevance (None: unknown), each word's share in the
    cosine, the texts that match, and how the query was understood."""

    path: str
    score: float
    relevance: float | None
    words: tuple[WordShare, ...]
    matched: tuple[Match, ...]
    interpretation: Interpretation

    @property
    def strength(self) -> str | None:
        """The relevance as a word: "strong", "fair" or "weak"; None if the relevance is unknown."""
        return strength(self.relevance)


def explanation_steps(
    planner: Planner, snapshot: Snapshot, vector: Vectors, picture: Callable[[str], Vectors]
) -> Steps[tuple[QueryPlan, QueryVectors, tuple[WordShare, ...]]]:
    """Interpret a query and compute what each of its words adds to its cosine with a picture.

    Args:
        vector: the vector (D,) of the picture to explain.
        picture: returns the vector (D,) of a picture of the query, given the name that the query uses.
    """
    plan, vectors = yield from plan_steps(planner, snapshot, picture)
    texts = _texts_of_shares(plan)
    encoded = yield texts
    return plan, vectors, word_shares(plan, vectors.terms, vector, dict(zip(texts, encoded, strict=True)))


def _texts_of_shares(plan: QueryPlan) -> list[str]:
    """List the texts whose vectors `word_shares` needs: each text of the query, whole and with each word left out."""
    whole = (" ".join(words) for _, words in _scored_terms(plan))
    return list(dict.fromkeys(text for text in (*whole, *(shorter for *_, shorter in _words_left_out(plan))) if text))


def word_shares(
    plan: QueryPlan, terms: Vectors, picture: Vectors, vector_of: Mapping[str, Vectors]
) -> tuple[WordShare, ...]:
    """Return the share of each of the query's scored words, in order: what the query's cosine loses without the word.

    At most MAX_WORDS words get a share.

    If a term of the query has several readings, its words are the words of the likeliest reading. For a term of one
    word, the whole term is left out; if it is the only term, its word's share is the whole cosine.

    Args:
        terms: the vectors of the query's terms, (n, D).
        picture: the picture's vector, (D,).
        vector_of: the vector (D,) of each text that `_texts_of_shares` returns for the plan.
    """
    whole = terms.copy()
    for row, words in _scored_terms(plan):
        # Both cosines use only the likeliest text of a term, so that they differ by nothing but the left-out word.
        whole[row] = vector_of[" ".join(words)]
    score = _cosine_with_picture(whole, plan, picture)
    shares = []
    for row, word, shorter in _words_left_out(plan):
        without = whole.copy()
        without[row] = vector_of[shorter] if shorter else 0.0
        shares.append(WordShare(word, score - _cosine_with_picture(without, plan, picture)))
    return tuple(shares)


def _scored_terms(plan: QueryPlan) -> list[tuple[int, list[str]]]:
    """Return (position among the query's terms, words of the term) for each text term that takes part in the score."""
    if plan.only_filters:
        return []
    out = excluding_terms(plan.query)
    return [(row, each[0].text.split()) for row, each in enumerate(plan.readings) if each and row not in out]


def _words_left_out(plan: QueryPlan) -> Iterator[tuple[int, str, str]]:
    """Yield, for each word, the position of its term in the query, the word, and the term's text without the word.

    Only words that take part in the score are yielded, at most MAX_WORDS.
    """
    every = ((row, words, at) for row, words in _scored_terms(plan) for at in range(len(words)))
    for row, words, at in islice(every, MAX_WORDS):
        yield row, words[at], " ".join(words[:at] + words[at + 1 :])


def _cosine_with_picture(terms: Vectors, plan: QueryPlan, picture: Vectors) -> float:
    """Return the query's cosine with a picture, without the terms whose vector is 0.

    If none of the remaining terms has a positive weight, return 0.
    """
    left = [row for row in range(len(terms)) if terms[row].any()]
    if not any(plan.query.terms[row].weight > 0 for row in left):
        return 0.0
    query = replace(plan.query, terms=tuple(plan.query.terms[row] for row in left))
    return float(combine(terms[left], query) @ picture)

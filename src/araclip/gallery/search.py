"""Searching a snapshot by a plan: the same for galleries in Python, the command line and the server."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.plan import Interpretation, Planner, QueryPlan
from araclip.gallery.ranking import Page
from araclip.gallery.reader import Snapshot
from araclip.gallery.results import Hit
from araclip.gallery.text_matches import TextQuery


class Hits(list[Hit]):
    """The hits of a search, best first, and how its query was understood; None for a picture."""

    def __init__(self, hits: Iterable[Hit], interpretation: Interpretation | None = None) -> None:
        super().__init__(hits)
        self.interpretation = interpretation


def replanned(
    planner: Planner, plan: QueryPlan, terms: NDArray[np.float32], snapshot: Snapshot, filters: Filters
) -> QueryPlan | None:
    """If no picture passes the plan's dates and folders beside the caller's filters, the plan that reads them as
    ordinary words; else None. `terms`: the vectors of the plan's terms and kinds (n + m, D).
    """
    if not plan.has_filters or snapshot.search(terms[0], Page(1, 0, plan.filtered(filters)), relevance=False):
        return None
    return planner.without_filters(plan)


def search(
    plan: QueryPlan, terms: NDArray[np.float32], snapshot: Snapshot, page: Page, text_weight: float
) -> list[Hit]:
    """One page of hits for a plan and the vectors of its terms and kinds (n + m, D)."""
    vector, asked, text = _asked(plan, terms, snapshot, page, text_weight)
    return snapshot.search(vector, asked, relevance=plan.has_relevance, text=text)


def search_records(
    plan: QueryPlan,
    terms: NDArray[np.float32],
    snapshot: Snapshot,
    page: Page,
    text_weight: float,
    *,
    exclude: int | None,
) -> list[tuple[PictureRecord, Hit]]:
    """As `search`, each hit with its picture; `exclude` is the store's id of a picture to leave out."""
    vector, asked, text = _asked(plan, terms, snapshot, page, text_weight)
    return snapshot.search_records(vector, asked, relevance=plan.has_relevance, exclude=exclude, text=text)


def _asked(
    plan: QueryPlan, terms: NDArray[np.float32], snapshot: Snapshot, page: Page, text_weight: float
) -> tuple[NDArray[np.float32], Page, TextQuery | None]:
    """What a snapshot is asked: the plan's vector (D,), the page with the plan's filters and what it excludes, and the
    words to find in texts.

    A query that is only a date or only excludes is ordered by date; in a gallery of too few pictures to say which are
    left out, by how far they are from what it excludes.
    """
    excluded = plan.excluded_terms(terms)
    dated = plan.has_filters if excluded is None else snapshot.scale is not None
    asked = replace(
        page,
        filters=plan.filtered(page.filters),
        by_date=plan.only_filters and dated,
        excluded=excluded,
    )
    vector = plan.vector(terms, subtract=snapshot.scale is None)
    return vector, asked, plan.words_to_find(text_weight)

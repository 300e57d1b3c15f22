"""Search a gallery for an interpreted query (`QueryPlan`); Python, the command line and the server all search here."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import replace
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.core.display import shown
from araclip.errors import AraCLIPError
from araclip.gallery.plan import Interpretation, Planner, QueryPlan
from araclip.gallery.query import combine
from araclip.gallery.ranking import SORTS, Page
from araclip.gallery.reader import Snapshot
from araclip.gallery.results import Hit
from araclip.pictures.images import encode_picture, open_with_facts

IN_NOTEBOOK, THUMBNAIL = 30, 160  # how many hits a notebook shows at most; the longer side of a thumbnail in pixels


class Hits(list[Hit]):
    """The hits of a search, best first; a notebook shows them as thumbnails.

    Args:
        interpretation: how the query was understood; None if the query was a picture or a vector.
        pictures: returns the bytes of a hit's picture, given its path.

    Attributes:
        away: the pictures' folder if nothing was found because their files are missing (an unplugged drive); else None.
    """

    away: str | None = None

    def __init__(
        self,
        hits: Iterable[Hit],
        interpretation: Interpretation | None = None,
        *,
        pictures: Callable[[str], bytes] | None = None,
    ) -> None:
        super().__init__(hits)
        self.interpretation = interpretation
        self._pictures = pictures

    def _repr_html_(self) -> str:
        cells = "".join(map(self._hit_html, self[:IN_NOTEBOOK]))
        more = f"<p>+ {len(self) - IN_NOTEBOOK:,}</p>" if len(self) > IN_NOTEBOOK else ""
        return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{cells or "0"}</div>{more}'

    def _hit_html(self, hit: Hit) -> str:
        name = Path(hit.file).name if hit.picture is None else hit.picture.copies[0].name
        said = " · ".join(filter(None, (hit.strength, hit.captured_at and hit.captured_at[:10])))
        return (
            f'<figure style="margin:0;width:{THUMBNAIL}px" title="{escape(shown(hit.path))}">{self._image_html(hit)}'
            f'<figcaption style="font-size:12px;overflow-wrap:anywhere"><bdi>{escape(shown(name))}</bdi>'
            f"<br>{escape(said)}</figcaption></figure>"
        )

    def _image_html(self, hit: Hit) -> str:
        if self._pictures is None:
            return ""
        try:
            with open_with_facts(BytesIO(self._pictures(hit.path)), THUMBNAIL) as (image, _):
                small = image.convert("RGB")
                small.thumbnail((THUMBNAIL, THUMBNAIL))
                jpeg = encode_picture(small, "JPEG", quality=80)
        except (OSError, AraCLIPError):  # no thumbnail: the picture's file was removed or moved
            return ""
        return f'<img src="data:image/jpeg;base64,{b64encode(jpeg).decode()}">'


def replan(planner: Planner, plan: QueryPlan, terms: NDArray[np.float32], snapshot: Snapshot) -> QueryPlan | None:
    """If no picture passes the filters that words of a query became, interpret the query again without these filters.

    In the new plan, the words are ordinary words. Return None, to keep the old plan, if a picture passes both these
    filters and the caller's, or if no words of the query became filters. `terms` (n + m, D): the vectors of the n terms
    of `plan`, then those of `plan.kinds`: the m things (man, woman) that an excluded general word (people) stands for.
    """
    if plan.has_filters:
        first = Page(1, 0, plan.add_filters(planner.page.filters))
        if not snapshot.search(terms[0], first, relevance=False):
            return planner.without_filters(plan)
    return None


def search(
    plan: QueryPlan,
    terms: NDArray[np.float32],
    snapshot: Snapshot,
    page: Page,
    text_weight: float,
    exclude: int | None = None,
) -> list[Hit]:
    """Return one page of hits for an interpreted query (`plan`).

    `terms` (n + m, D) are the vectors of the query's n terms, then those of `plan.kinds`: the m things (man, woman)
    that an excluded general word (people) stands for.

    If the query is only a date, an order or exclusions, the hits are ordered by date, with two exceptions: a minus term
    is a picture or has a weight below 1, so that it excludes no picture; or the gallery has too few pictures to decide
    which of them show an excluded thing. Then the hits that are least similar to the minus terms come first.

    Args:
        text_weight: how much words in the pictures' texts count, 0 (not at all) to 10.
        exclude: the store's id of a picture to leave out.
    """
    excluded = plan.excluded_terms(terms)
    dated = excluded is None or snapshot.scale is not None
    asked = replace(
        page,
        filters=plan.add_filters(page.filters),
        sort=page.sort if page.sort != SORTS[0] else plan.interpretation.sort or page.sort,
        by_date=plan.only_filters and dated and not plan.pushes_away,
        excluded=excluded,
        alone=plan.words_only_exclude,
    )
    # A gallery of few pictures has no relevance scale, which would tell the pictures that show an excluded thing. There
    # the excluded thing's vector is subtracted from the query's vector instead.
    vector = combine(plan.without_kinds(terms), plan.query, subtract=snapshot.scale is None)
    text = plan.words_to_find(text_weight)
    return snapshot.search(vector, asked, relevance=plan.has_relevance, exclude=exclude, text=text)

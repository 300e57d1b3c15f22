"""Search a gallery for an interpreted query (`QueryPlan`); Python, the command line and the server all search here."""

from base64 import b64encode
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Generic, TypeVar

from araclip.core.display import shown
from araclip.errors import AraCLIPError
from araclip.gallery.plan import Interpretation, Planner, QueryPlan, QueryVectors
from araclip.gallery.query import combine
from araclip.gallery.ranking import SORTS, Page
from araclip.gallery.reader import Snapshot
from araclip.gallery.results import Hit
from araclip.models.vectors import Vectors
from araclip.pictures.images import encode_picture, open_with_facts

T = TypeVar("T")
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


@dataclass(frozen=True)
class Done(Generic[T]):
    """The result of steps that have ended."""

    value: T


# Steps ask for the vectors of texts by yielding these, so that the caller encodes them in its own way: the server in a
# batch with the texts of other queries.
Steps = Generator[list[str], Iterable[Vectors], T]


def advance(steps: Steps[T], vectors: Iterable[Vectors] | None) -> list[str] | Done[T]:
    """Go on with steps; return the texts that they need next, or their result. `vectors` is None at the start."""
    try:
        return next(steps) if vectors is None else steps.send(vectors)
    except StopIteration as end:
        return Done(end.value)


def run(steps: Steps[T], encode: Callable[[list[str]], Iterable[Vectors]]) -> T:
    """Run steps to their end; `encode` returns the vectors (D,) of texts."""
    state = advance(steps, None)
    while not isinstance(state, Done):
        state = advance(steps, encode(state))
    return state.value


def plan_steps(
    planner: Planner, snapshot: Snapshot, picture: Callable[[str], Vectors]
) -> Steps[tuple[QueryPlan, QueryVectors]]:
    """Interpret a query, and have its texts encoded; return the plan and its vectors.

    If no picture passes both the caller's filters and those that words of the query became, these words are read as
    ordinary words.

    Args:
        picture: returns the vector (D,) of a picture, given the name that the query uses.
    """
    plan = planner.plan()
    vectors = plan.vectors((yield plan.texts), picture)
    if plan.has_filters:
        first = Page(1, 0, plan.add_filters(planner.page.filters))
        if not snapshot.search(vectors.terms[0], first, relevance=False):
            plan = planner.without_filters(plan)
            vectors = plan.vectors((yield plan.texts), picture)
    return plan, vectors


def search_steps(
    planner: Planner,
    snapshot: Snapshot,
    picture: Callable[[str], Vectors],
    text_weight: float,
    exclude: int | None = None,
) -> Steps[tuple[QueryPlan, list[Hit]]]:
    """Interpret a query, have its texts encoded, and search; return the plan, and one page of hits.

    If the query is only a date, an order or exclusions, the hits are ordered by date, with two exceptions: a minus term
    is a picture or has a weight below 1, so that it excludes no picture; or the gallery has too few pictures to decide
    which of them show an excluded thing. Then the hits that are least similar to the minus terms come first.

    Args:
        picture: returns the vector (D,) of a picture, given the name that the query uses.
        text_weight: how much words in the pictures' texts count, 0 (not at all) to 10.
        exclude: the store's id of a picture to leave out.
    """
    plan, vectors = yield from plan_steps(planner, snapshot, picture)
    page, excluded = planner.page, plan.excluded(vectors)
    dated = excluded is None or snapshot.scale is not None
    planned = replace(
        page,
        filters=plan.add_filters(page.filters),
        sort=page.sort if page.sort != SORTS[0] else plan.interpretation.sort or page.sort,
        by_date=plan.only_filters and dated and not plan.pushes_away,
        excluded=excluded,
        alone=plan.words_only_exclude,
    )
    # A gallery of few pictures has no relevance scale, which would tell the pictures that show an excluded thing. There
    # the excluded thing's vector is subtracted from the query's vector instead.
    vector = combine(vectors.terms, plan.query, subtract=snapshot.scale is None)
    text = plan.words_to_find(text_weight)
    return plan, snapshot.search(vector, planned, relevance=plan.has_relevance, exclude=exclude, text=text)

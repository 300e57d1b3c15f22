"""Routes to search by text, by pictures of the gallery, by uploaded pictures, and by any combination of these; to
explain why a picture was found; to list its near-duplicates; and to suggest completions of a query.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import APIRouter, File, Query, Request
from pydantic import BaseModel

from araclip.core.display import shown, shown_with_marks
from araclip.core.messages import message
from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import STORED_PREFIX, PictureRecord
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.explanation import explanation_steps
from araclip.gallery.plan import PARTS, Interpretation, Planner, QueryPart
from araclip.gallery.query import Query as ParsedQuery
from araclip.gallery.query import parse, with_terms
from araclip.gallery.ranking import Page
from araclip.gallery.reader import Snapshot
from araclip.gallery.reference_queries import ENGLISH, EVERYDAY
from araclip.gallery.results import Hit, Match, Result, Suggestion, WordShare, fits_nothing
from araclip.gallery.search import Steps, search_steps
from araclip.gallery.suggestions import completions, phrases_beginning_with
from araclip.models.vectors import Vectors
from araclip.server.http.errors import Problem
from araclip.server.routes.dependencies import (
    ONE_PICTURE,
    READ,
    ClientOf,
    GuardedRoute,
    ServiceOf,
    problems,
    read_upload,
    record_of,
    while_connected,
)
from araclip.server.schemas import (
    MAX_WHERE,
    Identity,
    NearAnswer,
    PictureSearch,
    SearchAnswer,
    SearchRequest,
    SuggestionsAnswer,
    TextSearch,
    Where,
)  # fmt: skip
from araclip.server.service import Service, decode_data_uri

router = APIRouter(route_class=GuardedRoute, tags=["search"], dependencies=READ)
ANSWERS = problems(400, 401, 403, 404, 422, 429, 503)
SENT = "sent-"  # picture:sent-0 in the query is the first uploaded picture of the request
MOST_NEAR = 200  # limit: near-duplicates in an answer
MAX_TYPED = 200  # limit: characters of a text to complete; a longer one is refused
MOST_SUGGESTED = 20
MAX_LEXICON_WORDS = 3  # words of the lexicon that are encoded for one answer, to suggest only those that find something
ARABIC_OF = {english: arabic for arabic, english in ENGLISH.items()}


@router.get("/search", responses=ANSWERS)
async def search(
    service: ServiceOf, request: Request, client: ClientOf, options: Annotated[TextSearch, Query()]
) -> SearchAnswer:
    """Search by text; best pictures first."""
    body = SearchRequest(**options.model_dump())
    return await while_connected(request, run_search(service, body, [], client))


@router.post("/search", responses=ANSWERS)
async def search_with_pictures(
    service: ServiceOf, request: Request, client: ClientOf, body: SearchRequest
) -> SearchAnswer:
    """Search by a weighted combination of texts, pictures of the gallery and uploaded pictures."""
    most = service.settings.max_upload
    sent = [await service.in_thread(partial(decode_data_uri, picture.data, most)) for picture in body.pictures]
    return await while_connected(request, run_search(service, body, sent, client))


@router.post("/search/image", dependencies=ONE_PICTURE, responses=ANSWERS)
async def search_by_image(
    service: ServiceOf, request: Request, client: ClientOf, options: Annotated[PictureSearch, File()]
) -> SearchAnswer:
    """Search by an uploaded picture, combined with the text `q` if it is given."""
    data = await read_upload(service, options.file)
    body = SearchRequest(**options.model_dump(exclude={"file"}))
    return await while_connected(request, run_search(service, body, [data], client, sent_weight=1.0))


async def run_search(
    service: Service, body: SearchRequest, sent: list[bytes], client: str, *, sent_weight: float | None = None
) -> SearchAnswer:
    """Run a search request; return one page of results.

    Args:
        sent: the bytes of the uploaded pictures.
        sent_weight: the weight of each uploaded picture; None to take the weights in `body.pictures`.
    """
    began = time.perf_counter()
    settings = service.settings
    _check_length(service, body.q)
    if body.k > settings.max_k:
        raise InputError(message("k", k=body.k, most=settings.max_k))
    weights = [picture.weight for picture in body.pictures] if sent_weight is None else [sent_weight] * len(sent)
    query = _parse_with_pictures(body, weights)
    gallery = service.gallery
    filters = await service.in_thread(lambda: gallery.filters(body.where, collapse=body.collapse is not None))
    page = Page(
        body.k + 1, body.offset, filters, body.threshold, body.sort
    )  # k + 1: the further hit tells whether there is a next page
    # Decode the pictures before the request takes one of the limited places for searches: decoding shall occupy none.
    pictures = await _sent_vectors(service, query, sent, client)
    planner = planner_of(service, query, page, literal=body.literal, ignore=body.ignore)
    with service.searches.entered(client):
        snapshot = service.gallery.snapshot
        steps = _page_steps(service, planner, snapshot, pictures, body.text_weight)
        results, more, passing, interpretation = await service.finish(steps, client)
    dated = body.sort != "relevance" or interpretation.sort is not None
    away = not results and not body.offset and await service.in_thread(gallery.is_away)
    return SearchAnswer(
        query=body.q,
        results=results,
        offset=body.offset,
        more=more,
        passing=passing,
        away=away,
        nothing_found=body.offset == 0
        and (not results or fits_nothing([each.relevance for each in results], by_date=dated)),
        took_ms=round((time.perf_counter() - began) * 1e3, 1),
        generation=snapshot.generation,
        interpretation=interpretation.answer(),
    )


def _check_length(service: Service, query: str) -> None:
    if len(query) > (most := service.settings.max_text):
        raise InputError(message("query characters", characters=len(query), most=most))


def planner_of(
    service: Service, query: ParsedQuery, page: Page, *, literal: bool, ignore: Collection[QueryPart]
) -> Planner:
    """Return the planner of a query, which knows the gallery's names of folders and places."""
    return Planner(
        query, service.interpreter, page, lambda explicit: service.gallery.overview().folders,
        service.gallery.place_names, literal, ignore,
    )  # fmt: skip


def _parse_with_pictures(body: SearchRequest, weights: list[float]) -> ParsedQuery:
    """Parse the query; add the pictures of `like` and the uploaded pictures as further terms, with their weights."""
    others = [(picture.id, picture.weight) for picture in body.like]
    others += [(f"{SENT}{number}", weight) for number, weight in enumerate(weights)]
    terms = " ".join(f"{'-' if weight < 0 else '+'} {abs(weight):.4f}:{STORED_PREFIX}{name}" for name, weight in others)
    return parse(with_terms(terms, body.q) if terms else body.q.strip())


async def _sent_vectors(service: Service, query: ParsedQuery, sent: list[bytes], client: str) -> dict[str, Vectors]:
    """Return the vectors of the uploaded pictures, by their names in the query, such as "sent-0"."""
    names = [term.value.removeprefix(STORED_PREFIX) for term in query.terms if term.kind != "text"]
    rows: dict[str, Vectors] = {}
    for name in names:
        if name.startswith(SENT) and name not in rows:
            number = name.removeprefix(SENT)
            if not (number.isascii() and number.isdigit() and int(number) < len(sent)):
                raise Problem("no-picture", id=shown(name[:40]))
            rows[name] = await service.picture_row(sent[int(number)], client)
    return rows


def named_record(service: Service, identity: str) -> PictureRecord:
    """Return the picture of the gallery that a query names; raise a Problem if no picture has this id."""
    if len(identity) != 32 or not set(identity) <= set("0123456789abcdef"):
        raise Problem("no-picture", id=shown(identity[:40]))
    return record_of(service, identity)


def stored_vector(service: Service, identity: str) -> Vectors:
    """Return the vector (D,) of a picture of the gallery; raise a Problem if no picture has this id."""
    return service.gallery.snapshot.vector(named_record(service, identity).content)


def _page_steps(
    service: Service, planner: Planner, snapshot: Snapshot, sent: Mapping[str, Vectors], text_weight: float
) -> Steps[tuple[list[Result], bool, int, Interpretation]]:
    """Search for `planner.page.k` hits, one more than the client options for.

    Return the results without the additional hit; True if the additional hit was found, so that there is a next page;
    the number of pictures that pass the filters; and how the query was read. If the query is just a picture of the
    gallery, this picture is left out.

    Args:
        sent: name of a picture that the client sent with the request → vector of the picture.
    """
    query, page = planner.query, planner.page
    only_picture = "" if query.of_texts or len(query.terms) > 1 else query.terms[0].value.removeprefix(STORED_PREFIX)
    record = named_record(service, only_picture) if only_picture and only_picture not in sent else None

    def picture(term: str) -> Vectors:
        name = term.removeprefix(STORED_PREFIX)
        return sent[name] if name in sent else stored_vector(service, name)

    plan, hits = yield from search_steps(planner, snapshot, picture, text_weight, record.content if record else None)
    more = len(hits) == page.k
    hits = hits[: page.k - 1]
    results = results_of(service, hits)
    passing = len(service.gallery.timeline(replace(plan.add_filters(page.filters), collapse=False)))
    return results, more, passing, service.suggestions.suggest(plan, hits, service.interpreter, service.gallery.store)


def results_of(service: Service, hits: Sequence[Hit]) -> list[Result]:
    """Convert hits to results for clients, each with its placeholder (a tiny preview) if one is stored."""
    pictures = [hit.picture for hit in hits if hit.picture]
    placeholders = service.thumbnails.placeholders([picture.id for picture in pictures])
    return [_make_result(each, hit, placeholders.get(each.id)) for each, hit in zip(pictures, hits, strict=True)]


def _make_result(picture: PictureRecord, hit: Hit, placeholder: str | None) -> Result:
    copy = next(copy for copy in picture.copies if copy.path == hit.path)
    matched = []
    for found in hit.matched:
        text, marks = shown_with_marks(found.text, found.marks)
        matched.append(Match(found.field, text, tuple(marks)))
    return Result(
        id=picture.id,
        score=round(hit.score, 4),
        relevance=None if hit.relevance is None else round(hit.relevance, 4),
        weak=hit.weak,
        name=copy.name,
        folder=copy.folder,
        width=picture.width,
        height=picture.height,
        placeholder=placeholder,
        copies=len(hit.copies),
        near=hit.near,
        time=hit.time,
        matched=matched,
    )


# ------------------------------------------------------------------ why a picture was found


class Explanation(BaseModel):
    """Why a query finds a picture."""

    words: list[WordShare]


@router.get("/images/{identity}/explain", responses=problems(400, 401, 403, 404, 422, 429, 503))
async def explain(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    identity: Identity,
    q: Annotated[str, Query(description="The query, as for /search.")],
    literal: Annotated[bool, Query(description="Take the words as they are typed.")] = False,
    ignore: Annotated[list[QueryPart], Query(max_length=len(PARTS), description="Parts taken as they are typed.")] = [],  # noqa: B006
) -> Explanation:
    """Return for each word of the query what the picture's score loses when the query is options without that word."""
    return await while_connected(request, _explain_words(service, client, identity, q, literal, ignore))


async def _explain_words(
    service: Service, client: str, identity: str, q: str, literal: bool, ignore: list[QueryPart]
) -> Explanation:
    _check_length(service, q)
    query = parse(q)
    planner = planner_of(service, query, Page(1, 0, Filters()), literal=literal, ignore=ignore)

    def named(term: str) -> Vectors:
        return stored_vector(service, term.removeprefix(STORED_PREFIX))

    with service.searches.entered(client):
        picture = await service.in_thread(lambda: stored_vector(service, identity))
        steps = explanation_steps(planner, service.gallery.snapshot, picture, named)
        _, _, shares = await service.finish(steps, client)
    return Explanation(words=[WordShare(word=each.word, share=round(each.share, 4)) for each in shares])


# ------------------------------------------------------------------ near-duplicates


@router.get("/images/{identity}/near", responses=problems(400, 401, 403, 404, 422, 429))
async def near(
    service: ServiceOf,
    client: ClientOf,
    identity: Identity,
    where: Annotated[list[Where], Query(max_length=MAX_WHERE, description="KEY=VALUE, as for /search.")] = [],  # noqa: B006
) -> NearAnswer:
    """Return at most 200 near-duplicates of a picture, such as scaled, recompressed or slightly cropped copies."""

    def find() -> list[Result]:
        record = record_of(service, identity)
        filters = service.gallery.filters(where)
        return results_of(service, service.gallery.snapshot.near(record.content, filters, MOST_NEAR))

    with service.searches.entered(client):
        return NearAnswer(results=await service.in_thread(find))


# ------------------------------------------------------------------ suggestions


@router.get("/suggestions", responses=problems(401, 403, 422, 429))
async def suggestions(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    q: Annotated[str, Query(max_length=MAX_TYPED, description="What is typed so far.")],
    k: Annotated[int, Query(ge=1, le=MOST_SUGGESTED)] = 8,
) -> SuggestionsAnswer:
    """Suggest queries that begin with the typed text. Nothing is sent to another host, and nothing typed is stored."""
    with service.searches.entered(client):
        return await while_connected(request, _make_suggestions(service, client, q, k))


async def _make_suggestions(service: Service, client: str, typed: str, most: int) -> SuggestionsAnswer:
    candidates = await service.in_thread(lambda: _find_candidates(service, typed))
    words = [text for text, row in candidates if row is None]
    encoded = dict(zip(words, await service.texts.rows(words, client), strict=True)) if words else {}
    return await service.in_thread(lambda: _select_suggestions(service, typed, most, candidates, encoded))


def _find_candidates(service: Service, typed: str) -> list[tuple[str, int | None]]:
    """Return queries that may complete the typed text, each with a row number.

    The row is that of the query, or of its Arabic original, in the list EVERYDAY; None for words of the lexicon.
    """
    rows = {text: row for row, text in enumerate(EVERYDAY)}
    everyday = phrases_beginning_with(typed, [*EVERYDAY, *ARABIC_OF], MOST_SUGGESTED)
    entries = service.interpreter.lexicon.entries
    lexicon = phrases_beginning_with(
        typed, [*(each.standard for each in entries), *(each.english for each in entries)], MOST_SUGGESTED
    )
    others = [text for text in dict.fromkeys(lexicon) if text not in everyday][:MAX_LEXICON_WORDS]
    return [(text, rows[ARABIC_OF.get(text, text)]) for text in everyday] + [(text, None) for text in others]


def _select_suggestions(
    service: Service,
    typed: str,
    most: int,
    candidates: list[tuple[str, int | None]],
    encoded: dict[str, Vectors],
) -> SuggestionsAnswer:
    gallery = service.gallery
    vectors = gallery.snapshot.reference.everyday
    examples = gallery.examples() if gallery.snapshot.scale else ()  # the queries that the page shows as examples
    queries_with_hits = [
        text for text, row in candidates
        if ARABIC_OF.get(text, text) in examples or gallery.finds(text, encoded[text] if row is None else vectors[row])
    ]  # fmt: skip
    store = gallery.store
    source = WordIndex(store) if isinstance(store, Catalog) else None
    places = dict.fromkeys(gallery.place_names().values())
    found = completions(typed, source, gallery.overview().folders, queries_with_hits, most, places)
    return SuggestionsAnswer(suggestions=[Suggestion(text=shown(each.text), kind=each.kind) for each in found])

"""Search: by text, by pictures of the gallery, by pictures that are sent, and by all of them together."""

import base64
import time
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, File, Form, Query, UploadFile
from numpy.typing import NDArray

from araclip.display import shown
from araclip.errors import InputError
from araclip.gallery.catalog.records import STORED_PREFIX, PictureRecord
from araclip.gallery.query import Query as Parsed
from araclip.gallery.query import combine, parse
from araclip.gallery.ranking import Page
from araclip.gallery.reader import Snapshot
from araclip.gallery.results import Hit
from araclip.server.problem_details import Problem
from araclip.server.routes.dependencies import READ, ServiceOf, problems
from araclip.server.schemas import MAX_OFFSET, MAX_WHERE, Result, SearchAnswer, SearchRequest, Where
from araclip.server.served_gallery import served_filters
from araclip.server.service import Service, picture_of

router = APIRouter(tags=["search"], dependencies=READ)
ANSWERS = problems(400, 401, 403, 404, 413, 422, 429, 503)
SENT = "sent-"  # names a picture of the request inside the query: picture:sent-0


@router.get("/search", responses=ANSWERS)
async def search(
    service: ServiceOf,
    q: Annotated[str, Query(description="The query; docs/queries.md is its grammar.")],
    k: Annotated[int, Query(ge=1)] = 24,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
    where: Annotated[
        list[Where], Query(max_length=MAX_WHERE, description="KEY=VALUE, as araclip search takes it.")
    ] = [],  # noqa: B006
    threshold: Annotated[float, Query(ge=0, le=1)] = 0.0,
    collapse: Annotated[Literal["near"] | None, Query(description="Of near-duplicates, the best only.")] = None,
) -> SearchAnswer:
    """The pictures that show what you type, best first."""
    asked = SearchRequest(q=q, k=k, offset=offset, where=where, threshold=threshold, collapse=collapse)
    return await found(service, asked, [])


@router.post("/search", responses=ANSWERS)
async def search_with_pictures(service: ServiceOf, asked: SearchRequest) -> SearchAnswer:
    """The same for a query of texts, pictures of the gallery and pictures that are sent, each with its weight."""
    sent = [picture_of(picture.data, service.settings.max_upload) for picture in asked.pictures]
    return await found(service, asked, sent)


@router.post("/search/image", responses=ANSWERS)
async def search_by_image(
    service: ServiceOf,
    file: Annotated[UploadFile, File(description="The picture to look for.")],
    q: Annotated[str, Form()] = "",
    k: Annotated[int, Form(ge=1)] = 24,
    offset: Annotated[int, Form(ge=0, le=MAX_OFFSET)] = 0,
    where: Annotated[list[Where], Form(max_length=MAX_WHERE)] = [],  # noqa: B006
    threshold: Annotated[float, Form(ge=0, le=1)] = 0.0,
    collapse: Annotated[Literal["near"] | None, Form()] = None,
) -> SearchAnswer:
    """The pictures that look like the one that is sent, and show what `q` says beside it."""
    data = await file.read()
    if len(data) > service.settings.max_upload:
        raise Problem("too-large", limit=service.settings.max_upload)
    asked = SearchRequest(q=q, k=k, offset=offset, where=where, threshold=threshold, collapse=collapse)
    return await found(service, asked, [data], sent_weight=1.0)


async def found(
    service: Service, asked: SearchRequest, sent: list[bytes], *, sent_weight: float | None = None
) -> SearchAnswer:
    """One page of answers."""
    began = time.perf_counter()
    settings = service.settings
    if len(asked.q) > settings.max_text:
        raise InputError(f"the query has {len(asked.q)} characters, the most is {settings.max_text}. Leave some out.")
    if asked.k > settings.max_k:
        raise InputError(f"k is {asked.k}, the most is {settings.max_k}. Ask for pages with offset.")
    weights = [picture.weight for picture in asked.pictures] if sent_weight is None else [sent_weight] * len(sent)
    query = _parsed(asked, weights)
    filters = served_filters(asked.where, collapse=asked.collapse is not None)
    page = Page(asked.k + 1, asked.offset, filters, asked.threshold)  # one more tells whether there is a next page
    with service.searches.entered():
        vector = combine(await _vectors(service, query, sent), query)
        snapshot = service.gallery.snapshot
        results, more = await service.in_thread(lambda: _results(service, snapshot, query, vector, page))
    return SearchAnswer(
        query=asked.q,
        results=results,
        offset=asked.offset,
        more=more,
        nothing_found=asked.offset == 0 and (not results or results[0].weak),
        took_ms=round((time.perf_counter() - began) * 1e3, 1),
        generation=snapshot.generation,
    )


def _parsed(asked: SearchRequest, weights: list[float]) -> Parsed:
    """The query with everything that stands beside its text as terms of its own."""
    beside = [(picture.id, picture.weight) for picture in asked.like]
    beside += [(f"{SENT}{number}", weight) for number, weight in enumerate(weights)]
    written = " ".join(
        f"{'-' if weight < 0 else '+'} {abs(weight):.4f}:{STORED_PREFIX}{name}" for name, weight in beside
    )
    text = asked.q.strip()
    if not written:
        return parse(text)
    if not text:
        return parse(written)
    signed = text[0] in "+-\u2212"
    return parse(f"{written} {'' if signed else '+ '}{text}")


async def _vectors(service: Service, query: Parsed, sent: list[bytes]) -> NDArray[np.float32]:
    """The vectors of the query's terms, (n, D)."""
    texts = iter(await service.texts.rows([term.value for term in query.terms if term.kind == "text"]))
    rows = []
    for term in query.terms:
        if term.kind == "text":
            rows.append(next(texts))
        elif (name := term.value.removeprefix(STORED_PREFIX)).startswith(SENT):
            rows.append(await _sent_vector(service, name, sent))
        else:
            rows.append(await service.in_thread(lambda name=name: _known_vector(service, name)))  # type: ignore[misc]
    return np.stack(rows)


async def _sent_vector(service: Service, name: str, sent: list[bytes]) -> NDArray[np.float32]:
    number = name.removeprefix(SENT)
    if not (number.isascii() and number.isdigit() and int(number) < len(sent)):
        raise Problem("no-picture", id=shown(name[:40]))
    size = service.model.image_size
    loaded = await service.sandbox.read(sent[int(number)], size, service.settings.max_pixels)
    assert loaded.decoded is not None
    return await service.pixels.row(loaded.decoded.pixels)


def _known_vector(service: Service, identity: str) -> NDArray[np.float32]:
    whole = len(identity) == 32 and set(identity) <= set("0123456789abcdef")
    known = service.gallery.store.record(identity) if whole else None
    if known is None:
        raise Problem("no-picture", id=shown(identity[:40]))
    return service.gallery.store.vector(known.content)


def _results(
    service: Service, snapshot: Snapshot, query: Parsed, vector: NDArray[np.float32], page: Page
) -> tuple[list[Result], bool]:
    """The page's results but the last, and whether there is a last.

    A picture of the gallery that is the whole query is left out of what looks like it.
    """
    alone = "" if query.of_texts or len(query.terms) > 1 else query.terms[0].value.removeprefix(STORED_PREFIX)
    known = service.gallery.store.record(alone) if alone and not alone.startswith(SENT) else None
    exclude = known.content if known else None
    pairs = snapshot.search_records(vector, page, relevance=query.of_texts, exclude=exclude)
    more = len(pairs) == page.k
    pairs = pairs[: page.k - 1]
    placeholders = service.thumbnails.placeholders([picture.id for picture, _ in pairs])
    return [_result(picture, hit, placeholders.get(picture.id)) for picture, hit in pairs], more


def _result(picture: PictureRecord, hit: Hit, placeholder: bytes | None) -> Result:
    found = next(copy for copy in picture.copies if copy.path == hit.path)
    return Result(
        id=picture.id,
        score=round(hit.score, 4),
        relevance=None if hit.relevance is None else round(hit.relevance, 4),
        weak=hit.weak,
        name=found.name,
        folder=found.folder,
        width=picture.width,
        height=picture.height,
        placeholder=f"data:image/webp;base64,{base64.b64encode(placeholder).decode()}" if placeholder else None,
        copies=len(hit.copies),
    )

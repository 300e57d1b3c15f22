"""Links that show one search: its pictures, their thumbnails and originals, and nothing else.

Every address below `/shared/TOKEN` reads the search out of the token, which only this server can sign, and answers for
the pictures that this search finds now. No token of a user is needed, and none is taken.
"""

import hashlib
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters
from araclip.server.http.fair_queue import Requester
from araclip.server.http.problem_details import Problem
from araclip.server.routes import pictures
from araclip.server.routes.browsing import listed
from araclip.server.routes.clients import RequesterOf, while_connected
from araclip.server.routes.dependencies import READ, GuardedRoute, ServiceOf, problems
from araclip.server.routes.search import run_search
from araclip.server.schemas import Identity, SearchRequest
from araclip.server.service import Service
from araclip.server.sharing.schemas import Share, SharedAnswer, SharedPicture, SharedSearch, ShareRequest

router = APIRouter(route_class=GuardedRoute, tags=["sharing"])
MOST_FOUND = 200  # pictures of a link to words
MOST_LISTED = 2_000  # pictures of a link to filters alone
KEPT = 64  # lists of pictures
Token = Annotated[str, Path(max_length=6_000)]
DAY = 86_400


@router.post("/shares", status_code=201, dependencies=READ, responses=problems(400, 401, 403, 409, 413, 422, 429, 503))
async def share(service: ServiceOf, request: Request, requester: RequesterOf, body: ShareRequest) -> Share:
    """A link to a search. It shows what the search finds whenever it is opened, and ends with its last day, or when a
    token of the server is changed.
    """
    token, expires = service.links.make(body.search.model_dump(exclude_defaults=True), body.days * DAY)
    found = await while_connected(request, _found(service, body.search, requester))
    if not found:
        raise InputError("the search finds nothing that could be shared.")
    return Share(token=token, address=f"shared#{token}", expires=expires, pictures=len(found))


@router.get("/shared/{token}/pictures", responses=problems(400, 404, 422, 429, 503))
async def shared(
    service: ServiceOf,
    request: Request,
    requester: RequesterOf,
    token: Token,
    k: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=MOST_LISTED)] = 0,
) -> SharedAnswer:
    """The pictures of a link."""
    search, expires = _read(service, token)
    found = await while_connected(request, _members(service, token, search, requester))
    some = list(found)[offset : offset + k]

    def described() -> list[SharedPicture]:
        records = [record for identity in some if (record := service.gallery.store.record(identity))]
        return [SharedPicture.of(each) for each in listed(service, records)]

    results = await service.in_thread(described)
    return SharedAnswer(query=search.q, results=results, offset=offset, pictures=len(found), expires=expires)


@router.get(
    "/shared/{token}/thumbnails/{identity}",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, **problems(400, 404, 422, 429, 503)},
)
async def shared_thumbnail(
    service: ServiceOf,
    request: Request,
    requester: RequesterOf,
    token: Token,
    identity: Identity,
    size: Annotated[Literal["256", "512", "1600"], Query()] = "256",
) -> Response:
    """A thumbnail of a picture of a link."""
    await _check(service, request, requester, token, identity)
    return _unkept(await pictures.thumbnail(service, request, requester, identity, size))


@router.get(
    "/shared/{token}/images/{identity}",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {}}},
        206: {"description": "A range of the bytes", "content": {"image/*": {}}},
        **problems(400, 404, 416, 422, 429, 503),
    },
)
async def shared_image(
    service: ServiceOf,
    request: Request,
    requester: RequesterOf,
    token: Token,
    identity: Identity,
    download: Annotated[bool, Query()] = False,
) -> Response:
    """The original of a picture of a link."""
    await _check(service, request, requester, token, identity)
    return _unkept(await pictures.image(service, request, requester, identity, download))


def _unkept(response: Response) -> Response:
    """A browser asks again each time, so that a link that has ended shows nothing."""
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _read(service: Service, token: str) -> tuple[SharedSearch, int]:
    search, expires = service.links.read(token)
    return SharedSearch.model_validate(search), expires


async def _check(service: Service, request: Request, requester: Requester, token: str, identity: str) -> None:
    """Refuse a picture that is none of the link's.

    Raises:
        Problem: "no-share", or "no-picture".
    """
    search, _ = _read(service, token)
    if identity not in await while_connected(request, _members(service, token, search, requester)):
        raise Problem("no-picture", id=identity)


async def _members(service: Service, token: str, search: SharedSearch, requester: Requester) -> dict[str, Any]:
    """The ids of a link's pictures, in order, found once for each generation of the gallery."""
    key = hashlib.sha256(token.encode()).digest(), service.gallery.snapshot.generation
    kept = service.shared
    if key not in kept:
        found = await _found(service, search, requester)
        kept[key] = dict.fromkeys(found)
        while len(kept) > KEPT:
            kept.pop(next(iter(kept)))
    members: dict[str, Any] = kept[key]
    return members


async def _found(service: Service, search: SharedSearch, requester: Requester) -> list[str]:
    """The ids of what a search finds: with words, what is not weak; with filters alone, what passes.

    Raises:
        InputError: it would show the whole gallery, or hidden pictures.
    """
    filters = await service.in_thread(lambda: service.gallery.browsing.filters(search.where))
    _check_narrow(search, filters)
    if search.q.strip():
        body = SearchRequest(**search.model_dump(), k=min(MOST_FOUND, service.settings.max_k))
        answer = await run_search(service, body, [], requester)
        return [result.id for result in answer.results if not result.weak]
    with service.searches.entered(requester):
        timeline = await service.in_thread(lambda: service.gallery.browsing.timeline(filters))
        ids = timeline.ids[:MOST_LISTED].tolist()
        return [record.id for record in await service.in_thread(lambda: service.gallery.browsing.records(ids))]


def _check_narrow(search: SharedSearch, filters: Filters) -> None:
    if getattr(filters, "hidden", False) is not False:
        raise InputError("hidden pictures cannot be shared. Leave out the filter 'hidden'.")
    if not search.q.strip() and replace(filters, collapse=False, every_scene=False) == Filters():
        raise InputError("a link shows a search, not the whole gallery. Search for words, or set a filter, first.")

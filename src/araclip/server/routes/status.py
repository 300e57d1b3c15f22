"""Routes about the server: statistics, events, health, metrics, a browser's session, and the indexing of folders."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from araclip.core.display import shown
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.reference_queries import ENGLISH
from araclip.gallery.suggestions import sort_by_pictures
from araclip.pictures import formats
from araclip.server.http.errors import Problem
from araclip.server.http.limits import GatedStream
from araclip.server.http.tokens import unauthorized
from araclip.server.indexing.supervisor import State
from araclip.server.indexing.worker import Cause
from araclip.server.routes.dependencies import READ, TOKEN_ONLY, WRITE, ClientOf, GuardedRoute, ServiceOf, problems
from araclip.server.schemas import Health, Session, SessionRequest, Stats
from araclip.server.service import Service

router = APIRouter(route_class=GuardedRoute, tags=["status"])
NEWEST = 24  # limit: pictures that are named as the newest while folders are indexed
FOLDERS = 50  # limit: folders in the page's menu of filters


@router.get("/stats", dependencies=READ, responses=problems(401, 403))
async def stats(service: ServiceOf, request: Request) -> Stats:
    """Return statistics of the gallery, and what the caller may do."""
    return await service.in_thread(lambda: _collect_stats(service, "write" in service.keys.scopes_of(request)))


def _collect_stats(service: Service, may_write: bool) -> Stats:
    allowed = {"hide": may_write and service.why_not_hide is None, "paths": service.settings.paths_shown}
    gallery, snapshot = service.gallery, service.gallery.snapshot
    numbers = gallery.overview()
    examples = gallery.examples()
    return Stats(
        pictures=snapshot.shown,
        files=numbers.files,
        model=gallery.model.label,
        width=gallery.model.width,
        formats=numbers.formats,
        reads=list(formats.READ),
        folders=[shown(name) for name in sort_by_pictures(numbers.folders)[:FOLDERS]],
        captured_at=list(numbers.captured_at) if numbers.captured_at else None,
        generation=snapshot.generation,
        uploads=service.settings.uploads,
        writable=service.settings.uploads and may_write,
        can=[name for name, holds in allowed.items() if holds],
        examples=list(examples),
        examples_en=[ENGLISH[text] for text in examples],
    )


@router.get(
    "/events",
    dependencies=READ,
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **problems(401, 403, 429)},
)
async def events(service: ServiceOf, client: ClientOf) -> StreamingResponse:
    """Send events: `indexing` (state, done, found, message) and `generation` (generation, pictures)."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = service.events.stream(service.settings.events_seconds)
    return GatedStream(stream, service.events.gate, client, headers=headers, media_type="text/event-stream")


@router.post("/session", dependencies=TOKEN_ONLY, responses=problems(401, 422))
async def session(service: ServiceOf, request: Request, response: Response, body: SessionRequest) -> Session:
    """Exchange a token for a cookie with the scope "read", for a browser's own requests: images, events."""
    keys = service.keys
    scopes = keys.scopes_of_token(body.token) if keys.needed else keys.scopes_of(request)
    if not scopes:
        raise unauthorized()
    if keys.needed:
        response.set_cookie(
            keys.cookie_name, keys.cookie(), max_age=keys.session_seconds, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
    response.headers["Cache-Control"] = "no-store"
    return Session(scopes=sorted(scopes), expires_in=keys.session_seconds)


@router.get("/healthz")
async def health() -> Health:
    """Answer that the server is alive."""
    return Health(status="ok")


@router.get("/readyz", responses=problems(503))
async def readiness(service: ServiceOf) -> Health:
    """Answer that searches work: the server has started, is not stopping, and can read the gallery."""
    if not service.ready:
        raise Problem("starting", headers={"Retry-After": "2"})
    # in a thread of asyncio, because the threads of searches may be busy
    await asyncio.to_thread(lambda: service.gallery.store.generation)
    return Health(status="ready")


@router.get(
    "/metrics",
    dependencies=READ,
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **problems(401, 403)},
)
async def metrics(service: ServiceOf) -> Response:
    """Return metrics in the format of Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


# ------------------------------------------------------------------ indexing


class Indexed(BaseModel):
    """The folders that the server indexes."""

    state: State | None = Field(description="null: this server indexes no folder. offered: none of it yet.")
    cause: Cause | None = Field(default=None, description="Of failed: why; the server's log has the message.")
    unread: dict[str, int] = Field(default={}, description="Files in formats that are not read, by kind.")
    folders: list[str] = Field(description="Their names, without paths.")
    allowed: bool = Field(description="Whether the caller may ask for it.")
    newest: list[str] = Field(description="Ids of the pictures that came last, while folders are indexed.")


@router.get("/index", dependencies=READ, responses=problems(401, 403))
async def index_state(service: ServiceOf, request: Request) -> Indexed:
    """Return the folders that the server indexes or offers to index, the progress, and the newest pictures."""
    allowed = "write" in service.keys.scopes_of(request)
    return await service.in_thread(lambda: _describe_indexing(service, allowed))


@router.post("/index", status_code=202, dependencies=WRITE, responses=problems(401, 403, 409))
async def index_now(service: ServiceOf) -> Indexed:
    """Index the server's folders now. If they are being indexed already, nothing new is started."""
    if service.indexing is None:
        raise Problem("nothing-to-index")
    await service.in_thread(service.indexing.start)
    return await service.in_thread(lambda: _describe_indexing(service, True))


def _describe_indexing(service: Service, allowed: bool) -> Indexed:
    indexing, store = service.indexing, service.gallery.store
    if indexing is None:
        return Indexed(state=None, folders=[], allowed=False, newest=[])
    newest = store.newest(NEWEST) if indexing.running and isinstance(store, Catalog) else []
    return Indexed(
        state=indexing.state, cause=indexing.cause, unread=indexing.unread, allowed=allowed, newest=newest,
        folders=[shown(folder.resolve().name) for folder in indexing.folders],
    )  # fmt: skip

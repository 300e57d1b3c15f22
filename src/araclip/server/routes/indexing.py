"""The folders that a server indexes, or offers to: how far that is, and the request to do it now."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from araclip.display import shown
from araclip.gallery.catalog.catalog import Catalog
from araclip.server.http.problem_details import Problem
from araclip.server.indexing.causes import Cause
from araclip.server.indexing.supervisor import State
from araclip.server.routes.dependencies import READ, WRITE, GuardedRoute, ServiceOf, problems
from araclip.server.service import Service

router = APIRouter(route_class=GuardedRoute, tags=["status"])
NEWEST = 24  # pictures


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
    """The folders that the server indexes or offers to, how far that is, and the pictures that came last."""
    allowed = "write" in service.keys.scopes_of(request)
    return await service.in_thread(lambda: _indexed(service, allowed))


@router.post("/index", status_code=202, dependencies=WRITE, responses=problems(401, 403, 409))
async def index_now(service: ServiceOf) -> Indexed:
    """Index the folders that the server was started for, now; where that has begun, it goes on."""
    if service.indexing is None:
        raise Problem("nothing-to-index")
    await service.in_thread(service.indexing.start)
    return await service.in_thread(lambda: _indexed(service, True))


def _indexed(service: Service, allowed: bool) -> Indexed:
    indexing, store = service.indexing, service.gallery.store
    if indexing is None:
        return Indexed(state=None, folders=[], allowed=False, newest=[])
    newest = store.newest(NEWEST) if indexing.running and isinstance(store, Catalog) else []
    return Indexed(
        state=indexing.state, cause=indexing.cause, unread=indexing.unread, allowed=allowed, newest=newest,
        folders=[shown(folder.resolve().name) for folder in indexing.folders],
    )  # fmt: skip

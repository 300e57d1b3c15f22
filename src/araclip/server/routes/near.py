"""The near-duplicates of a picture, which a search with collapse=near leaves out."""

from typing import Annotated

from fastapi import APIRouter, Query

from araclip.display import shown
from araclip.server.http.problem_details import Problem
from araclip.server.routes.clients import ClientOf
from araclip.server.routes.dependencies import READ, GuardedRoute, ServiceOf, problems
from araclip.server.routes.search import results_of
from araclip.server.schemas import MAX_WHERE, Identity, NearAnswer, Result, Where
from araclip.server.service import Service

router = APIRouter(route_class=GuardedRoute, tags=["search"], dependencies=READ)
MOST = 200  # near-duplicates of one picture


@router.get("/images/{identity}/near", responses=problems(400, 401, 403, 404, 422, 429))
async def near(
    service: ServiceOf,
    client: ClientOf,
    identity: Identity,
    where: Annotated[list[Where], Query(max_length=MAX_WHERE, description="KEY=VALUE, as for /search.")] = [],  # noqa: B006
) -> NearAnswer:
    """The near-duplicates of a picture (scaled, recompressed, cropped a little), itself left out; at most 200."""
    with service.searches.entered(client):
        return NearAnswer(results=await service.in_thread(lambda: _near(service, identity, where)))


def _near(service: Service, identity: str, where: list[str]) -> list[Result]:
    record = service.gallery.store.record(identity)
    if record is None:
        raise Problem("no-picture", id=shown(identity))
    filters = service.gallery.browsing.filters(where)
    return results_of(service, service.gallery.snapshot.near(record.content, filters, MOST))

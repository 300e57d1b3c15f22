"""Routes to browse without a query: a timeline, pictures by date, folders as albums, places."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, Query, Request

from araclip.core.display import shown
from araclip.errors import InputError
from araclip.gallery.catalog.records import PictureRecord
from araclip.gallery.results import Album, Listed, Month, Place
from araclip.server.routes.dependencies import READ, ClientOf, GuardedRoute, ServiceOf, problems, while_connected
from araclip.server.schemas import (
    MAX_WHERE,
    AlbumName,
    FoldersAnswer,
    PicturesAnswer,
    PlacesAnswer,
    TimelineAnswer,
    Where,
)
from araclip.server.service import Service

router = APIRouter(route_class=GuardedRoute, tags=["browsing"], dependencies=READ)
ANSWERS = problems(400, 401, 403, 422, 429, 503)
MOST = 500  # limit: pictures or albums in an answer
MAX_OFFSET = 1 << 40
Filter = Annotated[
    list[Where], Query(max_length=MAX_WHERE, description="KEY=VALUE as for /search; album=KEY too.")
]  # fmt: skip
T = TypeVar("T")


async def _run_in_thread(service: Service, request: Request, client: str, work: Callable[[], T]) -> T:
    """Run `work` in a thread and return its result. It counts as one of the limited number of concurrent searches."""
    with service.searches.entered(client):
        return await while_connected(request, service.in_thread(work))


@router.get("/timeline", responses=ANSWERS)
async def timeline(
    service: ServiceOf, request: Request, client: ClientOf, where: Filter = []  # noqa: B006
) -> TimelineAnswer:  # fmt: skip
    """Count the pictures taken in each month."""

    def answer() -> TimelineAnswer:
        gallery = service.gallery
        generation, found = gallery.generation, gallery.timeline(gallery.filters(where))
        months = [Month(month=each.month or None, pictures=each.pictures) for each in found.months]
        return TimelineAnswer(pictures=len(found), months=months, generation=generation)

    return await _run_in_thread(service, request, client, answer)


@router.get("/pictures", responses=ANSWERS)
async def pictures(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    where: Filter = [],  # noqa: B006
    k: Annotated[int, Query(ge=1, le=MOST)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Begin after so many pictures.")] = 0,
    cursor: Annotated[
        str | None, Query(max_length=60, description="`next` of an answer; pages by it never skip a picture.")
    ] = None,
) -> PicturesAnswer:
    """List pictures by the date they were taken, the newest first; pictures without a date come last."""
    if cursor is not None and offset:
        raise InputError("offset and cursor both say where to begin. Pass one of them.")

    def answer() -> PicturesAnswer:
        gallery = service.gallery
        generation, found = gallery.generation, gallery.timeline(gallery.filters(where))
        start = offset if cursor is None else found.position(cursor)
        records = gallery.records(found.ids[start : start + k].tolist())
        return PicturesAnswer(
            results=describe_records(service, records), offset=start, pictures=len(found),
            next=found.cursor_at(start + k), generation=generation,
        )  # fmt: skip

    return await _run_in_thread(service, request, client, answer)


def describe_records(service: Service, records: list[PictureRecord]) -> list[Listed]:
    """Describe pictures for a list, each with its placeholder (a tiny preview) if one is stored."""
    placeholders = service.thumbnails.placeholders([record.id for record in records])
    return [
        Listed(
            id=record.id,
            name=record.copies[0].name,
            folder=record.copies[0].folder,
            width=record.width,
            height=record.height,
            captured_at=record.captured_at and shown(record.captured_at),
            placeholder=placeholders.get(record.id),
            copies=len(record.copies) - 1,
            time=record.time,
        )
        for record in records
    ]


@router.get("/folders", responses=ANSWERS)
async def folders(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    inside: Annotated[str | None, Query(alias="in", max_length=40, description="The key of an album.")] = None,
    k: Annotated[int, Query(ge=1, le=MOST)] = 200,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> FoldersAnswer:
    """List folders as albums: those inside one album, or those at the top."""

    def answer() -> FoldersAnswer:
        gallery = service.gallery
        generation, albums = gallery.generation, gallery.albums()
        album = None if inside is None else albums.by_key.get(inside)
        if inside is not None and album is None:
            raise InputError(f"no album '{shown(inside):.40}'. Ask GET /folders for the albums there are.")
        below = album.albums if album else albums.top
        shown_albums = below[offset : offset + k]
        covers = {record.content: record.id for record in gallery.records([each.cover for each in shown_albums])}
        return FoldersAnswer(
            trail=[AlbumName(key=each.key, name=each.name) for each in album.trail] if album else [],
            pictures=album.own if album else 0,
            albums=[
                Album(
                    key=each.key, name=each.name, pictures=each.pictures, albums=len(each.albums),
                    cover=covers.get(each.cover),
                )
                for each in shown_albums
            ],
            more=offset + k < len(below),
            generation=generation,
        )  # fmt: skip

    return await _run_in_thread(service, request, client, answer)


@router.get("/places", responses=ANSWERS)
async def places(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    cell: Annotated[float, Query(gt=0, le=90, allow_inf_nan=False, description="Degrees of a cell of the grid.")] = 4,
    by: Annotated[Literal["cell", "town"], Query(description="town: gathered by town instead of in a grid.")] = "cell",
    where: Filter = [],  # noqa: B006
) -> PlacesAnswer:
    """Count where pictures were taken, in the cells of a grid or by town."""

    def answer() -> PlacesAnswer:
        gallery = service.gallery
        generation = gallery.generation
        found = gallery.places(gallery.filters(where), cell if by == "cell" else None)
        covers = {record.content: record.id for record in gallery.records([each.cover for each in found])}
        shown_places = [Place(**{**vars(each), "cover": covers.get(each.cover)}) for each in found]
        total = sum(each.pictures for each in found)
        return PlacesAnswer(pictures=total, places=shown_places, generation=generation)

    return await _run_in_thread(service, request, client, answer)

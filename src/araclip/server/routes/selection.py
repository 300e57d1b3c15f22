"""Routes for several pictures at once: download them as one archive, get their paths, hide them or show them again."""

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from araclip.core.display import shown
from araclip.gallery.catalog.records import PictureRecord
from araclip.server.archives import MAX_PICTURES, stream_zip
from araclip.server.http.errors import Problem
from araclip.server.http.limits import GatedStream
from araclip.server.originals import Original, open_original
from araclip.server.routes.dependencies import READ, WRITE, ClientOf, GuardedRoute, ServiceOf, problems, record_of
from araclip.server.schemas import Identity
from araclip.server.service import Service

router = APIRouter(route_class=GuardedRoute, tags=["selection"])
ARCHIVE_NAME = "AraCLIP.zip"


class Selection(BaseModel):
    """Pictures of the gallery, by their ids."""

    model_config = ConfigDict(extra="forbid")
    ids: Annotated[list[Identity], Field(min_length=1, max_length=MAX_PICTURES)]


class Prepared(BaseModel):
    """An archive that can be downloaded for ten minutes."""

    address: str = Field(description="Relative to the server's own.")
    pictures: int
    bytes: int


class Paths(BaseModel):
    """The paths of pictures on the server, in the order asked for; pictures without a file are left out."""

    paths: list[str]


class HiddenRequest(Selection):
    """Pictures to hide, or with `hidden` false to show again."""

    hidden: bool = True


class HiddenAnswer(BaseModel):
    """The number of pictures that were changed: hidden, or shown again."""

    changed: int


def _find_records(service: Service, ids: list[str]) -> list[PictureRecord]:
    """Return the pictures with these ids, each once; raise a Problem if the gallery lacks one of them."""
    return [record_of(service, identity) for identity in dict.fromkeys(ids)]


@router.post("/archives", status_code=201, dependencies=READ, responses=problems(401, 403, 404, 413, 422, 429, 503))
async def prepare_archive(service: ServiceOf, client: ClientOf, body: Selection) -> Prepared:
    """Prepare a ZIP archive of originals, to be downloaded from its address within ten minutes."""
    with service.searches.entered(client):
        records = await service.in_thread(lambda: _find_records(service, body.ids))
    key, size = service.archives.prepare(records)
    return Prepared(address=f"archives/{key}", pictures=len(records), bytes=size)


@router.get(
    "/archives/{key}",
    dependencies=READ,
    response_class=StreamingResponse,  # only for OpenAPI, which cannot describe the GatedStream that is returned
    responses={200: {"content": {"application/zip": {}}}, **problems(401, 403, 404, 422, 429)},
)
async def archive(
    service: ServiceOf, request: Request, client: ClientOf, key: Annotated[str, Path(max_length=64)]
) -> GatedStream:
    """Download a prepared archive. The files are not changed or compressed, and are read while the archive is sent."""

    def open_picture(identity: str) -> tuple[PictureRecord, Original] | None:
        record = service.gallery.store.record(identity)
        original = record and open_original(service.gallery.store, record)
        return (record, original) if record and original else None

    chosen = service.archives.pictures(key)
    stream = stream_zip(chosen, open_picture, service.in_thread, asyncio.to_thread, service.settings.max_archive)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(ARCHIVE_NAME, safe='')}",
    }
    return GatedStream(stream, service.sending, client, headers=headers, media_type="application/zip")


@router.post("/paths", dependencies=READ, responses=problems(401, 403, 404, 422, 429, 503))
async def paths(service: ServiceOf, client: ClientOf, body: Selection) -> Paths:
    """Return the paths of the selected pictures' files; answer with a problem if the server shows no paths."""
    if not service.settings.paths_shown:
        raise Problem("no-paths")
    with service.searches.entered(client):
        records = await service.in_thread(lambda: _find_records(service, body.ids))
    first = (next((copy.file for copy in record.copies if not copy.stored), None) for record in records)
    return Paths(paths=[shown(path) for path in first if path])


@router.post("/hidden", dependencies=WRITE, responses=problems(401, 403, 404, 409, 422, 429, 503))
async def set_hidden(service: ServiceOf, body: HiddenRequest) -> HiddenAnswer:
    """Hide pictures from searches and the timeline, or show them again; `where=hidden=yes` finds hidden ones."""
    if reason := service.why_not_hide:
        raise Problem("read-only", reason=reason[0], reason_ar=reason[1])

    def work() -> int:
        contents = [record.content for record in _find_records(service, body.ids)]
        return service.gallery.hide(contents, body.hidden)

    changed = await service.in_writer(work)
    # refresh now, and not when the background thread does: the next search must see the change
    if await service.in_thread(service.gallery.refresh):
        service.announce()
    return HiddenAnswer(changed=changed)

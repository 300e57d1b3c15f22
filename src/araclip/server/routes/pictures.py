"""Pictures by their id: thumbnails, originals, details; adding and removing pictures."""

import asyncio
import contextlib
import re
from pathlib import PureWindowsPath
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, File, Query, Request, Response, UploadFile
from starlette.types import Receive, Scope, Send

from araclip.core.display import shown, shown_lines, undirected
from araclip.gallery.catalog.records import STORED_PREFIX, Copy, PictureRecord, identity_of
from araclip.gallery.ingest.intake import STORED_SIDE
from araclip.gallery.results import Added
from araclip.pictures.image_transform import transform_of
from araclip.server.http.errors import Problem
from araclip.server.http.limits import Aborted, GatedStream
from araclip.server.http.representations import is_known
from araclip.server.originals import CONVERTED, Original, open_original
from araclip.server.routes.dependencies import (
    ONE_PICTURE,
    READ,
    WRITE,
    ClientOf,
    GuardedRoute,
    ServiceOf,
    problems,
    read_upload,
    record_of,
    while_connected,
)
from araclip.server.schemas import Details, Identity, PictureText, SameFile
from araclip.server.service import Service
from araclip.server.thumbnails import VERSION

router = APIRouter(route_class=GuardedRoute, tags=["pictures"])
# Browsers may keep the answer for ever, because an id is a hash of the content.
IMMUTABLE = "private, max-age=31536000, immutable"
UNTIL_INDEXED = "private, no-cache"
# If a browser opens a picture as a document, such as an SVG, no script in it runs.
ISOLATED = {"Content-Security-Policy": "default-src 'none'; sandbox"}
SENT_SIDE = 768  # pixels a side of a converted query picture: more than any model's input
SHOWN_SIDE = 4096  # limit: pixels a side of a picture that is converted so that browsers can show it
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@router.get(
    "/thumbnails/{identity}",
    dependencies=READ,
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, **problems(401, 403, 404, 422, 429)},
)
async def thumbnail(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    identity: Identity,
    size: Annotated[Literal["256", "512", "1600"], Query()] = "256",
) -> Response:
    """Return the picture upright, of at most `size` pixels a side, as WebP without any metadata."""
    etag = f'"{identity}-{size}-{VERSION}"'
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE, **ISOLATED}
    side, known = int(size), is_known(request, etag)

    def look_up() -> tuple[PictureRecord, bytes | None]:  # asks for the record first: that fails if the picture is gone
        return record_of(service, identity), None if known else service.thumbnails.get(identity, side)

    record, small = await service.in_thread(look_up)
    if known:
        return Response(status_code=304, headers=headers)
    if small is None:  # Decoding is cancelled when the client leaves: a page that is scrolled on cancels its requests.
        small, final = await while_connected(request, _create_thumbnail(service, client, record, side))
        if not final:
            headers |= {"ETag": f'"{identity}-stored-{size}-{VERSION}"', "Cache-Control": UNTIL_INDEXED}
    return Response(small, headers=headers, media_type="image/webp")


@router.post(
    "/thumbnails",
    dependencies=[*READ, *ONE_PICTURE],
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}, **problems(401, 403, 408, 413, 415, 422, 429)},
)
async def thumbnail_of_upload(
    service: ServiceOf, request: Request, client: ClientOf, file: Annotated[UploadFile, File()]
) -> Response:
    """Return an uploaded picture upright, of at most 768 pixels a side, as WebP without any metadata. Nothing is kept.

    The page converts query pictures in this way if the browser cannot read them.
    """
    data = await read_upload(service, file)
    most = service.settings.max_pixels
    small, *_ = await while_connected(request, service.sandbox.thumbnail(data, SENT_SIDE, client, most))
    return Response(small, headers=ISOLATED, media_type="image/webp")


async def _create_thumbnail(service: Service, client: str, picture: PictureRecord, side: int) -> tuple[bytes, bool]:
    """Make a thumbnail; return the thumbnail, and True if it is final. A final thumbnail is stored.

    A thumbnail is not final if it was made from the gallery's JPEG although `side` is larger than that JPEG: the
    picture's file may be indexed later, and gives a finer thumbnail.
    """
    with await _open_in_thread(service, client, picture) as original:
        small, placeholder = await _make_webp(service, client, picture.id, original, side)
        final = side <= STORED_SIDE or not original.path.startswith(STORED_PREFIX)

    def keep() -> None:
        if final and service.gallery.store.record(picture.id):  # the picture may have been removed meanwhile
            service.thumbnails.put(picture.id, side, small, placeholder)

    await service.in_thread(keep)
    return small, final


async def _make_webp(
    service: Service, client: str, identity: str, original: Original, side: int
) -> tuple[bytes, bytes]:
    """Return a WebP of at most `side` pixels a side, and a tiny preview; raise a Problem if the file has changed."""
    try:
        small, placeholder, *_ = await service.sandbox.thumbnail(
            lambda: asyncio.to_thread(original.picture), side, client
        )
    except Aborted:  # the picture's file has changed since it was opened
        raise Problem("no-picture", id=identity) from None
    return small, placeholder


@router.get(
    "/images/{identity}",
    dependencies=READ,
    response_class=Response,
    responses={
        200: {"content": {"image/*": {}}},
        206: {"description": "A range of the bytes", "content": {"image/*": {}}},
        **problems(401, 403, 404, 416, 422, 429),
    },
)
async def image(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    identity: Identity,
    download: Annotated[bool, Query()] = False,
) -> Response:
    """Return the original bytes of a picture; for a scene, the bytes of its video.

    Formats that browsers do not show (TIFF, HEIC, JPEG XL, JPEG 2000, RAW) are converted to WebP of at most 4,096
    pixels a side, unless `download` asks for the file.
    """
    etag, converted_etag = f'"{identity}"', f'"{identity}-{SHOWN_SIDE}-{VERSION}"'
    headers = {"ETag": etag, "Cache-Control": IMMUTABLE, **ISOLATED}
    picture = await service.in_thread(lambda: record_of(service, identity))
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    if not download and is_known(request, converted_etag):
        return Response(status_code=304, headers=headers | {"ETag": converted_etag})
    with contextlib.ExitStack() as stack:
        original = stack.enter_context(await _open_in_thread(service, client, picture))
        # The gallery's JPEG is sent only until the picture's file is indexed here, so it has an ETag of its own.
        if original.path.startswith(STORED_PREFIX):
            etag = f'"{identity}-stored"'
            headers |= {"ETag": etag, "Cache-Control": UNTIL_INDEXED}
            if is_known(request, etag):
                return Response(status_code=304, headers=headers)
        if original.media_type in CONVERTED and not download:
            converted = await while_connected(request, _make_webp(service, client, identity, original, SHOWN_SIDE))
            headers |= {"ETag": converted_etag, "Content-Disposition": "inline"}
            return Response(converted[0], headers=headers, media_type="image/webp")
        part = requested_range(request, original.size, etag)
        stack.pop_all()  # do not close the original here: the response does
    kind = "attachment" if download else "inline"
    name = quote(shown(original.name), safe="")  # RFC 8187; percent-encoding prevents the injection of headers
    headers["Content-Disposition"] = f"{kind}; filename*=UTF-8''{name}"
    return OriginalResponse(service, client, original, part, headers)


async def _open_in_thread(service: Service, client: str, picture: PictureRecord) -> Original:
    """Open the original of a picture in a thread of `service.opening`; raise a Problem if no file holds it any more."""
    await service.opening.acquire(client)
    opening = asyncio.ensure_future(asyncio.to_thread(open_original, service.gallery.store, picture))
    opening.add_done_callback(lambda _: service.opening.release(client))
    try:
        original = await asyncio.shield(opening)
    # The client has left, but a thread still opens the file: close the file when it is open.
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise
    if original is None:
        raise Problem("no-picture", id=picture.id)
    return original


def _close_unused(opening: asyncio.Future[Original | None]) -> None:
    if not opening.cancelled() and opening.exception() is None and (original := opening.result()):
        original.close()


@router.get("/images/{identity}/details", dependencies=READ, responses=problems(401, 403, 404, 422))
async def details(service: ServiceOf, identity: Identity) -> Details:
    """Return the details of a picture."""
    return await service.in_thread(lambda: _read_details(service, identity))


def _read_details(service: Service, identity: str) -> Details:
    picture = record_of(service, identity)
    first, *others = picture.copies
    return Details(
        id=picture.id,
        name=first.name,
        path=_shown_path(service, first),
        folder=first.folder,
        width=picture.width,
        height=picture.height,
        format=picture.format,
        bytes=first.size,
        time=first.time,
        captured_at=picture.captured_at,
        captured_by_name=picture.captured_by_name,
        camera=picture.camera and shown(picture.camera),
        lens=picture.lens and shown(picture.lens),
        latitude=picture.latitude,
        longitude=picture.longitude,
        place=picture.place and shown(picture.place),
        hidden=picture.hidden,
        added=picture.added,
        metadata=_make_displayable(dict(first.metadata)),
        copies=[copy.name for copy in others],
        files=[SameFile(name=copy.name, folder=copy.folder, path=_shown_path(service, copy)) for copy in others],
        texts=[
            PictureText(field=field, text=shown_lines(undirected(text)))
            for field, texts in service.gallery.snapshot.document(picture.content).items()
            if field in ("captions", "ocr")
            for text in texts
        ],
    )


def _shown_path(service: Service, copy: Copy) -> str | None:
    return shown(copy.file) if service.settings.paths_shown else None


def _make_displayable(value: Any) -> Any:
    """Return JSON in which every text, keys included, is safe to display."""
    if isinstance(value, dict):
        return {shown(str(key)): _make_displayable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_make_displayable(inner) for inner in value]
    return shown(value) if isinstance(value, str) else value


@router.post("/images", status_code=201, dependencies=WRITE + ONE_PICTURE, responses=problems(401, 403, 409, 422, 503))
async def upload(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    response: Response,
    file: Annotated[UploadFile, File(description="The picture.")],
) -> Added:
    """Add a picture. The response is sent when the picture is stored; searches find it about a second later.

    The gallery stores the picture as a JPEG of at most 1,024 pixels a side.
    """
    if not service.settings.uploads:
        raise Problem("uploads-off")
    data = await read_upload(service, file)
    decoding = service.sandbox.read(data, transform_of(service.model), service.settings.max_pixels, client)
    loaded = await while_connected(request, decoding)
    assert loaded.decoded is not None
    filename = file.filename or ""
    # a browser sends these characters of a file's name escaped (WHATWG)
    for escape, letter in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        filename = filename.replace(escape, letter)
    name = shown(PureWindowsPath(filename).name)[:200]  # split at slashes and at backslashes, as Windows does
    await service.in_writer(lambda: service.gallery.add(loaded, {"name": name} if name else {}))
    service.refresher.wake()
    identity = identity_of(loaded.digest)
    # a relative URL, because a proxy may serve this server below a path
    response.headers["Location"] = f"images/{identity}"
    facts = loaded.decoded.facts
    return Added(id=identity, name=name, width=facts.width, height=facts.height)


@router.delete("/images/{identity}", status_code=204, dependencies=WRITE, responses=problems(401, 403, 404, 409, 422))
async def delete(service: ServiceOf, identity: Identity) -> None:
    """Remove a picture, or the whole video of a scene. The file stays; indexing its folder adds the picture again."""
    if not service.settings.uploads:
        raise Problem("uploads-off")

    def remove() -> None:
        for removed in service.gallery.forget(record_of(service, identity)):
            service.thumbnails.forget(removed)

    await service.in_writer(remove)
    service.refresher.wake()


# ------------------------------------------------------------------ sending


class OriginalResponse(GatedStream):
    """Sends an original, or a range of it, while it is read from its file; the file is closed in every case."""

    def __init__(
        self,
        service: Service,
        client: str,
        original: Original,
        part: tuple[int, int] | None,
        headers: dict[str, str],
    ) -> None:
        start, stop = part or (0, original.size)
        headers |= {"Accept-Ranges": "bytes", "Content-Length": str(stop - start)}
        if part:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{original.size}"
        self._original = original
        super().__init__(
            original.pieces(start, stop, service.in_thread), service.sending, client,
            status_code=206 if part else 200, headers=headers, media_type=original.media_type,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._original:
            await super().__call__(scope, receive, send)


def requested_range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return start and stop of the range in a Range header.

    Return None, which means the whole file, if the header is missing, has no single range of bytes, or is for another
    version of the file (If-Range).

    Raises:
        Problem: the range begins behind the end of the file.
    """
    found = RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", etag) != etag or found[1] == found[2] == "":
        return None
    if found[1]:
        start, stop = int(found[1]), min(int(found[2] or size - 1) + 1, size)
        if found[2] and int(found[2]) < start:
            return None
    else:
        start, stop = max(0, size - int(found[2])), size
    if start >= stop:
        raise Problem("range", size=size, headers={"Content-Range": f"bytes */{size}"})
    return start, stop

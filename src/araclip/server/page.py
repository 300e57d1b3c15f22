"""The page: its files are read into memory at start, so that no request can name a path on the disk."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from araclip.server.http.problem_details import Problem

_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2"}


@dataclass(frozen=True)
class _File:
    data: bytes
    packed: bytes  # gzip
    media_type: str
    etag: str


def _files(folder: Traversable, prefix: str = "") -> dict[str, _File]:
    loaded: dict[str, _File] = {}
    if not folder.is_dir():
        return loaded
    for entry in folder.iterdir():
        if entry.is_dir():
            loaded |= _files(entry, f"{prefix}{entry.name}/")
        else:
            data = entry.read_bytes()
            suffix = entry.name[entry.name.rfind(".") :]
            kind = _TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
            loaded[prefix + entry.name] = _File(
                data, gzip.compress(data, 9, mtime=0), kind, f'W/"{hashlib.sha256(data).hexdigest()[:16]}"'
            )
    return loaded


def router() -> APIRouter:
    """`/`, `/shared` (the page of a link to a search) and `/assets/…`."""
    page_files = _files(files("araclip.server") / "web")
    routes = APIRouter(include_in_schema=False)

    def answer(request: Request, name: str) -> Response:
        file = page_files.get(name)
        if file is None:
            raise Problem("not-found")
        headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)
        return Response(file.data, headers=headers, media_type=file.media_type)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return answer(request, "index.html")

    @routes.api_route("/shared", methods=["GET", "HEAD"])
    async def shared(request: Request) -> Response:
        return answer(request, "shared.html")

    @routes.api_route("/favicon.ico", methods=["GET", "HEAD"])
    async def icon(request: Request) -> Response:
        return answer(request, "assets/mark.svg")

    @routes.api_route("/assets/{name:path}", methods=["GET", "HEAD"])
    async def asset(request: Request, name: str) -> Response:
        return answer(request, f"assets/{name}")

    return routes

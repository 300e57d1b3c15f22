"""Serve the web page. Its files are read into memory at start, so that no request can name a path on the disk.

The page's HTML names each asset by an address that contains the version of all assets. Browsers keep such a file
without asking again: requests for forty modules would take a third of the time until the page shows pictures. An
address without a version, or with an old version (from a page that was open while the server was upgraded), also gets
the present file; but then the browser asks at each use whether the file has changed.

The HTML also holds the names of filters, which the page needs before the first answer of the server.
"""

import gzip
import hashlib
import json
import mimetypes
import re
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from araclip.gallery.catalog.filters import LABELS
from araclip.server.http.errors import Problem
from araclip.server.http.representations import accepts_gzip, is_known

_ASSETS, _VERSION = "assets/", re.compile("^[0-9a-f]{12}/")
_FOR_A_YEAR = "max-age=31536000,immutable"  # Cache-Control for versioned files: browsers keep them and do not ask again
_TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2"}


@dataclass(frozen=True)
class _File:
    data: bytes
    compressed: bytes  # `data`, compressed by gzip
    media_type: str
    etag: str


def _read_files(folder: Traversable, prefix: str = "") -> dict[str, bytes]:
    """Return the contents of all files below a folder, by `prefix` + the file's path in the folder."""
    found: dict[str, bytes] = {}
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir():
            found |= _read_files(entry, f"{prefix}{entry.name}/")
        else:
            found[prefix + entry.name] = entry.read_bytes()
    return found


def _read_page() -> tuple[dict[str, _File], str]:
    """Read the page's files; return them by name, and the version of the assets, which the HTML's addresses contain."""
    found: dict[str, _File] = {}
    contents = _read_files(files("araclip.server") / "web")
    assets = b"".join(name.encode() + data for name, data in sorted(contents.items()) if name.startswith(_ASSETS))
    labels = json.dumps({name: {"ar": arabic, "en": english} for name, arabic, english in LABELS}, ensure_ascii=False)
    version = f"{hashlib.sha256(assets).hexdigest()[:12]}/"
    for name, data in contents.items():
        if name.endswith(".html"):
            data = data.replace(b'="assets/', f'="{_ASSETS}{version}'.encode())  # noqa: PLW2901
            data = data.replace(b'data-labels=""', f'data-labels="{escape(labels)}"'.encode())  # noqa: PLW2901
        kind = _TYPES.get(name[name.rfind(".") :]) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        etag = f'W/"{hashlib.sha256(data).hexdigest()[:16]}"'
        found[name] = _File(data, gzip.compress(data, 9, mtime=0), kind, etag)
    return found, version


def router() -> APIRouter:
    """Make the routes of the page, its assets, its manifest and its service worker.

    The manifest and the worker have addresses at the top, because each applies only to addresses below its own folder.
    """
    page_files, version = _read_page()
    routes = APIRouter(include_in_schema=False)

    def answer(request: Request, name: str, *, cacheable: bool = False) -> Response:
        file = page_files.get(name)
        if file is None:
            raise Problem("not-found")
        headers = {"Cache-Control": _FOR_A_YEAR} if cacheable else {"Cache-Control": "no-cache", "ETag": file.etag}
        headers["Vary"] = "Accept-Encoding"
        headers["Content-Type"] = file.media_type  # without a charset: all files are UTF-8
        if not cacheable and is_known(request, file.etag):
            return Response(status_code=304, headers=headers)
        if accepts_gzip(request.headers):
            return Response(file.compressed, headers=headers | {"Content-Encoding": "gzip"})
        return Response(file.data, headers=headers)

    @routes.get("/")
    async def index(request: Request) -> Response:
        return answer(request, "index.html")

    @routes.get("/manifest.webmanifest")
    async def manifest(request: Request) -> Response:
        return answer(request, "manifest.webmanifest")

    @routes.get("/worker.js")
    async def worker(request: Request) -> Response:
        return answer(request, "worker.js")

    @routes.post("/share")
    async def share() -> Response:
        """Redirect to the page. Another app has shared a picture, but the browser had dropped the service worker."""
        return RedirectResponse("./?shared", 303)  # `http.limits.BodyLimits` receives and drops the picture itself

    @routes.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return answer(request, "assets/mark.svg")

    @routes.get("/assets/{name:path}")
    async def asset(request: Request, name: str) -> Response:
        return answer(request, _ASSETS + _VERSION.sub("", name, 1), cacheable=name.startswith(version))

    return routes

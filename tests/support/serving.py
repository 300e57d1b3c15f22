"""A server for tests: a small gallery of real files, the app in this process, or behind a real socket in a thread."""

import base64
import contextlib
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image
from starlette.testclient import TestClient

import pictures
from araclip.client import Client
from araclip.gallery.open import open_gallery
from araclip.models.encoder import AraCLIP
from araclip.server.app import create_app
from araclip.server.http.errors import CODES
from araclip.server.run import Serving
from araclip.server.settings import Settings

READ, WRITE = "read-" + "r" * 32, "write-" + "w" * 32
BASE = "http://127.0.0.1:8000"


def photo_album(folder: Path) -> Path:
    """Fourteen pictures of three colours in two folders, one of them twice, one turned by its EXIF block."""
    for i in range(4):
        shade = 255 - 20 * i
        pictures.solid(folder / "رحلة" / f"أحمر {i}.png", (shade, 3 * i, 0), (64 + i, 48))
        pictures.solid(folder / "رحلة" / f"green{i}.png", (0, shade, 3 * i), (48, 64 + i))
        pictures.solid(folder / "بيت" / f"blue{i}.png", (3 * i, 0, shade), (40, 40 + i))
    pictures.written(folder / "بيت" / "copy of red.png", (folder / "رحلة" / "أحمر 0.png").read_bytes())
    pictures.oriented(folder / "turned.jpg", 6)
    return folder


@contextlib.contextmanager
def place_of(kind: str, folder: Path) -> Iterator[Path | str]:
    """Where a gallery can be: "folder", or an address: "postgres"."""
    if kind == "folder":
        yield folder / "gallery"
        return
    import postgres_server

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARACLIP_DATA", str(folder / "data"))
        yield postgres_server.new_address()


def make_gallery(place: Path | str, album: Path, model: Path) -> Path | str:
    """A gallery of an album, in a folder or on a server."""
    with open_gallery(place, model=AraCLIP(model, threads=1), create=True) as gallery:
        gallery.update([album])
    return place


def settings_for(gallery: Path | str, model: Path, **options: Any) -> Settings:
    """Settings that do not depend on this machine's environment."""
    return Settings.read(**{"gallery": gallery, "model": str(model), "decoders": 1, "decode_seconds": 60, **options})


@contextlib.contextmanager
def serving(settings: Settings, **options: Any) -> Iterator[TestClient]:
    """The app of these settings, started; a mistake of the server is an answer of status 500, as over the network."""
    with TestClient(create_app(settings), base_url=BASE, raise_server_exceptions=False, **options) as client:
        yield client


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """The same behind a real socket; its address, such as http://127.0.0.1:40123."""
    with running(settings) as (_, address):
        yield address


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[tuple[Serving, str]]:
    """The same, and the server itself, which runs in a thread of its own."""
    ready, addresses = threading.Event(), []

    def told(address: str) -> None:
        addresses.append(address.rstrip("/"))
        ready.set()

    server = Serving(settings, ready=told)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert ready.wait(120), "the server did not start"
            yield server, addresses[0]
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server did not stop"


def end_of_indexing(client: Client) -> str:
    """The state in which the indexing that goes on ends."""
    return next(data["state"] for kind, data in client.events() if kind == "indexing" and data["state"] != "running")


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture's bytes."""
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def data_uri(data: bytes) -> str:
    """A picture inside JSON."""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def problem(response: httpx2.Response, kind: str) -> dict[str, Any]:
    """The problem details of an answer, which must be of this kind; below /v1/ the error in OpenAI's shape."""
    found: dict[str, Any] = response.json()
    if response.request.url.path.startswith("/v1/"):
        assert response.headers["content-type"] == "application/json", response.text
        assert set(found) == {"error"}
        error: dict[str, Any] = found["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == CODES.get(kind, kind.replace("-", "_")), found
        assert (error["type"] == "server_error") == (response.status_code >= 500)
        return error
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert found["type"] == f"urn:araclip:problem:{kind}", found
    assert found["status"] == response.status_code
    return found

"""A page over a gallery in PostgreSQL: what differs from one in a folder. Searches: test_server_search.py."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from starlette.testclient import TestClient

import pictures
import postgres_server
from araclip import AraCLIP
from araclip.client import Client
from araclip.errors import GalleryNotFound, GalleryUnreachable, InputError
from araclip.gallery.open import open_gallery
from postgres_server import needs_private, needs_server
from serving import encoded, make_gallery, photo_album, problem, serving, settings_for

pytest.importorskip("pg8000")
from araclip.gallery.postgres import database as databases
from araclip.gallery.postgres.catalog import PostgresCatalog


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return photo_album(tmp_path / "album")


def ids(client: TestClient) -> dict[str, str]:
    found = client.get("/search", params={"q": "صورة", "k": 50}).json()["results"]
    return {result["name"]: result["id"] for result in found}


@needs_server
def test_pictures_come_from_files_or_what_the_gallery_keeps(address: str, album: Path, tiny_model: Path) -> None:
    make_gallery(address, album, tiny_model)
    with open_gallery(address, model=AraCLIP(tiny_model, threads=1)) as gallery:
        gallery.add([encoded(Image.new("RGB", (70, 50), (200, 9, 200)))], metadata={"name": "وردي.png"})
    with serving(settings_for(address, tiny_model)) as client:
        named = ids(client)
        file = client.get(f"/images/{named['green1.png']}")
        assert file.content == (album / "رحلة" / "green1.png").read_bytes()
        kept = client.get(f"/images/{named['وردي.png']}")
        assert (kept.status_code, kept.headers["content-type"]) == (200, "image/jpeg")
        small = client.get(f"/thumbnails/{named['turned.jpg']}")
        assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
        details = client.get(f"/images/{named['copy of red.png']}/details").json()
        assert (details["name"], details["copies"], details["width"]) == ("copy of red.png", ["أحمر 0.png"], 64)
        assert [each["folder"] for each in details["files"]] == ["رحلة"]
        (album / "رحلة" / "green1.png").unlink()
        problem(client.get(f"/images/{named['green1.png']}"), "no-picture")
        problem(client.get(f"/images/{'0' * 32}/details"), "no-picture")


@needs_server
def test_stats_are_counted_by_server_and_follow_generation(
    address: str, album: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_gallery(address, album, tiny_model)
    count, counted = PostgresCatalog.overview, list[str]()
    monkeypatch.setattr(PostgresCatalog, "overview", lambda self: (counted.append(self.generation), count(self))[1])
    with serving(settings_for(address, tiny_model)) as client:
        first = client.get("/stats").json()
        assert (first["pictures"], first["files"], first["captured_at"]) == (13, 14, None)
        assert first["folders"] == ["رحلة", "بيت", "album"]
        counted.clear()
        assert client.get("/stats").json() == first
        assert not counted
        for year in ("2019", "2023"):
            exif = Image.Exif()
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{year}:05:17 10:30:00"
            pictures.landscape((60 + int(year) % 7, 40)).save(album / f"{year}.jpg", exif=exif)
        with open_gallery(address, model=AraCLIP(tiny_model, threads=1)) as gallery:
            gallery.update([album])
        ends = time.monotonic() + 60
        while client.get("/stats").json()["pictures"] != 15:
            assert time.monotonic() < ends, "the new generation was not taken up"
            time.sleep(0.05)
        later = client.get("/stats").json()
        assert later["captured_at"] == ["2019-05-17T10:30:00", "2023-05-17T10:30:00"]
        assert later["files"] == 16
        assert "2023.jpg" in ids(client)


@needs_private
def test_while_postgres_server_is_unavailable_requests_get_503(
    address: str, album: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAUSE", 0.02)
    make_gallery(address, album, tiny_model)
    server = postgres_server.private()
    with serving(settings_for(address, tiny_model)) as client:
        server.stop(at_once=True)
        answer = client.get("/search", params={"q": "أحمر"}, headers={"Accept-Language": "ar"})
        assert problem(answer, "gallery")["status"] == 503
        assert str(server.folder) not in answer.text
        assert client.get("/healthz").status_code == 200
        server.start()
        assert client.get("/search", params={"q": "أحمر", "k": 1}).json()["results"]


@needs_server
def test_what_a_page_cannot_do_there_is_refused_with_what_to_do(
    address: str, album: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="keeps no text"):
        settings_for(address, tiny_model, index=(album,), ocr=True)
    with pytest.raises(GalleryNotFound, match="araclip index"), serving(settings_for(address, tiny_model)):
        pass
    with pytest.raises(GalleryUnreachable), serving(settings_for("postgresql://me@127.0.0.1:9/pictures", tiny_model)):
        pass
    make_gallery(address, album, tiny_model)
    settings = settings_for(address, tiny_model)
    assert settings.own_folder.parent == tmp_path / "data" / "served"
    with serving(settings) as client:
        problem(client.post("/images", files={"file": ("a.png", b"x")}), "uploads-off")
    assert (settings.own_folder / "thumbnails.sqlite").exists()


@needs_server
def test_the_command_serves_an_address_and_logs_no_request(
    address: str, album: Path, tiny_model: Path, tmp_path: Path
) -> None:
    make_gallery(address, album, tiny_model)
    command = [sys.executable, "-m", "araclip.cli", "serve", "--port", "0", "--gallery", address, "--model", tiny_model]
    said = tmp_path / "said"
    with said.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as running:
        try:
            ends = time.monotonic() + 60
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", said.read_text())):
                assert time.monotonic() < ends
                time.sleep(0.05)
            with Client(found[0]) as client:
                assert client.search("أحمر", k=1).results[0].name
            time.sleep(2)  # it looks for a new generation every second
        finally:
            running.terminate()
    assert address in said.read_text()
    assert "HTTP" not in said.read_text()

"""Several pictures as one archive: its format, its names, and what it never holds."""

import io
import os
import shutil
import subprocess
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

import pictures
from araclip import AraCLIP, Gallery
from araclip.server.archives import MAX_NAME, SendBuffer, UniqueNames, ZipEntry
from serving import READ, WRITE, bearer, encoded, make_gallery, problem, serving, settings_for

NAMES = ("قطة على طاولة.png", "قطة على طاولة.png", "a:b?.png", "CON.png", "Ca.png", "ca.PNG")


def album(root: Path) -> Path:
    """A picture of each name, each in a folder of its own."""
    for number, name in enumerate(NAMES):
        pictures.solid(root / f"{number}" / name.replace(":", "\uf03a"), (40 * number, 9, 9), (30 + number, 20))
    return root


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    return Path(make_gallery(folder / "gallery", album(folder / "album"), tiny_model))


@pytest.fixture(scope="module")
def client(gallery: Path, tiny_model: Path) -> Iterator[TestClient]:
    with serving(settings_for(gallery, tiny_model)) as client:
        yield client


def ids(client: TestClient) -> list[str]:
    return [each["id"] for each in client.get("/pictures").json()["results"]]


def archive(client: TestClient, chosen: list[str], **options: object) -> zipfile.ZipFile:
    prepared = client.post("/archives", json={"ids": chosen}, **options)
    assert prepared.status_code == 201, prepared.text
    answer = client.get(f"/{prepared.json()['address']}", **options)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    return zipfile.ZipFile(io.BytesIO(answer.content))


def test_an_archive_has_originals_under_names_for_every_system(client: TestClient) -> None:
    chosen = ids(client)
    with archive(client, chosen) as found:
        assert found.testzip() is None
        assert {info.compress_type for info in found.infolist()} == {zipfile.ZIP_STORED}
        assert all(info.flag_bits == 0x800 for info in found.infolist())  # UTF-8, sizes in front
        names = [info.filename for info in found.infolist()]
        assert len({name.casefold() for name in names}) == len(NAMES)
        assert "قطة على طاولة.png" in names
        assert "قطة على طاولة (2).png" in names
        assert "_CON.png" in names
        assert {"ca (2).PNG", "Ca (2).png"} & set(names)
        assert not any(letter in name for name in names for letter in ':?*"<>|\\/')
        originals = {client.get(f"/images/{identity}").content for identity in chosen}
        assert {found.read(name) for name in names} == originals


def test_an_uploaded_picture_is_saved_under_its_own_name(tmp_path: Path, tiny_model: Path) -> None:
    place = make_gallery(tmp_path / "gallery", album(tmp_path / "album"), tiny_model)
    sent = encoded(Image.new("RGB", (70, 50), (250, 200, 10)))
    with serving(settings_for(place, tiny_model, uploads=True)) as client:
        identity = client.post("/images", files={"file": ("ليمون أصفر.png", sent)}).json()["id"]
        answer = client.get(f"/images/{identity}", params={"download": "1"})
        assert answer.headers["content-type"] == "image/jpeg"
        assert unquote(answer.headers["content-disposition"]) == "attachment; filename*=UTF-8''ليمون أصفر.jpg"
        with archive(client, [identity]) as found:
            assert found.namelist() == ["ليمون أصفر.jpg"]


@pytest.mark.skipif(not shutil.which("unzip"), reason="needs unzip")
def test_unzip_unpacks_arabic_names(client: TestClient, tmp_path: Path) -> None:
    prepared = client.post("/archives", json={"ids": ids(client)[:2]}).json()
    (tmp_path / "a.zip").write_bytes(client.get(f"/{prepared['address']}").content)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(["unzip", "-q", "a.zip", "-d", "out"], cwd=tmp_path, check=True, env=environment)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_what_was_changed_or_is_gone_is_named_and_left_out(tmp_path: Path, tiny_model: Path) -> None:
    place = Path(make_gallery(tmp_path / "gallery", album(tmp_path / "album"), tiny_model))
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    with serving(settings_for(place, tiny_model)) as client:
        chosen = ids(client)
        first, second = sorted((tmp_path / "album").rglob("قطة*"))
        first.unlink()
        first.symlink_to(secret)
        second.write_bytes(b"another file")
        with archive(client, chosen) as found:
            names = [info.filename for info in found.infolist()]
            assert len(names) == len(NAMES) - 2 + 1
            assert found.read("not-included.txt").decode("utf-8-sig").split("\r\n")[:2] == ["قطة على طاولة.png"] * 2
            assert not any(b"secret" in found.read(name) for name in names)


def test_an_archive_is_bounded_in_pictures_and_bytes(gallery: Path, tiny_model: Path) -> None:
    with serving(settings_for(gallery, tiny_model, max_archive=300)) as client:
        chosen = ids(client)
        assert problem(client.post("/archives", json={"ids": chosen}), "large-archive")["detail"]
        assert client.post("/archives", json={"ids": chosen[:1]}).status_code == 201
        problem(client.post("/archives", json={"ids": [f"{number:032x}" for number in range(1001)]}), "invalid")
        problem(client.post("/archives", json={"ids": []}), "invalid")
        problem(client.post("/archives", json={"ids": ["0" * 32]}), "no-picture")
        problem(client.get("/archives/nothing"), "no-archive")


def test_lists_of_archives_end_with_their_time(tmp_path: Path, tiny_model: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery", album(tmp_path / "album"), tiny_model)
    with serving(settings_for(gallery, tiny_model)) as client:
        archives, chosen = client.app.state.service.archives, ids(client)
        prepared = client.post("/archives", json={"ids": chosen}).json()["address"]
        with Gallery.open(gallery, model=AraCLIP(tiny_model, threads=1)) as opened:
            opened.remove([tmp_path / "album" / "3" / "CON.png"])
        with zipfile.ZipFile(io.BytesIO(client.get(f"/{prepared}").content)) as found:
            assert found.read("not-included.txt").decode("utf-8-sig") == "CON.png\r\n"
        later = time.monotonic() + 3600
        archives._now = lambda: later
        client.post("/archives", json={"ids": chosen[:1]})
        assert len(archives._prepared) == 1


def test_archives_paths_and_hiding_need_their_rights(gallery: Path, tiny_model: Path) -> None:
    options = {"token_read": READ, "token_write": WRITE, "show_paths": False}
    with serving(settings_for(gallery, tiny_model, **options)) as client:
        chosen = [each["id"] for each in client.get("/pictures", headers=bearer(READ)).json()["results"]]
        for path in ("/archives", "/paths", "/hidden"):
            problem(client.post(path, json={"ids": chosen}), "unauthorized")
        prepared = client.post("/archives", json={"ids": chosen}, headers=bearer(READ)).json()
        problem(client.get(f"/{prepared['address']}"), "unauthorized")
        problem(client.post("/hidden", json={"ids": chosen}, headers=bearer(READ)), "forbidden")
        problem(client.post("/paths", json={"ids": chosen}, headers=bearer(READ)), "no-paths")


def test_paths_are_given_where_they_are_shown(client: TestClient) -> None:
    found = client.post("/paths", json={"ids": ids(client)[:2]}).json()["paths"]
    assert len(found) == 2
    assert all(Path(path).is_file() for path in found)


def test_hidden_pictures_leave_lists_and_searches_and_come_back(client: TestClient) -> None:
    everything = ids(client)
    chosen = everything[:2]
    assert client.post("/hidden", json={"ids": chosen}).json() == {"changed": 2}
    assert client.post("/hidden", json={"ids": chosen}).json() == {"changed": 0}
    assert ids(client) == everything[2:]
    hits = client.get("/search", params={"q": "لون", "k": 20}).json()["results"]
    assert not {each["id"] for each in hits} & set(chosen)
    assert sum(each["pictures"] for each in client.get("/folders").json()["albums"]) == len(everything) - 2
    seen = client.get("/pictures", params={"where": "hidden=yes"}).json()["results"]
    assert {each["id"] for each in seen} == set(chosen)
    assert client.post("/hidden", json={"ids": chosen, "hidden": False}).json() == {"changed": 2}
    assert ids(client) == everything


@given(st.lists(st.text(max_size=200), max_size=12))
def test_names_are_different_everywhere_and_writable(given_names: list[str]) -> None:
    names = UniqueNames()
    found = [names.reserve(name) for name in given_names]
    assert len({unicodedata.normalize("NFD", name).casefold() for name in found}) == len(found)
    for name in found:
        assert name == name.strip()
        assert not name.endswith(".")
        assert len(name.encode()) <= MAX_NAME
        assert not set(name) & set('<>:"/\\|?*\x00')


@given(st.lists(st.binary(max_size=50), max_size=6), st.sampled_from(["", "2023-05-17T18:30:44", "1975-01-01", "x"]))
def test_python_reads_what_is_written(files: list[bytes], date: str) -> None:
    out = SendBuffer()
    with zipfile.ZipFile(out, "w") as made:
        for number, data in enumerate(files):
            with made.open(ZipEntry(f"صورة {number}.jpg", date, zlib.crc32(data), len(data)), "w") as file:
                file.write(data)
    with zipfile.ZipFile(io.BytesIO(out.take_bytes())) as found:
        assert found.testzip() is None
        assert [found.read(info) for info in found.infolist()] == files
        if date.startswith("2023"):
            assert all(info.date_time == (2023, 5, 17, 18, 30, 44) for info in found.infolist())

"""Pictures over HTTP: thumbnails, originals, details; adding and removing; and never a file that is no picture."""

import asyncio
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import ExifTags, Image
from starlette.testclient import TestClient

import pictures
from araclip.core.display import shown
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.gallery.gallery import Gallery
from araclip.models.encoder import AraCLIP
from araclip.server import originals, thumbnails
from araclip.server import served_gallery as uploads
from araclip.server.http.gates import Slots
from araclip.server.http.limits import Aborted
from araclip.server.routes import pictures as routes
from araclip.server.thumbnails import Thumbnails
from serving import encoded, make_gallery, photo_album, problem, serving, settings_for

BIDI = "\u202egpj.صورة\u2066"


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = photo_album(tmp_path_factory.mktemp("pictures") / "album")
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SECRET CAMERA"
    exif[ExifTags.Base.Orientation] = 6
    pictures.landscape((400, 200)).save(folder / "private.jpg", exif=exif, comment=b"SECRET PLACE")
    pictures.solid(folder / f"{BIDI}.png", (9, 9, 9))
    pictures.solid(folder / "a\r\nX-Evil: 1.png", (200, 200, 10))
    pictures.solid(folder / "swapped.png", (120, 60, 30))
    pictures.solid(folder / "changed.png", (30, 60, 120))
    pictures.solid(folder / "piped.png", (60, 120, 30))
    return folder


@pytest.fixture(scope="module")
def gallery(album: Path, tiny_model: Path) -> Path:
    return make_gallery(album.parent / "gallery", album, tiny_model)


@pytest.fixture(scope="module")
def client(gallery: Path, tiny_model: Path) -> Iterator[TestClient]:
    with serving(settings_for(gallery, tiny_model, uploads=True)) as client:
        yield client


def id_of(client: TestClient, part: str) -> str:
    found = client.get("/search", params={"q": "صورة", "k": 50}).json()["results"]
    return next(result["id"] for result in found if part in result["name"])


def named(client: TestClient, identity: str) -> dict[str, object]:
    """The result that a picture is in a search."""
    found = client.get("/search", params={"q": "صورة", "k": 50}).json()["results"]
    return next(result for result in found if result["id"] == identity)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# ------------------------------------------------------------------ thumbnails


def test_a_thumbnail_is_upright_small_and_only_the_picture(client: TestClient) -> None:
    answer = client.get(f"/thumbnails/{id_of(client, 'private')}")
    assert answer.headers["content-type"] == "image/webp"
    assert b"SECRET" not in answer.content
    small = opened(answer.content)
    assert small.size == (128, 256)  # the file lies on its side: 400 × 200
    assert not small.getexif()
    assert {"exif", "icc_profile", "comment", "xmp"}.isdisjoint(small.info)


def test_an_upload_becomes_a_small_picture_without_metadata(client: TestClient, album: Path) -> None:
    before = client.get("/stats").json()
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SECRET CAMERA"
    written = io.BytesIO()
    pictures.landscape((2000, 1000)).save(written, "TIFF", exif=exif)
    answer = client.post("/thumbnails", files={"file": written.getvalue()})
    assert (answer.headers["content-type"], opened(answer.content).size) == ("image/webp", (768, 384))
    assert b"SECRET" not in answer.content
    assert client.get("/stats").json() == before
    assert "TIFF" in before["reads"]
    refused = client.post("/thumbnails", files={"file": b"<svg></svg>"}, headers={"Accept-Language": "ar"})
    assert all(name in problem(refused, "bad-picture")["detail"] for name in before["reads"])


def test_a_turned_picture_looks_the_same_as_the_upright_one(client: TestClient) -> None:
    small = opened(client.get(f"/thumbnails/{id_of(client, 'turned')}?size=512").content).convert("RGB")
    upright = pictures.landscape()
    assert small.size == upright.size  # nothing is made larger than it is
    assert np.abs(np.asarray(small, np.int16) - np.asarray(upright, np.int16)).mean() < 12


def test_a_picture_with_a_thumbnail_has_a_small_placeholder(client: TestClient) -> None:
    identity = id_of(client, "private")
    client.get(f"/thumbnails/{identity}")
    found = named(client, identity)
    assert found["placeholder"].startswith("data:image/webp;base64,")
    assert len(found["placeholder"]) <= 200


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a,b", W/"c" ,W/{},"d"', "*"])
@pytest.mark.parametrize("address", ["/thumbnails/{}", "/images/{}", "/"])
def test_what_the_browser_has_is_not_sent_again(client: TestClient, address: str, form: str) -> None:
    address = address.format(id_of(client, "private"))
    first = client.get(address)
    strong = first.headers["etag"].removeprefix("W/")
    again = client.get(address, headers={"If-None-Match": form.format(strong)})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(address, headers={"If-None-Match": strong[:-1] + 'x"'}).content == first.content
    assert ("immutable" in first.headers["cache-control"]) == (address != "/")


@pytest.mark.parametrize("address", ["/thumbnails/{}", "/images/{}", "/images/{}/details", "/search?q=red", "/events"])
def test_head_has_the_headers_of_get_and_no_body(client: TestClient, address: str) -> None:
    address = address.format(id_of(client, "private"))
    head = client.head(address, headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    if address != "/events":  # which has no end
        got = client.get(address, headers={"Accept-Encoding": "identity"})
        assert len(got.content) > 20
        assert head.headers.keys() == got.headers.keys()
        assert head.headers["content-type"] == got.headers["content-type"]
        if "search" not in address:  # its time is a number of other digits
            assert head.headers["content-length"] == str(len(got.content))
    assert client.head("/images/nothing").status_code == 422
    assert client.head("/uploads").status_code in (404, 405)


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [("gzip", True), ("br;q=1, *;q=0.1", True), ("gzip;q=0", False), ("gzip; q=0.000, br", False), ("", False),
     ("identity", False), ("*;q=0", False), ("gzip;q=x", False)],
)  # fmt: skip
def test_json_is_compressed_for_those_who_take_it(client: TestClient, accepted: str, coded: bool) -> None:
    for address in ("/search?q=red&k=50", "/", "/openapi.json"):
        answer = client.get(address, headers={"Accept-Encoding": accepted})
        assert ("content-encoding" in answer.headers) == coded, address
        assert "Accept-Encoding" in answer.headers["vary"]
    assert client.get("/search?q=red&k=50").json()["results"]
    small = client.get(f"/images/{'0' * 32}/details", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


def test_a_picture_is_read_for_a_thumbnail_at_its_turn(
    client: TestClient, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, real, decoding = client.app.state.service.sandbox, originals.Original.read, []

    def read(original: originals.Original, start: int, length: int) -> bytes:
        if length == original.size:  # the whole, not a piece for the hash
            decoding.append(sandbox.inside)
            if len(decoding) > 1:
                raise Aborted
        return real(original, start, length)

    monkeypatch.setattr(originals.Original, "read", read)
    address = f"/thumbnails/{id_of(client, 'green1')}"
    assert client.get(address).status_code == 200
    problem(client.get(f"{address}?size=512"), "no-picture")  # changed while it waited
    assert decoding == [1, 1]


def test_thumbnails_survive_restart_and_need_picture_no_more(tmp_path: Path, tiny_model: Path) -> None:
    album = photo_album(tmp_path / "album")
    gallery = make_gallery(tmp_path / "gallery", album, tiny_model)
    settings = settings_for(gallery, tiny_model, cache=tmp_path / "cache")
    with serving(settings) as client:
        identity = id_of(client, "green0")
        first = client.get(f"/thumbnails/{identity}").content
    (album / "رحلة" / "green0.png").unlink()
    with serving(settings) as client:
        assert client.get(f"/thumbnails/{identity}").content == first
        problem(client.get(f"/thumbnails/{identity}?size=512"), "no-picture")


def test_the_cache_of_thumbnails_stays_within_its_bytes(tmp_path: Path) -> None:
    cache = Thumbnails(tmp_path, most_bytes=10_000)
    for i in range(50):
        cache.put(f"{i:032x}", 256, bytes([i]) * 1000, b"tiny")
        assert cache.size <= 10_000
    assert cache.get(f"{49:032x}", 256) == bytes([49]) * 1000
    assert cache.get(f"{0:032x}", 256) is None
    kept = [i for i in range(50) if cache.get(f"{i:032x}", 256)]
    cache.put(f"{kept[0]:032x}", 256, b"smaller", b"tiny")
    assert cache.size == 1000 * (len(kept) - 1) + len(b"smaller")
    assert set(cache.placeholders([f"{i:032x}" for i in range(50)])) == {f"{i:032x}" for i in kept}
    for i in kept:
        cache.forget(f"{i:032x}")
    assert cache.size == 0
    cache.close()


def test_a_damaged_cache_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / thumbnails.FILE_NAME).write_bytes(b"nonsense" * 1000)
    cache = Thumbnails(tmp_path, most_bytes=10_000)
    cache.put("0" * 32, 256, b"picture", b"tiny")
    assert cache.get("0" * 32, 256) == b"picture"
    cache.close()


def test_cache_whose_file_cannot_be_had_keeps_little_in_memory(tmp_path: Path) -> None:
    (tmp_path / thumbnails.FILE_NAME).mkdir()  # SQLite refuses it, and nobody removes it
    cache = Thumbnails(tmp_path, most_bytes=100_000_000)
    for i in range(40):
        cache.put(f"{i:032x}", 256, bytes([i]) * 500_000, b"tiny")
    kept = [i for i in range(40) if cache.get(f"{i:032x}", 256)]
    assert kept == list(range(len(kept)))
    assert 5 < len(kept) < 20
    cache.close()


# ------------------------------------------------------------------ originals


def test_picture_is_sent_as_it_is_with_its_type_and_runs_nothing(client: TestClient, album: Path) -> None:
    answer = client.get(f"/images/{id_of(client, 'private')}")
    assert answer.content == (album / "private.jpg").read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"].startswith("inline")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-9", 0, 10), ("10-", 10, None), ("-7", -7, None), ("5-999999999999", 5, None), ("-999999999", 0, None)],
)
def test_a_range_of_a_picture_is_sent(client: TestClient, album: Path, asked: str, start: int, stop: int) -> None:
    data, address = (album / "private.jpg").read_bytes(), f"/images/{id_of(client, 'private')}"
    answer = client.get(address, headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.content) == (206, data[start:stop])
    first = start % len(data)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(data)}"
    assert client.get(address, headers={"Range": f"bytes={asked}", "If-Range": '"other"'}).content == data


def test_an_unfit_range_is_the_whole_or_refused(client: TestClient, album: Path) -> None:
    data, address = (album / "private.jpg").read_bytes(), f"/images/{id_of(client, 'private')}"
    for asked in ("", "bytes", "bytes=-", "bytes=9-8", "bytes=0-1,5-6", "bytes=+1-5", "bytes=²-", "lines=0-1"):
        answer = client.get(address, headers={"Range": asked.encode("latin-1")})
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["accept-ranges"] == "bytes"
    for asked in (f"bytes={len(data)}-", "bytes=-0"):
        answer = client.get(address, headers={"Range": asked})
        problem(answer, "range")
        assert answer.headers["content-range"] == f"bytes */{len(data)}"


def test_an_original_is_what_was_opened_and_hashed(client: TestClient, album: Path, tmp_path: Path) -> None:
    path, store = album / "opened.png", client.app.state.service.gallery.store
    shutil.copy(album / "private.jpg", path)  # a copy's bytes are found under the same id
    record = store.record(id_of(client, "private"))
    held = replace(record, copies=(replace(record.copies[0], path=str(path)),))
    with originals.open_original(store, held) as original:
        path.rename(tmp_path / "moved")
        path.symlink_to("/etc/passwd")
        assert original.read(0, original.size) == (album / "private.jpg").read_bytes()
        assert originals.open_original(store, held) is None
        with (tmp_path / "moved").open("r+b") as stream:
            stream.truncate(100)
        with pytest.raises(Aborted):
            original.read(0, 10)
    path.unlink()


def test_a_name_cannot_add_a_header_and_hides_nothing(client: TestClient) -> None:
    answer = client.get(f"/images/{id_of(client, 'X-Evil')}", params={"download": "1"})
    assert "x-evil" not in answer.headers
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''a%5Cu000d%5Cu000aX-Evil")
    assert named(client, id_of(client, "صورة"))["name"] == "\\u202egpj.صورة\\u2066.png"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
def test_a_picture_that_became_a_link_to_a_secret_is_not_served(
    client: TestClient, album: Path, tmp_path: Path
) -> None:
    identity = id_of(client, "swapped")
    secret = tmp_path / "secret.txt"
    secret.write_text("root:x:0:0")
    (album / "swapped.png").unlink()
    (album / "swapped.png").symlink_to(secret)
    for address in (f"/images/{identity}", f"/thumbnails/{identity}", f"/thumbnails/{identity}?size=512"):
        answer = client.get(address)
        problem(answer, "no-picture")
        assert "root:" not in answer.text
    (album / "swapped.png").unlink()
    (album / "swapped.png").symlink_to("/etc/passwd")
    problem(client.get(f"/images/{identity}"), "no-picture")
    other = pictures.solid(tmp_path / "private.png", (1, 2, 3))  # a picture that was never indexed
    (album / "swapped.png").unlink()
    (album / "swapped.png").symlink_to(other)
    for address in (f"/images/{identity}", f"/thumbnails/{identity}", f"/thumbnails/{identity}?size=512"):
        problem(client.get(address), "no-picture")


def test_a_changed_picture_is_not_served_under_its_old_id(client: TestClient, album: Path) -> None:
    identity = id_of(client, "changed")
    (album / "changed.png").write_bytes(b"something else")
    problem(client.get(f"/images/{identity}"), "no-picture")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_in_the_place_of_a_picture_holds_no_thread(client: TestClient, album: Path) -> None:
    identity = id_of(client, "piped")
    (album / "piped.png").unlink()
    os.mkfifo(album / "piped.png")
    problem(client.get(f"/images/{identity}"), "no-picture")
    (album / "piped.png").unlink()


@pytest.mark.parametrize(
    "address",
    [
        "/images/../../../etc/passwd",
        "/images/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/images//etc/passwd",
        "/thumbnails/..%5c..%5cetc%5cpasswd",
        "/assets/../app.py",
        "/assets/%2e%2e/%2e%2e/app.py",
        "/assets//etc/passwd",
        "/assets/..%00/x",
        "/images/" + "0" * 32,
        "/images/" + "g" * 32,
        "/images/" + "0" * 31,
    ],
)
def test_no_address_leads_out_of_the_gallery(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"root:" not in answer.content
    assert b"create_app" not in answer.content


def test_details_contain_the_path_only_if_the_server_shows_paths(
    client: TestClient, album: Path, gallery: Path, tiny_model: Path
) -> None:
    identity = id_of(client, "copy of red")
    seen = client.get(f"/images/{identity}/details").json()
    assert seen["path"] == str((album / "بيت" / "copy of red.png").resolve())
    assert seen["copies"] == ["أحمر 0.png"]
    other = (album / "رحلة" / "أحمر 0.png").resolve()
    assert seen["files"] == [{"name": "أحمر 0.png", "folder": "رحلة", "path": str(other)}]
    assert (seen["format"], seen["width"], seen["height"]) == ("PNG", 64, 48)
    with serving(settings_for(gallery, tiny_model, show_paths=False)) as hidden:
        answer = hidden.get(f"/images/{identity}/details")
        assert answer.json()["path"] is None
        assert str(album) not in answer.text


def test_details_show_no_character_that_a_terminal_obeys(tmp_path: Path, tiny_model: Path) -> None:
    hostile = "\x1b]0;owned\x07\x9b31m\u202egpj\u2066"
    with Gallery.open(tmp_path / "gallery", model=AraCLIP(tiny_model, threads=1), create=True) as gallery:
        picture = pictures.solid(tmp_path / f"{BIDI}.png", (9, 9, 9))
        gallery.add([picture], metadata={"title": hostile, hostile: [1, hostile]})
    with serving(settings_for(tmp_path / "gallery", tiny_model)) as client:
        found = client.get("/search", params={"q": "x"}).json()["results"]
        answer = client.get(f"/images/{found[0]['id']}/details")
        assert answer.json()["metadata"]["title"] == "\\u001b]0;owned\\u0007\\u009b31m\\u202egpj\\u2066"
        assert answer.json()["metadata"][shown(hostile)] == [1, shown(hostile)]
        assert not set(json.dumps(answer.json(), ensure_ascii=False)) & set("\x1b\x07\x9b\u202e\u2066")


def test_texts_that_matched_are_shown_escaped(tmp_path: Path, tiny_model: Path) -> None:
    picture = pictures.solid(tmp_path / "album" / "a.png", (9, 90, 200))
    picture.with_name("a.txt").write_text("\x1b[31m\u202eبحر\x9b هادئ\x07", encoding="utf-8")
    gallery = make_gallery(tmp_path / "gallery", tmp_path / "album", tiny_model)
    with serving(settings_for(gallery, tiny_model)) as client:
        answer = client.get("/search", params={"q": "هادئ"})
    assert not set(json.dumps(answer.json(), ensure_ascii=False)) & set("\x1b\x07\x9b\u202e")
    (match,) = answer.json()["results"][0]["matched"]
    assert match["text"] == "\\u001b[31m\\u202eبحر\\u009b هادئ\\u0007"
    assert [match["text"][start:end] for start, end in match["marks"]] == ["هادئ"]


def test_details_have_the_captions_of_a_picture_line_by_line(tmp_path: Path, tiny_model: Path) -> None:
    picture = pictures.solid(tmp_path / "album" / "beach.png", (9, 90, 200))
    for name, text in (("beach.png.txt", "بحر هادئ"), ("beach.txt", "أول يوم\u202e")):
        picture.with_name(name).write_text(text, encoding="utf-8")
    gallery = make_gallery(tmp_path / "gallery", tmp_path / "album", tiny_model)
    with serving(settings_for(gallery, tiny_model)) as client:
        texts = client.get(f"/images/{id_of(client, 'beach')}/details").json()["texts"]
    assert texts == [{"field": "captions", "text": "بحر هادئ\nأول يوم\\u202e"}]


def test_a_preview_has_at_most_1600_pixels_a_side(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "album").mkdir()
    pictures.landscape((2000, 1000)).save(tmp_path / "album" / "wide.jpg")
    gallery = make_gallery(tmp_path / "gallery", tmp_path / "album", tiny_model)
    with serving(settings_for(gallery, tiny_model)) as client:
        assert opened(client.get(f"/thumbnails/{id_of(client, 'wide')}?size=1600").content).size == (1600, 800)


# ------------------------------------------------------------------ adding and forgetting


def test_an_uploaded_picture_is_found_shown_and_forgotten(tmp_path: Path, tiny_model: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery", photo_album(tmp_path / "album"), tiny_model)
    sent = encoded(Image.new("RGB", (90, 60), (250, 250, 5)), "JPEG")
    with serving(settings_for(gallery, tiny_model, uploads=True)) as client:
        before = client.get("/stats").json()
        answer = client.post("/images", files={"file": (f"../../{BIDI}شمس.jpg", sent)})
        assert answer.status_code == 201, answer.text
        added = answer.json()
        assert answer.headers["location"] == f"images/{added['id']}"
        assert added["name"] == "\\u202egpj.صورة\\u2066شمس.jpg"  # no folder, and no hidden mark
        assert (added["width"], added["height"]) == (90, 60)
        client.app.state.service.gallery.refresh()
        assert client.get("/stats").json()["pictures"] == before["pictures"] + 1
        found = named(client, added["id"])
        assert (found["id"], found["name"], found["folder"]) == (added["id"], added["name"], "")
        assert opened(client.get(f"/images/{added['id']}").content).size == (90, 60)
        assert opened(client.get(f"/thumbnails/{added['id']}").content).size == (90, 60)

        assert client.delete(f"/images/{added['id']}").status_code == 204
        for address in (f"/images/{added['id']}", f"/images/{added['id']}/details", f"/thumbnails/{added['id']}"):
            problem(client.get(address), "no-picture")
        problem(client.delete(f"/images/{added['id']}"), "no-picture")
        client.app.state.service.gallery.refresh()
        assert client.get("/stats").json()["pictures"] == before["pictures"]


def test_a_browser_keeps_an_upload_preview_until_it_is_indexed(tmp_path: Path, tiny_model: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery", photo_album(tmp_path / "album"), tiny_model)
    sent = encoded(Image.effect_noise((90, 60), 90).convert("RGB"))
    with serving(settings_for(gallery, tiny_model, uploads=True)) as client:
        address = f"/images/{client.post('/images', files={'file': ('a.png', sent)}).json()['id']}"
        preview = client.get(address)
        assert preview.content != sent
        assert "no-cache" in preview.headers["cache-control"]
        kept = {"If-None-Match": preview.headers["etag"]}
        assert client.get(address, headers=kept).status_code == 304
        assert client.get(address, headers={"Range": "bytes=5-9"}).content == preview.content[5:10]
        (tmp_path / "album" / "a.png").write_bytes(sent)
        with Gallery.open(gallery, model=AraCLIP(tiny_model, threads=1)) as opened_gallery:
            opened_gallery.update([tmp_path / "album"])
        assert client.get(address, headers=kept).content == sent
        part = {"Range": "bytes=5-9", "If-Range": preview.headers["etag"]}  # a download of the preview does not go on
        assert client.get(address, headers=part).content == sent
        assert "immutable" in client.get(address).headers["cache-control"]


def test_an_uploads_large_thumbnail_gets_finer_once_indexed(tmp_path: Path, tiny_model: Path) -> None:
    gallery = make_gallery(tmp_path / "gallery", photo_album(tmp_path / "album"), tiny_model)
    sent = encoded(pictures.landscape((2000, 1000)), "JPEG")
    with serving(settings_for(gallery, tiny_model, uploads=True)) as client:
        address = f"/thumbnails/{client.post('/images', files={'file': ('a.jpg', sent)}).json()['id']}?size=1600"
        coarse = client.get(address)
        assert opened(coarse.content).size == (1024, 512) and "no-cache" in coarse.headers["cache-control"]
        (tmp_path / "album" / "a.jpg").write_bytes(sent)
        with Gallery.open(gallery, model=AraCLIP(tiny_model, threads=1)) as opened_gallery:
            opened_gallery.update([tmp_path / "album"])
        fine = client.get(address, headers={"If-None-Match": coarse.headers["etag"]})
        assert opened(fine.content).size == (1600, 800) and "immutable" in fine.headers["cache-control"]


@pytest.mark.parametrize("address", ["/thumbnails/{}", "/images/{}"])
def test_a_removed_picture_is_neither_sent_nor_confirmed(tmp_path: Path, tiny_model: Path, address: str) -> None:
    album = photo_album(tmp_path / "album")
    gallery = make_gallery(tmp_path / "gallery", album, tiny_model)
    with serving(settings_for(gallery, tiny_model)) as client:
        address = address.format(id_of(client, "blue1"))
        kept = {"If-None-Match": client.get(address).headers["etag"]}
        assert client.get(address, headers=kept).status_code == 304
        with Gallery.open(gallery, model=AraCLIP(tiny_model, threads=1)) as opened_gallery:
            opened_gallery.remove([album / "بيت" / "blue1.png"])
        for headers in ({}, kept, {"If-None-Match": "*"}):
            problem(client.get(address, headers=headers), "no-picture")


def test_a_converted_picture_in_the_browser_is_not_made_again(tmp_path: Path, tiny_model: Path) -> None:
    pictures.solid(tmp_path / "album" / "a.tiff", pictures.RED)
    gallery = make_gallery(tmp_path / "gallery", tmp_path / "album", tiny_model)
    with serving(settings_for(gallery, tiny_model)) as client:
        address = f"/images/{id_of(client, 'a')}"
        converted = client.get(address)
        kept = {"If-None-Match": converted.headers["etag"]}
        assert converted.headers["content-type"] == "image/webp"
        assert client.get(address, headers=kept).status_code == 304
        assert client.get(f"{address}?download=true", headers=kept).status_code == 200


def test_the_same_upload_twice_is_one_picture(client: TestClient) -> None:
    sent = encoded(Image.new("RGB", (50, 50), (1, 250, 250)))
    first, second = (client.post("/images", files={"file": ("a.png", sent)}).json() for _ in range(2))
    assert first["id"] == second["id"]


def test_nothing_is_forgotten_while_another_program_writes(
    client: TestClient, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "PATIENCE_S", 0)
    identity = id_of(client, "blue1")
    with writer_lock(gallery):
        answer = client.delete(f"/images/{identity}")
        problem(answer, "busy-writing")
        assert int(answer.headers["retry-after"]) > 0
    assert client.delete(f"/images/{identity}").status_code == 204


def test_forgetting_leaves_the_file_on_the_disk(client: TestClient, album: Path) -> None:
    identity = id_of(client, "blue2")
    assert client.delete(f"/images/{identity}").status_code == 204
    assert (album / "بيت" / "blue2.png").is_file()


def test_with_uploads_off_nothing_is_added_or_removed(gallery: Path, tiny_model: Path) -> None:
    with serving(settings_for(gallery, tiny_model)) as client:
        sent = encoded(Image.new("RGB", (5, 5)))
        problem(client.post("/images", files={"file": ("a.png", sent)}), "uploads-off")
        identity = client.get("/search", params={"q": "أحمر"}).json()["results"][0]["id"]
        problem(client.delete(f"/images/{identity}"), "uploads-off")


def test_while_another_program_writes_gallery_upload_gets_409(
    client: TestClient, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    monkeypatch.setattr(uploads, "PATIENCE_S", 0)
    hold = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(gallery / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        answer = client.post("/images", files={"file": ("a.png", encoded(Image.new("RGB", (6, 6), (7, 7, 7))))})
        problem(answer, "busy-writing")
        assert int(answer.headers["retry-after"]) > 0
        other.communicate()


@pytest.mark.parametrize("name", ["bomb", "truncated", "text", "nothing", "svg", "damaged"])
def test_an_upload_that_is_no_good_picture_is_refused(client: TestClient, tmp_path: Path, name: str) -> None:
    data = {
        "bomb": pictures.bomb(tmp_path / "b.png").read_bytes(),
        "truncated": pictures.truncated(tmp_path / "t.jpg").read_bytes(),
        "text": "هذه ليست صورة".encode(),
        "nothing": b"",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "damaged": pictures.damaged_png(tmp_path / "d.png").read_bytes(),
    }[name]
    refused = client.post("/images", files={"file": ("صورة.jpg", data)}, headers={"Accept-Language": "ar"})
    problem(refused, "bad-picture")
    assert any("\u0600" < letter < "\u06ff" for letter in refused.json()["detail"])
    good = encoded(Image.new("RGB", (8, 8), (1, 2, 3)))
    assert client.post("/images", files={"file": ("good.png", good)}).status_code == 201


def test_a_picture_of_too_many_pixels_is_not_decoded(gallery: Path, tiny_model: Path) -> None:
    with serving(settings_for(gallery, tiny_model, uploads=True, max_pixels=10_000)) as client:
        large = encoded(Image.new("RGB", (200, 100)))
        assert problem(client.post("/images", files={"file": ("l.png", large)}), "bad-picture")["detail"]
        problem(client.post("/search/image", files={"file": ("l.png", large)}), "bad-picture")
        problem(client.post("/thumbnails", files={"file": ("l.png", large)}), "bad-picture")
        small = encoded(Image.new("RGB", (100, 100)))
        assert client.post("/search/image", files={"file": ("s.png", small)}).status_code == 200


def test_an_original_opened_for_a_client_who_left_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pictures.solid(tmp_path / "a.png")
    started, go_on = threading.Event(), threading.Event()
    made: list[originals.Original] = []

    def slow(store: object, picture: object) -> originals.Original:
        started.set()
        go_on.wait()
        made.append(originals.Original(path.open("rb"), path.stat().st_size, "image/png", str(path)))
        return made[0]

    async def left() -> bool:
        opening = Slots(1, most=2, seconds=5)
        service = SimpleNamespace(gallery=SimpleNamespace(store=None), opening=opening)
        request = asyncio.create_task(routes._open_in_thread(service, "client", SimpleNamespace(id="0" * 32)))
        await asyncio.to_thread(started.wait)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        go_on.set()
        while not (made and made[0]._stream.closed):
            await asyncio.sleep(0.01)
        return made[0]._stream.closed and opening.inside == 0

    monkeypatch.setattr(routes, "open_original", slow)
    assert asyncio.run(asyncio.wait_for(left(), 60))


def test_a_picture_browsers_cannot_show_is_converted(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("pi_heif", reason="needs the extra heic")
    folder, heic = tmp_path / "heic", Path(__file__).parents[1] / "samples" / "turned.heic"
    pictures.written(folder / "صورة.heic", heic.read_bytes())
    place = make_gallery(tmp_path / "g", folder, tiny_model)
    with serving(settings_for(place, tiny_model)) as client:
        (found,) = client.get("/search", params={"q": "أحمر"}).json()["results"]
        converted = client.get(f"/images/{found['id']}")
        assert converted.headers["content-type"] == "image/webp"
        with Image.open(io.BytesIO(converted.content)) as image:
            assert image.size == (64, 96)
        kept = client.get(f"/images/{found['id']}", params={"download": "true"})
        assert (kept.headers["content-type"], kept.content) == ("image/heic", heic.read_bytes())
        details = client.get(f"/images/{found['id']}/details").json()
        assert (details["format"], details["camera"], details["latitude"]) == ("HEIF", "Canon EOS R5", 24.7)

"""The client against a real server: answers, errors, threads, sessions that were closed."""

import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pictures
from araclip.client import Client
from araclip.errors import InputError, ServerError
from araclip.gallery.catalog.filters import Filters
from araclip.models.encoder import AraCLIP
from serving import READ, WRITE, encoded, listening, make_gallery, photo_album, settings_for


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_album(tmp_path_factory.mktemp("client") / "album")


@pytest.fixture(scope="module")
def address(album: Path, tiny_model: Path) -> Iterator[str]:
    gallery = make_gallery(album.parent / "gallery", album, tiny_model)
    settings = settings_for(
        gallery, tiny_model, uploads=True, token_read=READ, token_write=WRITE, events_seconds=0.3, idle_seconds=1
    )
    with listening(settings) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    with Client(address, token=WRITE) as client:
        yield client


def test_a_search_answers_typed_results_and_their_pictures(client: Client) -> None:
    found = client.search("أزرق", k=3, where=["format=PNG"])
    assert len(found.results) == 3
    assert found.more
    best = found.results[0]
    assert best.name.startswith("blue")
    assert best.weak is False or best.relevance is not None
    assert client.picture(best.id).startswith(b"\x89PNG")
    assert client.thumbnail(best.id, 512).startswith(b"RIFF")
    assert client.details(best.id)["width"] == 40
    assert client.stats()["writable"] is True


def test_pictures_of_the_gallery_and_files_are_parts_of_a_query(client: Client, album: Path) -> None:
    best = client.search("أخضر", k=1).results[0]
    assert client.search(like=[best.id], k=1).results[0].name.startswith("green")
    mixed = client.search("3:أحمر", k=1, like={best.id: 0.1}).results[0]
    assert mixed.name.startswith(("copy of red", "أحمر"))
    assert client.search(k=1, pictures=[album / "بيت" / "blue1.png"]).results[0].name == "blue1.png"


def test_pictures_are_listed_without_a_query(client: Client, album: Path) -> None:
    listed = list(client.browse())
    assert sum(month.pictures for month in client.timeline()) == len(listed)
    assert client.stats()["pictures"] == len(listed)
    assert sum(each.copies for each in listed) == 1  # a picture that lies there twice is listed once
    assert {each.name for each in client.browse(where="name=blue*")} == {
        each.name for each in listed if each.name.startswith("blue")
    }
    top = client.folders()
    assert sum(each.pictures for each in top) >= len(listed)
    inside = next(each for each in client.folders(top[0].key) if each.name == "بيت")
    assert {each.folder for each in client.browse(where=f"album={inside.key}")} == {"بيت"}
    assert client.places(where=["format=PNG"]) == []


def test_a_folders_name_reaches_the_server_others_are_refused(client: Client) -> None:
    assert {each.folder for each in client.browse(where=Filters(folder_name="بيت"))} == {"بيت"}
    for where in (Filters(folder_name=("بيت", "سفر")), Filters(below="بيت")):
        with pytest.raises(InputError, match="one folder, by its name"):
            client.search("أزرق", where=where)


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "http://127.0.0.1:abc"])
def test_a_port_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="no valid port"):
        Client(address)


@pytest.mark.parametrize("address", ["http://[::1", "http://a b:1", "http://127.0.0.1:1\n", f"http://{'a' * 70}.com"])
def test_an_address_of_no_use_is_refused_before_any_request(address: str) -> None:
    with pytest.raises(InputError, match=r"address of a server|valid port or host"):
        Client(address)


def test_an_address_in_arabic_letters_is_asked(address: str) -> None:
    with Client(f"{address}/صور", token=READ) as client, pytest.raises(ServerError, match="nothing at this address"):
        client.stats()


@pytest.mark.parametrize("token", ["supersecret\n", "سر", "two words"])
def test_a_token_no_header_can_carry_is_refused_unshown(token: str) -> None:
    with pytest.raises(InputError, match="the token has") as caught:
        Client(token=token)
    assert token.strip() not in str(caught.value)


def test_a_full_disk_is_not_taken_for_a_server_that_is_away(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = client.search("أزرق", k=1).results[0]
    opened = Path.open

    def full(self: Path, *given: Any, **options: Any) -> Any:
        file = opened(self, *given, **options)
        if self.parent == tmp_path:
            file.close()
            return opened(Path("/dev/full"), "wb", buffering=0)
        return file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"):
        client.download([best.id], tmp_path / "a.zip")


def test_a_picture_is_added_under_its_name_and_forgotten(client: Client, tmp_path: Path) -> None:
    added = client.add(pictures.solid(tmp_path / 'غروب "1".png', (255, 128, 0)))
    assert added.name == 'غروب "1".png'
    assert client.details(added.id)["name"] == added.name
    client.forget(added.id)
    with pytest.raises(ServerError, match="No such picture") as caught:
        client.details(added.id)
    assert caught.value.status == 404


def test_what_is_typed_is_completed_and_what_is_found_explained(client: Client) -> None:
    assert "بيت" in [each.text for each in client.suggestions("بي")]
    best = client.search("لون أزرق", k=1).results[0]
    assert {each.word for each in client.explain(best.id, "لون أزرق", literal=True)} == {"لون", "أزرق"}
    assert best.id not in {each.id for each in client.near(best.id, where="format=PNG")}


def test_several_pictures_are_downloaded_and_hidden(client: Client, tmp_path: Path) -> None:
    found = client.search("أزرق", k=2).results
    ids = [each.id for each in found]
    with zipfile.ZipFile(client.download(ids, tmp_path / "صور.zip")) as archive:
        assert {Path(name).name for name in archive.namelist()} == {each.name for each in found}
    with pytest.raises(ServerError, match="No such picture"):
        client.download(["f" * 32], tmp_path / "none.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["صور.zip"]
    assert client.hide(ids) == 2
    assert {each.id for each in client.browse(where="hidden=yes")} == set(ids)
    assert client.hide(ids, hidden=False) == 2


def test_a_server_without_folders_says_so(client: Client) -> None:
    assert client.index_state()["state"] is None
    with pytest.raises(ServerError) as caught:
        client.index()
    assert caught.value.status == 409


def test_vectors_are_those_of_the_model(client: Client, album: Path, tiny_model: Path) -> None:
    model = AraCLIP(tiny_model, threads=1)
    texts, paths = ["أحمر", "قطة على طاولة"], [album / "turned.jpg"]
    assert np.allclose(client.encode_text(texts), model.encode_text(texts), atol=1e-6)
    assert np.allclose(client.encode_image(paths), model.encode_image(paths), atol=1e-6)
    assert client.encode_text([]) == []
    assert np.allclose(client.encode_text(texts[0]), model.encode_text(texts[0]), atol=1e-6)
    for picture in (paths[0], str(paths[0]), Path(paths[0]).read_bytes()):
        assert np.allclose(client.encode_image(picture), model.encode_image(picture), atol=1e-6)


def test_photographs_go_in_requests_of_size_that_server_takes(client: Client, album: Path) -> None:
    photograph = (album / "turned.jpg").read_bytes().ljust(6_000_000, b"\0")
    vectors = client.encode_image(photograph for _ in range(8))
    assert vectors == [client.encode_image(photograph)] * 8


def test_threads_share_a_client(client: Client) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: client.search("أخضر", k=2).results[0].name, range(30)))
    assert len(set(found)) == 1


def test_connection_that_server_closed_meanwhile_is_opened_again(address: str) -> None:
    with Client(address, token=READ) as client:
        client.stats()
        time.sleep(1.6)  # idle_seconds is 1
        assert client.stats()["pictures"] >= 13


def test_events_arrive_until_the_stream_ends(client: Client) -> None:
    news = list(client.events())
    assert ("generation", client.stats()["generation"]) in [(kind, data.get("generation")) for kind, data in news]


def test_a_refused_request_is_an_error_with_the_servers_message(
    address: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServerError, match="the query is empty") as caught:
        client.search("")
    assert (caught.value.status, caught.value.retry_after) == (400, None)
    with Client(address, token=READ) as reader, pytest.raises(ServerError, match="lacks the scope"):
        reader.add(encoded(Image.new("RGB", (5, 5))))
    with Client(address) as stranger:
        for ask in (stranger.stats, lambda: list(stranger.events())):
            with pytest.raises(ServerError, match="token"):
                ask()
    monkeypatch.setenv("ARACLIP_TOKEN", READ)
    with Client(address) as known:
        assert known.stats()["writable"] is False


def test_a_server_that_is_not_there_is_an_error_that_says_so() -> None:
    with pytest.raises(ServerError, match=r"cannot be reached.*araclip serve") as caught:
        Client("http://127.0.0.1:9", timeout=5).stats()
    assert caught.value.status is None
    with pytest.raises(InputError, match="not the address"):
        Client("file:///etc/passwd")


@pytest.mark.parametrize(
    "body", [b"<html>", b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"{}", b'{"results": [5]}', b"\xff", b""]
)
@pytest.mark.parametrize("status", [200, 308])
def test_what_is_no_server_of_ours_is_an_error_that_says_so(body: bytes, status: int) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Location", "https://example.org/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET  # noqa: N815  (http.server's names)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with Client(f"http://127.0.0.1:{server.server_port}") as client:
            asked: list[Callable[[], object]] = [
                lambda: client.search("قطة"),
                client.timeline,
                lambda: client.add(b"x"),
            ]
            if status != 200:
                asked += [lambda: client.picture("a"), lambda: client.forget("a"), lambda: list(client.events())]
            for ask in asked:
                with pytest.raises(ServerError, match=r"araclip serve") as caught:
                    ask()
                assert "\n" not in str(caught.value)
        server.shutdown()
        thread.join()


def test_filters_are_given_as_for_a_gallery(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["format=PNG", "orientation=portrait"]
    wanted = client.search("أزرق", k=20, where=texts).results
    assert wanted
    assert client.search("أزرق", k=20, where=Filters(formats=("PNG",), orientation="portrait")).results == wanted
    assert client.search("أزرق", k=20, where="format=JPEG").results != wanted
    asked: list[dict[str, Any]] = []
    answer = {"query": "", "results": [], "offset": 0, "more": False, "nothing_found": True, "took_ms": 0.0}
    monkeypatch.setattr(Client, "_json", lambda *given: asked.append(given[3]) or {**answer, "generation": ""})
    client.search("أزرق", where=Filters(formats=("PNG",), orientation="portrait", collapse=True))
    client.search("أزرق", where=texts, collapse=True)
    assert asked[0] == asked[1]
    assert (asked[0]["where"], asked[0]["collapse"]) == (texts, "near")


def test_its_repr_names_the_server_and_no_secret() -> None:
    assert (
        repr(Client("https://me:secret@photos.example:8443", token="t" * 32)) == "Client('https://photos.example:8443')"
    )

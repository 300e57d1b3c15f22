"""What a page writes into a gallery on a server, and what it does when the gallery gets another model."""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from araclip import AraCLIP, open_gallery
from araclip.gallery.open import reembed_gallery
from pictures import photograph, solid
from postgres_server import needs_server
from serving import encoded, make_gallery, photo_album, place_of, problem, serving, settings_for
from tiny import write_tiny_model

POSTGRES = pytest.param("postgres", marks=needs_server)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, tiny_model: Path) -> Iterator[Path | str]:
    """A gallery of the album."""
    with place_of(request.param, tmp_path) as place:
        yield make_gallery(place, photo_album(tmp_path / "album"), tiny_model)


def names(client: TestClient, query: str = "صورة", **more: str) -> dict[str, str]:
    found = client.get("/search", params={"q": query, "k": 50, **more}).json()["results"]
    return {result["name"]: result["id"] for result in found}


@pytest.mark.parametrize("place", [POSTGRES], indirect=True)
def test_uploads_hiding_and_forgetting_reach_gallery_on_server(place: str, tiny_model: Path) -> None:
    sent = encoded(Image.new("RGB", (70, 50), (250, 200, 10)))
    with serving(settings_for(place, tiny_model, uploads=True)) as client:
        assert "hide" in client.get("/stats").json()["can"]
        added = client.post("/images", files={"file": ("ليمون.png", sent)})
        assert (added.status_code, names(client)["ليمون.png"]) == (201, added.json()["id"])
        assert client.get(f"/images/{added.json()['id']}").headers["content-type"] == "image/jpeg"
        assert client.post("/images", files={"file": ("ليمون.png", sent)}).json()["id"] == added.json()["id"]
        before = names(client)
        red = before["copy of red.png"]
        assert client.post("/hidden", json={"ids": [red], "hidden": True}).json() == {"changed": 1}
        assert before.keys() - names(client).keys() == {"copy of red.png"}
        assert red in names(client, where="hidden=yes").values()
        assert client.post("/hidden", json={"ids": [red], "hidden": False}).json() == {"changed": 1}
        assert client.delete(f"/images/{added.json()['id']}").status_code == 204
        assert client.delete(f"/images/{before['blue1.png']}").status_code == 204
        assert before.keys() - names(client).keys() == {"ليمون.png", "blue1.png"}
        problem(client.get(f"/images/{added.json()['id']}"), "no-picture")
    with open_gallery(place, model=AraCLIP(tiny_model, threads=1)) as gallery:
        assert (len(gallery), gallery.verify(), gallery.compact()) == (12, [], 0)


@needs_server
def test_a_page_makes_a_gallery_on_a_server_and_fills_it(tiny_model: Path, tmp_path: Path) -> None:
    album = photo_album(tmp_path / "album")
    with place_of("postgres", tmp_path) as place, serving(settings_for(place, tiny_model, index=(album,))) as client:
        ends = time.monotonic() + 60
        while (state := client.get("/index").json())["state"] != "done" or len(names(client)) < 13:
            assert state["state"] in ("running", "done"), state
            assert time.monotonic() < ends, state
            time.sleep(0.1)
        assert state["folders"] == ["album"]


@pytest.mark.parametrize("place", ["folder", POSTGRES], indirect=True)
def test_near_duplicates_of_a_picture_are_found(place: Path | str, tiny_model: Path, tmp_path: Path) -> None:
    with Image.open(photograph(tmp_path / "whole.jpg", (320, 240))) as whole:
        smaller, turned = encoded(whole.resize((160, 120))), encoded(whole.rotate(180))
    with serving(settings_for(place, tiny_model, uploads=True)) as client:
        ids = names(client)
        for name, sent in (("whole", (tmp_path / "whole.jpg").read_bytes()), ("small", smaller), ("turned", turned)):
            ids[f"{name}.jpg"] = client.post("/images", files={"file": (f"{name}.jpg", sent)}).json()["id"]

        ends = time.monotonic() + 60
        while len(client.get(f"/images/{ids['whole.jpg']}/near").json()["results"]) < 1:  # of the last commit but few
            assert time.monotonic() < ends
            time.sleep(0.05)

        def near(name: str, **where: str) -> list[str]:
            found = client.get(f"/images/{ids[name]}/near", params=where).json()["results"]
            return [each["name"] for each in found]

        assert (near("whole.jpg"), near("small.jpg")) == (["small.jpg"], ["whole.jpg"])
        assert near("turned.jpg") == near("blue1.png") == near("whole.jpg", where="format=GIF") == []


@pytest.mark.parametrize("place", ["folder", POSTGRES], indirect=True)
def test_a_page_goes_on_with_the_new_model_of_its_gallery(place: Path | str, tiny_model: Path, tmp_path: Path) -> None:
    new = AraCLIP(write_tiny_model(tmp_path / "new-model", width=12, seed=1, name="new"), threads=1)
    with serving(settings_for(place, tiny_model)) as client:
        assert client.get("/stats").json()["model"].startswith("tiny@")
        before = client.get("/search", params={"q": "أحمر", "k": 1}).json()["results"][0]["score"]
        assert reembed_gallery(place, new) == 13
        ends = time.monotonic() + 60
        while not (stats := client.get("/stats").json()).get("model", "").startswith("new@"):
            assert time.monotonic() < ends, stats
            time.sleep(0.1)
        found = client.get("/search", params={"q": "أحمر", "k": 1}).json()["results"][0]
        with open_gallery(place, model=new) as gallery:
            assert found["score"] == pytest.approx(gallery.search("أحمر", 1)[0].score, abs=1e-3) != before


@pytest.mark.parametrize("wait", [False, True], ids=["at once", "when the model is loaded"])
@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_page_indexes_with_the_new_model_of_its_gallery(
    place: Path, tiny_model: Path, tmp_path: Path, wait: bool
) -> None:
    new = AraCLIP(write_tiny_model(tmp_path / "new-model", width=12, seed=1, name="new"), threads=1)
    settings = settings_for(place, tiny_model, index=(tmp_path / "album",), watch=False)
    with serving(settings) as client:

        def until(state: str, model: str, pictures: int) -> None:
            """Wait until the server has indexed, with this model, this number of pictures."""
            ends, found = time.monotonic() + 60, None
            while found != (state, model, pictures):
                assert time.monotonic() < ends, found
                time.sleep(0.1)
                now, stats = client.get("/index").json(), client.get("/stats").json()
                found = now.get("state"), stats.get("model", "").partition("@")[0], stats.get("pictures")

        until("done", "tiny", 13)
        assert reembed_gallery(place, new) == 13
        if wait:
            until("done", "new", 13)
        solid(tmp_path / "album" / "later.png", (9, 9, 200))
        assert client.post("/index").status_code in (202, 503)
        until("done", "new", 14)


@pytest.mark.parametrize("place", ["folder", POSTGRES], indirect=True)
def test_a_page_compares_no_vectors_of_two_models(place: Path | str, tiny_model: Path, tmp_path: Path) -> None:
    new = AraCLIP(write_tiny_model(tmp_path / "new-model", seed=1, name="new"), threads=1)
    new.encode_text("قطة")
    new.encode_image(tmp_path / "album" / "turned.jpg")
    shutil.rmtree(new.folder)  # the server cannot load it
    with serving(settings_for(place, tiny_model)) as client:
        red = names(client)["copy of red.png"]
        assert reembed_gallery(place, new) == 13
        for address in (f"/search?q=picture:{red}", f"/images/{red}/explain?q=أحمر", f"/images/{red}/near"):
            problem(client.get(address), "gallery")


@pytest.mark.skipif(sys.platform == "win32", reason="a folder with open files is not renamed there")
@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_gallery_whose_drive_is_away_is_not_made_anew(place: Path, tiny_model: Path, tmp_path: Path) -> None:
    with serving(settings_for(place, tiny_model, index=(tmp_path / "album",), watch=False)) as client:

        def until_indexed() -> None:
            ends = time.monotonic() + 60
            while "araclip_indexing 0.0" not in client.get("/metrics").text:
                assert time.monotonic() < ends
                time.sleep(0.1)

        until_indexed()
        place.rename(tmp_path / "away")
        client.post("/index")
        until_indexed()
        assert not place.exists()
        (tmp_path / "away").rename(place)
        assert client.get("/index").json()["state"] == "failed"
        assert len(names(client)) == 13

"""Videos over HTTP: results with a time, the video in ranges, stills as thumbnails, whole videos removed."""

import asyncio
import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

pytest.importorskip("av")

from araclip.server.originals import Original
from serving import make_gallery, problem, serving, settings_for
from videos import video


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "clips"
    folder.mkdir()
    video(folder / "رحلة.mp4")
    video(folder / "swapped.mp4", noise=1)
    return folder


@pytest.fixture(scope="module")
def client(clips: Path, tiny_model: Path) -> Iterator[TestClient]:
    gallery = make_gallery(clips.parent / "gallery", clips, tiny_model)
    with serving(settings_for(gallery, tiny_model, uploads=True)) as client:
        yield client


def scene(client: TestClient, query: str, name: str) -> dict[str, object]:
    """The first result of a name."""
    results = client.get("/search", params={"q": query}).json()["results"]
    return next(result for result in results if result["name"] == name)


def test_a_result_tells_the_time_and_details_name_the_video(client: TestClient) -> None:
    results = client.get("/search", params={"q": "أخضر", "where": "kind=video"}).json()["results"]
    assert {(each["name"], each["time"]) for each in results} == {("رحلة.mp4", 2.0), ("swapped.mp4", 2.0)}
    found = next(each for each in results if each["name"] == "رحلة.mp4")
    details = client.get(f"/images/{found['id']}/details").json()
    assert (details["name"], details["time"], details["format"]) == ("رحلة.mp4", 2.0, "MP4")
    listed = client.get("/pictures").json()["results"]
    assert {(each["name"], each["time"]) for each in listed} == {("swapped.mp4", 0.0), ("رحلة.mp4", 0.0)}
    assert len(listed) == 2


def test_the_original_of_a_scene_is_its_video_in_ranges(client: TestClient, clips: Path) -> None:
    found = scene(client, "أزرق", "رحلة.mp4")
    whole = (clips / "رحلة.mp4").read_bytes()
    answer = client.get(f"/images/{found['id']}")
    assert (answer.content, answer.headers["content-type"]) == (whole, "video/mp4")
    part = client.get(f"/images/{found['id']}", headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole[100:300])
    small = client.get(f"/thumbnails/{found['id']}")
    assert (small.status_code, small.headers["content-type"]) == (200, "image/webp")
    assert "media-src 'self'" in client.get("/").headers["content-security-policy"]


def test_an_archive_reads_a_video_once_outside_the_event_loop(
    client: TestClient, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"q": "لون", "k": 50, "where": ["kind=video", "scenes=all"]}
    results = client.get("/search", params=asked).json()["results"]
    scenes = [each["id"] for each in results if each["name"] == "رحلة.mp4"]
    assert len(scenes) > 1
    read, inside = Original.read, []

    def watched(self: Original, start: int, length: int) -> bytes:
        with contextlib.suppress(RuntimeError):
            inside.append(asyncio.get_running_loop())
        return read(self, start, length)

    monkeypatch.setattr(Original, "read", watched)
    prepared = client.post("/archives", json={"ids": scenes}).json()
    whole = (clips / "رحلة.mp4").read_bytes()
    assert prepared["bytes"] == len(whole)
    answer = client.get(f"/{prepared['address']}")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert [(name, found.read(name)) for name in found.namelist()] == [("رحلة.mp4", whole)]
    assert inside == []


def test_a_file_in_the_place_of_a_video_is_never_sent(client: TestClient, clips: Path) -> None:
    found = scene(client, "أزرق", "swapped.mp4")
    (clips / "swapped.mp4").write_bytes(b"secret")
    problem(client.get(f"/images/{found['id']}"), "no-picture")
    problem(client.get(f"/thumbnails/{found['id']}"), "no-picture")


def test_a_removed_scene_takes_its_video_along(client: TestClient) -> None:
    found = scene(client, "أزرق", "رحلة.mp4")
    assert client.delete(f"/images/{found['id']}").status_code == 204
    assert client.get("/stats").json()["files"] == 1

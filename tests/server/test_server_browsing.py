"""Browsing over HTTP: the timeline, pictures by date, folders as albums; galleries in folders and in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from starlette.testclient import TestClient

from postgres_server import needs_server
from serving import READ, bearer, make_gallery, place_of, problem, serving, settings_for

DATES = {
    "رحلة/يوم 1/a": "2023:05:17 18:30:00",
    "رحلة/يوم 1/b": "2023:05:17 09:00:00",
    "رحلة/يوم 2/c": "2023:06:01 12:00:00",
    "رحلة/d": "2021:11:27 12:00:00",
    "بيت/e": "2020:11:27 12:00:00",
    "بيت/f": None,
}


def album(folder: Path) -> Path:
    """Six pictures of noise in four folders, five of them with a date."""
    for number, (name, taken) in enumerate(DATES.items()):
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (40, 60 - number, 3), dtype=np.uint8)
        exif = Image.Exif()
        if taken:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
        Image.fromarray(noise).save(path, exif=exif)
    return folder


@pytest.fixture(scope="module", params=["folder", pytest.param("postgres", marks=needs_server)])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("browsing")
    with place_of(request.param, folder) as place:
        make_gallery(place, album(folder / "private" / "album"), tiny_model)
        with serving(settings_for(place, tiny_model)) as client:
            yield client


def names(client: TestClient, **params: object) -> list[str]:
    return [each["name"] for each in client.get("/pictures", params=params).json()["results"]]


def test_the_timeline_counts_the_pictures_of_each_month(client: TestClient) -> None:
    found = client.get("/timeline").json()
    assert found["pictures"] == 6
    assert [(each["month"], each["pictures"]) for each in found["months"]] == [
        ("2023-06", 1), ("2023-05", 2), ("2021-11", 1), ("2020-11", 1), (None, 1),
    ]  # fmt: skip
    assert client.get("/timeline", params={"where": "captured=2023"}).json()["pictures"] == 3


def test_pictures_come_by_date_from_any_position_and_by_cursor(client: TestClient) -> None:
    everything = ["c.jpg", "a.jpg", "b.jpg", "d.jpg", "e.jpg", "f.jpg"]
    assert names(client) == everything
    assert names(client, offset=2, k=2) == everything[2:4]
    first = client.get("/pictures", params={"k": 4}).json()
    rest = client.get("/pictures", params={"k": 4, "cursor": first["next"]}).json()
    assert [each["name"] for each in first["results"] + rest["results"]] == everything
    assert rest["next"] is None
    assert rest["pictures"] == 6
    assert first["results"][1] | {"id": "", "placeholder": None} == {
        "id": "", "name": "a.jpg", "folder": "يوم 1", "width": 60, "height": 40, "captured_at": "2023-05-17T18:30:00",
        "placeholder": None, "copies": 0, "time": None,
    }  # fmt: skip
    problem(client.get("/pictures", params={"cursor": "nonsense"}), "bad-query")
    problem(client.get("/pictures", params={"cursor": first["next"], "offset": 2}), "bad-query")


def test_the_same_day_of_other_years_is_a_filter(client: TestClient) -> None:
    assert names(client, where=["month=11", "day=27"]) == ["d.jpg", "e.jpg"]


def test_a_pattern_of_names_filters_what_is_browsed(client: TestClient) -> None:
    assert names(client, where="name=[be].*") == ["b.jpg", "e.jpg"]
    assert client.get("/timeline", params={"where": "name=[be].*"}).json()["pictures"] == 2
    assert names(client, where="name=x*") == []


def test_folders_are_albums_that_filter_pictures_and_searches(client: TestClient) -> None:
    top = client.get("/folders").json()
    assert [(each["name"], each["pictures"], each["albums"]) for each in top["albums"]] == [
        ("بيت", 2, 0), ("رحلة", 4, 2),
    ]  # fmt: skip
    trip = top["albums"][1]
    inside = client.get("/folders", params={"in": trip["key"]}).json()
    assert [each["name"] for each in inside["trail"]] == ["رحلة"]
    assert [each["name"] for each in inside["albums"]] == ["يوم 1", "يوم 2"]
    assert inside["pictures"] == 1
    assert names(client, where=f"album={trip['key']}") == ["c.jpg", "a.jpg", "b.jpg", "d.jpg"]
    day = inside["albums"][0]
    assert names(client, where=f"album={day['key']}") == ["a.jpg", "b.jpg"]
    hits = client.get("/search", params={"q": "لون", "where": f"album={day['key']}"}).json()["results"]
    assert sorted(each["name"] for each in hits) == ["a.jpg", "b.jpg"]
    for wrong in ("0" * 16, "../..", "/etc"):
        problem(client.get("/pictures", params={"where": f"album={wrong}"}), "bad-query")
        problem(client.get("/folders", params={"in": wrong}), "bad-query")


def test_no_address_or_answer_tells_where_the_folders_lie(client: TestClient) -> None:
    answers = [client.get(path).text for path in ("/timeline", "/pictures", "/folders", "/places")]
    assert not any("private" in text or "album/" in text for text in answers)


def test_browsing_needs_the_right_to_read(tmp_path: Path, tiny_model: Path) -> None:
    place = make_gallery(tmp_path / "gallery", album(tmp_path / "album"), tiny_model)
    with serving(settings_for(place, tiny_model, token_read=READ)) as client:
        for path in ("/timeline", "/pictures", "/folders", "/places"):
            problem(client.get(path), "unauthorized")
            assert client.get(path, headers=bearer(READ)).status_code == 200

"""Suggestions while typing, and near-duplicates behind one result."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from araclip.gallery.gallery import Gallery
from araclip.gallery.near_hashes import HashTable
from araclip.gallery.reference_queries import ENGLISH, EVERYDAY
from araclip.gallery.results import Suggestion
from araclip.gallery.suggestions import completions, phrases_beginning_with
from araclip.models.encoder import AraCLIP
from araclip.server.served_gallery import SHORT
from serving import problem, serving, settings_for

CAPTIONS = {
    "رحلة البحر/IMG_2041.png": "القطة على الطاولة",
    "رحلة البحر/شاطئ العقبة.png": "قطة صغيرة وأحمر",
    "رحلة البحر/red.png": "قطار سريع",
    "مدرسة/احمد.png": "مدرسة أحمد",
    "مدرسة/running dogs.png": "",
}


def textured(path: Path, seed: int) -> Path:
    """A picture whose perceptual hash is its own."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).resize((400, 300), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("suggestions")
    for number, (name, caption) in enumerate(CAPTIONS.items()):
        path = textured(folder / "album" / name, number)
        if caption:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    same = Image.open(folder / "album/رحلة البحر/red.png")
    same.resize((300, 225)).save(folder / "album/رحلة البحر/red small.png")
    same.convert("RGB").save(folder / "album/مدرسة/red.jpg", quality=90)
    with Gallery.open(folder / "gallery", model=AraCLIP(tiny_model, threads=1), create=True) as gallery:
        gallery.update([folder / "album"])
    with serving(settings_for(folder / "gallery", tiny_model)) as client:
        yield client


@pytest.fixture
def suggested(client: TestClient) -> Callable[..., list[tuple[str, str]]]:
    def ask(typed: str, **options: object) -> list[tuple[str, str]]:
        answer = client.get("/suggestions", params={"q": typed, **options})
        assert answer.status_code == 200, answer.text
        return [(each["text"], each["kind"]) for each in answer.json()["suggestions"]]

    return ask


Suggested = Callable[..., list[tuple[str, str]]]


@pytest.mark.parametrize("typed", ["قط", "القط", "قِط"])
def test_words_of_captions_are_completed_with_or_without_article(suggested: Suggested, typed: str) -> None:
    assert ("القطة" if typed == "القط" else "قطة", "word") in suggested(typed)


@pytest.mark.parametrize("typed", ["احم", "أحم", "إحم"])
def test_a_hamza_may_be_left_out_or_set_wrongly(suggested: Suggested, typed: str) -> None:
    assert {("أحمر", "word"), ("أحمد", "word")} <= set(suggested(typed))


def test_albums_and_file_names_are_suggested_and_no_cameras(suggested: Suggested) -> None:
    assert suggested("رحل")[0] == ("رحلة البحر", "folder")
    assert all(("شاطئ العقبة", "file") in suggested(typed) for typed in ("عقب", "عقبة", "العقبة"))
    assert all(("running dogs", "file") in suggested(typed) for typed in ("runni", "running", "dogs"))
    assert not [text for text, _ in suggested("im") if "IMG" in text]


def test_the_last_word_is_completed_and_those_before_it_stay(suggested: Suggested) -> None:
    assert ("كبير + قطار", "word") in suggested("كبير + قطا")
    assert ("مدرسة أحمد", "word") in suggested("مدرسة أحم")
    assert ("red dogs", "word") in suggested("red dog")
    assert suggested("قطة ") == suggested("+") == suggested("") == []


def test_a_word_of_most_pictures_is_suggested_first(suggested: Suggested) -> None:
    words = [text for text, kind in suggested("قط") if kind == "word"]
    assert words[0] == "قطة"  # two pictures; قطار has one
    assert len(suggested("ق", k=1)) == 1


def test_what_is_typed_is_bounded(client: TestClient) -> None:
    problem(client.get("/suggestions", params={"q": "ق" * 201}), "invalid")
    problem(client.get("/suggestions", params={"q": "ق", "k": 21}), "invalid")


def test_useful_queries_are_suggested_by_any_word_of_theirs() -> None:
    found = completions("شاط", None, {"شاطئ": 3}, ["عائلة على الشاطئ", "قطة"], 8)
    assert found == [Suggestion("شاطئ", "folder"), Suggestion("عائلة على الشاطئ", "query")]
    assert phrases_beginning_with("عائلة شا", ["عائلة على الشاطئ", "عائلة"], 5) == ["عائلة على الشاطئ"]


def test_every_example_for_a_button_has_its_english() -> None:
    assert {text for text in EVERYDAY if len(text) <= SHORT} <= set(ENGLISH) <= set(EVERYDAY)


# ------------------------------------------------------------------ near-duplicates


def test_a_result_counts_its_near_duplicates_and_they_can_be_had(client: TestClient) -> None:
    folded = client.get("/search", params={"q": "أحمر", "collapse": "near", "k": 20}).json()["results"]
    one = next(each for each in folded if each["name"].startswith("red"))
    assert one["near"] == 2
    assert sum(each["near"] for each in folded) == 2
    others = client.get(f"/images/{one['id']}/near").json()["results"]
    assert {each["name"] for each in others} | {one["name"]} == {"red.png", "red small.png", "red.jpg"}
    one_folder = client.get(f"/images/{one['id']}/near", params={"where": "format=JPEG"}).json()["results"]
    assert {each["name"] for each in one_folder} == {"red.jpg"} - {one["name"]}
    narrowed = client.get("/search", params={"q": "أحمر", "collapse": "near", "k": 20, "where": "format=PNG"})
    assert [each["near"] for each in narrowed.json()["results"] if each["name"].startswith("red")] == [1]


def test_without_folding_nothing_is_counted(client: TestClient) -> None:
    results = client.get("/search", params={"q": "أحمر", "k": 20}).json()["results"]
    assert len(results) == 7
    assert {each["near"] for each in results} == {0}


def test_the_near_duplicates_of_no_picture_are_a_problem(client: TestClient) -> None:
    problem(client.get(f"/images/{'0' * 32}/near"), "no-picture")


def test_a_flat_picture_is_near_to_none() -> None:
    table = HashTable(np.array([2, 5, 9, 12]), np.array([0, 0, 7, 6], np.uint64))
    assert table.near(2) == table.near(3) == []
    assert table.near(9) == [12]
    assert table.near(9, np.array([2, 9])) == []


def test_nothing_of_hidden_pictures_is_suggested(
    client: TestClient, suggested: Callable[..., list[tuple[str, str]]]
) -> None:
    assert ("قطار سريع", "word") in suggested("قطار سر")
    assert ("running dogs", "file") in suggested("dog")
    listed = client.get("/pictures", params={"k": 50}).json()["results"]
    chosen = [each["id"] for each in listed if each["name"] in ("red.png", "running dogs.png")]
    assert client.post("/hidden", json={"ids": chosen}).json() == {"changed": 2}
    try:
        assert ("قطار سريع", "word") not in suggested("قطار سر")
        assert ("running dogs", "file") not in suggested("dog")
    finally:
        client.post("/hidden", json={"ids": chosen, "hidden": False})

"""Places: from coordinates to names, names in filters and queries, albums, pins and suggestions; results by date."""

import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from typer.testing import CliRunner

from araclip import AraCLIP, Filters, Gallery
from araclip.cli import app
from araclip.cli.searching import interpretation_lines
from araclip.client import Client
from araclip.errors import InputError
from araclip.gallery.open import open_gallery
from araclip.gallery.plan import plan
from araclip.gallery.query import parse
from araclip.gallery.ranking import Candidate, sort_by_date
from araclip.text.places import name_key, names_by_key, place_at
from araclip.text.resources import interpreter
from pictures import ALEXANDRIA, AT, CAIRO, DUBAI, MEDINA, TYRE, taken_at, trips
from postgres_server import needs_server
from serving import listening, make_gallery, place_of, serving, settings_for


@pytest.fixture(scope="module", params=["folder", pytest.param("postgres", marks=needs_server)])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Iterator[Path | str]:
    folder = tmp_path_factory.mktemp("places")
    with place_of(request.param, folder) as place:
        yield make_gallery(place, trips(folder / "trips"), tiny_model)


@pytest.fixture
def gallery(place: Path | str, tiny_model: Path) -> Iterator[Any]:
    with open_gallery(place, model=AraCLIP(tiny_model, threads=1)) as opened:
        yield opened


def names(hits: Any) -> set[str]:
    return {Path(hit.path).stem for hit in hits}


# ------------------------------------------------------------------ coordinates


@pytest.mark.parametrize(
    ("where", "place"),
    [
        (CAIRO, "القاهرة، مصر · Cairo, Egypt"),
        ((29.9792, 31.1342), "الجيزة، مصر · Giza, Egypt"),  # the pyramids
        (ALEXANDRIA, "الإسكندرية، مصر · Alexandria, Egypt"),
        ((48.8584, 2.2945), "باريس، فرنسا · Paris, Île-de-France, France"),  # not one of its districts
        ((36.1069, -112.1129), "أريزونا، أمريكا · Arizona, United States"),  # no town near the Grand Canyon
        ((20.0, 50.0), None),
        ((30.0, -40.0), None),
    ],
)
def test_coordinates_lie_at_the_nearest_town_for_its_size(where: tuple[float, float], place: str | None) -> None:
    assert place_at(*where) == place


@pytest.mark.parametrize(
    "where", [(0, 0), (91, 31), (-91, 31), (30, 181), (math.nan, 31), (30, math.nan), (None, 31), (30, None)]
)
def test_what_no_gps_says_is_no_place(where: tuple[float | None, float | None]) -> None:
    assert place_at(*where) is None


@given(st.floats(), st.floats())
def test_any_two_numbers_give_a_place_or_none(latitude: float, longitude: float) -> None:
    found = place_at(latitude, longitude)
    assert found is None or name_key(found)


# ------------------------------------------------------------------ names


@pytest.mark.parametrize("spelled", ["الإسكندرية", "الاسكندرية", "اسكندرية", "الاسكندريه", "إسكندريّة", "ALEXANDRIA"])
def test_a_place_is_found_however_its_name_is_spelled(gallery: Any, spelled: str) -> None:
    assert names(gallery.search("صورة", where=f"place={spelled}")) == {"alexandria"}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("القاهرة", {"cairo"}),
        ("مصر", {"cairo", "alexandria"}),
        ("Emirates", {"dubai"}),
        ("طرابلس", {"lebanon", "libya"}),
        ("Tripoli", {"lebanon", "libya"}),
        ("طرابلس، لبنان", {"lebanon"}),
        ("Dubai, United Arab Emirates", {"dubai"}),
        ("القاهرة | Dubai", {"cairo", "dubai"}),
    ],
)
def test_a_place_is_a_town_region_or_country_or_all_of_them(gallery: Any, where: str, found: set[str]) -> None:
    assert names(gallery.search("صورة", where=Filters(place=where))) == found


def test_an_unknown_place_is_refused_with_the_places_there_are(gallery: Any) -> None:
    with pytest.raises(InputError, match=r"no picture has the place 'باريس'.*دبي، الإمارات · Dubai"):
        gallery.search("صورة", where="place=باريس")


def test_an_earlier_gallery_gains_places_with_the_next_update(tmp_path: Path, tiny_model: Path) -> None:
    trips(tmp_path / "trips")
    with Gallery.open(tmp_path / "g", model=AraCLIP(tiny_model, threads=1), create=True) as gallery:
        gallery.update([tmp_path / "trips"])
        with gallery._catalog.writing():
            gallery._catalog.change("UPDATE photos SET place = NULL")
            gallery._catalog.change("DELETE FROM meta WHERE key = 'placed_by_coordinates'")
        assert gallery.search("صورة", where="place=دبي") == []  # no picture has any place
        gallery.update([tmp_path / "trips"])
        assert names(gallery.search("صورة", where="place=دبي")) == {"dubai"}
        assert gallery.verify() == []


# ------------------------------------------------------------------ queries

HERE = names_by_key(tuple(filter(None, (place_at(*each) for each in (*AT.values(), TYRE, MEDINA)))))


def read(text: str, known: dict[str, str] = HERE) -> tuple[str, list[str]]:
    """What is left of a query, and the filters that were read from it."""
    found = plan(parse(text), interpreter(), today=date(2026, 11, 30), places=lambda: known)
    left = " ".join(term.value for term in found.query.terms)
    return left, [where for each in found.interpretation.filters for where in each.where]


@pytest.mark.parametrize(
    ("query", "left", "filters"),
    [
        ("صور القاهرة", "صورة", ["place=القاهرة"]),
        ("في دبي السنة الماضية", "صورة", ["captured=2025..2025", "place=دبي"]),
        ("in Alexandria", "صورة", ["place=Alexandria"]),
        ("شاطئ اسكندريه", "شاطئ", ["place=الإسكندرية"]),
        ("قطط بالقاهرة", "قطط", ["place=القاهرة"]),
        ("مسجد في طرابلس", "مسجد", ["place=طرابلس"]),
        ("مطعم في مدينة صور", "مطعم", ["place=صور"]),
        ("غروب في صور", "غروب", ["place=صور"]),
        ("beach near Dubai 2019", "beach", ["captured=2019..2019", "place=Dubai"]),
        ("لبنان", "صورة", ["place=لبنان"]),
        ("صور قطط", "صور قطط", []),  # not in Tyre, which is called صور
        ("صور", "صور", []),
        ("ناس في المدينة", "ناس في المدينة", []),  # not in Medina
        ("كلب بني", "كلب بني", []),
        ("برج إيفل في باريس", "برج إيفل في باريس", []),  # no picture lies there
        ("«صور القاهرة»", "صور القاهرة", []),
        ("صور خارج القاهرة", "صور خارج القاهرة", []),
        ("photos outside Alexandria", "photos outside Alexandria", []),
        ("cats not in Cairo", "cats not in Cairo", []),
        ("علم لبنان", "علم لبنان", []),  # a flag, wherever it was photographed
        ("flag of the Republic of Lebanon", "flag of the Republic of Lebanon", []),
        ("علم جمهورية مصر العربية", "علم جمهورية مصر العربية", []),
        ("flag of Lebanon in Alexandria", "flag of Lebanon", ["place=Alexandria"]),
        ("خريطة في القاهرة", "خريطة", ["place=القاهرة"]),
        ("صور القاهرة ودبي", "صورة", ["place=القاهرة | دبي"]),
        ("beach in Alexandria or Dubai", "beach", ["place=Alexandria | Dubai"]),
        ("مسجد في دبي والقاهرة والإسكندرية", "مسجد", ["place=دبي | القاهرة | الإسكندرية"]),
        ("صور طرابلس لبنان", "صورة", ["place=طرابلس، لبنان"]),
        ("القاهرة، دبي", "صورة", ["place=القاهرة | دبي"]),
        ("in Cairo, Dubai", "صورة", ["place=Cairo | Dubai"]),
        ("صور القاهرة، دبي والإسكندرية", "صورة", ["place=القاهرة | دبي | الإسكندرية"]),
        ("صور القاهرة، مصر", "صورة", ["place=القاهرة، مصر"]),
        ("القاهرة، قطط", "قطط", ["place=القاهرة"]),
        ("القاهرة وقطط", "وقطط", ["place=القاهرة"]),
        ("مش بعيد عن القاهرة", "مش بعيد عن", ["place=القاهرة"]),
        ("not far from Cairo", "not far", ["place=Cairo"]),
        ("لا تنس القاهرة", "لا تنس", ["place=القاهرة"]),
        ("لا أريد إلا صور القاهرة", "لا أريد إلا صور", ["place=القاهرة"]),
        ("nothing except photos of Cairo", "nothing except photos", ["place=Cairo"]),
        ("رجل ماشي في القاهرة", "رجل ماشي", ["place=القاهرة"]),
        ("ليس خارج القاهرة 2019", "ليس خارج", ["captured=2019..2019", "place=القاهرة"]),
        ("قطة خارج البيت 2019", "قطة خارج البيت", ["captured=2019..2019"]),
        ("شارع بدون سيارات القاهرة", "شارع سيارات", ["place=القاهرة"]),  # cars are excluded
        ("صور بدون كلاب القاهرة", "صورة كلاب", ["place=القاهرة"]),
        ("دبي بدون سيارات القاهرة", "صورة سيارات القاهرة", ["place=دبي"]),
        ("القاهرة ودبي وصور العائلة", "وصور العائلة", ["place=القاهرة | دبي"]),  # not in Tyre
        ("صور بدون ناس، 2020", "صورة ناس", ["captured=2020..2020"]),  # people are excluded, but no year or place
        ("بدون ناس، مايو", "صورة ناس", ["month=5"]),
        ("بدون كلاب، امبارح", "صورة كلاب", ["captured=2026-11-29..2026-11-29"]),
        ("بدون ناس، أمس، دبي", "صورة ناس", ["captured=2026-11-29..2026-11-29", "place=دبي"]),
        ("غروب بدون ناس، القاهرة، 2019", "غروب ناس", ["captured=2019..2019", "place=القاهرة"]),
        ("غروب بدون ناس، سيارات، القاهرة", "غروب ناس سيارات", ["place=القاهرة"]),
        ("beach without people, sunset, 2019", "beach, sunset people", ["captured=2019..2019"]),
        ("beach without people, 2019, in Cairo", "beach people", ["captured=2019..2019", "place=Cairo"]),
        ("بدون ناس، القاهرة", "صورة ناس", ["place=القاهرة"]),
        ("ما عدا القاهرة، دبي", "صورة", []),
        ("لا أريد غير صور 2019", "لا أريد غير صور", ["captured=2019..2019"]),
        ("ما أريد غير صور مايو", "ما أريد غير صور", ["month=5"]),
        ("مش عايز غير صور 2019", "مش عايز غير صور", ["captured=2019..2019"]),
        ("مافيش غير صور دبي", "مافيش غير صور", ["place=دبي"]),
        ("مابغيت غير صور 2020", "مابغيت غير صور", ["captured=2020..2020"]),
        ("bus no 2015", "bus no 2015", []),
        ("room no. 2010", "room no. 2010", []),
        ("ليس في القاهرة بل في دبي", "صورة", ["place=دبي"]),
        ("beach, no 2019", "beach", []),
    ],
)
def test_a_query_names_a_place_of_the_gallery(query: str, left: str, filters: list[str]) -> None:
    assert read(query) == (left, filters)


@pytest.mark.parametrize(
    ("query", "gallery", "filters"),
    [
        ("سلطنة عمان", ["عمان، الأردن · Amman, Jordan", "مسقط، عمان · Muscat, Oman"], ["place=سلطنة عمان"]),
        ("سلطنة عمان", ["عمان، الأردن · Amman, Jordan"], []),
        ("صور عمان", ["عمان، الأردن · Amman, Jordan"], ["place=عمان"]),
        ("cat in new york city", ["New York، الولايات المتحدة · New York, United States"], ["place=New York"]),
        ("صورة في رأس بيروت", ["بيروت، لبنان · Beirut, Lebanon"], ["place=بيروت"]),
        ("الجزائر العاصمة", ["الجزائر، الجزائر · Algiers, Algeria"], ["place=الجزائر العاصمة"]),
        ("الجزائر", ["الجزائر، الجزائر · Algiers, Algeria"], ["place=الجزائر"]),
        ("مدينة الجزائر", ["الجزائر، الجزائر · Algiers, Algeria"], ["place=مدينة الجزائر"]),
        ("جمهورية مصر العربية", ["القاهرة، مصر · Cairo, Egypt"], ["place=مصر"]),
    ],
)
def test_a_name_of_one_place_does_not_become_that_of_several(
    query: str, gallery: list[str], filters: list[str]
) -> None:
    assert read(query, dict(names_by_key(tuple(gallery))))[1] == filters


def test_a_ring_of_gold_and_the_sunset_prayer_are_no_places() -> None:
    known = names_by_key(tuple(filter(None, (place_at(28.5, 34.51), place_at(33.57, -7.59)))))
    for text in ("خاتم دهب", "صلاة المغرب", "بعد المغرب"):
        assert read(text, dict(known)) == (text, [])
    assert [read(text, dict(known))[1] for text in ("صور دهب", "في المغرب")] == [["place=دهب"], ["place=المغرب"]]


@pytest.mark.parametrize("name", ["بني", "مرسى", "نخل", "المدينة", "القصر", "Nice", "Reading", "Bath", "Orange"])
def test_an_everyday_word_is_no_place_though_pictures_lie_there(name: str) -> None:
    known = names_by_key((name,))
    for query in (name, f"صور {name}", f"شيء في {name}", f"a thing in {name}"):
        assert read(query, known)[1] == []
    assert read(f"مدينة {name}", known)[1] == [f"place={name}"]


@pytest.mark.parametrize("name", ["سحاب", "شط", "ورود"])
def test_a_thing_of_a_dialect_is_a_place_only_after_in(name: str) -> None:
    known = names_by_key((name,))
    assert [read(query, known)[1] for query in (name, f"صور {name}", f"شجرة {name}")] == [[], [], []]
    assert read(f"بيت في {name}", known)[1] == [f"place={name}"]


@pytest.mark.parametrize("name", ["كابل", "بيرو", "بيشاور"])
def test_a_large_town_is_a_place_even_if_a_dialect_has_the_word(name: str) -> None:
    assert read(f"صور {name}", names_by_key((name,)))[1] == [f"place={name}"]


@given(st.text(max_size=60))
def test_any_text_is_taken_apart(text: str) -> None:
    if parse_ok(text):
        left, filters = read(text)
        assert len(filters) <= 3 and isinstance(left, str)


def parse_ok(text: str) -> bool:
    try:
        return bool(parse(text).terms)
    except InputError:
        return False


def test_the_reading_is_shown_and_can_be_taken_back(gallery: Any) -> None:
    hits = gallery.search("صور القاهرة")
    assert names(hits) == {"cairo"}
    assert [(each.part, each.where, each.applied) for each in hits.interpretation.filters] == [
        ("place", ("place=القاهرة",), True)
    ]
    assert len(gallery.search("صور القاهرة", ignore=["place"])) == 7


@pytest.mark.parametrize(
    "query",
    [
        *(
            "قطط ما عدا القاهرة",
            "قطط ليست في القاهرة",
            "قطط بدون يونيو",
            "cats without june",
            "صور 2023 ما عدا القاهرة",
        ),
        *("صور ليست من 2019", "صور مش في 2019", "dogs not from 2019", "مش صيف 2019", "not summer 2019", "مش 2019"),
        *("not before 2015", "كل الصور ما عدا صور 2019", "photos not taken in 2019", "everything but 2019"),
        *(
            "photos not taken in Cairo",
            "صور لم تلتقط في القاهرة",
            "بعيد عن القاهرة",
            "بعيدا عن القاهرة",
            "far from Cairo",
        ),
        *(
            "كل الصور إلا في القاهرة",
            "ما عدا في دبي",
            "صور إلا القاهرة",
            "صور خارج القاهرة أو دبي",
            "cats not in Cairo",
        ),
        *("صور لم تلتقط في 2019", "صور لم تؤخذ في 2019", "صور غير مأخوذة في 2019"),
        *("لا أريد صور 2019", "مش عايز صور 2019", "ما أبغى صور دبي", "I don't want photos from 2019"),
        *("don't show photos from Cairo", "صور غير 2019"),
    ],
)
def test_no_filter_stands_for_an_excluded_place_or_date(query: str) -> None:
    found = plan(parse(query), interpreter(), today=date(2026, 11, 30), places=lambda: HERE)
    interpretation = found.interpretation
    left = [each.where for each in interpretation.filters if each.where != ("captured=2023..2023",)]
    assert (left, interpretation.excluded, len(interpretation.qualities)) == ([], (), 1)
    assert [term.weight for term in found.query.terms] == [1.0]


@pytest.mark.parametrize(
    ("query", "left", "filters"),
    [
        ("أحدث الصور", "صورة", ["sort=date"]),
        ("آخر صور القطط", "صور القطط", ["sort=date"]),
        ("آخر ١٠ صور للقطة", "صور للقطة", ["sort=date"]),
        ("أقدم صورة في القاهرة", "صورة", ["sort=oldest", "place=القاهرة"]),
        ("most recent photos of cats", "photos of cats", ["sort=date"]),
        ("صورة آخر النهار", "صورة آخر النهار", []),
        ("أحدث سيارة", "أحدث سيارة", []),
        ("فيديوهات البحر", "البحر", ["kind=video"]),
        ("عايز فيديوهات فيها قطط", "عايز قطط", ["kind=video"]),
        ("أحدث الفيديوهات", "صورة", ["sort=date", "kind=video"]),
        ("فديوهات العرس", "العرس", ["kind=video"]),
        ("مقاطع مضحكة", "مضحكة", ["kind=video"]),
        ("اجدد الصور", "صورة", ["sort=date"]),
        ("cat videos", "cat", ["kind=video"]),
        ("صور وفيديوهات القطط", "صور وفيديوهات القطط", []),
        ("كاميرا فيديو", "كاميرا فيديو", []),
        ("video game", "video game", []),
        ("فيديو كليب", "فيديو كليب", []),
        ("people watching videos", "people watching videos", []),
        ("cats without videos", "cats", ["kind=picture"]),
        ("صور بدون فيديوهات", "صورة", ["kind=picture"]),
        ("بحر بدون فيديوهات ولا ناس", "بحر ناس", ["kind=picture"]),  # people are excluded
        ("not the latest photos", "صورة latest photos", []),
        ("صور أقدم مسجد", "صور أقدم مسجد", []),
        ("oldest picture frame", "oldest picture frame", []),
        ("latest pictures of cats", "pictures of cats", ["sort=date"]),
    ],
)
def test_a_query_asks_for_videos_or_for_the_newest(query: str, left: str, filters: list[str]) -> None:
    assert read(query) == (left, filters)


def test_the_newest_and_the_oldest_come_first_by_words(gallery: Any) -> None:
    newest = ["sea", "libya", "lebanon", "dubai", "alexandria", "cairo"]
    assert [Path(hit.path).stem for hit in gallery.search("أحدث الصور", 6)] == newest
    assert [Path(hit.path).stem for hit in gallery.search("أقدم الصور", 6)] == newest[::-1]
    assert len(gallery.search("أحدث الصور", ignore=["order"])) == 7
    oldest = gallery.search("أحدث الصور", 6, sort="oldest")  # the caller's order, and only this one is named
    assert [Path(hit.path).stem for hit in oldest] == newest[::-1] and oldest.interpretation.filters == ()
    assert gallery.search("صور القاهرة" + " ودبي" * 60)  # not too long for a filter
    hits = gallery.search("فيديوهات القاهرة")
    assert [(each.part, each.applied) for each in hits.interpretation.filters] == [("kind", False), ("place", False)]
    assert any("مع بقية الشروط: لا فيديو" in line for line in interpretation_lines(hits.interpretation))


def test_a_callers_filter_replaces_that_of_the_words(gallery: Any) -> None:
    hits = gallery.search("فيديوهات القاهرة", where=["kind=picture"])
    assert [(each.part, each.applied) for each in hits.interpretation.filters] == [("place", True)]
    assert [Path(hit.path).stem for hit in hits] == ["cairo"]
    other = gallery.search("فيديوهات القاهرة", where=["kind=picture", "place=دبي"])
    assert other.interpretation.filters == () and [Path(hit.path).stem for hit in other] == ["dubai"]
    # no picture of the place: its words are searched, but not the replaced word for videos
    words = gallery.search("فيديوهات سيارة القاهرة", where=["kind=picture", "captured=2025"]).interpretation
    assert [(each.part, each.applied) for each in words.filters] == [("place", False)]


def test_a_query_of_a_date_alone_is_sorted_by_date(gallery: Any) -> None:
    every = [hit.path for hit in gallery.search("صور", where=["kind=picture"], sort="date")]
    assert len(every) > 3
    assert [hit.path for hit in gallery.search("فيديوهات", where=["kind=picture"])] == every


def test_a_place_whose_pictures_do_not_pass_is_searched_as_words(gallery: Any) -> None:
    hits = gallery.search("صور القاهرة", where="captured=2025")
    assert [each.applied for each in hits.interpretation.filters] == [False]
    hits = gallery.search("قطط في القاهرة سنة 1999")
    assert [each.applied for each in hits.interpretation.filters] == [False, False]
    assert any("القاهرة» مع بقية الشروط: لا صور" in line for line in interpretation_lines(hits.interpretation))


# ------------------------------------------------------------------ over HTTP and on the command line


@pytest.fixture(scope="module")
def client(place: Path | str, tiny_model: Path) -> Iterator[TestClient]:
    with serving(settings_for(place, tiny_model)) as client:
        yield client


def test_towns_are_albums_with_a_cover_and_pins_have_names(client: TestClient) -> None:
    towns = client.get("/places", params={"by": "town"}).json()["places"]
    assert {each["name"] for each in towns} == {place_at(*where) for where in AT.values()} - {None}
    assert all(each["pictures"] == 1 and each["cover"] for each in towns)
    assert {each["name"] for each in client.get("/places", params={"cell": 0.25}).json()["places"]} == {
        each["name"] for each in towns
    }


def test_pictures_around_the_date_line_lie_there_and_not_at_zero(tmp_path: Path, tiny_model: Path) -> None:
    longitudes = (179.9, -179.9, 179.8, -179.9)
    for number, longitude in enumerate(longitudes):
        taken_at(tmp_path / "فيجي" / f"{number}.jpg", (-16.8, longitude), "2024:05:17 12:00:00", (60 * number, 90, 20))
    make_gallery(tmp_path / "gallery", tmp_path / "فيجي", tiny_model)
    with serving(settings_for(tmp_path / "gallery", tiny_model)) as client:
        (town,) = client.get("/places", params={"by": "town"}).json()["places"]
        cells = client.get("/places", params={"cell": 0.25}).json()["places"]
    assert (town["pictures"], town["longitude"]) == (4, pytest.approx(179.975, abs=1e-4))
    assert town["box"] == pytest.approx([-16.8, 179.8, -16.8, -179.9], abs=1e-4)
    assert sorted(each["longitude"] for each in cells) == pytest.approx([-179.9, 179.85], abs=1e-4)


def test_details_and_suggestions_name_places(client: TestClient) -> None:
    (found,) = client.get("/search", params={"q": "صور دبي"}).json()["results"]
    assert client.get(f"/images/{found['id']}/details").json()["place"] == place_at(*DUBAI)
    assert {"text": "دبي", "kind": "place"} in client.get("/suggestions", params={"q": "دب"}).json()["suggestions"]
    assert {"text": "Dubai", "kind": "place"} in client.get("/suggestions", params={"q": "dub"}).json()["suggestions"]


def test_results_come_by_date_from_every_interface(place: Path | str, tiny_model: Path, client: TestClient) -> None:
    newest = ["sea", "libya", "lebanon", "dubai", "alexandria", "cairo", "nowhere"]
    found = client.get("/search", params={"q": "بحر", "sort": "date"}).json()
    assert [Path(each["name"]).stem for each in found["results"]] == newest
    pages = [
        client.get("/search", params={"q": "بحر", "sort": "date", "k": 3, "offset": at}).json() for at in (0, 3, 6)
    ]
    assert [each["id"] for page in pages for each in page["results"]] == [each["id"] for each in found["results"]]
    oldest = client.get("/search", params={"q": "بحر", "sort": "oldest"}).json()["results"]
    assert [Path(each["name"]).stem for each in oldest] == [*newest[-2::-1], "nowhere"]
    assert client.get("/search", params={"q": "بحر", "sort": "size"}).status_code == 422
    with listening(settings_for(place, tiny_model)) as address, Client(address) as asked:
        assert [Path(each.name).stem for each in asked.search("بحر", sort="date").results] == newest
    options = ["--gallery", str(place), "--model", str(tiny_model), "--paths", "--sort"]
    printed = CliRunner().invoke(app, ["search", "بحر", *options, "date"])
    assert [Path(line).stem for line in printed.stdout.splitlines()] == newest
    refused = CliRunner().invoke(app, ["search", "بحر", *options, "size"])
    assert refused.exit_code == 1 and isinstance(refused.exception, InputError)


# ------------------------------------------------------------------ sorting


def candidates(*relevances: float | None) -> Iterator[Candidate]:
    return iter([Candidate(number, 0.3, relevance, 0.0) for number, relevance in enumerate(relevances)])


def by_date(*relevances: float | None) -> list[int]:
    newest = iter(range(len(relevances) + 3, -1, -1))  # of a gallery in which the last indexed is the newest
    return [each.content for each in sort_by_date(candidates(*relevances), newest)]


def test_what_fits_comes_newest_first_and_weak_is_left_out() -> None:
    assert by_date(0.9, 0.7, 0.6, 0.3, 0.2, 0.19, 0.1) == [4, 3, 2, 1, 0]


def test_where_nothing_fits_the_order_stays() -> None:
    assert by_date(0.21, 0.1, 0.05) == [0, 1, 2]


def test_without_relevance_the_best_are_sorted() -> None:
    assert by_date(*[None] * 250) == list(range(199, -1, -1))


@given(st.lists(st.floats(0, 1), max_size=30).map(lambda each: sorted(each, reverse=True)))
def test_sorting_by_date_never_adds_nor_repeats(relevances: list[float]) -> None:
    found = by_date(*relevances)
    assert len(set(found)) == len(found) and set(found) <= set(range(len(relevances)))

"""Timelines, albums and clusters of places, as pure values."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from araclip.errors import InputError
from araclip.gallery.browsing import MAX_DEPTH, Albums, Timeline, clusters

DATES = st.sampled_from(["", "2023-05-17T18:30:00", "2023-05-01T00:00:00", "2021-12-31T23:59:59", "1999-01"])


def timeline(dates: dict[int, str]) -> Timeline:
    return Timeline(np.array(list(dates), np.int64), list(dates.values()))


def test_the_newest_comes_first_and_what_has_no_date_last() -> None:
    found = timeline({1: "", 2: "2021-03-01T10:00:00", 3: "2023-05-17T18:30:00", 4: "2023-05-02T00:00:00"})
    assert found.ids.tolist() == [3, 4, 2, 1]
    assert [(each.month, each.pictures) for each in found.months] == [("2023-05", 2), ("2021-03", 1), ("", 1)]
    assert timeline({}).months == ()


@given(st.dictionaries(st.integers(1, 500), DATES, max_size=60), st.integers(1, 9))
def test_pages_by_cursor_give_every_picture_once_in_order(dates: dict[int, str], k: int) -> None:
    found, seen, cursor = timeline(dates), list[int](), None
    while True:
        start = 0 if cursor is None else found.position(cursor)
        seen += found.ids[start : start + k].tolist()
        cursor = found.cursor_at(start + k)
        if cursor is None:
            break
    assert seen == found.ids.tolist()
    assert sum(each.pictures for each in found.months) == len(dates)


@given(st.dictionaries(st.integers(1, 500), DATES, min_size=2, max_size=60), st.data())
def test_a_cursor_stands_although_pictures_come_and_go(dates: dict[int, str], data: st.DataObject) -> None:
    before = timeline(dates)
    at = data.draw(st.integers(0, len(dates) - 1))
    cursor, left = before.cursor_at(at), before.ids[at:].tolist()
    gone = set(data.draw(st.lists(st.sampled_from(list(dates)), max_size=len(dates) - 1)))
    after = timeline({content: date for content, date in dates.items() if content not in gone} | {501: "2030-01-01"})
    assert cursor is not None
    assert after.ids[after.position(cursor) :].tolist() == [content for content in left if content not in gone]


@pytest.mark.parametrize("cursor", ["", "~", "2023-05", "2023~x", "2023~٣", "٢~3", "a~-1", "x~" + "9" * 40])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InputError, match="cursor"):
        timeline({1: "2023-01-01"}).position(cursor)


def test_folders_are_nested_albums_below_what_all_share() -> None:
    albums = Albums(
        [
            ("/home/sara/صور/رحلة/يوم 1/a.jpg", 1, "2023-01-01"),
            ("/home/sara/صور/رحلة/يوم 2/b.jpg", 2, "2024-01-01"),
            ("/home/sara/صور/رحلة/c.jpg", 3, None),
            ("/home/sara/صور/قديم/1990/d.jpg", 4, None),
            ("picture:4f", 5, None),
        ]
    )
    assert [(each.name, each.pictures, each.own) for each in albums.top] == [("رحلة", 3, 1), ("1990", 1, 1)]
    trip = albums.top[0]
    assert [(each.name, each.pictures) for each in trip.albums] == [("يوم 1", 1), ("يوم 2", 1)]
    assert trip.cover == 2  # the newest
    assert [each.name for each in trip.albums[0].trail] == ["رحلة", "يوم 1"]
    assert albums.by_key[trip.key] is trip
    assert "sara" not in trip.key


def test_one_folder_of_pictures_is_one_album() -> None:
    albums = Albums([("/a/b/one.jpg", 1, None), ("/a/b/two.jpg", 2, None)])
    assert [(each.name, each.own) for each in albums.top] == [("b", 2)]
    assert Albums([]).top == []


def test_folders_of_any_depth_and_bytes_are_albums() -> None:
    deep = "/" + "/".join("d" * (MAX_DEPTH * 20)) + "/x.jpg"
    albums = Albums([(deep, 1, None), ("/top.jpg", 2, None), (os.fsdecode(b"/\xff/y.jpg"), 3, None)])
    assert albums.top[0].pictures == 3
    assert all(len(each.trail) <= MAX_DEPTH + 1 for each in albums.by_key.values())


def test_places_are_gathered_in_a_grid_with_the_newest_as_cover() -> None:
    ids = np.array([7, 8, 9, 10], np.int64)
    found = clusters(ids, np.array([24.7, 24.71, 30.0, -90.0]), np.array([46.7, 46.72, 31.2, 180.0]), 1.0)
    assert next((each.cover, each.pictures) for each in found) == (7, 2)
    assert found[0].box == (24.7, 46.7, 24.71, 46.72)
    assert found[0].latitude == pytest.approx(24.705)
    assert {each.cover for each in found} == {7, 9, 10}
    (one,) = clusters(ids[:2], np.zeros(2), np.array([180.0, -179.5]), 1.0)  # 180° east is 180° west
    assert (one.longitude, one.box) == (pytest.approx(-179.75), (0.0, 180.0, 0.0, -179.5))
    assert clusters(ids[:0], np.empty(0), np.empty(0), 1.0) == []
    with pytest.raises(InputError, match="cells of 3 degrees"):
        clusters(ids, np.zeros(4), np.zeros(4), 3.0)

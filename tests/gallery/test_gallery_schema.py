"""Galleries of other releases, and files that are no galleries yet, are refused and left alone."""

from contextlib import closing
from pathlib import Path

import pytest

from araclip import AraCLIP, Gallery
from araclip.errors import GalleryCorrupt, GalleryError, NewerGallery
from araclip.gallery import recorded_model
from catalog_file import edited, value


def number(place: Path) -> int:
    return int(str(value(place, "PRAGMA user_version")))


def test_a_gallery_older_than_the_first_release_is_refused(tmp_path: Path, model: AraCLIP) -> None:
    place = tmp_path / "old"
    Gallery.open(place, model=model, create=True).close()
    with closing(edited(place)) as database:
        database.execute("PRAGMA user_version = 5")
    with pytest.raises(GalleryError, match="schema 5, of a time before the first release"):
        Gallery.open(place, model=model)
    assert number(place) == 5


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, model: AraCLIP) -> None:
    place = tmp_path / "old"
    Gallery.open(place, model=model, create=True).close()
    with closing(edited(place)) as database:
        database.execute("PRAGMA user_version = 99")
    before = (place / "catalog.sqlite").read_bytes()
    for create in (False, True):
        with pytest.raises(NewerGallery, match=r"schema 99.*Upgrade"):
            Gallery.open(place, model=model, create=create)
    assert len(before) == (place / "catalog.sqlite").stat().st_size
    assert number(place) == 99


def test_a_begun_gallery_is_made_by_indexing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    """A disk that was full, or a process killed, while the file was created: indexing again was refused for ever."""
    monkeypatch.setattr(recorded_model, "DEFAULT_MODEL", str(tiny_model))
    with closing(edited(tmp_path)) as database:
        database.execute("PRAGMA journal_mode = WAL")  # writes the first page
    with Gallery.open(tmp_path, create=True) as gallery:
        assert len(gallery) == 0


def test_a_damaged_schema_number_asks_for_a_repair(tmp_path: Path, model: AraCLIP) -> None:
    Gallery.open(tmp_path, model=model, create=True).close()
    with closing(edited(tmp_path)) as database:
        database.execute("PRAGMA user_version = 0")
    for create in (False, True):
        with pytest.raises(GalleryCorrupt, match=r"no schema any more.*araclip repair"):
            Gallery.open(tmp_path, model=model, create=create)
    assert Gallery.rescue(tmp_path, model=model)
    Gallery.open(tmp_path, model=model).close()


def test_an_empty_file_is_no_gallery_until_it_is_created(tmp_path: Path, model: AraCLIP) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"")
    with pytest.raises(GalleryCorrupt, match="empty or unfinished"):
        Gallery.open(tmp_path, model=model)
    with Gallery.open(tmp_path, model=model, create=True) as gallery:
        assert len(gallery) == 0

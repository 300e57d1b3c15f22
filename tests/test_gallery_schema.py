"""Galleries of other releases: older ones are migrated whole or not at all, newer ones refused."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from araclip import AraCLIP, Gallery
from araclip.errors import GalleryCorrupt, GalleryError, NewerGallery
from araclip.gallery import recorded_model
from araclip.gallery.catalog import connection, schema
from araclip.gallery.catalog.filters import Filters
from catalog_file import edited, value

GOLDEN = sorted((Path(__file__).parent / "golden").glob("gallery-*"))


def moved(golden: Path, place: Path, model: AraCLIP) -> Path:
    """A copy of a golden gallery whose paths lead to its copied pictures, made by the model at hand."""
    shutil.copytree(golden, place)
    with closing(edited(place)) as database:
        triggers = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:  # those of schema 6 call a function that is gone
            database.execute(f"DROP TRIGGER {name}")
        for (path,) in database.execute("SELECT path FROM files").fetchall():
            here = path.replace(b"/golden", bytes(place / "pictures"))
            database.execute("UPDATE files SET path = ? WHERE path = ?", (here, path))
        database.execute("UPDATE meta SET value = ? WHERE key = 'fingerprint'", (model.config.fingerprint,))
        for _, trigger in triggers:
            database.execute(trigger)
    return place


def number(place: Path) -> int:
    return int(str(value(place, "PRAGMA user_version")))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_a_gallery_of_every_earlier_schema_opens_is_searched_and_brought_up_to_date(
    golden: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moved(golden, tmp_path / "old", model)
    with Gallery.open(place, model=model) as gallery:
        assert number(place) == schema.SCHEMA
        assert Path(gallery.search("أحمر", 1)[0].path).name == "أحمر.png"
        best = gallery.search("أخضر", 1)[0]
        assert [Path(path).name for path in (best.path, *best.copies)] == ["copy.png", "green.png"]

        def no_encoding(*_: object) -> None:
            raise AssertionError("encoded again")

        monkeypatch.setattr(model, "encode_pixels", no_encoding)
        report = gallery.update([place / "pictures"])  # reads each file once more, for what filters ask
        assert (report.pictures, report.skipped) == (3, [])
        assert [Path(hit.path).name for hit in gallery.search("أحمر", where=Filters(formats=("webp",)))] == ["بحر.webp"]
        assert gallery.update([place / "pictures"]).unchanged == 4
        assert gallery.verify(contents=True) == []


def test_every_schema_that_is_migrated_has_its_golden_gallery() -> None:
    assert [path.name for path in GOLDEN] == [f"gallery-{n}" for n in range(schema.MIGRATED, schema.SCHEMA)]


def test_a_migration_that_fails_half_way_leaves_the_gallery_as_it_was(
    tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moved(GOLDEN[0], tmp_path / "old", model)
    with monkeypatch.context() as broken:
        broken.setattr(schema, "_DERIVED_TABLES", schema._DERIVED_TABLES + "INSERT INTO nowhere VALUES (1);")
        with pytest.raises(GalleryError, match="nowhere"):
            Gallery.open(place, model=model)
    assert number(place) == schema.MIGRATED
    with Gallery.open(place, model=model) as gallery:
        assert len(gallery) == 3


def test_a_gallery_that_another_program_has_open_is_migrated_when_that_is_closed(
    tmp_path: Path, model: AraCLIP
) -> None:
    place = moved(GOLDEN[0], tmp_path / "old", model)
    with closing(edited(place)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN; SELECT * FROM meta")
        with pytest.raises(GalleryError, match=r"open in another program.*Close"):
            Gallery.open(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        assert len(gallery) == 3
        assert [fault for fault in gallery.verify() if fault.repairable] == []


def test_a_gallery_from_before_the_first_release_is_refused_and_left_alone(tmp_path: Path, model: AraCLIP) -> None:
    place = moved(GOLDEN[0], tmp_path / "old", model)
    with closing(edited(place)) as database:
        database.execute("PRAGMA user_version = 5")
    with pytest.raises(GalleryError, match="schema 5, of a time before the first release"):
        Gallery.open(place, model=model)
    assert number(place) == 5


def test_an_older_gallery_in_a_read_only_folder_says_how_to_migrate_it(
    tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moved(GOLDEN[0], tmp_path / "old", model)
    monkeypatch.setattr(connection.os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(GalleryError, match=r"schema 6 and must become 7.*cannot be written.*copy the gallery folder"):
        Gallery.open(place, model=model)


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, model: AraCLIP) -> None:
    place = moved(GOLDEN[0], tmp_path / "old", model)
    with closing(edited(place)) as database:
        database.execute("PRAGMA user_version = 99")
    before = (place / "catalog.sqlite").read_bytes()
    for create in (False, True):
        with pytest.raises(NewerGallery, match=r"schema 99.*Upgrade"):
            Gallery.open(place, model=model, create=create)
    assert len(before) == (place / "catalog.sqlite").stat().st_size
    assert number(place) == 99


def test_a_gallery_that_was_only_begun_is_made_by_indexing_again_without_naming_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    """A disk that was full, or a process killed, while the file was created: indexing again was refused for ever."""
    monkeypatch.setattr(recorded_model, "DEFAULT_MODEL", str(tiny_model))
    with closing(edited(tmp_path)) as database:
        database.execute("PRAGMA journal_mode = WAL")  # writes the first page
    with Gallery.open(tmp_path, create=True) as gallery:
        assert len(gallery) == 0


def test_a_catalogue_whose_schema_number_is_damaged_asks_for_a_repair(tmp_path: Path, model: AraCLIP) -> None:
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

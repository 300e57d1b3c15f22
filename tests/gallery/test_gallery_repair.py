"""Whatever page of a catalogue is damaged: repair and index bring back a gallery in which `verify` finds nothing."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from crash.story import picture_files, pictures_bytes

from araclip import AraCLIP, Gallery
from araclip.core import atomic
from araclip.errors import AraCLIPError, GalleryCorrupt
from catalog_file import edited

PICTURES = 12
NAMES = (b"contents", b"caption", b"ocr_by", b"words USING fts5", b"vector_changed", b"files_content")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for path in picture_files(folder, PICTURES):
        path.with_suffix(".txt").write_text("كلب", "utf-8")
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, model: AraCLIP, root: Path) -> Path:
    place = tmp_path_factory.mktemp("sound") / "g"
    with Gallery.open(place, model=model, create=True) as gallery:
        gallery.update([root])
        gallery.add([pictures_bytes(99)], metadata={"album": "رحلة"})
    return place


def root_pages(catalogue: Path) -> Iterator[tuple[str, int]]:
    """Name and first byte of the root page of each table and index."""
    with closing(edited(catalogue.parent)) as database:
        ((size,),) = database.execute("PRAGMA page_size")
        for name, page in database.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 1").fetchall():
            yield name, (page - 1) * size


def mended(place: Path, model: AraCLIP, root: Path) -> None:
    try:
        Gallery.rescue(place, model=model)
    except GalleryCorrupt as error:  # never the advice to delete what may be the only copy
        assert "elete" not in str(error) and (place / "catalog.sqlite").is_file()
        shutil.rmtree(place)
    with Gallery.open(place, model=model, create=True) as gallery:
        gallery.update([root])
        assert [fault for fault in gallery.verify() if fault.repairable] == []
        files = [hit.path for hit in gallery.search("كلب", 100) if not hit.path.startswith("picture:")]
        assert len(files) == PICTURES


@pytest.mark.parametrize("how", ["zeroed", "a page of another"])
def test_a_root_page_that_is_lost_is_repaired(
    how: str, sound: Path, tmp_path: Path, model: AraCLIP, root: Path
) -> None:
    pages = list(root_pages(sound / "catalog.sqlite"))
    for number, (name, start) in enumerate(pages):
        place = Path(shutil.copytree(sound, tmp_path / name))
        raw = bytearray((place / "catalog.sqlite").read_bytes())
        other = pages[number - 1][1]
        raw[start : start + 4096] = bytes(4096) if how == "zeroed" else raw[other : other + 4096]
        (place / "catalog.sqlite").write_bytes(raw)
        mended(place, model, root)
        shutil.rmtree(place)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize("letter", [b"x", b"\xff"], ids=["another", "no UTF-8"])
def test_a_damaged_name_in_the_schema_is_repaired(
    name: bytes, letter: bytes, sound: Path, tmp_path: Path, model: AraCLIP, root: Path
) -> None:
    place = Path(shutil.copytree(sound, tmp_path / "g"))
    raw = (place / "catalog.sqlite").read_bytes()
    assert name in raw
    at = raw.index(name)
    (place / "catalog.sqlite").write_bytes(raw[:at] + letter + raw[at + 1 :])
    mended(place, model, root)


def test_every_row_is_saved_when_nothing_is_left_of_the_schema(sound: Path, tmp_path: Path, model: AraCLIP) -> None:
    with Gallery.open(sound, model=model) as gallery:
        paths = [hit.path for hit in gallery.search("كلب", 100)]
        known = {path: (gallery.metadata(path), gallery.details(path)) for path in paths}
    place = Path(shutil.copytree(sound, tmp_path / "g"))
    raw = bytearray((place / "catalog.sqlite").read_bytes())
    for start in {found.start() // 4096 * 4096 for found in re.finditer(rb"CREATE (TABLE|INDEX|TRIGGER)", raw)}:
        raw[start or 100 : start + 4096] = bytes(4096 - (0 if start else 100))  # the file begins with a header
    assert b"CREATE TABLE" not in raw
    (place / "catalog.sqlite").write_bytes(raw)
    Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        assert {path: (gallery.metadata(path), gallery.details(path)) for path in paths} == known


def test_rows_between_two_damaged_pages_are_saved(tmp_path: Path, model: AraCLIP) -> None:
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.add([pictures_bytes(number) for number in range(60)])
        before = [picture for (picture,) in gallery._catalog.rows("SELECT picture FROM kept ORDER BY content")]
    raw = bytearray((tmp_path / "g" / "catalog.sqlite").read_bytes())
    pages = [raw.index(picture[-60:]) // 4096 for picture in before]
    hurt = {pages[5], pages[50]}
    for page in hurt:
        raw[page * 4096 : page * 4096 + 4096] = bytes(4096)
    (tmp_path / "g" / "catalog.sqlite").write_bytes(raw)
    Gallery.rescue(tmp_path / "g", model=model)
    with Gallery.open(tmp_path / "g", model=model) as gallery:
        stored = {picture for (picture,) in gallery._catalog.rows("SELECT picture FROM kept")}
    assert {picture for picture, page in zip(before, pages, strict=True) if page not in hurt} <= stored


def test_a_catalogue_that_lost_its_models_name_keeps_its_rows(
    sound: Path, tmp_path: Path, model: AraCLIP, root: Path
) -> None:
    place = Path(shutil.copytree(sound, tmp_path / "g"))
    start = dict(root_pages(place / "catalog.sqlite"))["meta"]
    raw = bytearray((place / "catalog.sqlite").read_bytes())
    raw[start : start + 4096] = bytes(4096)
    (place / "catalog.sqlite").write_bytes(raw)
    with pytest.raises(GalleryCorrupt, match=r"what model it is of.*--model"):
        Gallery.rescue(place)
    mended(place, model, root)
    with Gallery.open(place, model=model) as gallery:
        (stored,) = (hit.path for hit in gallery.search("كلب", 100) if hit.path.startswith("picture:"))
        assert gallery.metadata(stored) == {"album": "رحلة"}


@pytest.mark.parametrize("killed_at", ["set the log aside", "set aside", "rename", "unlink"])
def test_second_repair_that_is_killed_goes_on_with_its_own_file(
    killed_at: str, sound: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Path(shutil.copytree(sound, tmp_path / "g"))
    catalogue = place / "catalog.sqlite"

    def damaged() -> None:
        raw, start = bytearray(catalogue.read_bytes()), dict(root_pages(catalogue))["files_content"]
        raw[start : start + 200] = bytes(200)
        catalogue.write_bytes(raw)

    damaged()
    Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        gallery.add([pictures_bytes(100), pictures_bytes(101)])
    damaged()
    log = place / "catalog.sqlite-wal"
    log.touch()

    def killed(name: str) -> None:
        if name == killed_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(atomic, "step", killed)
        Gallery.rescue(place, model=model)
        raise AssertionError(f"no step {killed_at}")
    Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        assert len(gallery) == PICTURES + 3


def test_a_damaged_catalogue_ends_in_an_error_of_ours(sound: Path, tmp_path: Path, model: AraCLIP, root: Path) -> None:
    pages = list(root_pages(sound / "catalog.sqlite"))
    for number, (name, start) in enumerate(pages):
        place = Path(shutil.copytree(sound, tmp_path / name))
        Gallery.open(place, model=model).close()  # its file is known
        raw, about = bytearray((place / "catalog.sqlite").read_bytes()), (place / "catalog.sqlite").stat()
        other = pages[number - 1][1]
        raw[start : start + 4096] = raw[other : other + 4096] if number % 2 else bytes(4096)
        (place / "catalog.sqlite").write_bytes(raw)
        os.utime(place / "catalog.sqlite", ns=(about.st_atime_ns, about.st_mtime_ns))
        uses: list[Callable[[Gallery], object]] = [
            lambda gallery: gallery.search("كلب", 100),
            lambda gallery: gallery.search("x", where="name=*1*"),
            lambda gallery: gallery.metadata(root / "صورة 1.png"),
            lambda gallery: gallery.verify(),
            lambda gallery: gallery.duplicates(),
            lambda gallery, place=place: gallery.export(place / "export"),  # type: ignore[misc]
        ]
        for use in uses:
            with suppress(AraCLIPError), Gallery.open(place, model=model, checked=False) as gallery:
                use(gallery)
        shutil.rmtree(place)

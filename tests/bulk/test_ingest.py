"""Galleries that are filled from shards."""

import itertools
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyarrow import parquet

import pictures
from araclip import AraCLIP
from araclip.bulk import ingest
from araclip.bulk.embed import embed
from araclip.bulk.ingest import fill
from araclip.core import atomic
from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.gallery import Gallery
from araclip.gallery.open import open_gallery
from command_line import Run
from postgres_server import needs_server
from serving import place_of
from shards import tar_of
from tiny import write_tiny_model

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


def test_a_filled_gallery_holds_the_rows_of_an_indexed_one(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP, run: Run
) -> None:
    pictures.solid(folder / "photo.jpg", (9, 200, 30))
    shutil.copy(folder / "photo.jpg", folder / "twin of 2024-01-31.jpg")  # only the name of the further path has a date
    embed(folder, tmp_path / "out", model=tiny_model, jobs=1)
    ran = run("index", "--from", str(tmp_path / "out"), "-g", str(tmp_path / "filled"), "--model", str(tiny_model))
    assert ran.code == 0, ran.err
    assert "10 pictures read, 9 of them new" in ran.out
    with (
        Gallery.open(tmp_path / "filled", model=model) as filled,
        Gallery.open(tmp_path / "indexed", model=model, create=True) as indexed,
    ):
        indexed.update([folder])
        everything = (
            "SELECT hash, vector, format, width, height, taken, phash, path, size, mtime_ns, metadata, caption, "
        )
        everything += (
            "embedded, camera, place FROM files JOIN contents ON id = files.content JOIN texts ON texts.content = "
        )
        everything += "id JOIN photos ON photos.content = id ORDER BY path"
        assert filled._catalog.rows(everything) == indexed._catalog.rows(everything)
        words = "SELECT names, metadata, captions FROM words ORDER BY names"
        assert filled._catalog.rows(words) == indexed._catalog.rows(words)
        assert list(filled.verify()) == []
        assert filled.update([folder]).unchanged == 10
        assert [hit.path for hit in filled.search("أحمر", 3)] == [hit.path for hit in indexed.search("أحمر", 3)]
        before = filled._catalog.rows(everything)
        assert fill(filled, tmp_path / "out").added == 0
        assert filled._catalog.rows(everything) == before


def test_a_folder_behind_a_link_gives_each_file_one_path(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP
) -> None:
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    embed(tmp_path / "link", tmp_path / "out", model=tiny_model, jobs=1)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        fill(gallery, tmp_path / "out")
        report = gallery.update([tmp_path / "link"])
        assert (report.added, report.files) == (0, 8)
        (folder / "4.png").unlink()
        assert (gallery.update([tmp_path / "link"]).files, gallery.verify()) == (7, [])


def test_pictures_whose_files_are_elsewhere_are_found(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP
) -> None:
    home = tmp_path / "tars"
    home.mkdir()
    tar_of(home / "a.tar", {"red.png": (folder / "4.png").read_bytes()})
    embed(home, tmp_path / "out", model=tiny_model, jobs=1)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        assert fill(gallery, tmp_path / "out").added == 1
        (hit,) = gallery.search("أحمر", 1)
        assert gallery.metadata(hit.path) == {"name": "red.png", "source": f"{home}/a.tar/red.png"}
        with pytest.raises(InputError, match=r"red\.png.*its file is elsewhere"):
            gallery.picture(hit.path)
        assert list(gallery.verify()) == []
        assert gallery.update([folder]).added == 8  # a file of the same picture: it can be shown
        assert "4.png" in {Path(path).name for hit in gallery.search("أحمر", 1) for path in (hit.path, *hit.copies)}


def test_a_member_whose_name_is_not_unicode_is_found(tmp_path: Path, tiny_model: Path, model: AraCLIP) -> None:
    name = os.fsdecode("صور/كلب trip ÿþý.png".encode("windows-1256", "ignore"))  # packed on an old system
    tar_of(tmp_path / "old.tar", {name: pictures.solid(tmp_path / "a.png").read_bytes()})
    embed(tmp_path / "old.tar", tmp_path / "out", model=tiny_model, jobs=1)
    with open_gallery(tmp_path / "gallery", model=model, create=True) as gallery:
        fill(gallery, tmp_path / "out")
        (hit,) = gallery.search("trip", where="name=trip")
        assert gallery.metadata(hit.path)["name"].endswith(" trip .png")


def test_the_model_need_not_be_here_to_fill_a_gallery(folder: Path, tmp_path: Path, run: Run) -> None:
    gone = write_tiny_model(tmp_path / "gone", seed=5, name="gone")
    embed(folder, tmp_path / "out", model=gone, jobs=1)
    shutil.rmtree(gone)
    ran = run("index", "--from", str(tmp_path / "out"), "-g", str(tmp_path / "gallery"), model=False)
    assert ran.code == 0, ran.err
    with closing(Catalog.open(tmp_path / "gallery", None)) as catalog:
        assert catalog.counts() == (8, 8)


@needs_server
def test_a_gallery_on_a_server_gets_the_same_pictures(out: Path, tmp_path: Path, model: AraCLIP, address: str) -> None:
    with open_gallery(address, model=model, create=True) as gallery:
        assert fill(gallery, out).added == 8
        with Gallery.open(tmp_path / "gallery", model=model, create=True) as local:
            fill(local, out)
            assert [hit.path for hit in gallery.search("أحمر", 2)] == [hit.path for hit in local.search("أحمر", 2)]
            assert fill(gallery, out).added == 0
            (one, other) = (each.stats() for each in (gallery, local))
            assert (one.files, one.formats, one.pictures) == (other.files, other.formats, other.pictures)


@pytest.fixture(params=["folder", pytest.param("postgres", marks=needs_server)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Where a gallery is filled: a folder, or an address on a server."""
    with place_of(request.param, tmp_path) as place:
        yield place


def test_filling_changes_nothing_that_a_gallery_holds(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP, target: Path | str
) -> None:
    embed(folder, tmp_path / "out", model=tiny_model, jobs=1)
    pictures.solid(folder / "0.png", (9, 9, 250))  # newer than the shards
    newer = (folder / "0.png").read_bytes()
    with open_gallery(target, model=model, create=True) as gallery:
        gallery.add([folder / "1.png"], metadata={"album": "رحلة", "name": "مهم"})
        gallery.update([folder])
        gallery.hide([folder / "2.png"])
        (stored,) = gallery.add([(folder / "3.png").read_bytes()], metadata={"name": "رفعت.png"}).paths
        assert stored is not None
        before = {path: gallery.search(Path(path), 1)[0].path for path in map(str, sorted(folder.glob("*.png")))}
        report = fill(gallery, tmp_path / "out")
        assert report.added == 0  # the picture of older bytes has no path of its own
        assert gallery.metadata(folder / "1.png") == {"album": "رحلة", "name": "مهم"}
        assert gallery.metadata(stored) == {"name": "رفعت.png"}
        assert gallery.hidden() == [str(folder / "2.png")]
        assert gallery.picture(folder / "0.png") == newer
        assert {path: gallery.search(Path(path), 1)[0].path for path in before} == before
        assert gallery.update([folder]).added == 0
        assert [fault for fault in gallery.verify(contents=True) if fault.repairable] == []


def test_an_upload_that_shards_hold_too_keeps_its_own_name(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP, target: Path | str
) -> None:
    (tmp_path / "tars").mkdir()
    tar_of(tmp_path / "tars" / "a.tar", {"red.png": (folder / "4.png").read_bytes()})
    embed(tmp_path / "tars", tmp_path / "out", model=tiny_model, jobs=1)
    with open_gallery(target, model=model, create=True) as gallery:
        (stored,) = gallery.add([(folder / "4.png").read_bytes()], metadata={"name": "وردة.png", "owner": "هند"}).paths
        assert stored is not None
        assert fill(gallery, tmp_path / "out").added == 0
        assert gallery.metadata(stored) == {"name": "وردة.png", "owner": "هند"}
        assert len(gallery.picture(stored)) > 0


def test_a_damaged_shard_is_named_and_the_others_stay(
    out: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "GROUP", 3)
    last = sorted(out.glob("*.parquet"))[0]  # the latest is read first
    raw, column = bytearray(last.read_bytes()), parquet.read_metadata(last).row_group(0).column(1)
    assert column.path_in_schema.startswith("vector")
    end = column.data_page_offset + column.total_compressed_size
    raw[end - 8 : end] = bytes(8)
    last.write_bytes(raw)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        with pytest.raises(InputError, match=f"{last.name} is damaged"):
            fill(gallery, out)
        assert 0 < len(gallery) < 8
        assert list(gallery.verify()) == []


def _filled_until(point: int, place: str, out: str, model: str) -> None:
    """In a process of its own: fill a gallery, and die before or after the commit with this number."""
    points = itertools.count()

    def step(name: str) -> None:
        if name in ("commit", "committed") and next(points) == point:
            os.kill(os.getpid(), signal.SIGKILL)

    atomic.step = step
    with Gallery.open(Path(place), model=AraCLIP(model, threads=1), create=True) as gallery:
        fill(gallery, out)


def test_a_filling_killed_anywhere_is_finished_by_the_next(
    out: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "GROUP", 3)
    place, killed, point = tmp_path / "gallery", 0, 0
    while True:
        shutil.rmtree(place, ignore_errors=True)
        process = multiprocessing.get_context("fork").Process(
            target=_filled_until, args=(point, str(place), str(out), str(tiny_model))
        )
        process.start()
        process.join()
        if not process.exitcode:
            break
        assert process.exitcode == -signal.SIGKILL
        killed, point = killed + 1, point + 1
        with Gallery.open(place, model=model, create=True) as gallery:
            assert list(gallery.verify()) == []
            there = len(gallery)
            assert fill(gallery, out).added == 8 - there
            assert list(gallery.verify()) == []
            assert gallery._catalog.rows("SELECT count(*) FROM words") == [(8,)]
    assert killed >= 6  # before and after each of three commits


def test_pictures_that_others_add_meanwhile_have_own_ids(
    out: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "GROUP", 3)
    others = tmp_path / "others"
    with (
        Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery,
        Gallery.open(tmp_path / "gallery", model=model) as beside,
    ):

        def upload(done: int) -> None:
            pictures.solid(others / f"{done}.png", (done, 100, 100))
            beside.add([others / f"{done}.png"])

        report = fill(gallery, out, progress=upload)
        assert (report.read, report.added) == (8, 8)
        assert len(gallery) == 8 + len(list(others.iterdir()))
        assert list(gallery.verify()) == []
        names = {Path(path).stem for path in gallery._catalog.files()}
        assert names == {*map(str, range(8)), *(path.stem for path in others.iterdir())}
        rows = gallery._catalog.rows("SELECT count(*) FROM words JOIN files ON content = words.rowid")
        assert rows == [(len(gallery),)]

"""Bulk embedding with Ray Data: what is read, what stands, what is refused, and galleries filled from shards."""

import io
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

import pictures
from araclip import AraCLIP
from araclip.bulk import embed as module
from araclip.bulk import ingest, sources
from araclip.bulk.embed import embed
from araclip.bulk.ingest import fill
from araclip.bulk.shard_file import columns_of, read_file, what_made
from araclip.bulk.sources import read_pictures
from araclip.core import atomic
from araclip.errors import BulkError, InputError, ShardMismatch, SourceError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import File
from araclip.gallery.gallery import Gallery
from araclip.gallery.open import open_gallery
from araclip.pictures.image_transform import transform_of
from command_line import Run
from postgres_server import needs_server
from serving import place_of
from tiny import write_tiny_model

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own
COLOURS = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A daemon of Ray on this machine, for all tests here."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error", object_store_memory=100_000_000
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures, one in a folder of its own, and one damaged. Read only: see `folder`."""
    home = tmp_path_factory.mktemp("album") / "pictures"
    for number, colour in enumerate(COLOURS):
        pictures.solid(home / ("below" if number == 7 else "") / f"{number}.png", colour)
    (home / "bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return home


@pytest.fixture
def folder(album: Path, tmp_path: Path) -> Path:
    """A copy of the album."""
    return shutil.copytree(album, tmp_path / "pictures")


@pytest.fixture(scope="module")
def embedded(album: Path, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Shards of the album, three pictures in each but the last. Read only: see `out`."""
    place = tmp_path_factory.mktemp("embedded") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHARD_ROWS", 3)
        embed(album, place, model=tiny_model, jobs=1)
    return place


@pytest.fixture
def out(embedded: Path, tmp_path: Path) -> Path:
    """A copy of these shards."""
    return shutil.copytree(embedded, tmp_path / "out")


@pytest.fixture
def one(embedded: Path, tmp_path: Path) -> Path:
    """The same pictures in a single shard, in a folder with nothing else."""
    table = pa.concat_tables([parquet.read_table(path) for path in sorted(embedded.glob("*.parquet"))])
    (tmp_path / "one").mkdir()
    rewrite(tmp_path / "one" / "0.parquet", table.filter(table["reason"].is_null()))
    return tmp_path / "one"


def rewrite(path: Path, table: pa.Table, **about: str | bytes) -> None:
    """Write a table as a shard, with these changes of what the file says about itself."""
    parquet.write_table(
        table.replace_schema_metadata(table.schema.metadata | {key.encode(): value for key, value in about.items()}),
        path,
    )


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows of all pictures, by path."""
    return sorted((row for row in every_row(out) if not row["reason"]), key=lambda row: str(row["path"]))


def every_row(out: Path) -> list[dict[str, Any]]:
    """The rows of all shards."""
    return [row for path in sorted(out.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def refused(out: Path) -> dict[str, str]:
    """The reasons for which pictures were refused, by the name of the picture."""
    return {Path(row["path"]).name: row["reason"] for row in every_row(out) if row["reason"]}


# ------------------------------------------------------------------ what is written, and what is not written again


def test_shards_hold_what_an_indexed_gallery_holds(album: Path, out: Path, tmp_path: Path, model: AraCLIP) -> None:
    found = {row["path"]: row for row in rows(out)}
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        gallery.update([album])
        for path, file in gallery._catalog.files().items():
            row, content = found.pop(path), gallery._catalog.content_of(path)
            assert content is not None
            ((digest, vector, phash, width, height),) = gallery._catalog.rows(
                "SELECT hash, vector, phash, width, height FROM contents WHERE id = ?", (content,)
            )
            assert (row["sha256"], row["size"], row["mtime_ns"]) == (
                digest, file.size, file.mtime_ns,
            )  # fmt: skip
            assert np.array(row["vector"], "<f2").tobytes() == vector
            assert (row["phash"], row["width"], row["height"]) == (phash % (1 << 64), width, height)
    assert not found
    assert list(refused(out)) == ["bad.jpg"]


def test_what_stands_stays_and_what_is_gone_or_new_is_embedded(
    folder: Path, tmp_path: Path, tiny_model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 3)
    out = folder / "shards"  # the source's own files, and no source
    command = "embed", str(folder), str(out), "--jobs", "1", "--model", str(tiny_model), "--json"
    first = json.loads(run(*command, model=False).out)
    assert (first["pictures"], first["refused"], first["new"]) == (8, 1, 8)
    before, (gone, *_) = rows(out), sorted(out.glob("*.parquet"))
    assert len(before) == 8
    gone.unlink()
    (cut := out / "00.parquet").write_bytes(b"PAR1, and what a killed run had written")
    again = json.loads(run(*command, model=False).out)
    assert (again["pictures"], again["new"] > 0, cut.exists()) == (8, True, False)
    assert [(row["path"], row["vector"]) for row in rows(out)] == [(row["path"], row["vector"]) for row in before]
    assert json.loads(run(*command, model=False).out)["new"] == 0
    pictures.solid(folder / "0.png", (9, 9, 9))
    pictures.solid(folder / "new.png", (9, 200, 9))
    assert embed(folder, out, model=tiny_model, jobs=1).new == 2
    with Gallery.open(tmp_path / "gallery", model=AraCLIP(tiny_model), create=True) as gallery:
        assert fill(gallery, out).added == 9  # of a file that changed, what it is now
        assert gallery.update([folder]).added == 0


def test_a_folder_takes_several_sources_but_only_one_model(
    folder: Path, out: Path, tmp_path: Path, tiny_model: Path, album: Path
) -> None:
    assert embed(folder, out, model=tiny_model, jobs=1).pictures == 16
    other = write_tiny_model(tmp_path / "models" / "other", seed=1, name="other")
    with pytest.raises(ShardMismatch, match=r"holds vectors of tiny@.*, not of other@.*another folder"):
        embed(album, out, model=other)


@pytest.mark.parametrize("source", ["nowhere", "ftp://host/x", "s3://key:se/secret@bucket/x"])
def test_a_place_that_is_not_read_is_refused(tmp_path: Path, tiny_model: Path, source: str) -> None:
    with pytest.raises(InputError) as error:
        embed(source, tmp_path / "out", model=tiny_model)
    assert "secret" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_now_is_named_and_read_next_time(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out = tmp_path / "p", tmp_path / "out"
    pictures.solid(home / "red.png")
    blue = pictures.solid(home / "blue.png", (0, 0, 255))
    list_source = sources.list_source

    def listed(*places: str) -> Any:
        found = list_source(*places)
        blue.unlink()  # after it was listed
        blue.symlink_to("blue.png")
        return found

    monkeypatch.setattr(sources, "list_source", listed)
    with pytest.raises(SourceError, match=r"1 file could not be read now, such as .*blue\.png \(.*links"):
        embed(home, out, model=tiny_model, jobs=1)
    monkeypatch.undo()
    blue.unlink()
    pictures.solid(blue, (0, 0, 255))
    report = embed(home, out, model=tiny_model, jobs=1)
    assert (report.pictures, report.refused, report.new) == (2, 0, 1)


def test_without_ray_the_command_names_the_extra(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "araclip.bulk.embed")
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = run("embed", str(tmp_path), str(tmp_path / "out"))
    assert (ran.code, "pip install 'araclip[ray]'" in ran.err.replace("\n", " ")) == (2, True)


def test_the_benchmark_measures_and_fills(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import bulk

    found = bulk.measure_embedding(tmp_path, 6, str(tiny_model)) | bulk.measure_filling(
        tmp_path, 30, str(tiny_model), elsewhere=True
    )
    assert {"encoder alone, pictures a second", "with Ray, once it runs", "all together"} <= found.keys()


# ------------------------------------------------------------------ tars and parquet files


def png(colour: tuple[int, int, int], tmp_path: Path) -> bytes:
    return pictures.solid(tmp_path / "one.png", colour).read_bytes()


def tar_of(path: Path, members: dict[str, bytes], *more: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in (*members.items(), *more):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_tars_tables_and_pictures_of_one_source_in_one_run(tmp_path: Path, tiny_model: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    red, green = png(COLOURS[4], tmp_path), png(COLOURS[2], tmp_path)
    sample = {
        "0.caption": b"zero",
        "0.png": red,
        "0.txt": "قطة".encode(),
        "1.json": b'{"caption": "a cat"}',
        "1.png": red,
    }
    many = (("s.txt", b"caption %d" % number) for number in range(30))
    tar_of(home / "a.tar", {**sample, "2.png": b"bad", "s.png": red}, *many)
    tar_of(elsewhere / "b.tar", {"../../etc/2.png": green, "/3.png": green, "3.cls": b"7", "x.mp4": b""})
    (home / "link").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "up").symlink_to(home, target_is_directory=True)
    damaged = tar_of(home / "c.tar", {"4.png": red, "5.png": green}).read_bytes()
    (home / "c.tar").write_bytes(damaged[: len(damaged) // 20])
    types = {"caption": pa.large_string(), "text": pa.string_view(), "title": pa.dictionary(pa.int32(), pa.string())}
    texts = {name: pa.array([f"{name} قطة", None, None]).cast(kind) for name, kind in types.items()}
    cells = [{"bytes": red, "path": "0.png"}, {"bytes": None, "path": "1.png"}, {"bytes": red, "path": "a.mp4#t=8.200"}]
    parquet.write_table(pa.table({"image": cells, **texts}), home / "d.parquet")
    parquet.write_table(pa.table({"jpg": [red, green, red]}), home / "e.parquet", row_group_size=2)
    parquet.write_table(pa.table({"text": ["no picture"]}), home / "f.parquet")
    whole = (home / "e.parquet").read_bytes()
    (home / "g.parquet").write_bytes(whole[:-4])
    (home / "h.parquet").write_bytes(whole[:-8] + b"\xff\xff\xff\x7fPAR1")
    (home / "i.parquet").write_bytes(whole[:-200] + bytes(192) + whole[-8:])
    for name in ("pipe.png", "pipe.tar", "pipe.parquet"):
        os.mkfifo(home / name)
        (home / f"kernel-{name}").symlink_to("/proc/kmsg")  # blocks who reads it
        (home / f"memory-{name}").symlink_to("/proc/self/mem")
    (home / "4.psd").write_bytes(b"8BPS")
    (home / "notes.md").write_text("no picture")
    report = embed(home, tmp_path / "out", model=tiny_model, jobs=1)
    *pipes, unread = report.notes
    assert [Path(note.split(":")[0]).name for note in pipes] == ["pipe.parquet", "pipe.png", "pipe.tar"]
    assert unread.startswith("1 file in formats that are not read: 1 ")
    found = {row["path"].removeprefix(f"{home}/"): row for row in rows(tmp_path / "out")}
    assert {path: row["caption"].splitlines() for path, row in found.items()} == {
        "a.tar/0.png": ["zero", "قطة"], "a.tar/1.png": ["a cat"], "link/b.tar/../../etc/2.png": [],
        "link/b.tar//3.png": [],
        "a.tar/s.png": [f"caption {number}" for number in range(30)],
        "d.parquet/00000000-0.png": ["caption قطة", "text قطة", "title قطة"],
        "e.parquet/00000000": [], "e.parquet/00000001": [], "e.parquet/00000002": [],
    }  # fmt: skip
    assert not any(row["has_file"] for row in found.values())
    reasons = refused(tmp_path / "out")
    expected = {
        "2.png": "not a JPEG", "c.tar": "no whole tar", "00000001-1.png": "an empty file",
        "00000002-a.mp4#t=8.200": "a gallery cannot hold it", "f.parquet": "no column of pictures",
        "g.parquet": "no whole parquet file", "h.parquet": "a footer of 2,147,483,647 bytes", "i.parquet": "is damaged",
    }  # fmt: skip
    assert {name for name in reasons if "pipe" not in name} == {*expected}
    assert {name: reasons[name] for name, reason in expected.items() if reason not in reasons[name]} == {}
    assert sum("pipe" in name for name in reasons) == 6
    again = embed(home, tmp_path / "out", model=tiny_model, jobs=1)
    assert (again.new, again.pictures, again.refused) == (0, report.pictures, report.refused)


def test_rows_that_name_the_same_bytes_take_the_memory_of_one(tmp_path: Path, model: AraCLIP) -> None:
    picture = png(COLOURS[4], tmp_path) + bytes(8_000_000)
    several = pa.DictionaryArray.from_arrays(pa.array([0] * 16, pa.int32()), pa.array([picture], pa.binary()))
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"image": several}), path, compression="zstd", store_schema=False)
    del several
    assert path.stat().st_size < 100_000
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        found = read_pictures(File.of(str(path), path.stat()), lambda file: False, transform_of(model))
        assert sum("pixels" in row for row in found) == 16
    finally:
        pa.set_memory_pool(usual)
    assert counted.max_memory() < 5 * len(picture)


def test_errors_of_bulk_runs_have_one_root() -> None:
    assert all(issubclass(kind, BulkError) for kind in (SourceError, ShardMismatch))


# ------------------------------------------------------------------ galleries from shards


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


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_any_path_survives_json(raw: bytes) -> None:
    path = os.fsdecode(b"/" + raw)
    stored = json.loads(json.dumps(columns_of(File(path, 1, 2))).encode())
    assert read_file(stored) == File(path, 1, 2)


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


def test_damage_in_a_footer_is_an_error_of_ours(one: Path) -> None:
    trial = Path(__file__).parents[1] / "trials" / "damaged_shards.py"
    command = [sys.executable, str(trial), "--shard", str(one / "0.parquet"), "--mutants", "500"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")  # pyarrow once ended the process
    assert "refused" in ended.stdout and " 0 refused" not in ended.stdout


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


def test_shards_of_strangers_are_checked_before_a_gallery(one: Path, tmp_path: Path, model: AraCLIP) -> None:
    path = one / "0.parquet"
    table = parquet.read_table(path)

    def rewritten(name: str, values: Any) -> None:
        column = values if isinstance(values, pa.Array) else pa.array(values, table.schema.field(name).type)
        rewrite(path, table.set_column(table.schema.get_field_index(name), table.schema.field(name), column))

    ends = pa.array(range(9), pa.int32()).buffers()[1]
    no_text = pa.Array.from_buffers(pa.string(), 8, [None, ends, pa.py_buffer(b"\xff" * 8)])
    faults: dict[str, tuple[Any, str]] = {
        "vector": ([[5.0] * 8] * 8, "not of unit length"),
        "path": (["picture:" + "0" * 32] * 8, "a path, a format"),
        "path of bytes": (["bytes:a"] * 8, "a text that cannot be read"),
        "format": (["EXE"] * 8, "a path, a format or a size"),
        "sha256": ([None] * 8, "gaps in the column sha256"),
        "caption": (no_text, "a text that cannot be read"),
        "caption of 20 kB": (["x" * 20_000] * 8, "a text of 20,000 bytes in the column caption"),
    }
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        for name, (values, reason) in faults.items():
            rewritten(name.partition(" ")[0], values)
            with pytest.raises(InputError, match=reason):
                fill(gallery, one)
        assert len(gallery) == 0
    parquet.write_table(pa.table({"a": [1]}), one / "other.parquet")
    with pytest.raises(InputError, match="no shard of this release"):
        what_made(one)


@pytest.mark.parametrize(
    "about",
    [
        {"araclip": "2"}, {"araclip": b"\xff"}, {"width": "0"}, {"width": "8.0"}, {"width": "9" * 2000},
        {"width": "-8"}, {"fingerprint": ""}, {"model": b"\xed\xa0\x80"}, {"model": "x" * 2_000_000, "width": ""},
    ],
    ids=range(9),
)  # fmt: skip
def test_the_header_of_a_strangers_shard_is_checked(one: Path, about: dict[str, str | bytes]) -> None:
    rewrite(one / "0.parquet", parquet.read_table(one / "0.parquet"), **about)
    with pytest.raises(InputError, match=r"no shard of this release|is damaged") as caught:
        what_made(one)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500

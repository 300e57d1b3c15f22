"""`araclip embed` with Ray Data: what is written, what stands, and what is refused."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pictures
from araclip import AraCLIP
from araclip.bulk import embed as module
from araclip.bulk import sources
from araclip.bulk.embed import embed
from araclip.bulk.ingest import fill
from araclip.errors import BulkError, InputError, ShardMismatch, SourceError
from araclip.gallery.gallery import Gallery
from command_line import Run
from shards import refused, rows
from tiny import write_tiny_model

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


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
    (cut := out / "20261203T000000_1f0e_000000-0.parquet").write_bytes(b"PAR1, and what a killed run had written")
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
    assert {"with Ray, ms of a core for a further picture", "all together"} <= found.keys()


def test_errors_of_bulk_runs_have_one_root() -> None:
    assert all(issubclass(kind, BulkError) for kind in (SourceError, ShardMismatch))

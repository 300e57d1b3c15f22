"""Bulk embedding: every source, each shard exactly once, killed runs, and galleries that are filled from shards."""

import errno
import http.server
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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

import pictures
from araclip import AraCLIP
from araclip.bulk import ingest, places, sources, worker_processes
from araclip.bulk import shard as shard_module
from araclip.bulk.embed import embed
from araclip.bulk.ingest import fill, shards_in
from araclip.bulk.places import ShardFolder
from araclip.bulk.plan import make_plan, make_tasks, parse_shard
from araclip.bulk.shard import embed_shard
from araclip.bulk.shard_file import read_path, read_rows, stored_path
from araclip.bulk.sources import Part, cut_into_shards, list_source
from araclip.core import atomic
from araclip.core.child_process import Child
from araclip.errors import BulkError, InputError, ShardFailed, ShardMismatch, SourceError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.gallery import Gallery
from araclip.gallery.open import open_gallery
from command_line import Run
from postgres_server import needs_server
from serving import place_of
from tiny import write_tiny_model

COLOURS = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pictures, one in a folder of its own, and one damaged."""
    home = tmp_path / "pictures"
    for number, colour in enumerate(COLOURS):
        pictures.solid(home / ("below" if number == 7 else "") / f"{number}.png", colour)
    (home / "bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return home


def rows(out: Path | str) -> list[dict[str, Any]]:
    """The rows of all shards, in order of their names."""
    place = ShardFolder(out)
    system = fsspec.filesystem("file" if place.is_local else place.place.partition(":")[0])
    tables = []
    for name in place.names():
        if name.endswith(".parquet"):
            with system.open(place.path_of(name)) as file:
                tables.append(parquet.read_table(io.BytesIO(file.read())))
    return [row for table in tables for row in table.to_pylist()]


def refused(out: Path) -> list[dict[str, str]]:
    lines = (line for path in sorted(out.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines())
    return [json.loads(line) for line in lines]


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return sorted(map(repr, one)) == sorted(map(repr, other))


# ------------------------------------------------------------------ what is written


def test_a_folder_becomes_rows_with_the_vectors_facts_and_hashes_of_an_indexed_gallery(
    folder: Path, tmp_path: Path, model: AraCLIP
) -> None:
    report = embed(folder, tmp_path / "out", model=model, shards=3)
    assert (report.pictures, report.refused, len(report.shards)) == (8, 1, 3)
    found = {row["path"]: row for row in rows(tmp_path / "out")}
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        gallery.update([folder])
        for path, file in gallery._catalog.files().items():
            row, content = found.pop(path), gallery._catalog.content_of(path)
            assert content is not None
            ((digest, vector, phash, width, height),) = gallery._catalog.rows(
                "SELECT hash, vector, phash, width, height FROM contents WHERE id = ?", (content,)
            )
            assert (row["sha256"], row["id"], row["size"], row["mtime_ns"]) == (
                digest, digest.hex()[:32], file.size, file.mtime_ns,
            )  # fmt: skip
            assert np.array(row["vector"], "<f2").tobytes() == vector
            assert (row["phash"], row["width"], row["height"]) == (phash % (1 << 64), width, height)
    assert not found
    assert [Path(each["path"]).name for each in refused(tmp_path / "out")] == ["bad.jpg"]


def test_a_finished_shard_is_skipped_and_a_missing_one_done_again(folder: Path, tmp_path: Path, model: AraCLIP) -> None:
    out = tmp_path / "out"
    embed(folder, out, model=model, shards=3)
    before, whole = {path: path.stat().st_mtime_ns for path in out.iterdir()}, rows(out)
    first, second, third = sorted(out.glob("*.parquet"))
    second.unlink()
    third.write_bytes(b"cut short")
    report = embed(folder, out, model=model)
    assert [each.skipped for each in report.shards] == [True, False, False]
    assert same(rows(out), whole)
    assert first.stat().st_mtime_ns == before[first]


def test_shares_of_separate_runs_hold_every_picture_once(folder: Path, tmp_path: Path, model: AraCLIP) -> None:
    for share in ("2/3", "0/3", "1/3"):
        assert len(embed(folder, tmp_path / "out", model=model, shard=share).shards) == 1
    embed(folder, tmp_path / "whole", model=model, shards=1)
    assert same(rows(tmp_path / "out"), rows(tmp_path / "whole"))


def _killed_after_two_batches(task: Any, model: str, out: str, path: str) -> None:
    """A process that dies in mid-shard."""
    rows_of, count = shard_module._make_rows, 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows_of(*arguments)

    shard_module._make_rows = counted  # type: ignore[assignment]
    shard_module.ENCODE_BATCH = 2
    embed(path, out, model=model, shard=task)


def test_a_killed_shard_leaves_no_file_and_is_done_again_whole(folder: Path, tmp_path: Path, tiny_model: Path) -> None:
    out = tmp_path / "out"
    process = multiprocessing.get_context("fork").Process(
        target=_killed_after_two_batches, args=("0/1", str(tiny_model), str(out), str(folder))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not list(out.glob("*.parquet"))
    assert embed(folder, out, model=tiny_model, shard="0/1").pictures == 8
    assert len(rows(out)) == 8


def test_a_run_that_takes_hours_is_not_taken_for_a_dead_one_by_those_that_begin_meanwhile(
    tmp_path: Path, model: AraCLIP
) -> None:
    for number in range(40):  # three batches
        pictures.solid(tmp_path / "pictures" / f"{number}.png", (6 * number, 9, 200))
    out = ShardFolder(tmp_path / "out")
    source = list_source(tmp_path / "pictures")
    (task,) = make_tasks(make_plan(source, model, [], out.place, 1), source, [0])
    out.make()

    def progress(done: int) -> None:
        if done > 16:
            ShardFolder(tmp_path / "out").make()  # another run begins
        (writing,) = (tmp_path / "out").glob(".*.tmp")
        hours_ago = time.time() - 3 * atomic.LEFT_OVER_S
        os.utime(writing, (hours_ago, hours_ago))

    assert embed_shard(task, model, out, progress).pictures == 40
    assert len(rows(tmp_path / "out")) == 40


def test_processes_write_what_one_process_writes(folder: Path, tmp_path: Path, tiny_model: Path) -> None:
    embed(folder, tmp_path / "one", model=tiny_model, shards=4)
    report = embed(folder, tmp_path / "two", model=tiny_model, shards=4, jobs=2)
    assert [each.skipped for each in report.shards] == [False] * 4
    assert same(rows(tmp_path / "one"), rows(tmp_path / "two"))


def test_a_process_that_cannot_be_started_fails_its_shard_alone(
    folder: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = itertools.count()

    def start(*arguments: Any, **options: Any) -> Child:
        if next(starts) == 0:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return Child(*arguments, **options)

    monkeypatch.setattr(worker_processes, "Child", start)
    with pytest.raises(ShardFailed, match=r"1 of 4 shards.*no process could be started"):
        embed(folder, tmp_path / "out", model=tiny_model, shards=4, jobs=2)
    assert sum(each.skipped for each in embed(folder, tmp_path / "out", model=tiny_model).shards) == 3


def test_a_pattern_of_files_may_hold_the_marks_of_a_chained_url(tmp_path: Path, model: AraCLIP) -> None:
    pictures.solid(tmp_path / "a::b" / "أحمر.png", (255, 0, 0))
    assert embed(f"{tmp_path}/a::b/*.png", tmp_path / "out", model=model).pictures == 1


# ------------------------------------------------------------------ what is refused


def test_shards_of_another_model_source_or_number_are_refused(
    folder: Path, tmp_path: Path, model: AraCLIP, tiny_model_2: Path
) -> None:
    out = tmp_path / "out"
    embed(folder, out, model=model, shard="0/3")
    with pytest.raises(ShardMismatch, match=r"holds shards of 3, and 4 are asked for"):
        embed(folder, out, model=model, shard="1/4")
    with pytest.raises(ShardMismatch, match=rf"holds shards of model {model.fingerprint}, and this run has other@"):
        embed(folder, out, model=tiny_model_2, shard="1/3")
    pictures.solid(folder / "new.png")
    with pytest.raises(ShardMismatch, match=r"another source, or files came, went or changed"):
        embed(folder, out, model=model, shard="1/3")


@pytest.fixture(scope="session")
def tiny_model_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1, name="other")


@pytest.mark.skipif(not os.access("/proc/self/mem", os.R_OK), reason="needs Linux")
def test_links_to_devices_that_pose_as_files_are_refused(tmp_path: Path, model: AraCLIP) -> None:
    pictures.solid(tmp_path / "p" / "red.png")
    targets = {"memory.png": "/proc/self/mem", "kernel.png": "/proc/kmsg", "pages.png": "/proc/self/pagemap"}
    for name, target in targets.items():
        if os.access(target, os.R_OK):
            (tmp_path / "p" / name).symlink_to(target)
    report = embed(tmp_path / "p", tmp_path / "out", model=model)
    assert (report.pictures, report.refused) == (1, len([*(tmp_path / "p").iterdir()]) - 1)


@pytest.mark.parametrize("share", ["3/3", "-1/3", "a/b", "1", "1/3/5"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    with pytest.raises(InputError, match="write i/n"):
        parse_shard(share)


@pytest.mark.parametrize(
    "source",
    [
        "ftp://host/x",
        "zip://a::https://b/c",
        "s3://key:secret@bucket/x",
        "s3://key:se/secret@bucket/x",
        "nowhere",
        "ftp://me:secret@host/x",
        "zip://a::https://me:secret@host/c",
    ],
)
def test_a_place_that_is_not_read_is_refused_with_what_to_do(tmp_path: Path, model: AraCLIP, source: str) -> None:
    with pytest.raises(InputError) as error:
        embed(source, tmp_path / "out", model=model)
    assert "secret" not in str(error.value)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ other sources


def png(colour: tuple[int, int, int], tmp_path: Path) -> bytes:
    return pictures.solid(tmp_path / "one.png", colour).read_bytes()


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_tars_give_their_pictures_with_captions_and_nothing_leaves_them(tmp_path: Path, model: AraCLIP) -> None:
    home = tmp_path / "tars"
    home.mkdir()
    red, green = png(COLOURS[4], tmp_path), png(COLOURS[2], tmp_path)
    tar_of(home / "a.tar", {"0.png": red, "0.txt": "قطة".encode(), "0.json": b'{"caption": "a cat"}', "1.png": b"bad"})
    tar_of(home / "b.tar", {"../../etc/2.png": green, "/3.png": green, "3.cls": b"7", "4.psd": b"8BPS", "5.mp4": b""})
    damaged = tar_of(home / "c.tar", {"4.png": red, "5.png": green}).read_bytes()
    (home / "c.tar").write_bytes(damaged[: len(damaged) // 20])
    embed(home, tmp_path / "out", model=model, shards=2)
    found = {row["path"].removeprefix(f"{home}/"): row for row in rows(tmp_path / "out")}
    assert set(found) == {"a.tar/0.png", "b.tar/etc/2.png", "b.tar/3.png"}
    assert found["a.tar/0.png"]["caption"] == "قطة\na cat"
    assert not found["a.tar/0.png"]["has_file"]
    reasons = {Path(each["path"]).name: each["reason"] for each in refused(tmp_path / "out")}
    assert set(reasons) == {"1.png", "4.psd", "c.tar"}
    assert reasons["4.psd"] == "1 file in formats that are not read: 1 Photoshop."
    assert sorted(path.name for path in home.iterdir()) == ["a.tar", "b.tar", "c.tar"]


def test_captions_stand_before_or_after_their_picture_in_a_tar(tmp_path: Path, model: AraCLIP) -> None:
    red, green = png(COLOURS[4], tmp_path), png(COLOURS[2], tmp_path)
    members = {"0.caption": b"zero", "0.png": red, "0.txt": b"more", "1.json": b'{"caption": "one"}', "1.png": green}
    embed(tar_of(tmp_path / "a.tar", members), tmp_path / "out", model=model)
    assert [row["caption"] for row in rows(tmp_path / "out")] == ["zero\nmore", "one"]


def test_a_picture_whose_path_no_gallery_takes_is_refused_and_its_shard_fills_one(
    tmp_path: Path, model: AraCLIP
) -> None:
    data = pictures.solid(tmp_path / "a.png").read_bytes()
    urls = [f"memory://signed/a.png?{'x' * 5000}", "memory://signed/clip.mp4#t=00083.200"]
    for url in urls:
        fsspec.filesystem("memory").pipe(url.removeprefix("memory:/"), data)
    (tmp_path / "list.txt").write_text("\n".join(["a.png", *urls]))
    assert embed(tmp_path / "list.txt", tmp_path / "out", model=model).pictures == 1
    assert [(line["path"], line["reason"][:20]) for line in refused(tmp_path / "out")] == [
        (url, "its path is too long") for url in urls
    ]
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        assert fill(gallery, shards_in(tmp_path / "out")).added == 1


def test_a_list_with_a_file_that_was_replaced_is_another_source(tmp_path: Path, model: AraCLIP) -> None:
    pictures.solid(tmp_path / "a.png", COLOURS[4])
    (tmp_path / "list.txt").write_text("a.png\n", "utf-8")
    assert embed(tmp_path / "list.txt", tmp_path / "out", model=model).pictures == 1
    pictures.solid(tmp_path / "a.png", COLOURS[2], (500, 300))
    with pytest.raises(ShardMismatch, match="changed since"):
        embed(tmp_path / "list.txt", tmp_path / "out", model=model)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python reads it")
def test_a_tar_that_this_python_cannot_unpack_is_refused_before_the_work(tmp_path: Path, model: AraCLIP) -> None:
    (tmp_path / "more.tar.zst").write_bytes(b"(\xb5/\xfd")
    with pytest.raises(InputError, match=r"more\.tar\.zst: Python unpacks"):
        embed(tmp_path, tmp_path / "out", model=model)


def test_parquet_rows_are_read_by_row_group_from_structs_and_from_bytes(tmp_path: Path, model: AraCLIP) -> None:
    home = tmp_path / "parquet"
    home.mkdir()
    cells = [{"bytes": png(colour, tmp_path), "path": f"{n}.png"} for n, colour in enumerate(COLOURS[:5])]
    table = pa.table({"image": cells, "caption": ["one", None, "three", "four", "five"]})
    parquet.write_table(table, home / "a.parquet", row_group_size=2)
    parquet.write_table(pa.table({"jpg": [cells[0]["bytes"], None]}), home / "b.parquet")
    report = embed(home, tmp_path / "out", model=model, shards=4)
    assert (report.pictures, report.refused) == (6, 1)
    captions = {row["path"].removeprefix(f"{home}/"): row["caption"] for row in rows(tmp_path / "out")}
    assert captions == {
        "a.parquet/00000000-0.png": "one", "a.parquet/00000001-1.png": "", "a.parquet/00000002-2.png": "three",
        "a.parquet/00000003-3.png": "four", "a.parquet/00000004-4.png": "five", "b.parquet/00000000": "",
    }  # fmt: skip
    parquet.write_table(pa.table({"text": ["no picture"]}), home / "c.parquet")
    with pytest.raises(InputError, match=r"c\.parquet has no column of bytes"):
        embed(home, tmp_path / "other", model=model)


def test_captions_of_a_parquet_file_are_read_in_every_type_of_text(tmp_path: Path, model: AraCLIP) -> None:
    data = (pictures.solid(tmp_path / "a.png")).read_bytes()
    types = {"caption": pa.large_string(), "text": pa.string_view(), "title": pa.dictionary(pa.int32(), pa.string())}
    texts = {name: pa.array([f"{name} قطة"]).cast(kind) for name, kind in types.items()}
    parquet.write_table(pa.table({"image": [data], **texts}), tmp_path / "a.parquet")
    embed(tmp_path / "a.parquet", tmp_path / "out", model=model)
    (row,) = rows(tmp_path / "out")
    assert row["caption"].splitlines() == ["caption قطة", "text قطة", "title قطة"]


def test_captions_of_a_sample_that_never_ends_are_not_gathered_for_ever(tmp_path: Path, model: AraCLIP) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(30):
            data = png(COLOURS[4], tmp_path) if not number else f"caption {number}".encode()
            info = tarfile.TarInfo("a.txt" if number else "a.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    embed(tmp_path / "a.tar", tmp_path / "out", model=model)
    (row,) = rows(tmp_path / "out")
    assert row["caption"].splitlines() == [f"caption {number}" for number in range(1, 17)]


def test_many_rows_of_a_small_parquet_file_that_name_the_same_bytes_take_the_memory_of_one(
    tmp_path: Path, model: AraCLIP
) -> None:
    picture = png(COLOURS[4], tmp_path) + bytes(8_000_000)
    several = pa.DictionaryArray.from_arrays(pa.array([0] * 16, pa.int32()), pa.array([picture], pa.binary()))
    parquet.write_table(pa.table({"image": several}), tmp_path / "a.parquet", compression="zstd", store_schema=False)
    del several
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        assert embed(tmp_path / "a.parquet", tmp_path / "out", model=model).pictures == 16
    finally:
        pa.set_memory_pool(usual)
    assert counted.max_memory() < 5 * len(picture)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-4], "no whole parquet file"),
        (lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1", "footer of 2,147,483,647 bytes"),
        (lambda data: data[:-200] + bytes(192) + data[-8:], "is damaged"),
    ],
)
def test_a_damaged_parquet_file_is_named_before_it_is_parsed(
    tmp_path: Path, model: AraCLIP, damage: Callable[[bytes], bytes], reason: str
) -> None:
    parquet.write_table(pa.table({"image": [b"x" * 100] * 50}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(damage((tmp_path / "a.parquet").read_bytes()))
    with pytest.raises(InputError, match=rf"a\.parquet.*{reason}"):
        embed(tmp_path / "a.parquet", tmp_path / "out", model=model)


@pytest.fixture
def bucket(folder: Path) -> Iterator[str]:
    """The pictures of `folder` and a tar, in a store in memory."""
    store = fsspec.filesystem("memory")
    store.put(f"{folder}/", "/bucket/", recursive=True)
    tar_of(folder.parent / "t.tar", {"0.png": (folder / "3.png").read_bytes()})
    store.put(str(folder.parent / "t.tar"), "/bucket/t.tar")
    yield "memory://bucket"
    store.store.clear()


def test_an_object_store_is_read_and_written_like_a_folder(
    folder: Path, tmp_path: Path, model: AraCLIP, bucket: str
) -> None:
    report = embed(bucket, "memory://out", model=model, shards=2)
    assert (report.pictures, report.refused) == (9, 1)
    assert all(each.skipped for each in embed(bucket, "memory://out", model=model).shards)
    embed(folder, tmp_path / "out", model=model)
    local = {row["sha256"]: row["vector"] for row in rows(tmp_path / "out")}
    assert {row["sha256"]: row["vector"] for row in rows("memory://out")} == local


def test_a_store_is_asked_once_for_each_shard_that_is_not_there(
    model: AraCLIP, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    asked, opened = list[str](), MemoryFileSystem._open

    def counted(self: Any, path: str, mode: str = "rb", **options: Any) -> Any:
        if path.endswith(".parquet") and mode == "rb":
            asked.append(path)
        return opened(self, path, mode, **options)

    monkeypatch.setattr(MemoryFileSystem, "_open", counted)
    embed(bucket, "memory://out", model=model, shards=6)
    assert len(asked) == len(set(asked)) == 6  # by the process that makes it, since another may have been faster


def test_a_store_that_fails_leaves_the_shard_undone_instead_of_calling_pictures_bad(
    tmp_path: Path, model: AraCLIP, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def broken(*_: Any, **__: Any) -> bytes:
        raise TimeoutError("the network is down")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "cat_file", broken)
        with pytest.raises(ShardFailed, match=r"1 of 1 shards.*the network is down.*Run the same command again"):
            embed(bucket, tmp_path / "out", model=model)
    assert not list((tmp_path / "out").glob("*.parquet"))
    assert embed(bucket, tmp_path / "out", model=model).pictures == 9


def test_a_file_without_bytes_of_which_a_store_refuses_the_first_one_is_no_picture(
    tmp_path: Path, model: AraCLIP, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    store, ranges = fsspec.filesystem("memory"), MemoryFileSystem.cat_file
    store.pipe_file("/bucket/empty.png", b"")

    def strict(self: Any, path: str, start: int | None = None, end: int | None = None) -> Any:
        if self.size(path) == 0:
            raise OSError(22, "The requested range is not satisfiable")  # as s3fs raises S3's 416
        return ranges(self, path, start, end)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", strict)
    assert embed(bucket, tmp_path / "out", model=model).pictures == 9
    assert any("empty.png" in each["path"] and "0 bytes" in each["reason"] for each in refused(tmp_path / "out"))


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[int]]]:
    """The address of a web server whose pictures never end, or are an error, and the bytes that it has sent of each."""
    pytest.importorskip("aiohttp")
    monkeypatch.setitem(places.PROTOCOLS, "http", "https")
    sent: list[int] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if (name := Path(self.path).stem).isdigit():
                return self.send_error(int(name))
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            sent.append(0)
            with suppress(OSError):  # until the client has left
                while sent[-1] < 200_000_000:
                    self.wfile.write(b"186a0\r\n" + bytes(100_000) + b"\r\n")
                    sent[-1] += 100_000
                self.wfile.write(b"0\r\n\r\n")
            return None

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", sent
        server.shutdown()


def test_of_an_answer_that_never_ends_no_more_is_read_than_a_picture_may_have(
    tmp_path: Path, model: AraCLIP, endless: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, sent = endless
    monkeypatch.setattr(sources, "MAX_MEMBER", 1_000_000)
    (tmp_path / "list.txt").write_text(f"{address}/a.png\n", "utf-8")
    assert embed(tmp_path / "list.txt", tmp_path / "out", model=model).refused == 1
    assert "the limit is 1 MB" in refused(tmp_path / "out")[0]["reason"]
    assert len(sent) == 1
    assert sent[0] < 50_000_000  # what both sides had on the way is lost


def test_a_picture_that_the_web_has_lost_for_good_is_refused_and_one_that_may_come_back_is_waited_for(
    tmp_path: Path, model: AraCLIP, endless: tuple[str, list[int]]
) -> None:
    source = tmp_path / "list.txt"
    source.write_text("".join(f"{endless[0]}/{status}.png\n" for status in (404, 410, 451)), "utf-8")
    assert embed(source, tmp_path / "out", model=model).refused == 3
    source.write_text(f"{endless[0]}/503.png\n", "utf-8")
    with pytest.raises(ShardFailed, match="503"):
        embed(source, tmp_path / "other", model=model)


def test_a_picture_that_may_not_be_read_leaves_the_shard_undone(
    folder: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_source = shard_module.read_source

    def denied(source: Any, *others: Any) -> Any:
        if str(source.path).endswith("3.png"):
            raise PermissionError(13, "Permission denied", source.path)
        return read_source(source, *others)

    with monkeypatch.context() as patched:
        patched.setattr(shard_module, "read_source", denied)
        with pytest.raises(ShardFailed, match=r"3\.png cannot be read \(Permission denied\).*rights"):
            embed(folder, tmp_path / "out", model=model)
    assert embed(folder, tmp_path / "out", model=model).pictures == 8


def test_a_run_whose_output_lies_in_its_source_goes_on(folder: Path, model: AraCLIP) -> None:
    out = folder / "shards"
    embed(folder, out, model=model, shards=2)
    next(out.glob("*-00001-of-*.parquet")).unlink()
    report = embed(folder, out, model=model)
    assert [each.skipped for each in report.shards] == [True, False]
    assert report.pictures == 8
    assert any("1 shard of `araclip embed`" in note for note in report.notes)


def test_a_tar_behind_a_link_is_read_as_a_picture_is(folder: Path, tmp_path: Path, model: AraCLIP) -> None:
    (tmp_path / "elsewhere").mkdir()
    tar_of(tmp_path / "elsewhere" / "t.tar", {"1.png": png((9, 99, 9), tmp_path)})
    (folder / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "up").symlink_to(folder, target_is_directory=True)
    assert embed(folder, tmp_path / "out", model=model).pictures == 9


def test_a_list_names_pictures_tars_and_urls(folder: Path, tmp_path: Path, model: AraCLIP, bucket: str) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(f"pictures/0.png\n{folder}/1.png\n\n{bucket}/t.tar\n{bucket}/2.png\nmissing.png\n", "utf-8")
    embed(listing, tmp_path / "out", model=model)
    names = [str(row["path"]) for row in rows(tmp_path / "out")]
    assert names == [f"{folder}/0.png", f"{folder}/1.png", f"{bucket}/t.tar/0.png", f"{bucket}/2.png"]
    assert [each["path"] for each in refused(tmp_path / "out")] == [f"{tmp_path}/missing.png"]
    listing.write_text("gopher://a/b.png\n", "utf-8")
    with pytest.raises(InputError, match=r"list\.txt, line 1:.*Copy them there"):
        embed(listing, tmp_path / "new", model=model)


def test_parts_are_in_exactly_one_shard_and_shards_weigh_about_the_same() -> None:
    parts = [Part("picture", f"/{n:04}.jpg", 1000 * (n % 97)) for n in range(1000)]
    shards = cut_into_shards(parts, 7)
    assert [part for shard in shards for part in shard] == parts
    weights = [sum(part.weight for part in shard) for shard in shards]
    assert max(weights) - min(weights) < 2 * max(part.weight for part in parts)


def test_errors_of_bulk_runs_have_one_root() -> None:
    assert all(issubclass(kind, BulkError) for kind in (SourceError, ShardMismatch, ShardFailed))


# ------------------------------------------------------------------ galleries from shards


def test_a_gallery_filled_from_shards_holds_the_rows_that_indexing_gives(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP, run: Run
) -> None:
    pictures.solid(folder / "photo.jpg", (9, 200, 30))
    shutil.copy(folder / "photo.jpg", folder / "twin of 2024-01-31.jpg")  # only the name of the further path has a date
    embed(folder, tmp_path / "out", model=tiny_model, shards=3)
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
        assert fill(filled, shards_in(tmp_path / "out")).added == 0
        assert filled._catalog.rows(everything) == before


def test_shards_of_a_folder_behind_a_link_and_an_index_of_it_give_each_file_one_path(
    folder: Path, tmp_path: Path, model: AraCLIP
) -> None:
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    embed(tmp_path / "link", tmp_path / "out", model=model)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        fill(gallery, shards_in(tmp_path / "out"))
        report = gallery.update([tmp_path / "link"])
        assert (report.added, report.files) == (0, 8)
        (folder / "4.png").unlink()
        assert (gallery.update([tmp_path / "link"]).files, gallery.verify()) == (7, [])


def test_pictures_whose_files_are_elsewhere_are_found_and_named_and_cannot_be_shown(
    folder: Path, tmp_path: Path, model: AraCLIP
) -> None:
    home = tmp_path / "tars"
    home.mkdir()
    tar_of(home / "a.tar", {"red.png": (folder / "4.png").read_bytes()})
    embed(home, tmp_path / "out", model=model)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        assert fill(gallery, shards_in(tmp_path / "out")).added == 1
        (hit,) = gallery.search("أحمر", 1)
        assert gallery.metadata(hit.path) == {"name": "red.png", "source": f"{home}/a.tar/red.png"}
        with pytest.raises(InputError, match=r"red\.png.*its file is elsewhere"):
            gallery.picture(hit.path)
        assert list(gallery.verify()) == []
        assert gallery.update([folder]).added == 8  # a file of the same picture: it can be shown
        assert "4.png" in {Path(path).name for hit in gallery.search("أحمر", 1) for path in (hit.path, *hit.copies)}


def test_a_member_of_a_tar_whose_name_is_not_unicode_is_found_under_its_name(tmp_path: Path, model: AraCLIP) -> None:
    name = os.fsdecode("صور/كلب trip ÿþý.png".encode("windows-1256", "ignore"))  # packed on an old system
    tar_of(tmp_path / "old.tar", {name: pictures.solid(tmp_path / "a.png").read_bytes()})
    embed(tmp_path / "old.tar", tmp_path / "out", model=model)
    with open_gallery(tmp_path / "gallery", model=model, create=True) as gallery:
        fill(gallery, shards_in(tmp_path / "out"))
        (hit,) = gallery.search("trip", where="name=trip")
        assert gallery.metadata(hit.path)["name"].endswith(" trip .png")


def test_the_model_of_the_shards_need_not_be_here_to_fill_a_gallery(folder: Path, tmp_path: Path, run: Run) -> None:
    gone = write_tiny_model(tmp_path / "gone", seed=5, name="gone")
    embed(folder, tmp_path / "out", model=gone)
    shutil.rmtree(gone)
    ran = run("index", "--from", str(tmp_path / "out"), "-g", str(tmp_path / "gallery"), model=False)
    assert ran.code == 0, ran.err
    with closing(Catalog.open(tmp_path / "gallery", None)) as catalog:
        assert catalog.counts() == (8, 8)


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_any_path_survives_json(raw: bytes) -> None:
    path = os.fsdecode(b"/" + raw)
    stored = json.loads(json.dumps(stored_path(path)).encode())
    assert os.fsencode(read_path(stored)) == b"/" + raw


@needs_server
def test_a_gallery_on_a_server_is_filled_with_the_same_pictures(
    folder: Path, tmp_path: Path, model: AraCLIP, address: str
) -> None:
    embed(folder, tmp_path / "out", model=model)
    with open_gallery(address, model=model, create=True) as gallery:
        assert fill(gallery, shards_in(tmp_path / "out")).added == 8
        with Gallery.open(tmp_path / "gallery", model=model, create=True) as local:
            fill(local, shards_in(tmp_path / "out"))
            assert [hit.path for hit in gallery.search("أحمر", 2)] == [hit.path for hit in local.search("أحمر", 2)]
            assert fill(gallery, shards_in(tmp_path / "out")).added == 0
            (one, other) = (each.stats() for each in (gallery, local))
            assert (one.files, one.formats, one.pictures) == (other.files, other.formats, other.pictures)


@pytest.fixture(params=["folder", pytest.param("postgres", marks=needs_server)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Where a gallery is filled: a folder, or an address on a server."""
    with place_of(request.param, tmp_path) as place:
        yield place


def test_filling_changes_nothing_that_a_gallery_holds(
    folder: Path, tmp_path: Path, model: AraCLIP, target: Path | str
) -> None:
    embed(folder, tmp_path / "out", model=model)
    pictures.solid(folder / "0.png", (9, 9, 250))  # newer than the shards
    newer = (folder / "0.png").read_bytes()
    with open_gallery(target, model=model, create=True) as gallery:
        gallery.add([folder / "1.png"], metadata={"album": "رحلة", "name": "مهم"})
        gallery.update([folder])
        gallery.hide([folder / "2.png"])
        (stored,) = gallery.add([(folder / "3.png").read_bytes()], metadata={"name": "رفعت.png"}).paths
        assert stored is not None
        before = {path: gallery.search(Path(path), 1)[0].path for path in map(str, sorted(folder.glob("*.png")))}
        report = fill(gallery, shards_in(tmp_path / "out"))
        assert report.added == 0  # the picture of older bytes has no path of its own
        assert gallery.metadata(folder / "1.png") == {"album": "رحلة", "name": "مهم"}
        assert gallery.metadata(stored) == {"name": "رفعت.png"}
        assert gallery.hidden() == [str(folder / "2.png")]
        assert gallery.picture(folder / "0.png") == newer
        assert {path: gallery.search(Path(path), 1)[0].path for path in before} == before
        assert gallery.update([folder]).added == 0
        assert [fault for fault in gallery.verify(contents=True) if fault.repairable] == []


def test_an_upload_that_shards_hold_too_keeps_its_own_name(
    folder: Path, tmp_path: Path, model: AraCLIP, target: Path | str
) -> None:
    (tmp_path / "tars").mkdir()
    tar_of(tmp_path / "tars" / "a.tar", {"red.png": (folder / "4.png").read_bytes()})
    embed(tmp_path / "tars", tmp_path / "out", model=model)
    with open_gallery(target, model=model, create=True) as gallery:
        (stored,) = gallery.add([(folder / "4.png").read_bytes()], metadata={"name": "وردة.png", "owner": "هند"}).paths
        assert stored is not None
        assert fill(gallery, shards_in(tmp_path / "out")).added == 0
        assert gallery.metadata(stored) == {"name": "وردة.png", "owner": "هند"}
        assert len(gallery.picture(stored)) > 0


def test_a_damaged_shard_is_named_and_what_was_read_before_it_stays(
    folder: Path, tmp_path: Path, model: AraCLIP
) -> None:
    out = tmp_path / "out"
    embed(folder, out, model=model, shards=3)
    last = sorted(out.glob("*.parquet"))[-1]
    raw, column = bytearray(last.read_bytes()), parquet.read_metadata(last).row_group(0).column(2)
    assert column.path_in_schema.startswith("vector")
    end = column.data_page_offset + column.total_compressed_size
    raw[end - 8 : end] = bytes(8)
    last.write_bytes(raw)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        with pytest.raises(InputError, match=f"{last.name} is damaged"):
            fill(gallery, shards_in(out))
        assert 0 < len(gallery) < 8
        assert list(gallery.verify()) == []


def test_whatever_is_damaged_in_the_footer_of_a_shard_is_an_error_of_ours(
    folder: Path, tmp_path: Path, model: AraCLIP
) -> None:
    embed(folder, tmp_path / "out", model=model)
    (shard,) = (tmp_path / "out").glob("*.parquet")
    trial = Path(__file__).parents[1] / "trials" / "damaged_shards.py"
    command = [sys.executable, str(trial), "--shard", str(shard), "--mutants", "500"]
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
        fill(gallery, shards_in(out))


def test_a_gallery_whose_filling_is_killed_anywhere_is_sound_and_is_filled_by_the_next_run(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP
) -> None:
    embed(folder, tmp_path / "out", model=model, shards=3)
    place, killed, point = tmp_path / "gallery", 0, 0
    while True:
        shutil.rmtree(place, ignore_errors=True)
        process = multiprocessing.get_context("fork").Process(
            target=_filled_until, args=(point, str(place), str(tmp_path / "out"), str(tiny_model))
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
            assert fill(gallery, shards_in(tmp_path / "out")).added == 8 - there
            assert list(gallery.verify()) == []
            assert gallery._catalog.rows("SELECT count(*) FROM words") == [(8,)]
    assert killed >= 6  # before and after each of three commits


def test_pictures_that_others_add_meanwhile_take_no_ids_from_those_of_shards(
    folder: Path, tmp_path: Path, model: AraCLIP
) -> None:
    out, others = tmp_path / "out", tmp_path / "others"
    embed(folder, out, model=model, shards=4)
    with (
        Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery,
        Gallery.open(tmp_path / "gallery", model=model) as beside,
    ):

        def upload(done: int) -> None:
            pictures.solid(others / f"{done}.png", (done, 100, 100))
            beside.add([others / f"{done}.png"])

        report = fill(gallery, shards_in(out), progress=upload)
        assert (report.read, report.added) == (8, 8)
        assert len(gallery) == 12
        assert list(gallery.verify()) == []
        names = {Path(path).stem for path in gallery._catalog.files()}
        assert names == {*map(str, range(8)), *(path.stem for path in others.iterdir())}
        rows = gallery._catalog.rows("SELECT count(*) FROM words JOIN files ON content = words.rowid")
        assert rows == [(12,)]


@given(st.lists(st.integers(1, 60_000), max_size=30), st.integers(1, 20_000))
def test_groups_hold_each_row_once_and_stay_small(row_groups: list[int], most: int) -> None:
    parts = list(itertools.islice(ingest.divide_rows(row_groups, most), 100))
    starts = [0, *itertools.accumulate(rows for _, rows in parts)]
    assert [start for start, _ in parts] == starts[:-1]
    assert len(parts) == 100 or starts[-1] == sum(row_groups)
    assert all(0 < rows <= 2 * most for _, rows in parts)


def test_any_rows_of_a_shard_are_read_whatever_its_row_groups(folder: Path, tmp_path: Path, model: AraCLIP) -> None:
    embed(folder, tmp_path / "out", model=model)
    (path,) = (tmp_path / "out").glob("*.parquet")
    table = parquet.read_table(path)
    about = parquet.read_metadata(path).metadata[b"araclip"]
    parquet.write_table(table.replace_schema_metadata({b"araclip": about}), path, row_group_size=3)
    whole = table.column("path").to_pylist()
    for start in range(8):
        for rows in range(1, 9 - start):
            _, batch = read_rows(str(path), start, rows, ("path", "vector"))
            assert batch.column("path").to_pylist() == whole[start : start + rows]


def test_shards_of_strangers_are_checked_before_they_reach_a_gallery(
    folder: Path, tmp_path: Path, model: AraCLIP
) -> None:
    out = tmp_path / "out"
    embed(folder, out, model=model)
    (path,) = out.glob("*.parquet")
    table, about = parquet.read_table(path), parquet.read_metadata(path).metadata[b"araclip"]

    def rewritten(name: str, values: Any) -> None:
        column = values if isinstance(values, pa.Array) else pa.array(values, table.schema.field(name).type)
        changed = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
        parquet.write_table(changed.replace_schema_metadata({b"araclip": about}), path)

    ends = pa.array(range(9), pa.int32()).buffers()[1]
    no_text = pa.Array.from_buffers(pa.string(), 8, [None, ends, pa.py_buffer(b"\xff" * 8)])
    faults: dict[str, tuple[Any, str]] = {
        "vector": ([[5.0] * 8] * 8, "not of unit length"),
        "path": (["picture:" + "0" * 32] * 8, "the path"),
        "path of bytes": (["bytes:a"] * 8, "a text that cannot be read"),
        "format": (["EXE"] * 8, "formats or sizes"),
        "sha256": ([None] * 8, "column sha256 has gaps"),
        "caption": (no_text, "a text that cannot be read"),
        "caption of 20 kB": (["x" * 20_000] * 8, "a text of 20,000 bytes in the column caption"),
    }
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        for name, (values, reason) in faults.items():
            rewritten(name.partition(" ")[0], values)
            with pytest.raises(InputError, match=reason):
                fill(gallery, shards_in(out))
        assert len(gallery) == 0
    parquet.write_table(pa.table({"a": [1]}), out / "other.parquet")
    with pytest.raises(InputError, match="no shard of `araclip embed`"):
        shards_in(out)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: "[" * 40_000,
        lambda about: '{"a":' * 15_000,
        lambda about: "\ud800".encode("utf-8", "surrogatepass"),
        lambda about: json.dumps({**about, "shards": "16"}),
        lambda about: json.dumps({**about, "rows": True}),
        lambda about: json.dumps({**about, "model": []}),
        lambda about: json.dumps({**about, "model": {**about["model"], "name": []}}),
        lambda about: json.dumps({**about, "model": {**about["model"], "name": "\ud800"}}),
        lambda about: json.dumps({**about, "model": {**about["model"], "origin": None}}),
        lambda about: json.dumps({**about, "model": {**about["model"], "width": 8.0}}),
    ],
    ids=range(10),
)
def test_what_a_strangers_shard_says_about_itself_is_bounded_and_has_its_types(
    folder: Path, tmp_path: Path, model: AraCLIP, change: Callable[[dict[str, Any]], str | bytes]
) -> None:
    out = tmp_path / "out"
    embed(folder, out, model=model)
    (path,) = out.glob("*.parquet")
    table, about = parquet.read_table(path), json.loads(parquet.read_metadata(path).metadata[b"araclip"])
    parquet.write_table(table.replace_schema_metadata({b"araclip": change(about)}), path)
    with pytest.raises(InputError, match="no shard of `araclip embed`") as caught:
        shards_in(out)
    assert "\n" not in str(caught.value)

"""Tars and parquet files: what is read of them, and what is refused."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import pictures
from araclip import AraCLIP
from araclip.bulk.embed import embed
from araclip.bulk.sources import read_pictures
from araclip.gallery.catalog.records import File
from araclip.pictures.image_transform import transform_of
from shards import png, refused, rows, tar_of

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_tars_tables_and_pictures_of_one_source_in_one_run(tmp_path: Path, tiny_model: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    red, green = png(pictures.RED, tmp_path), png(pictures.GREEN, tmp_path)
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
    picture = png(pictures.RED, tmp_path) + bytes(8_000_000)
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

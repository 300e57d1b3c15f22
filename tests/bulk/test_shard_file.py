"""Shards of strangers, damaged shards, and paths that are not Unicode."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from araclip import AraCLIP
from araclip.bulk.ingest import fill
from araclip.bulk.shard_file import columns_of, read_file, what_made
from araclip.errors import InputError
from araclip.gallery.catalog.records import File
from araclip.gallery.gallery import Gallery
from shards import rewrite

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_any_path_survives_json(raw: bytes) -> None:
    path = os.fsdecode(b"/" + raw)
    stored = json.loads(json.dumps(columns_of(File(path, 1, 2))).encode())
    assert read_file(stored) == File(path, 1, 2)


def test_damage_in_a_footer_is_an_error_of_ours(one: Path) -> None:
    trial = Path(__file__).parents[1] / "trials" / "damaged_shards.py"
    command = [sys.executable, str(trial), "--shard", str(one / "0.parquet"), "--mutants", "500"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")  # pyarrow once ended the process
    assert "refused" in ended.stdout and " 0 refused" not in ended.stdout


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

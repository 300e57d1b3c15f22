"""Ray runs once for all tests of this folder; an album, and its shards."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import pictures
from shards import rewrite

COLOURS = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]
collect_ignore_glob = [] if find_spec("ray") else ["*"]  # without the extra `ray`


@pytest.fixture(scope="package", autouse=True)
def cluster() -> Iterator[None]:
    """A daemon of Ray on this machine, for all tests of this folder."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error", object_store_memory=100_000_000
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def embedded(album: Path, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Shards of the album, three pictures in each but the last. Read only: see `out`."""
    from araclip.bulk import embed as module

    place = tmp_path_factory.mktemp("embedded") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHARD_ROWS", 3)
        module.embed(album, place, model=tiny_model, jobs=1)
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

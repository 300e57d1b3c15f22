"""Bulk embedding on a real Ray cluster of two machines' daemons (raylets), one of which dies in mid-run.

`make test-ray` installs the extra `ray` and runs it; `make test` leaves it out.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from PIL import Image
from pyarrow import parquet
from ray.cluster_utils import Cluster

from araclip.bulk.embed import embed

SHARDS, EACH = 10, 3
STORE = 80_000_000  # bytes of each daemon's memory for objects, the least that Ray takes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 9 megapixels, each of other bytes, and one damaged: a shard takes about a second."""
    home = tmp_path_factory.mktemp("pictures")
    across = np.linspace(0, 255, 3000, dtype=np.uint8)
    Image.fromarray(np.stack([np.broadcast_to(across, (3000, 3000))] * 3, axis=2)).save(home / "0000.png")
    whole = (home / "0000.png").read_bytes()
    for number in range(1, SHARDS * EACH):
        (home / f"{number:04}.png").write_bytes(whole + b"%d" % number)
    (home / "bad.png").write_bytes(whole[:100_000] if len(whole) > 100_000 else whole[: len(whole) // 2])
    return home


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two daemons with a core each; the driver is at the first."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    try:
        ray.init(address=made.address, log_to_driver=False)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def rows(out: Path) -> list[dict[str, Any]]:
    tables = [parquet.read_table(path) for path in sorted(out.glob("*.parquet"))]
    return sorted((row for table in tables for row in table.to_pylist()), key=lambda row: str(row["path"]))


def names(out: Path) -> set[str]:
    """Files of the output; what the killed process was writing is hidden, and removed by a later run."""
    return {path.name for path in out.iterdir() if not path.name.startswith(".")}


@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_machine_that_dies_in_mid_run_leaves_the_output_complete_and_equal(
    folder: Path, tmp_path: Path, tiny_model: Path, cluster: Cluster
) -> None:
    out = tmp_path / "out"
    other = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    at_death: list[int] = []

    def kill() -> None:
        while len(list(out.glob("*.parquet"))) < 3:
            time.sleep(0.05)
        cluster.remove_node(other, allow_graceful=False)
        at_death.append(len(list(out.glob("*.parquet"))))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = embed(folder, out, model=tiny_model, shards=SHARDS, engine="ray", jobs=0)
    killer.join(60)
    assert at_death and at_death[0] < SHARDS, "the machine died too late to matter"
    assert [node["Alive"] for node in ray.nodes()].count(False) == 1
    assert [each.shard for each in report.shards] == list(range(SHARDS))
    assert (report.pictures, report.refused) == (SHARDS * EACH, 1)
    embed(folder, tmp_path / "plain", model=tiny_model, shards=SHARDS)
    assert rows(out) == rows(tmp_path / "plain")
    assert names(out) == names(tmp_path / "plain")
    again = embed(folder, out, model=tiny_model, engine="ray")
    assert all(each.skipped for each in again.shards)

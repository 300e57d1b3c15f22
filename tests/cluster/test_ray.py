"""Bulk embedding on a real Ray cluster of two machines' daemons (raylets), one of which dies in mid-run.

`make test-ray` installs the extra `ray` and runs it; `make test` leaves it out.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from PIL import Image
from pyarrow import parquet
from ray.cluster_utils import Cluster

from araclip import AraCLIP, Gallery
from araclip.bulk import embed as module
from araclip.bulk.embed import embed
from araclip.bulk.ingest import fill

PICTURES = 60
STORE = 80_000_000  # bytes of each daemon's memory for objects, the least that Ray takes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 9 megapixels, each of other bytes, and one damaged."""
    home = tmp_path_factory.mktemp("pictures")
    across = np.linspace(0, 255, 3000, dtype=np.uint8)
    Image.fromarray(np.stack([np.broadcast_to(across, (3000, 3000))] * 3, axis=2)).save(home / "0000.png")
    whole = (home / "0000.png").read_bytes()
    for number in range(1, PICTURES):
        (home / f"{number:04}.png").write_bytes(whole + b"%d" % number)
    (home / "bad.png").write_bytes(whole[: len(whole) // 2])
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


@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_machine_dies_and_each_picture_is_embedded_once(
    folder: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 4)
    monkeypatch.setattr(module, "BLOCK", 2)
    out = tmp_path / "out"
    other = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    at_death: list[int] = []

    def kill() -> None:
        while len(list(out.glob("*.parquet"))) < 3:
            time.sleep(0.05)
        cluster.remove_node(other, allow_graceful=False)
        whole = [path for path in out.glob("*.parquet") if path.read_bytes().endswith(b"PAR1")]
        at_death.append(sum(parquet.read_metadata(path).num_rows for path in whole))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = embed(folder, out, model=tiny_model)
    killer.join(60)
    assert at_death and at_death[0] < PICTURES, "the machine died too late to matter"
    assert [node["Alive"] for node in ray.nodes()].count(False) == 1
    assert (report.pictures, report.refused) == (PICTURES, 1)
    paths = [path for file in out.glob("*.parquet") for path in parquet.read_table(file)["path"].to_pylist()]
    assert sorted(paths) == sorted(map(str, folder.iterdir()))  # each once, the damaged one with its reason
    assert embed(folder, out, model=tiny_model).new == 0
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as gallery:
        assert fill(gallery, out).added == PICTURES
        assert fill(gallery, out).added == 0
        assert gallery.verify() == []

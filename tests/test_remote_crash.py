"""A writer that dies leaves complete commits in a gallery on a server, and nothing that disturbs the next one."""

# ruff: noqa: F811  (fixtures are imported, then named as arguments)

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pictures
from araclip import AraCLIP
from araclip.errors import AraCLIPError, GalleryLocked
from araclip.gallery.ingest import intake

pytest.importorskip("qdrant_client")
from qdrant_client import models

from araclip.gallery.qdrant.conditions import state_where
from araclip.gallery.qdrant.gallery import QdrantGallery
from araclip.gallery.qdrant.nearest import Search
from qdrant_engine import Engine, Refused
from test_remote import folder, found, model, open_  # noqa: F401  (fixtures: handed in by name)


def run_out(gallery: QdrantGallery) -> None:
    """A minute goes by, and the lease of a dead writer with it."""
    gallery._catalog.connection.set_payload({"expires": 0.0}, state_where())


def is_write(method: str, path: str) -> bool:
    return method == "PUT" or path.endswith(("/points/delete", "/points/payload", "/points/payload/delete"))


def dying(engine: Engine, at: int) -> Callable[[], bool]:
    """From write number `at` on nothing of what the writer sends arrives; returns whether it came so far."""
    seen = 0

    def before(method: str, path: str, body: dict[str, Any]) -> None:
        nonlocal seen
        seen += is_write(method, path)
        if seen > at:
            raise Refused(403, "dead")

    engine.before = before
    return lambda: seen > at


def test_wherever_a_writer_dies_readers_see_whole_commits_and_the_next_one_goes_on(
    engine: Engine, address: str, model: AraCLIP, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "COMMIT_EVERY", 2)
    old = ["0.png", "1.png", "2.png"]
    with open_(address, model) as gallery:
        gallery.update([folder])
        deaths = 0
        for at in range(100):
            (folder / "2.png").rename(folder / "9.png")
            for i in range(3, 6):
                pictures.solid(folder / f"{i}.png", (40 * i, at, 10))
            died = dying(engine, at)
            try:
                gallery.update([folder])
            except AraCLIPError:
                deaths += 1
            engine.before = None
            there = found(gallery)
            # pictures come two by two; a renamed one may be there under both names, and is lost under neither
            assert set(there) - {"9.png"} <= {*old, "3.png", "4.png", "5.png"}
            assert {"0.png", "1.png"} <= set(there)
            assert {"2.png", "9.png"} & set(there)
            run_out(gallery)
            gallery.update([folder])
            assert found(gallery) == ["0.png", "1.png", "3.png", "4.png", "5.png", "9.png"]
            assert gallery.verify(contents=True) == []
            (folder / "9.png").rename(folder / "2.png")
            for i in range(3, 6):
                (folder / f"{i}.png").unlink()
            gallery.update([folder])
            assert found(gallery) == old
            if not died():
                break
        assert deaths >= 8
        gallery.compact()
        own = gallery._catalog.connection
        assert own.count(models.Filter()) == len(old) + 1  # and the state: nothing is left over


def test_a_writer_that_dies_over_a_picture_without_a_file_leaves_nothing_over(
    engine: Engine, address: str, model: AraCLIP, folder: Path
) -> None:
    data = (folder / "0.png").read_bytes()
    with open_(address, model) as gallery:
        own = gallery._catalog.connection
        for at in range(0, 100, 2):
            died = dying(engine, at)
            with contextlib.suppress(AraCLIPError):
                gallery.add([data])
                gallery.remove(gallery.add([data]).paths)
            engine.before = None
            run_out(gallery)
            there = len(gallery)
            (path,) = gallery.add([data]).paths
            assert (there <= 1, len(gallery), gallery.picture(str(path))[:2]) == (True, 1, b"\xff\xd8")
            gallery.remove([path])
            gallery.compact()
            assert own.count(models.Filter()) == 1  # the state
            if not died():
                break
        assert at >= 15


WRITER = """
import sys
from araclip import AraCLIP
from araclip.gallery.ingest import intake
from araclip.gallery.open import open_gallery
intake.COMMIT_EVERY = 4
open_gallery(sys.argv[1], model=AraCLIP.load(sys.argv[2], threads=1), create=True).update([sys.argv[3]])
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_process_loses_nothing_committed(
    engine: Engine, address: str, model: AraCLIP, tiny_model: Path, folder: Path
) -> None:
    for i in range(3, 24):
        pictures.solid(folder / f"{i}.png", (10 * i, 3 * i, 200 - 5 * i))
    commits = threading.Semaphore(0)

    def before(method: str, path: str, body: dict[str, Any]) -> None:
        if "generation" in body.get("payload", {}):
            commits.release()

    engine.before = before
    child = subprocess.Popen([sys.executable, "-c", WRITER, address, str(tiny_model), str(folder)])
    assert commits.acquire(timeout=60)
    assert commits.acquire(timeout=60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    engine.before = None
    with open_(address, model) as gallery:
        committed = len(gallery)
        assert committed >= 4
        assert committed % 4 == 0
        with pytest.raises(GalleryLocked, match=rf"process {child.pid} on"):
            gallery.update([folder])
        run_out(gallery)
        report = gallery.update([folder])
        assert (report.unchanged, report.added, len(gallery)) == (committed, 24 - committed, 24)


def test_a_reader_of_a_generation_sees_it_until_the_end(address: str, model: AraCLIP, folder: Path) -> None:
    from araclip.gallery.catalog.filters import Filters
    from araclip.gallery.ranking import Page

    query, page = model.encode_text(["أحمر"])[0], Page(100, 0, Filters())
    with open_(address, model) as gallery:
        gallery.update([folder])
        state = gallery._catalog.state()
        search = Search(gallery._catalog.connection, state.number)
        before = search.ranked(query, page, None)
        (folder / "1.png").unlink()
        (folder / "0.png").rename(folder / "new.png")
        gallery.update([folder])
        assert search.ranked(query, page, None) == before
        assert found(gallery) == ["2.png", "new.png"]

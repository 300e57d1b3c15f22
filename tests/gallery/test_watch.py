"""Watching a folder: changes become searchable, and errors do not end the watch."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.core import atomic
from araclip.errors import InputError
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest.scan import Walk
from araclip.gallery.results import Update
from araclip.gallery.watch import changes, watch

PATIENCE = 60  # seconds: far more than it takes, on a machine that does much else


class Watched:
    """A watch in a thread of its own, with the gallery that it fills."""

    def __init__(self, place: Path, model: AraCLIP, *folders: Path, full_walk_s: float = 600.0) -> None:
        self.updates: list[Update] = []
        self.lines: list[str] = []
        self.stop = Event()
        self.gallery = Gallery.open(place, model=model, create=True)
        self.thread = Thread(
            target=watch,
            args=(self.gallery, folders),
            kwargs={
                "updated": self.updates.append,
                "skip": self.lines.append,
                "stop": self.stop,
                "full_walk_s": full_walk_s,
            },
        )
        self.thread.start()

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.gallery.close()

    def until(self, condition: Callable[[], bool]) -> float:
        """Wait until something is true; returns the seconds it took."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < PATIENCE, (self.updates, self.lines)
            assert self.thread.is_alive()
            time.sleep(0.02)
        return time.monotonic() - start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pictures.solid(tmp_path / "صور" / "a.png").parent


@pytest.fixture
def watched(tmp_path: Path, tiny_model: Path, folder: Path) -> Iterator[Watched]:
    with Watched(tmp_path / "g", AraCLIP.load(tiny_model, threads=1), folder) as opened:
        opened.until(lambda: len(opened.updates) == 1)
        yield opened


def test_new_changed_and_vanished_pictures_are_updated(watched: Watched, folder: Path) -> None:
    assert watched.updates[0].pictures == 1
    pictures.solid(folder / "رحلة" / "b.png", pictures.BLUE)
    watched.until(lambda: len(watched.gallery.search("أزرق")) == 2)
    assert Path(watched.gallery.search("أزرق", 1)[0].path).name == "b.png"
    (folder / "a.png").unlink()
    watched.until(lambda: watched.updates[-1].removed == 1)
    assert [Path(hit.path).name for hit in watched.gallery.search("أزرق")] == ["b.png"]


def test_an_emptied_folder_costs_a_line_and_no_picture(watched: Watched, folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "a.png", tmp_path / "a.png")
    watched.until(lambda: any("Is a drive unplugged?" in line for line in watched.lines))
    assert len(watched.gallery) == 1
    shutil.move(tmp_path / "a.png", folder / "a.png")
    pictures.solid(folder / "b.png", pictures.BLUE)
    watched.until(lambda: len(watched.gallery) == 2)


def test_only_changed_paths_are_scanned(watched: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked: list[str] = []
    pictures_of = Walk.pictures

    def noted(self: Walk, root: Path | str) -> Iterator[File]:
        walked.append(str(root))
        return pictures_of(self, root)

    monkeypatch.setattr(Walk, "pictures", noted)
    pictures.solid(folder / "b.png", pictures.BLUE)
    watched.until(lambda: len(watched.gallery) == 2)
    pictures.solid(folder / "رحلة" / "يوم" / "c.png", pictures.GREEN)
    pictures.solid(folder / ".cache" / "d.png", pictures.WHITE)
    watched.until(lambda: len(watched.gallery) == 3)
    (folder / "رحلة").rename(folder / "رحلتي")
    watched.until(lambda: any("رحلتي" in hit.path for hit in watched.gallery.search("أخضر")))
    assert len(watched.gallery) == 3
    assert str(folder) not in walked
    assert watched.lines == []


def test_unreported_changes_are_found_by_the_next_full_walk(
    tmp_path: Path, tiny_model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gallery, "update_at", lambda self, paths, folders, skip: Update())  # as if the queue ran over
    with Watched(tmp_path / "g", AraCLIP.load(tiny_model, threads=1), folder, full_walk_s=1.0) as watched:
        watched.until(lambda: len(watched.updates) == 1)
        pictures.solid(folder / "b.png", pictures.BLUE)
        watched.until(lambda: len(watched.gallery) == 2)


def test_gallery_inside_folder_that_it_watches_does_not_wake_it(
    tmp_path: Path, tiny_model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[set[str]] = []
    update_at = Gallery.update_at

    def noted(self: Gallery, paths: frozenset[str], folders: list[Path], **options: Any) -> Update:
        told.append({Path(path).name for path in paths})
        return update_at(self, paths, folders, **options)

    monkeypatch.setattr(Gallery, "update_at", noted)
    with Watched(folder / "g", AraCLIP.load(tiny_model, threads=1), folder) as watched:
        pictures.solid(folder / "b.png", pictures.BLUE)
        watched.until(lambda: len(watched.gallery) == 2)
        time.sleep(3)  # each update used to follow its own traces, within 1.2 s
        assert {name for names in told for name in names} <= {"b.png"}
        assert len(told) <= 2


def test_a_folder_that_is_away_does_not_keep_others_from_updates(
    tmp_path: Path, tiny_model: Path, folder: Path
) -> None:
    drive = pictures.solid(tmp_path / "usb" / "u.png", pictures.GREEN).parent
    with Watched(tmp_path / "g", AraCLIP.load(tiny_model, threads=1), folder, drive) as watched:
        watched.until(lambda: len(watched.updates) == 1)
        drive.rename(tmp_path / "unplugged")
        pictures.solid(folder / "b.png", pictures.BLUE)
        watched.until(lambda: len(watched.gallery) == 3)
        watched.until(lambda: any("reconnect the drive" in line for line in watched.lines))


def test_another_writer_is_waited_for(watched: Watched, folder: Path) -> None:
    with atomic.single_writer(watched.gallery.folder / "lock"):
        pictures.solid(folder / "b.png", pictures.BLUE)
        time.sleep(1.5)
        assert len(watched.gallery) == 1
    watched.until(lambda: len(watched.gallery) == 2)


def test_a_walk_that_was_asked_for_and_postponed_is_due_again(folder: Path) -> None:
    walk, stop = Event(), Event()
    due = changes([folder], stop=stop, walk=walk)
    assert next(due).paths is None
    walk.set()
    postponed = next(due)
    assert postponed.paths is None
    postponed.postponed = True
    assert next(due).paths is None
    stop.set()


def test_a_missing_folder_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    with (
        Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model), create=True) as gallery,
        pytest.raises(InputError, match="no such folder"),
    ):
        watch(gallery, [tmp_path / "nowhere"], updated=lambda report: None, skip=lambda line: None)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_command_with_line_that_says_how_to_resume(folder: Path, tmp_path: Path, tiny_model: Path) -> None:
    # A job in the background of a shell ignores Ctrl-C, and so would its child.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeds}; from araclip import cli; cli.main()"]
    command += ["watch", str(folder), "-g", str(tmp_path / "g")]
    child = subprocess.Popen(
        [*command, "--model", str(tiny_model)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert "1 picture indexed" in child.stdout.readline()
    pictures.solid(folder / "b.png", pictures.BLUE)
    start = time.monotonic()
    assert "2 pictures indexed: 1 new or changed" in child.stdout.readline()
    assert time.monotonic() - start < PATIENCE  # two seconds where nothing else runs
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130
    assert "2 pictures are indexed; run the same command again" in said

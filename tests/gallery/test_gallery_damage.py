"""Damage to any file of a gallery leaves its results unchanged or is an error of ours, and can be repaired."""

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from crash.story import picture_files, pictures_bytes

import pictures
from araclip import AraCLIP, Gallery
from araclip.core import atomic
from araclip.errors import AraCLIPError, GalleryCorrupt, GalleryLocked
from araclip.gallery.catalog import writer_lock
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.filters import Filters
from catalog_file import edited

BLOWS = int(os.environ.get("ARACLIP_TEST_BLOWS", "2"))  # for each file; docs/log/2026-11.md has a run with more

Answers = list[list[tuple[str, float, float | None]]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    picture_files(folder, 14)
    return folder


def filled(place: Path, model: AraCLIP, root: Path) -> Gallery:
    gallery = Gallery.open(place, model=model, create=True)
    gallery.add([root / "صورة 3.png", pictures_bytes(99)], metadata={"album": "رحلة"})
    gallery.update([root])
    return gallery


@pytest.fixture(scope="module")
def resting(tmp_path_factory: pytest.TempPathFactory, model: AraCLIP, root: Path) -> Path:
    """A gallery that nobody has open."""
    place = tmp_path_factory.mktemp("resting") / "g"
    filled(place, model, root).close()
    return place


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, model: AraCLIP, root: Path) -> Path:
    """A gallery whose writer was killed: its last commits stand in the log alone."""
    place = tmp_path_factory.mktemp("killed")
    Gallery.open(place / "live", model=model, create=True).close()
    reader = edited(place / "live")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM meta").fetchall()  # while somebody reads, the log stays
    with filled(place / "live", model, root):
        shutil.copytree(place / "live", place / "g")
    reader.close()
    assert (place / "g" / "catalog.sqlite-wal").stat().st_size
    return place / "g"


def answers(place: Path, model: AraCLIP, *, whole: bool = True) -> Answers:
    """What searches find; `whole`: with metadata and pictures that have no file, which only the catalogue knows."""
    filters = [Filters(), Filters(formats=("PNG",), min_size=10)] + [Filters(metadata={"album": "رحلة"})] * whole
    with Gallery.open(place, model=model) as gallery:
        return [
            [
                (hit.path, hit.score, hit.relevance if whole else None)
                for hit in gallery.search(query, 100, where=only)
                if whole or not hit.path.startswith("picture:")
            ]
            for query in ("أحمر", "blue - أخضر")
            for only in filters
        ]


def flipped(raw: bytes, drawn: random.Random) -> bytes:
    place = drawn.choice([i for i, byte in enumerate(raw) if byte])  # not in the empty part of a page
    return raw[:place] + bytes([raw[place] ^ 1 << drawn.randrange(8)]) + raw[place + 1 :]


def cut(raw: bytes, drawn: random.Random) -> bytes:
    return raw[: drawn.randrange(len(raw))]


@pytest.mark.parametrize("state", ["resting", "killed"])
@pytest.mark.parametrize("blow", [flipped, cut], ids=lambda blow: blow.__name__)
def test_a_damaged_file_changes_no_answer_and_is_repaired(
    state: str,
    blow: Callable[[bytes, random.Random], bytes],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    model: AraCLIP,
    root: Path,
) -> None:
    sound: Path = request.getfixturevalue(state)
    place, drawn = tmp_path / "g", random.Random(5)
    shutil.copytree(sound, place)
    wanted, files_alone = answers(place, model), answers(place, model, whole=False)
    noticed = set()
    for name in sorted(path.name for path in sound.iterdir() if path.stat().st_size):
        for _ in range(BLOWS * 4 if name == "catalog.sqlite" else BLOWS):
            shutil.rmtree(place)
            shutil.copytree(sound, place)
            hurt = place / name
            hurt.write_bytes(blow(hurt.read_bytes(), drawn))
            try:
                assert answers(place, model) == wanted, name
            except AraCLIPError as error:
                noticed.add(name)
                assert str(place / "catalog.sqlite") in str(error)
                assert "araclip repair" in str(error)
            try:
                Gallery.rescue(place, model=model)
            except GalleryCorrupt as error:
                assert "elete" not in str(error)
                shutil.rmtree(place)
            with Gallery.open(place, model=model, create=True) as gallery:
                gallery.update([root])
            assert answers(place, model, whole=False) == files_alone, name
    assert noticed == {"catalog.sqlite"} if state == "resting" else {"catalog.sqlite-wal"} <= noticed


def test_a_log_that_vanished_is_noticed(killed: Path, tmp_path: Path, model: AraCLIP) -> None:
    shutil.copytree(killed, tmp_path / "g")
    (tmp_path / "g" / "catalog.sqlite-wal").unlink()
    with pytest.raises(AraCLIPError, match="araclip repair"):
        Gallery.open(tmp_path / "g", model=model)


def test_a_file_beside_the_catalogue_that_vanished_costs_nothing(resting: Path, tmp_path: Path, model: AraCLIP) -> None:
    wanted = answers(resting, model)
    for name in {path.name for path in resting.iterdir()} - {"catalog.sqlite"}:
        shutil.rmtree(tmp_path / "g", ignore_errors=True)
        shutil.copytree(resting, tmp_path / "g")
        (tmp_path / "g" / name).unlink()
        assert answers(tmp_path / "g", model) == wanted


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders there")
def test_a_pipe_beside_the_catalogue_is_not_waited_for(resting: Path, tmp_path: Path, model: AraCLIP) -> None:
    shutil.copytree(resting, tmp_path / "g")
    for path in list((tmp_path / "g").iterdir()):
        if path.name != "catalog.sqlite":
            path.unlink()
            os.mkfifo(path)
    assert answers(tmp_path / "g", model) == answers(resting, model)
    with (
        Gallery.open(tmp_path / "g", model=model) as gallery,
        pytest.raises(OSError, match=r"lock.*a pipe or a device"),
    ):
        gallery.remove([resting])


def test_a_catalogue_restored_with_its_folder_is_accepted(
    resting: Path, tmp_path: Path, model: AraCLIP, root: Path
) -> None:
    place = tmp_path / "g"
    shutil.copytree(resting, place)
    with Gallery.open(place, model=model) as gallery:
        gallery.remove([root])
    shutil.rmtree(place)
    shutil.copytree(resting, place)
    assert answers(place, model) == answers(resting, model)


# ------------------------------------------------------------------ a disk that is full or cannot be written


def test_a_backup_to_a_full_disk_says_that_it_is_full(
    resting: Path, tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise apsw.FullError("not an error")  # what SQLite says when a backup finds no room

    monkeypatch.setattr("araclip.gallery.catalog.connection.Connection._copy_into", full)
    with Gallery.open(resting, model=model) as gallery, pytest.raises(OSError, match=r"\(the disk is full\)"):
        gallery.backup(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


READ_WHEN_FULL = """
import resource, shutil, signal, sys
from araclip import AraCLIP, Gallery
from araclip.errors import AraCLIPError
model, limit = AraCLIP.load(sys.argv[2], threads=1), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
with Gallery.open(sys.argv[1], model=model) as gallery:
    print(len(gallery.search("أحمر", 100)), gallery.stats().pictures, len(gallery.verify()))
    free = shutil.disk_usage(sys.argv[1])._replace(free=limit)
    shutil.disk_usage = lambda path: free
    for write in (lambda: gallery.hide([gallery.search("أحمر", 1)[0].path]), lambda: gallery.add([sys.argv[4]])):
        try:
            write()
        except (OSError, AraCLIPError) as error:
            print(type(error).__name__, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    print(gallery.hide([gallery.search("أحمر", 1)[0].path]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits what a process may write")
@pytest.mark.parametrize("limit", [0, 16_384])
def test_a_full_disk_can_be_searched(limit: int, resting: Path, tmp_path: Path, model: AraCLIP) -> None:
    place, picture = shutil.copytree(resting, tmp_path / "g"), tmp_path / "new.png"
    picture.write_bytes(pictures_bytes(400))
    with Gallery.open(place, model=model) as gallery:
        count = len(gallery)
    command = [sys.executable, "-c", READ_WHEN_FULL, str(place), str(model.folder), str(limit), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read, *refused, shown = done.stdout.splitlines()
    assert read == f"{count} {count} 0"
    assert len(refused) == 2
    assert all("the disk is full" in line for line in refused), refused
    assert shown == "1"  # once there is room again


FULL = """
import resource, signal, sys
from araclip import AraCLIP, Gallery
from araclip.errors import AraCLIPError
with Gallery.open(sys.argv[1], model=AraCLIP.load(sys.argv[2], threads=1)) as gallery:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        gallery.update([sys.argv[3]])
        print("done")
    except (OSError, AraCLIPError) as error:
        print("error", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file there")
@pytest.mark.parametrize("kilobytes", [0, 8, 40, 90])
def test_a_file_that_cannot_grow_is_an_error_and_loses_nothing(
    kilobytes: int, resting: Path, tmp_path: Path, tiny_model: Path, model: AraCLIP, root: Path
) -> None:
    place, more = tmp_path / "g", tmp_path / "more"
    shutil.copytree(resting, place)
    for i in range(140):
        pictures.written(more / f"{i}.png", pictures_bytes(1000 + i))
    wanted = answers(place, model)
    command = [sys.executable, "-c", FULL, str(place), str(tiny_model), str(more), str(kilobytes << 10)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout == "done\n" or str(place) in said.stdout
    if kilobytes < 90:
        assert said.stdout.startswith("error")
        assert "space" in said.stdout or "disk" in said.stdout
    with Gallery.open(place, model=model) as gallery:
        assert gallery.verify() == []
        if kilobytes <= 8:
            assert answers(place, model) == wanted
        gallery.update([more])
        assert len(gallery) == 15 + 140


READ_ONLY = """
import faiss, mmap, os, sys, araclip.gallery.ingest.update  # now: libraries of another user may not be read later
from araclip import AraCLIP, Gallery
from araclip.errors import AraCLIPError
model = AraCLIP.load(sys.argv[2], threads=1)
model.encode_text("")  # opens the tower
os.setgid(65534), os.setuid(65534)
with Gallery.open(sys.argv[1], model=model) as gallery:
    print(len(gallery.search("صورة", 100)))
    try:
        gallery.update([sys.argv[3]])
    except (OSError, AraCLIPError) as error:
        print(type(error).__name__, error)
    gallery.backup(sys.argv[4])
with Gallery.open(sys.argv[4], model=model) as copy:
    print(len(copy))
"""


@pytest.mark.usefixtures("unreadable_data_home")
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="becomes another user, which only root can")
def test_a_read_only_gallery_is_searched_and_not_written(
    resting: Path, tmp_path: Path, tiny_model: Path, root: Path
) -> None:
    place = tmp_path / "g"
    shutil.copytree(resting, place)
    opened = [root, place, tiny_model, *tiny_model.iterdir(), *root.iterdir(), *place.iterdir()]
    for path in [*opened, *root.parents, *place.parents, *tiny_model.parents]:
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups").chmod(0o777)
    copy = str(tmp_path / "backups" / "g")
    command = [sys.executable, "-c", READ_ONLY, str(place), str(tiny_model), str(root), copy]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Permission denied" in said.stderr and "site-packages" in said.stderr:
        pytest.skip("this Python cannot be read by another user")
    assert said.returncode == 0, said.stderr
    found, refusal, copied = said.stdout.splitlines()
    assert found == copied == "15"
    assert str(place) in refusal
    assert "permission" in refusal.lower()


# ------------------------------------------------------------------ two writers


HOLD = """
import sys
from pathlib import Path
from araclip.core import atomic
with atomic.single_writer(Path(sys.argv[1]) / "lock"):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(resting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    shutil.copytree(resting, tmp_path / "g")
    command = [sys.executable, "-c", HOLD, str(tmp_path / "g")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        monkeypatch.setattr(writer_lock, "PATIENCE_S", 0)
        yield process
        process.kill()


def test_a_second_process_searches_and_waits_to_write(
    writer: subprocess.Popen[str], tmp_path: Path, model: AraCLIP, root: Path
) -> None:
    with Gallery.open(tmp_path / "g", model=model) as gallery:
        assert len(gallery.search("صورة", 100)) == 15
        with pytest.raises(GalleryLocked, match=f"process {writer.pid} on "):
            gallery.update([root])
        writer.kill()
        writer.wait()
        assert gallery.update([root]).unchanged == 14


@pytest.mark.parametrize(
    "owner",
    [f"process {os.getpid()} on here", "process 1 on another-host", "", "\0\xff" * 90],
    ids=["of a process id in use again", "of another host", "empty", "no text"],
)
def test_the_lock_file_of_a_dead_writer_blocks_nobody(
    owner: str, resting: Path, tmp_path: Path, model: AraCLIP, root: Path
) -> None:
    """A reused process id or another host's name: only the operating system's lock counts."""
    shutil.copytree(resting, tmp_path / "g")
    (tmp_path / "g" / "lock").write_text(owner, encoding="utf-8")
    with Gallery.open(tmp_path / "g", model=model) as gallery:
        assert gallery.update([root]).unchanged == 14
    with atomic.single_writer(tmp_path / "g" / "lock"):
        assert f"process {os.getpid()} on " in (tmp_path / "g" / "lock").read_text()


def test_a_writer_stopped_after_its_commit_leaves_the_next_seal(
    tmp_path: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's uploads and its indexing process write alternately, under one lock."""
    Gallery.open(tmp_path / "g", model=model, create=True).close()
    slow, quick = (Catalog.open(tmp_path / "g", None) for _ in range(2))

    def overtake(name: str) -> None:
        if name == "committed":
            monkeypatch.undo()
            with quick.writing():
                pass

    monkeypatch.setattr(atomic, "step", overtake)
    with slow.writing():
        pass
    assert slow.generation == quick.generation
    Catalog.open(tmp_path / "g", None).close()  # not GalleryCorrupt
    slow.close()
    quick.close()


def test_disk_that_is_full_after_last_commit_says_what_is_saved(
    tmp_path: Path, model: AraCLIP, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, steps = 0, list[str]()

    def full(name: str) -> None:
        steps.append(name)
        if name == "commit" and steps.count("commit") == last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "step", full)
    for place in ("first", "second"):
        with Gallery.open(tmp_path / place, model=model, create=True) as gallery:
            steps.clear()
            if place == "first":
                gallery.update([root])
                last = steps.count("commit")
                continue
            with pytest.raises(OSError, match=r"pictures of this run are saved.*No space left.*Free some disk space"):
                gallery.update([root])
            last = 0
            assert len(gallery) > 10
            report = gallery.update([root])
            assert (report.added, gallery.verify()) == (0, [])

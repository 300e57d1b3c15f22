"""A catalogue's checksums: what SQLite alone would not notice is noticed, and repaired; only SQLite opens its file."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from crash.story import picture_files, pictures_bytes

import pictures
from araclip import AraCLIP, Gallery
from araclip.core import atomic
from araclip.errors import GalleryCorrupt, GalleryError, GalleryNotFound, InputError
from araclip.gallery.catalog import seal
from araclip.gallery.catalog.salvage import salvage
from araclip.gallery.ingest.reembed import reembed
from araclip.gallery.maintenance.backup import describe_replaced
from araclip.gallery.open import open_reader, restore_gallery
from catalog_file import damage, edited, value
from tiny import write_tiny_model

PICTURES = 30


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    picture_files(folder, PICTURES)
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, model: AraCLIP, root: Path) -> Path:
    place = tmp_path_factory.mktemp("sound") / "g"
    with Gallery.open(place, model=model, create=True) as gallery:
        gallery.update([root])
        gallery.add([pictures_bytes(99), root / "صورة 3.png"], metadata={"album": "رحلة"})
    return place


@pytest.fixture
def place(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "g"))


def replaced_by_a_copy(place: Path) -> None:
    """Put a copy of the catalogue at its place, as a restored backup is: another file, which is checked whole."""
    shutil.copyfile(place / "catalog.sqlite", place / "copy")
    (place / "copy").replace(place / "catalog.sqlite")


def rest(place: Path, model: AraCLIP) -> None:
    """Open a copied gallery once, so that its file is known."""
    Gallery.open(place, model=model).close()
    assert is_known(place)


def is_known(place: Path) -> bool:
    """Whether the seal names the catalogue's file."""
    return seal.is_known(place / "catalog.sqlite")


ROWS = {
    "vector": "UPDATE contents SET vector = (SELECT vector FROM contents WHERE id = 2) WHERE id = 1",
    "hash": "UPDATE contents SET hash = CAST(x'00' || substr(hash, 2) AS BLOB) WHERE id = 1",
    "facts": "UPDATE contents SET width = width + 1 WHERE id = 1",
    "phash": "UPDATE contents SET phash = phash + 1 WHERE id = 1",
    "text that is not UTF-8": "UPDATE contents SET format = CAST(x'ff50' AS TEXT) WHERE id = 1",
    "path": "UPDATE files SET path = CAST(path || x'61' AS BLOB) WHERE content = 1",
    "size": "UPDATE files SET size = size + 1 WHERE content = 1",
    "picture of a path": "UPDATE files SET content = 2 WHERE content = 1",
    "metadata": "UPDATE files SET metadata = replace(metadata, 'ر', 'د') WHERE metadata <> '{}'",
    "path of a stored picture": (
        "UPDATE files SET path = CAST(path || x'61' AS BLOB) WHERE substr(path, 1, 8) = CAST('picture:' AS BLOB)"
    ),
    "stored picture": "UPDATE kept SET picture = CAST(picture || x'00' AS BLOB)",
    "meta": "UPDATE meta SET value = value || '0' WHERE key = 'generation'",
    "a row that vanished": "DELETE FROM files WHERE content = 1",
    "history": "INSERT INTO changes (content) VALUES (3)",
}


@pytest.mark.parametrize("sql", ROWS.values(), ids=ROWS)
def test_a_damaged_row_is_named_by_verify_and_repaired(sql: str, place: Path, model: AraCLIP, root: Path) -> None:
    with Gallery.open(place, model=model) as gallery:
        wanted = {hit.path: hit.score for hit in gallery.search("أحمر", 100)}
        damage(place, sql)
        assert [fault for fault in gallery.verify() if fault.repairable]
    replaced_by_a_copy(place)
    with pytest.raises(GalleryCorrupt, match=r"catalog\.sqlite .*araclip repair"):
        Gallery.open(place, model=model)
    assert Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        gallery.update([root])
        assert [fault for fault in gallery.verify(contents=True) if fault.repairable] == []
        assert {hit.path for hit in gallery.search("أحمر", 100)} == wanted.keys()
        assert [hit.score for hit in gallery.search("أحمر", 100)] == pytest.approx(list(wanted.values()), abs=0.01)
        assert Gallery.rescue(place, model=model) == []


def test_damage_is_noticed_by_what_reads_the_row(place: Path, model: AraCLIP, root: Path) -> None:
    rest(place, model)
    damage(place, "UPDATE files SET path = CAST(path || x'61' AS BLOB) WHERE content = 1")
    with Gallery.open(place, model=model) as gallery:
        for read in (lambda: gallery.search("أحمر", 100), lambda: gallery.update([root])):
            with pytest.raises(GalleryCorrupt, match="araclip repair"):
                read()


def test_a_damaged_vector_is_not_copied_into_an_index(place: Path, model: AraCLIP) -> None:
    rest(place, model)
    damage(place, ROWS["vector"])
    next(place.glob("scan-*")).unlink()
    with Gallery.open(place, model=model) as gallery, pytest.raises(GalleryCorrupt, match="araclip repair"):
        gallery.search("أحمر")


def test_a_damaged_index_of_sqlite_is_repaired(place: Path, model: AraCLIP, root: Path) -> None:
    page = int(str(value(place, "SELECT rootpage FROM sqlite_schema WHERE name = 'contents_added'")))
    size = int(str(value(place, "PRAGMA page_size")))
    raw = bytearray((place / "catalog.sqlite").read_bytes())
    start = (page - 1) * size
    raw[start + 3 : start + 5] = (int.from_bytes(raw[start + 3 : start + 5]) - 1).to_bytes(2)  # one cell fewer
    with Gallery.open(place, model=model) as gallery:
        (place / "catalog.sqlite").write_bytes(raw)
    with Gallery.open(place, model=model, checked=False) as gallery:
        assert any("checksum" in fault.what for fault in gallery.verify())
    assert Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        assert gallery.verify() == []
        assert gallery.update([root]).unchanged == PICTURES
        assert gallery.repair() == []


def test_every_change_leaves_a_sound_catalogue(place: Path, model: AraCLIP, root: Path, tmp_path: Path) -> None:
    other = AraCLIP.load(write_tiny_model(tmp_path / "other", seed=7), threads=1)
    steps: list[Callable[[Gallery], object]] = [
        lambda gallery: gallery.remove([root / "صورة 3.png", root / "صورة 4.png"]),
        lambda gallery: gallery.add([pictures_bytes(99)], metadata={"album": "بحر"}),
        lambda gallery: gallery.remove([path for path in gallery._catalog.files() if path.startswith("picture:")]),
        lambda gallery: gallery.update([root]),
        lambda gallery: gallery.compact(),
    ]
    for step in steps:
        with Gallery.open(place, model=model) as gallery:
            step(gallery)
            assert gallery._catalog.find_damage() == []
    reembed(place, other)
    with Gallery.open(place, model=other) as gallery:
        assert gallery._catalog.find_damage() == []


def test_a_compacted_gallery_need_not_be_checked_again(place: Path, model: AraCLIP) -> None:
    rest(place, model)
    with Gallery.open(place, model=model) as gallery:
        gallery.compact()
    assert is_known(place)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_connections_of_threads_that_have_ended_are_closed(place: Path, model: AraCLIP) -> None:
    def files_open() -> int:
        return sum(os.path.realpath(each).endswith("catalog.sqlite") for each in Path("/proc/self/fd").iterdir())

    def of_threads(count: int) -> int:
        for _ in range(count):
            with ThreadPoolExecutor(1) as ended:
                assert ended.submit(reader.store.counts).result()[1] == PICTURES + 1
        return files_open()

    with closing(open_reader(place, model)) as reader:
        assert of_threads(3) == of_threads(10)


def test_threads_that_share_a_gallery_do_not_deadlock(place: Path, model: AraCLIP, root: Path) -> None:
    """A thread in a statement that calls a function in Python needs the interpreter's lock."""
    with Gallery.open(place, model=model) as gallery, ThreadPoolExecutor(3) as threads:
        path = str(root / "صورة 3.png")
        reads = [threads.submit(gallery._catalog.metadata_of, path) for _ in range(1000)]
        with gallery._catalog.writing():
            for _ in range(60):
                gallery._catalog.change("UPDATE contents SET vector = vector WHERE has_words('كلب', 'كلب')")
        assert {str(read.result()) for read in reads} == {str({"album": "رحلة"})}


def test_threads_that_share_a_gallery_see_commits_whole(
    place: Path, model: AraCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them use one connection, on which the commit of one is open."""
    asked: dict[str, Future[Any]] = {}
    with Gallery.open(place, model=model) as gallery, ThreadPoolExecutor(5) as threads:
        before, new = len(gallery), [pictures_bytes(number) for number in (77, 78)]

        def step(name: str) -> None:
            if name == "commit" and not asked:
                asked["search"] = threads.submit(gallery.search, "صورة", 100, text_weight=0)
                asked["verify"] = threads.submit(gallery.verify)
                asked["backup"] = threads.submit(gallery.backup, tmp_path / "copy")
                asked["add"] = threads.submit(gallery.add, new[1:])
                wait(asked.values(), timeout=0.5)

        monkeypatch.setattr(atomic, "step", step)
        gallery.add(new[:1])
        found = {name: each.result() for name, each in asked.items()}
        assert found["verify"] == [] and found["backup"] > before
        assert len(found["search"]) > before and found["add"].paths[0] is not None
        assert len(gallery) == before + 2 and gallery.verify() == []


@pytest.mark.parametrize("text", ["[" * 50_000 + "]" * 50_000, "{", "[1]", "5", '"x"', "null"], ids=range(6))
def test_sound_rows_of_a_stranger_are_no_error_of_ours(text: str, place: Path, model: AraCLIP, root: Path) -> None:
    with closing(edited(place)) as database:
        database.execute("UPDATE files SET metadata = ?", (text,))
        database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('drives', ?)", (text,))
    with Gallery.open(place, model=model) as gallery:
        assert gallery.metadata(root / "صورة 3.png") == {}
        assert len(gallery.search("أحمر", 100)) == PICTURES + 1
        assert gallery.explain("أحمر", root / "صورة 3.png")
        assert gallery.update([root]).unchanged == PICTURES
        assert gallery.export(place / "export") == PICTURES + 1


# ------------------------------------------------------------------ copies and backups


def test_a_copy_is_checked_once_and_a_torn_one_is_refused(place: Path, model: AraCLIP, root: Path) -> None:
    torn = place.with_name("torn")
    shutil.copytree(place, torn)
    old = (place / "catalog.sqlite").read_bytes()
    with Gallery.open(place, model=model) as gallery:
        gallery.remove(sorted(root.iterdir())[:9])
    new = (place / "catalog.sqlite").read_bytes()
    size = 4096
    assert len(new) >= len(old) > 4 * size
    half = len(old) // size // 2 * size
    for mixed in (new[:half] + old[half:], old[:half] + new[half:]):
        (torn / "catalog.sqlite").write_bytes(mixed)
        shutil.copyfile(place / "catalog.seal", torn / "catalog.seal")
        with pytest.raises(GalleryCorrupt, match=r"araclip (backup|repair)"):
            Gallery.open(torn, model=model)
    whole = place.with_name("whole")
    shutil.copytree(place, whole)
    assert not is_known(whole)
    rest(whole, model)


def test_backup_beside_writer_is_whole_and_replaces_earlier_one(
    place: Path, model: AraCLIP, root: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "نسخة" / "g"
    with Gallery.open(place, model=model) as gallery, Gallery.open(place, model=model) as writer:
        with writer._catalog.writing():
            writer._catalog.remove_files([str(root / "صورة 5.png")])
            assert gallery.backup(backup) == PICTURES + 1  # the last commit
        assert gallery.backup(backup) == PICTURES
    with Gallery.open(backup, model=model) as copy:
        assert copy.verify() == []
        assert len(copy) == PICTURES
    assert sorted(path.name for path in backup.parent.iterdir()) == ["g"]


def test_a_backup_is_refused_over_other_files_and_of_damage(
    place: Path, model: AraCLIP, root: Path, tmp_path: Path
) -> None:
    with Gallery.open(place, model=model) as gallery:
        for wrong in (root, place, place / "catalog.sqlite"):
            with pytest.raises(InputError, match="Choose"):
                gallery.backup(wrong)
        gallery.backup(tmp_path / "backup")
        damage(place, ROWS["vector"])
        with pytest.raises(GalleryCorrupt):
            gallery.backup(tmp_path / "backup")
    with Gallery.open(tmp_path / "backup", model=model) as copy:
        assert len(copy) == PICTURES + 1


def test_a_backup_never_replaces_another_gallery_or_other_files(
    place: Path, model: AraCLIP, root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with Gallery.open(other, model=model, create=True) as gallery:
        gallery.add([root / "صورة 1.png"])
    salvage(other)  # it keeps what says which gallery it is
    with Gallery.open(place, model=model) as gallery:
        with pytest.raises(InputError, match="another gallery"):
            gallery.backup(other)
        gallery.backup(tmp_path / "backup")
        note = tmp_path / "backup" / "2026" / "note.txt"
        pictures.written(note, b"of somebody")
        with pytest.raises(InputError, match="other files"):
            gallery.backup(tmp_path / "backup")
        assert note.read_bytes() == b"of somebody"
        shutil.rmtree(note.parent)
    with Gallery.open(tmp_path / "backup", model=model) as restored:
        restored.search("أحمر")
        restored.remove([root])
        restored.backup(tmp_path / "again")
        restored.backup(place)
    with Gallery.open(other, model=model) as gallery, Gallery.open(place, model=model) as replaced:
        assert (len(gallery), len(replaced)) == (1, 1)


def test_writes_to_a_replaced_catalogue_are_refused(place: Path, model: AraCLIP, root: Path) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.search("أحمر")
        shutil.copyfile(place / "catalog.sqlite", place / "other")
        (place / "other").replace(place / "catalog.sqlite")
        for use in (lambda: gallery.remove([root / "صورة 1.png"]), lambda: gallery.search("أحمر")):
            with pytest.raises(GalleryError, match="replaced since it was opened"):
                use()


# ------------------------------------------------------------------ who opens the file


OPENED = """
import sys
opened = set()
sys.addaudithook(lambda event, values: opened.add(str(values[0])) if event == "open" else None)
from pathlib import Path
from araclip import AraCLIP, Gallery
from araclip.core import atomic
from araclip.gallery.ingest.reembed import reembed
place, root, models = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
model, other = (AraCLIP.load(folder, threads=1) for folder in models)
with Gallery.open(place, model=model, create=True) as gallery:
    gallery.update([root])
    gallery.add([(root / "صورة 1.png").read_bytes()])
    gallery.search("أحمر")
    with Gallery.open(place, model=model) as again:
        again.verify(contents=True)
        again.repair()
        again.compact()
        again.export(place / "export")
        again.backup(place / "backup")
        again.stats()
(place / "catalog.seal").unlink()
Gallery.open(place, model=model).close()
from araclip.gallery.catalog.salvage import salvage
salvage(place)
reembed(place, other)
assert any("catalog.seal" in path for path in opened)  # the hook works
print(*(path for path in opened if Path(path).name.startswith("catalog.sqlite")))
"""


def test_only_sqlite_opens_a_catalogue(tmp_path: Path, tiny_model: Path, root: Path) -> None:
    """Closing any other descriptor of the file drops the locks that the process has on it."""
    other = write_tiny_model(tmp_path / "other", seed=7)
    command = [sys.executable, "-c", OPENED, str(tmp_path / "g"), str(root), str(tiny_model), str(other)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


SERVER = """
import sys
from pathlib import Path
from araclip import AraCLIP, Gallery
from araclip.core import atomic
model = AraCLIP.load(sys.argv[2], threads=1)
with Gallery.open(sys.argv[1], model=model) as gallery:
    gallery.search("أحمر")
    for line in sys.stdin:
        Gallery.open(sys.argv[1], model=model).close()  # one more connection of this process, as each thread has
        gallery.add([Path(line.strip()).read_bytes()])
        print("kept", flush=True)
"""


def test_what_is_acknowledged_is_kept_when_another_closes(
    place: Path, tiny_model: Path, model: AraCLIP, root: Path, tmp_path: Path
) -> None:
    rest(place, model)
    command = [sys.executable, "-c", SERVER, str(place), str(tiny_model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        for number in range(2):
            path = pictures.written(tmp_path / f"{number}.png", pictures_bytes(500 + number))
            server.stdin.write(f"{path}\n")
            server.stdin.flush()
            assert server.stdout.readline() == "kept\n"
            if number == 0:
                with Gallery.open(place, model=model) as other:  # `araclip index` beside it
                    other.remove([root / "صورة 1.png"])
        server.kill()
    with Gallery.open(place, model=model) as gallery:
        assert len(gallery) == PICTURES + 1 - 1 + 2


FOLLOWS = """
import faiss, mmap, os, sys, araclip.gallery.ingest.update  # now: libraries of another user may not be read later
from araclip import AraCLIP, Gallery
from araclip.core import atomic
from araclip.errors import AraCLIPError
model = AraCLIP.load(sys.argv[2], threads=1)
model.encode_text("")  # opens the tower
os.setgid(65534), os.setuid(65534)
with Gallery.open(sys.argv[1], model=model) as gallery:
    for line in sys.stdin:
        print(len(gallery.search("صورة", 100)), len(gallery), flush=True)
"""


@pytest.mark.usefixtures("unreadable_data_home")
@pytest.mark.parametrize("mode", [0o555, 0o777], ids=["nothing", "the file, but the folder"])
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="becomes another user, which only root can")
def test_a_reader_without_rights_follows_the_owner(
    place: Path, tiny_model: Path, model: AraCLIP, root: Path, mode: int
) -> None:
    rest(place, model)
    for path in [root, place, tiny_model, *place.iterdir(), *tiny_model.iterdir(), *root.iterdir()]:
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    for path in [*root.parents, *place.parents, *tiny_model.parents][:-1]:
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o555)
    place.chmod(place.stat().st_mode | mode)
    command = [sys.executable, "-c", FOLLOWS, str(place), str(tiny_model)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as reader:
        assert reader.stdin is not None and reader.stdout is not None

        def seen() -> list[int]:
            reader.stdin.write("\n")
            reader.stdin.flush()
            line = reader.stdout.readline()
            assert line, reader.stderr and reader.stderr.read()
            assert {path.stat().st_uid for path in place.glob("catalog*")} == {0}  # a log of the reader's would stay
            return [int(number) for number in line.split()]

        try:
            assert seen() == [PICTURES + 1] * 2
            with Gallery.open(place, model=model) as owner:
                owner.remove([root / "صورة 1.png"])
                assert seen() == [PICTURES] * 2  # beside the owner's log
                owner.remove([root / "صورة 2.png"])
                assert seen() == [PICTURES - 1] * 2
            assert seen() == [PICTURES - 1] * 2
            with Gallery.open(place, model=model) as owner:
                owner.update([root])
            assert seen() == [PICTURES + 1] * 2
        finally:
            reader.stdin.close()
            stderr = reader.stderr.read() if reader.stderr else ""
    assert "Traceback" not in stderr


def test_a_changed_trigger_is_noticed_and_repaired(place: Path, model: AraCLIP) -> None:
    rest(place, model)
    raw = (place / "catalog.sqlite").read_bytes()
    begun = raw.index(b"INSERT INTO changes")
    (place / "catalog.sqlite").write_bytes(raw[:begun] + b"DELETE FROM changes" + raw[begun + 19 :])
    with pytest.raises(GalleryCorrupt, match="araclip repair"):
        Gallery.open(place, model=model)
    assert Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        assert list(gallery.verify()) == []
        assert len(gallery) == PICTURES + 1


# ------------------------------------------------------------------ one bit in the schema, and what a repair keeps


def test_of_a_schema_with_a_damaged_bit_every_row_is_saved(place: Path, model: AraCLIP) -> None:
    with Gallery.open(place, model=model) as gallery:
        wanted = {record.path: gallery.metadata(record.path) for record in gallery.search("أحمر", 100)}
    raw, drawn = (place / "catalog.sqlite").read_bytes(), random.Random(3)
    end = max(
        raw.index(text) for text in (b"CREATE TABLE sidecar_photos", b"CREATE TABLE meta", b"CREATE TABLE doubtful")
    )
    texts = [at for at in range(100, end + 60) if raw[at : at + 1].isalnum()]
    for _ in range(12):
        at = drawn.choice(texts)
        hurt = raw[:at] + bytes([raw[at] ^ 1 << drawn.randrange(8)]) + raw[at + 1 :]
        shutil.rmtree(place)
        place.mkdir()
        (place / "catalog.sqlite").write_bytes(hurt)
        lines = Gallery.rescue(place, model=model)
        assert any(f"contents: {PICTURES + 1} rows saved" in line for line in lines), lines
        with Gallery.open(place, model=model) as gallery:
            assert {hit.path: gallery.metadata(hit.path) for hit in gallery.search("أحمر", 100)} == wanted
            assert [fault for fault in gallery.verify() if fault.repairable] == []
        assert (place / "catalog.sqlite.damaged").read_bytes() == hurt


def test_a_second_repair_keeps_the_damaged_file_of_the_first(place: Path, model: AraCLIP) -> None:
    for number in (1, 2):
        damage(place, ROWS["facts"])
        assert Gallery.rescue(place, model=model)
        assert len([path for path in place.glob("catalog.sqlite.damaged*") if "-wal" not in path.name]) == number


# ------------------------------------------------------------------ backups that would lose something


def test_a_backup_never_replaces_what_is_newer_than_the_gallery(
    place: Path, model: AraCLIP, root: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(backup)
        gallery.add([pictures_bytes(500 + number) for number in range(7)])
        before = len(gallery)
    with Gallery.open(backup, model=model) as old, pytest.raises(InputError, match=r"has changes that .* lacks"):
        old.backup(place)  # the two places exchanged by mistake
    with Gallery.open(place, model=model) as gallery:
        assert len(gallery) == before
    with Gallery.open(backup, model=model) as restored:
        restored.add([pictures_bytes(900)])
        kept = len(restored)
    with Gallery.open(place, model=model) as gallery, pytest.raises(InputError, match=r"has changes that .* lacks"):
        gallery.backup(backup)  # the next backup on schedule
    with Gallery.open(backup, model=model) as restored:
        assert len(restored) == kept


def test_a_scheduled_backup_replaces_the_one_before(place: Path, model: AraCLIP, root: Path, tmp_path: Path) -> None:
    for turn in range(3):
        with Gallery.open(place, model=model) as gallery:
            gallery.backup(tmp_path / "backup")
            for _ in range(3):  # the log of changes is shortened each time
                gallery.remove([root])
                gallery.update([root])
                gallery.add([pictures_bytes(700 + turn)])
    with Gallery.open(place, model=model) as gallery:
        assert gallery.backup(tmp_path / "backup") == len(gallery)


def test_backup_is_not_written_over_gallery_that_cannot_be_read(place: Path, model: AraCLIP, tmp_path: Path) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(tmp_path / "backup")
        (tmp_path / "backup" / "catalog.sqlite").write_bytes(b"of nobody" * 999)
        with pytest.raises(InputError, match="cannot be read"):
            gallery.backup(tmp_path / "backup")
    assert (tmp_path / "backup" / "catalog.sqlite").read_bytes() == b"of nobody" * 999


OTHERS = (
    "catalog.pdf", "thumbnails.zip", ".my-notes", "catalog.sqlite.2024-old-copy", "catalog.sqlite.damaged.zip",
    "scan-holiday.faiss", ".DS_Store", "lock.txt", "background-music.mp3", "صور.txt",
)  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_backup_deletes_no_file_that_is_not_a_gallerys(
    name: str, place: Path, model: AraCLIP, tmp_path: Path
) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(tmp_path / "backup")
        (tmp_path / "backup" / name).write_bytes(b"of somebody")
        with pytest.raises(InputError, match=f"other files.*{re.escape(name)}"):
            gallery.backup(tmp_path / "backup")
    assert (tmp_path / "backup" / name).read_bytes() == b"of somebody"


def test_a_backup_replaces_one_that_was_searched_and_served(place: Path, model: AraCLIP, tmp_path: Path) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(tmp_path / "backup")
        with Gallery.open(tmp_path / "backup", model=model) as copy:
            copy.search("أحمر")
        (tmp_path / "backup" / "thumbnails.sqlite").write_bytes(b"")
        assert gallery.backup(tmp_path / "backup") == PICTURES + 1


def test_restored_backup_takes_place_of_gallery_that_is_kept(place: Path, model: AraCLIP, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(backup)
        gallery.add([pictures_bytes(500), pictures_bytes(501)])
    replaced = describe_replaced(backup, place)
    assert replaced is not None and (replaced.pictures, replaced.missing) == (PICTURES + 3, 2)
    aside = restore_gallery(backup, place)
    assert aside is not None
    with Gallery.open(place, model=model) as now, Gallery.open(aside, model=model) as before:
        assert (len(now), len(before)) == (PICTURES + 1, PICTURES + 3)
        assert now.verify() == [] and now.backup(backup) == PICTURES + 1
    assert restore_gallery(backup, tmp_path / "جديد") is None
    (place / "catalog.sqlite").write_bytes(b"damaged")
    assert str(describe_replaced(backup, place)) == "a gallery that cannot be read"
    assert restore_gallery(backup, place) == place.with_name("g.replaced-2")
    (place / "notes.txt").write_text("of somebody")
    for target, wrong in ((place, "other files"), (backup, "the backup itself")):
        with pytest.raises(InputError, match=wrong):
            restore_gallery(backup, target)
    with pytest.raises(GalleryNotFound, match="no backup at"):
        restore_gallery(tmp_path / "nothing", place)


def test_restore_through_link_keeps_gallery_that_link_leads_to(
    place: Path, model: AraCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(tmp_path / "backup")
        gallery.add([pictures_bytes(500)])
    (tmp_path / "link").symlink_to(place, target_is_directory=True)
    aside = restore_gallery(tmp_path / "backup", tmp_path / "link")
    assert aside == place.with_name("g.replaced-1")
    monkeypatch.chdir(place)
    assert restore_gallery(tmp_path / "backup", Path()) == place.with_name("g.replaced-2")
    with Gallery.open(tmp_path / "link", model=model) as now, Gallery.open(aside, model=model) as before:
        assert (len(now), len(before)) == (PICTURES + 1, PICTURES + 2)


def test_after_a_killed_restore_the_gallery_aside_is_named(
    place: Path, model: AraCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(tmp_path / "backup")

    def killed(self: Path, target: Path) -> Path:
        renamed(self, target)
        raise KeyboardInterrupt

    renamed = Path.rename
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            restore_gallery(tmp_path / "backup", place)
    with pytest.raises(GalleryNotFound, match=r"g\.replaced-1: rename it back"):
        Gallery.open(place, model=model)
    assert restore_gallery(tmp_path / "backup", place) is None
    with Gallery.open(place, model=model) as gallery:
        assert len(gallery) == PICTURES + 1


# ------------------------------------------------------------------ a checker that is not wrong about itself


def commit_elsewhere(place: Path, model_folder: Path, numbers: range) -> None:
    """Add drawn pictures to the gallery, from another process."""
    code = (
        "import sys; from araclip import AraCLIP, Gallery; from crash.story import pictures_bytes\n"
        "with Gallery.open(sys.argv[1], model=AraCLIP.load(sys.argv[2], threads=1)) as gallery:\n"
        "    new = [pictures_bytes(n) for n in range(int(sys.argv[3]), int(sys.argv[4]))]\n"
        "    gallery.add(new, metadata={'a': 'سفر'})\n"
    )
    command = [sys.executable, "-c", code, str(place), str(model_folder), str(numbers.start), str(numbers.stop)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})


def test_an_open_gallery_stays_sound_while_others_commit(place: Path, model: AraCLIP, tiny_model: Path) -> None:
    with Gallery.open(place, model=model) as gallery:
        assert gallery.verify() == []
        for turn in range(2):
            commit_elsewhere(place, tiny_model, range(800 + 9 * turn, 809 + 9 * turn))
            assert gallery.verify() == []
            assert gallery.repair() == []
        assert len(gallery.search("سفر", 100)) == len(gallery)
    assert not list(place.glob("catalog.sqlite.damaged*"))


def test_a_sound_catalogue_is_not_replaced_by_a_repair(
    place: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (place / "catalog.sqlite").stat().st_ino
    with Gallery.open(place, model=model) as gallery:
        with monkeypatch.context() as wrong:  # a check that is wrong once, as one over an old connection was
            answers = iter([["SQLite reports: nothing that is so"]])
            real = type(gallery._catalog).find_damage
            wrong.setattr(type(gallery._catalog), "find_damage", lambda self: next(answers, None) or real(self))
            assert gallery.repair() == []
        assert gallery.verify() == []
    assert (place / "catalog.sqlite").stat().st_ino == before
    assert not list(place.glob("catalog.sqlite.damaged*"))


@pytest.mark.parametrize("hurt", ["facts", "path"])
def test_a_nightly_backup_goes_on_after_a_repair(hurt: str, place: Path, model: AraCLIP, tmp_path: Path) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(tmp_path / "backup")
    damage(place, ROWS[hurt])
    assert Gallery.rescue(place, model=model)
    with Gallery.open(place, model=model) as gallery:
        for _ in range(2):
            assert gallery.backup(tmp_path / "backup") == len(gallery)


def test_a_backup_says_that_a_repair_lost_the_history(place: Path, model: AraCLIP, tmp_path: Path) -> None:
    with Gallery.open(place, model=model) as gallery:
        gallery.backup(tmp_path / "backup")
    with closing(edited(place)) as database:
        database.execute("DELETE FROM commits; UPDATE meta SET value = 'gone' WHERE key = 'birth'")
    damage(place, ROWS["facts"])
    assert Gallery.rescue(place, model=model)
    copy = (tmp_path / "backup" / "catalog.sqlite").read_bytes()
    with Gallery.open(place, model=model) as gallery:
        with pytest.raises(InputError, match=r"was repaired on \d{4}-.*Rename .*stays as it is"):
            gallery.backup(tmp_path / "backup")
        assert (tmp_path / "backup" / "catalog.sqlite").read_bytes() == copy
        (tmp_path / "backup").rename(tmp_path / "older")
        for _ in range(2):
            assert gallery.backup(tmp_path / "backup") == len(gallery)

"""Incremental updates of a gallery with real files, through `update` and `update_at`."""

import io
import os
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.story import pictures_bytes
from PIL import Image

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import InputError
from araclip.gallery.ingest import intake
from araclip.pictures.image_transform import ImageTransform

MANY = 3_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "sub/c.png"):
        pictures.written(tmp_path / "صور" / name, pictures_bytes(len(name) * 7 + ord(name[0])))
    return tmp_path / "صور"


@pytest.fixture
def gallery(tmp_path: Path, model: AraCLIP, root: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "g", model=model, create=True) as opened:
        opened.update([root])
        yield opened


def paths(gallery: Gallery) -> set[str]:
    """All that a search finds, copies too."""
    return {path for hit in gallery.search("صورة", 10_000) for path in (hit.path, *hit.copies)}


def names(gallery: Gallery) -> set[str]:
    return {Path(path).name for path in paths(gallery)}


def same_as_anew(gallery: Gallery, root: Path, tmp_path: Path) -> bool:
    """Whether the gallery's results equal those of a new one."""
    with Gallery.open(tmp_path / "anew", model=gallery.model, create=True) as anew:
        anew.update([root])
        return all(
            {(hit.path, hit.score, hit.copies) for hit in gallery.search(query, 100)}
            == {(hit.path, hit.score, hit.copies) for hit in anew.search(query, 100)}
            for query in ("أحمر", "blue")
        )


def change_everything(root: Path) -> list[Path]:
    """Rename, move, touch, edit, delete, duplicate, add; returns the paths that changed."""
    for name in ("d", "e", "f", "h"):
        pictures.written(root / f"{name}.png", pictures_bytes(ord(name)))
    changed = [root / f"{name}.png" for name in "abdefh"]
    (root / "a.png").rename(root / "renamed.png")
    (root / "b.png").rename(root / "sub" / "moved.png")
    os.utime(root / "d.png", (1, 1))
    (root / "e.png").write_bytes(pictures_bytes(999))
    (root / "f.png").unlink()
    shutil.copy(root / "d.png", root / "sub" / "duplicate.png")
    return [*changed, root / "renamed.png", root / "sub" / "moved.png", root / "sub" / "duplicate.png"]


@pytest.mark.parametrize("told", [False, True], ids=["walked", "told which paths"])
def test_after_every_kind_of_change_it_answers_as_if_made_anew(
    told: bool, gallery: Gallery, root: Path, tmp_path: Path
) -> None:
    changed = change_everything(root)
    report = gallery.update_at([str(path) for path in changed], [root]) if told else gallery.update([root])
    assert report.skipped == []
    assert names(gallery) == {"renamed.png", "moved.png", "d.png", "e.png", "h.png", "duplicate.png", "c.png"}
    assert same_as_anew(gallery, root, tmp_path)


def test_a_moved_folder_is_updated_from_its_two_paths_alone(gallery: Gallery, root: Path) -> None:
    (root / "sub").rename(root / "elsewhere")
    report = gallery.update_at([str(root / "sub"), str(root / "elsewhere")], [root])
    assert (report.added, report.removed) == (1, 1)
    assert str(root / "elsewhere" / "c.png") in paths(gallery)


def test_a_path_behind_a_link_causes_a_full_update(gallery: Gallery, root: Path, tmp_path: Path) -> None:
    (root / "link").symlink_to(root / "sub", target_is_directory=True)
    gallery.update_at([str(root / "link" / "c.png"), str(root / "link")], [root])
    assert names(gallery) == {"a.png", "b.png", "c.png"}
    assert len(paths(gallery)) == 3


def test_a_link_in_a_moved_folder_gives_no_picture_a_second_path(gallery: Gallery, root: Path) -> None:
    (root / "links" / "below").mkdir(parents=True)
    (root / "links" / "below" / "up").symlink_to(root / "sub", target_is_directory=True)
    pictures.solid(root / "links" / "d.png", (1, 2, 3))
    gallery.update([root])
    (root / "links").rename(root / "moved")
    gallery.update_at([str(root / "links"), str(root / "moved")], [root])
    assert paths(gallery) == {str(root / name) for name in ("a.png", "b.png", "sub/c.png", "moved/d.png")}


def test_a_changed_picture_unreadable_or_hidden_is_not_indexed(gallery: Gallery, root: Path) -> None:
    pictures.text_as_picture(root / "a.png")
    pictures.solid(root / ".hidden" / "x.png")
    report = gallery.update_at([str(root / "a.png"), str(root / ".hidden" / "x.png")], [root])
    assert (report.added, report.removed, len(report.skipped)) == (0, 1, 1)


def test_a_loop_of_links_ends(gallery: Gallery, root: Path) -> None:
    (root / "sub" / "up").symlink_to(root, target_is_directory=True)
    (root / "self.png").symlink_to(root / "self.png")
    report = gallery.update([root])
    assert (report.added, report.removed) == (0, 0)


def written_while_read(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file have other content by the time that it has been read."""
    read_source = intake.read_source

    def slow(source: intake.Source, known: set[bytes], transform: ImageTransform) -> intake.LoadedPicture:
        try:
            return read_source(source, known, transform)
        finally:
            if getattr(source, "path", "") == str(path):
                path.write_bytes(content)

    monkeypatch.setattr(intake, "read_source", slow)


def test_a_file_that_grows_while_it_is_read_is_read_again(
    gallery: Gallery, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, grown = pictures_bytes(501), root / "growing.png"
    grown.write_bytes(whole[:-40])
    with monkeypatch.context() as patched:
        written_while_read(grown, whole, patched)
        gallery.update([root])
    assert gallery.update([root]).skipped == []
    assert "growing.png" in names(gallery)


def test_a_picture_being_written_keeps_metadata_and_hiding(
    gallery: Gallery, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = root / "a.png"
    pictures.written(edited, pictures_bytes(701))
    with Image.open(edited) as opened:
        turned = io.BytesIO()
        opened.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG")
    whole = turned.getvalue()
    gallery.add([edited], metadata={"album": "رحلة"})
    gallery.hide([edited])
    edited.write_bytes(whole[:-40])
    with monkeypatch.context() as patched:
        written_while_read(edited, whole[:-20], patched)
        report = gallery.update_at([str(edited)], [root])
    assert (report.removed, len(report.skipped)) == (0, 1)
    edited.write_bytes(whole)
    gallery.update_at([str(edited)], [root])
    assert gallery.metadata(edited) == {"album": "رحلة"}
    assert gallery.hidden() == [str(edited)]
    edited.write_bytes(whole[:-40])  # damaged for good
    assert gallery.update([root]).removed == 1


@pytest.mark.parametrize("between", ["nothing", "deleted", "an update elsewhere"])
def test_a_slowly_written_picture_gets_its_metadata_back(gallery: Gallery, root: Path, between: str) -> None:
    edited, whole = root / "a.png", pictures_bytes(702)
    gallery.add([edited], metadata={"album": "رحلة"})
    edited.write_bytes(whole[:-40])
    assert gallery.update([root]).removed == 1
    if between == "deleted":  # what has its name later is another picture
        edited.unlink()
    if between != "nothing":
        pictures.solid(root / "sub" / "other.png", (9, 9, 9))
        gallery.update([root])
    edited.write_bytes(whole)
    gallery.update([root])
    assert gallery.metadata(edited) == ({} if between == "deleted" else {"album": "رحلة"})


def test_file_that_is_replaced_while_it_is_read_ends_as_new_one(
    gallery: Gallery, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = root / "a.png"
    replaced.write_bytes(pictures_bytes(601))
    read_source = intake.read_source

    def swapped(source: intake.Source, known: set[bytes], transform: ImageTransform) -> intake.LoadedPicture:
        loaded = read_source(source, known, transform)
        if getattr(source, "path", "") == str(replaced):
            (tmp_path / "new.png").write_bytes(pictures_bytes(602))
            (tmp_path / "new.png").rename(replaced)
        return loaded

    with monkeypatch.context() as patched:
        patched.setattr(intake, "read_source", swapped)
        gallery.update([root])
    assert gallery.update([root]).added == 1
    assert same_as_anew(gallery, root, tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="one form of a name only")
def test_names_in_both_forms_of_unicode_are_different_files(gallery: Gallery, root: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("آلة", "café", "한글", "👩‍👩‍👧 عائلة")):
        for form in ("NFC", "NFD"):
            pictures.written(root / f"{unicodedata.normalize(form, name)}.png", pictures_bytes(700 + number))
    gallery.update([root])
    assert len(names(gallery)) == len(paths(gallery)) == 3 + 2 * 4
    assert gallery.update([root]).added == 0
    assert same_as_anew(gallery, root, tmp_path)


UNREADABLE = """
import faiss, mmap, os, sys, araclip.gallery.ingest.update  # now: libraries of another user may not be read later
from araclip import AraCLIP, Gallery
model = AraCLIP.load(sys.argv[2], threads=1)
with Gallery.open(sys.argv[1], model=model) as gallery:
    os.setgid(65534), os.setuid(65534)
    report = gallery.update([sys.argv[3]])
    print(report.removed, report.pictures, *report.skipped)
"""


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="becomes another user, which only root can")
def test_a_forbidden_folder_or_file_keeps_its_pictures(
    gallery: Gallery, root: Path, tmp_path: Path, tiny_model: Path
) -> None:
    for above in [*root.parents, *gallery.folder.parents]:
        if above != Path("/"):
            above.chmod(above.stat().st_mode | 0o555)
    for path in (gallery.folder, *gallery.folder.iterdir()):
        os.chown(path, 65534, 65534)
    (root / "sub").chmod(0o700)
    (root / "a.png").chmod(0o600)
    os.utime(root / "a.png", (5, 5))
    command = [sys.executable, "-c", UNREADABLE, str(gallery.folder), str(tiny_model), str(root)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("0 3 ")
    assert f"{root / 'sub'}: cannot be read" in said.stdout
    assert f"{root / 'a.png'}: cannot be read" in said.stdout


@pytest.mark.parametrize("errno", [5, 107], ids=["EIO", "ENOTCONN"])
@pytest.mark.parametrize("told", [False, True], ids=["walked", "told which paths"])
def test_a_drive_that_fails_in_the_walk_keeps_its_pictures(
    errno: int, told: bool, gallery: Gallery, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.png").unlink()
    real = os.scandir

    class Half:
        """A listing that breaks off after its first entry."""

        def __init__(self, path: str) -> None:
            self._real = real(path)

        def __enter__(self) -> "Half":
            return self

        def __exit__(self, *_: object) -> None:
            self._real.close()

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            yield next(self._real)
            raise OSError(errno, os.strerror(errno))

    monkeypatch.setattr(os, "scandir", lambda path: Half(path) if str(path) == str(root / "sub") else real(path))
    pictures.written(root / "new.png", pictures_bytes(77))
    told_paths = [str(root / "sub"), str(root / "new.png")]
    report = gallery.update_at(told_paths, [root]) if told else gallery.update([root])
    assert report.removed == (0 if told else 1)
    assert "c.png" in names(gallery)
    monkeypatch.setattr(os, "scandir", lambda path: Half(path) if str(path) == str(root) else real(path))
    with pytest.raises(InputError, match="no pictures left"):
        gallery.update([root])
    assert "c.png" in names(gallery)


def test_a_root_gone_or_emptied_keeps_its_pictures(gallery: Gallery, root: Path, tmp_path: Path) -> None:
    told = [str(path) for path in root.rglob("*.png")]
    root.rename(tmp_path / "unplugged")
    with pytest.raises(InputError, match="reconnect the drive"):
        gallery.update_at(told, [root])
    root.mkdir()
    with pytest.raises(InputError, match="drive unplugged"):
        gallery.update_at(told, [root])
    assert len(gallery) == 3
    root.rmdir()
    (tmp_path / "unplugged").rename(root)
    assert gallery.update([root]).unchanged == 3


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("mount"), reason="mounts a file system")
def test_a_drive_below_the_root_keeps_its_pictures_while_away(gallery: Gallery, root: Path) -> None:
    drive = root / "usb"
    drive.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(drive)], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system here")
    try:
        pictures.written(drive / "u.png", pictures_bytes(88))
        assert gallery.update([root]).pictures == 4
    finally:
        subprocess.run(["umount", str(drive)], check=True)
    (root / "a.png").unlink()
    report = gallery.update([root])  # an empty folder now
    assert (report.removed, report.pictures) == (1, 3)
    assert "is a drive unplugged?" in report.skipped[0]
    drive.rmdir()  # as desktops do it
    report = gallery.update_at([str(drive), str(drive / "u.png")], [root])
    assert (report.removed, report.pictures) == (0, 3)
    assert gallery.update([root]).pictures == 3


def test_two_paths_edited_in_one_run_are_both_followed(gallery: Gallery, root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "a.png", root / "copy.png")
    gallery.update([root])
    for number, name in enumerate(("a.png", "copy.png")):
        (root / name).write_bytes(pictures_bytes(800 + number))
    assert gallery.update([root]).added == 2
    assert same_as_anew(gallery, root, tmp_path)


def test_three_thousand_files_in_one_folder(gallery: Gallery, root: Path) -> None:
    for i in range(MANY):
        (root / f"{i:05}.png").hardlink_to(root / "a.png")
    assert gallery.update([root]).added == MANY
    assert gallery.update([root]).unchanged == MANY + 3
    for i in range(0, MANY, 2):
        (root / f"{i:05}.png").unlink()
    assert gallery.update([root]).removed == MANY // 2
    assert len(gallery) == 3


def test_threads_that_read_pictures_do_not_use_the_catalogue(
    gallery: Gallery, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads with one SQLite statement fail now and then."""
    asked: list[threading.Thread] = []
    digests = gallery._catalog.digests

    def watched() -> set[bytes]:
        asked.append(threading.current_thread())
        return digests()

    monkeypatch.setattr(gallery._catalog, "digests", watched)
    pictures.written(root / "d.png", pictures_bytes(5))
    assert gallery.update([root]).added == 1
    assert asked == [threading.current_thread()]

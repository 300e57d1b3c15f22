"""The public interface of a gallery: synchronised with the disk, nothing lost, the right pictures found."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import EmptyFolder, GalleryCorrupt, InputError, WidthMismatch
from araclip.gallery.results import Update
from tiny import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three colours, one of them in a folder below, with Arabic and emoji names."""
    root = tmp_path / "صوري"
    (root / "رحلة 🏖️").mkdir(parents=True)
    pictures.solid(root / "أحمر.jpg", pictures.RED)
    pictures.solid(root / "green.png", (0, 255, 0))
    pictures.solid(root / "رحلة 🏖️" / "بحر.webp", (0, 0, 255))
    return root


@pytest.fixture
def gallery(tmp_path: Path, model: AraCLIP) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as opened:
        yield opened


def names(gallery: Gallery, query: str, k: int = 10) -> list[str]:
    return [Path(hit.path).name for hit in gallery.search(query, k)]


def test_names_of_folders_are_read_once_for_each_state(
    gallery: Gallery, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.update([folder])
    read, overview = [], gallery._catalog.overview
    monkeypatch.setattr(gallery._catalog, "overview", lambda: read.append(1) or overview())
    for _ in range(3):
        gallery.search("أحمر")
    assert len(read) <= 1
    pictures.solid(tmp_path / "pictures" / "سفرة" / "1.png", (1, 2, 200))
    gallery.update([tmp_path / "pictures"])
    hits = gallery.search("أزرق مجلد سفرة")
    assert {Path(hit.path).parent.name for hit in hits} == {"سفرة"}


def test_arabic_and_english_queries_find_the_right_picture(gallery: Gallery, folder: Path) -> None:
    gallery.update([folder])
    assert names(gallery, "أحمر", 1) == names(gallery, "red", 1) == ["أحمر.jpg"]
    assert names(gallery, "أخضر", 1) == ["green.png"]
    assert names(gallery, "أَزْرَق", 1) == ["بحر.webp"]


def test_an_unchanged_file_is_not_read_again(gallery: Gallery, folder: Path) -> None:
    assert gallery.update([folder]).added == 3
    for path in folder.rglob("*.*"):  # a reader would fail on this content, the same in size and time
        if path.is_file():
            about = path.stat()
            path.write_bytes(b"x" * about.st_size)
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    report = gallery.update([folder])
    assert (report.added, report.unchanged, report.skipped) == (0, 3, [])
    assert len(gallery) == 3


def test_a_touched_renamed_or_copied_file_keeps_its_vector(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.update([folder])

    def no_decode(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(gallery.model, "encode_pixels", no_decode)
    os.utime(folder / "green.png", (1, 1))
    (folder / "أحمر.jpg").rename(folder / "renamed.jpg")
    shutil.copy(folder / "renamed.jpg", folder / "copy.jpg")
    report = gallery.update([folder])
    assert (report.added, report.unchanged, report.removed) == (3, 1, 1)
    best = gallery.search("أحمر", 1)[0]
    assert Path(best.path).name == "copy.jpg"
    assert [Path(path).name for path in best.copies] == ["renamed.jpg"]


def test_an_edited_file_is_found_by_its_new_content_only(gallery: Gallery, folder: Path) -> None:
    gallery.update([folder])
    pictures.solid(folder / "أحمر.jpg", (0, 0, 255), size=(50, 50))
    gallery.update([folder])
    assert set(names(gallery, "أزرق", 2)) == {"أحمر.jpg", "بحر.webp"}
    assert len(gallery) == 3


def test_pictures_of_other_folders_stay_in_an_update(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "صوري٢"  # begins like the first folder's name
    other.mkdir()
    pictures.solid(other / "white.png", (255, 255, 255))
    gallery.update([folder, other])
    shutil.rmtree(folder / "رحلة 🏖️")
    assert gallery.update([folder]).removed == 1
    assert "white.png" in names(gallery, "صورة")


def test_an_emptied_folder_is_refused_and_its_pictures_are_kept(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    gallery.update([folder])
    shutil.rmtree(folder)
    folder.mkdir()
    other = tmp_path / "other"
    other.mkdir()
    pictures.solid(other / "white.png", (255, 255, 255))
    for folders in ([folder], [other, folder]):
        with pytest.raises(InputError, match=r"no pictures left in .*3 were indexed.*drive"):
            gallery.update(folders)
    assert len(gallery) == 3


def test_pictures_behind_a_broken_link_are_kept(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    drive, unplugged = tmp_path / "drive", tmp_path / "unplugged"
    drive.mkdir()
    pictures.solid(drive / "white.png", (255, 255, 255))
    (folder / "usb").symlink_to(drive, target_is_directory=True)
    assert gallery.update([folder]).pictures == 4
    drive.rename(unplugged)
    report = gallery.update([folder])
    assert (report.removed, report.pictures) == (0, 4)
    assert "is a drive unplugged?" in report.skipped[0]
    assert "white.png" not in names(gallery, "صورة")  # but what cannot be opened now is not shown
    unplugged.rename(drive)
    assert "white.png" in names(gallery, "صورة")


@pytest.mark.skipif(os.name != "posix", reason="needs folders without read permission")
def test_an_unreadable_folder_keeps_its_own_pictures_alone(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "ab"):
        (folder / name).mkdir()
        pictures.solid(folder / name / f"{name}.png", (250, 250, len(name)))
    gallery.update([folder])
    (folder / "ab" / "ab.png").unlink()
    real = os.scandir

    def scandir(path: str) -> object:  # root may read everything, so the refusal is made here
        if str(path) == str(folder / "a"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = gallery.update([folder])
    assert (report.removed, len(report.skipped)) == (1, 1)
    assert "a.png" in names(gallery, "صورة")


def test_folder_that_may_not_be_read_at_all_is_not_called_empty(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(path: str) -> object:  # root may read everything, so the refusal is made here
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied; give this user permission") as error:
        gallery.update([folder])
    assert not isinstance(error.value, EmptyFolder)
    monkeypatch.undo()
    gallery.update([folder])
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"3 were indexed.*Permission denied.*They stay indexed"):
        gallery.update([folder])


def test_an_unusual_file_is_one_line_and_the_run_continues(gallery: Gallery, folder: Path) -> None:
    with (folder / "huge.jpg").open("wb") as file:
        file.truncate(4 << 40)
    os.utime(folder / "green.png", (10_413_792_000, 10_413_792_000))  # the year 2300
    report = gallery.update([folder])
    assert (report.added, len(report.skipped)) == (3, 1)
    assert "GB" in report.skipped[0]
    assert gallery.update([folder]).unchanged == 3


def test_one_folder_instead_of_several_is_refused(gallery: Gallery, folder: Path) -> None:
    with pytest.raises(InputError, match=r"Pass \[folder\]"):
        gallery.update(str(folder))


def test_a_catalogue_made_anew_never_meets_the_old_scan_file(gallery: Gallery, folder: Path, model: AraCLIP) -> None:
    gallery.update([folder])
    gallery.close()
    (gallery.folder / "catalog.sqlite").unlink()
    red, blue = (folder / "أحمر.jpg").read_bytes(), (folder / "رحلة 🏖️" / "بحر.webp").read_bytes()
    (folder / "أحمر.jpg").write_bytes(blue)
    (folder / "رحلة 🏖️" / "بحر.webp").write_bytes(red)
    with Gallery.open(gallery.folder, model=model, create=True) as again:
        again.update([folder])
        red_now = again.search("أحمر", 1, text_weight=0)  # by its look: the other file is still called so
        assert [Path(hit.path).name for hit in red_now] == ["بحر.webp"]


def test_names_with_quotation_marks_and_bytes_beyond_utf8(folder: Path, tmp_path: Path) -> None:
    sara = AraCLIP.load(write_tiny_model(tmp_path / "sara", name="Sara's model"))
    place = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9") if sys.platform == "linux" else str(tmp_path / "cafe")
    with Gallery.open(place, model=sara, create=True) as gallery:
        gallery.update([folder])
        assert names(gallery, "أحمر", 1) == ["أحمر.jpg"]


def test_many_processes_may_create_the_same_gallery_at_once(tmp_path: Path, tiny_model: Path) -> None:
    code = (
        "import sys; from araclip import Gallery, AraCLIP\n"
        "Gallery.open(sys.argv[1], model=AraCLIP.load(sys.argv[2]), create=True).close()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "new"), str(tiny_model)]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(6)]
    assert [child.communicate()[1] for child in children] == [b""] * 6


@pytest.mark.parametrize("missing", ["nowhere", "file.txt"])
def test_a_missing_folder_is_named(gallery: Gallery, tmp_path: Path, missing: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(InputError, match=missing):
        gallery.update([tmp_path / missing])


def test_a_folder_without_pictures_says_what_counts_as_one(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="JPEG, PNG"):
        gallery.update([tmp_path / "empty"])


def test_bad_files_are_one_line_each_and_the_run_continues(gallery: Gallery, folder: Path) -> None:
    pictures.truncated(folder / "مقطوع.jpg", keep=0.3)
    pictures.text_as_picture(folder / "نص.jpg")
    pictures.bomb(folder / "bomb.png")
    (folder / "empty.png").write_bytes(b"")
    lines: list[str] = []
    report = gallery.update([folder], skip=lines.append)
    assert report.pictures == 3
    assert sorted(Path(line.split(":")[0]).name for line in lines) == ["bomb.png", "empty.png", "مقطوع.jpg", "نص.jpg"]
    assert lines == report.skipped
    assert all("\n" not in line for line in lines)


def test_a_picture_that_became_unreadable_is_forgotten(gallery: Gallery, folder: Path) -> None:
    gallery.update([folder])
    (folder / "green.png").write_bytes(b"no picture any more")
    report = gallery.update([folder])
    assert (report.removed, len(report.skipped)) == (1, 1)
    assert "green.png" not in names(gallery, "أخضر")


def test_hidden_files_and_links_in_circles_do_no_harm(gallery: Gallery, folder: Path) -> None:
    (folder / ".cache").mkdir()
    pictures.solid(folder / ".cache" / "thumb.jpg")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "dangling.jpg").symlink_to(folder / "gone.jpg")
    report = gallery.update([folder])
    assert (report.added, len(report.skipped)) == (3, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not Unicode")
def test_a_name_that_is_not_utf8_is_indexed_and_found(gallery: Gallery, folder: Path) -> None:
    raw = os.fsencode(folder) + b"/caf\xe9.png"
    shutil.copy(folder / "أحمر.jpg", os.fsdecode(raw))
    (folder / "أحمر.jpg").unlink()
    gallery.update([folder])
    assert os.fsencode(gallery.search("أحمر", 1)[0].path) == raw


def test_exif_orientation_makes_no_other_picture(gallery: Gallery, tmp_path: Path, model: AraCLIP) -> None:
    upright, turned = pictures.oriented(tmp_path / "upright.jpg", 1), pictures.oriented(tmp_path / "turned.jpg", 6)
    first, second = model.encode_image([upright, turned])
    assert float(first @ second) > 0.99


def test_an_empty_query_is_refused_with_an_example(gallery: Gallery, folder: Path) -> None:
    gallery.update([folder])
    for query in ("", "  ", "\u0640\u064b\u200f"):
        with pytest.raises(InputError, match="قطة"):
            gallery.search(query)
    with pytest.raises(InputError, match="at least 1"):
        gallery.search("أحمر", 0)


def test_a_damaged_catalogue_is_our_own_error(tmp_path: Path, model: AraCLIP) -> None:
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "catalog.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(4096))
    for create in (False, True):
        with pytest.raises(GalleryCorrupt, match="damaged"):
            Gallery.open(tmp_path / "g", model=model, create=create)


def test_damaged_or_missing_scan_file_is_rebuilt_from_catalogue(gallery: Gallery, folder: Path, model: AraCLIP) -> None:
    gallery.update([folder])
    wanted = gallery.search("أحمر")
    (scan,) = gallery.folder.glob("scan-*.faiss")
    for damage in (b"", b"junk", scan.read_bytes()[:-10]):
        scan.write_bytes(damage)
        with Gallery.open(gallery.folder, model=model) as again:
            assert again.search("أحمر") == wanted
    scan.unlink()
    with Gallery.open(gallery.folder, model=model) as again:
        assert again.search("أحمر") == wanted


def test_a_reader_sees_what_another_process_committed(gallery: Gallery, folder: Path, model: AraCLIP) -> None:
    gallery.update([folder])
    with Gallery.open(gallery.folder, model=model) as reader:
        assert len(reader.search("صورة")) == 3
        pictures.solid(folder / "new.png", (200, 10, 10))
        gallery.update([folder])
        assert len(reader.search("صورة")) == 4


def test_runs_on_one_gallery_take_turns(gallery: Gallery, folder: Path, model: AraCLIP) -> None:
    others: list[Update] = []

    def second_writer(done: int, found: int) -> None:
        if not others:
            with Gallery.open(gallery.folder, model=model) as other:
                others.append(other.update([folder]))

    gallery.update([folder], progress=second_writer)
    assert others[0].added == 3
    assert len(gallery) == 3
    assert gallery.verify() == []
    assert gallery.update([folder]).unchanged == 3


def test_a_picture_removed_during_a_run_is_encoded_again(gallery: Gallery, folder: Path, model: AraCLIP) -> None:
    gallery.update([folder])
    copies = shutil.copytree(folder, folder.with_name("copies"))  # their hashes are known, so they are not decoded

    def remover(done: int, found: int) -> None:
        if done == found:
            with Gallery.open(gallery.folder, model=model) as other:
                other.remove([folder])

    gallery.update([copies], progress=remover)
    assert sorted(names(gallery, "صورة")) == sorted(path.name for path in copies.rglob("*.*"))
    assert gallery.verify() == []


def test_a_file_that_another_process_indexed_again_stays(gallery: Gallery, folder: Path, model: AraCLIP) -> None:
    gallery.update([folder])
    away = (folder / "green.png").rename(folder.with_name("green.png"))

    def bring_back(done: int, found: int) -> None:
        if away.exists():
            away.rename(folder / "green.png")
            os.utime(folder / "green.png", (10**9, 10**9))
            with Gallery.open(gallery.folder, model=model) as other:
                other.update([folder])

    gallery.update([folder], progress=bring_back)
    assert "green.png" in names(gallery, "صورة")


WRITER = """
import sys
from araclip import AraCLIP, Gallery
from araclip.gallery.ingest import intake as module
module.COMMIT_EVERY = 4
print("ready", flush=True)
Gallery.open(sys.argv[1], model=AraCLIP.load(sys.argv[2], threads=1), create=True).update([sys.argv[3]])
"""


def test_killed_run_loses_nothing_committed_and_next_one_resumes(tmp_path: Path, tiny_model: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    rng = np.random.default_rng(0)
    for i in range(160):
        pictures.solid(many / f"{i:03}.bmp", tuple(rng.integers(0, 256, 3).tolist()), size=(64, 64))
    place = tmp_path / "killed"
    committed = 0
    for trial in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place), str(tiny_model), str(many)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.04 * trial)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if (place / "catalog.sqlite").exists():
            with Gallery.open(place, model=AraCLIP.load(tiny_model), create=True) as opened:
                assert len(opened) >= committed  # what an earlier run committed is kept
                committed = len(opened)
    model = AraCLIP.load(tiny_model)
    with Gallery.open(place, model=model, create=True) as resumed:
        resumed.update([many])
        with Gallery.open(tmp_path / "undisturbed", model=model, create=True) as undisturbed:
            undisturbed.update([many])
            assert {(h.path, round(h.score, 5)) for h in resumed.search("أحمر", 200)} == {
                (h.path, round(h.score, 5)) for h in undisturbed.search("أحمر", 200)
            }


@pytest.mark.skipif(os.name != "posix" or not shutil.which("mount"), reason="needs a small file system to fill")
def test_a_full_disk_is_our_error_and_commits_are_kept(
    tmp_path: Path, folder: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode:
        pytest.skip("no right to mount a file system here")
    try:
        with Gallery.open(disk / "g", model=model, create=True) as opened:
            opened.update([folder])
            filler = disk / "filler"
            with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"0" * 1024)
            for i in range(40):
                pictures.solid(folder / f"{i}.png", (i, 2 * i, 3 * i))
            with pytest.raises(OSError, match=r"disk|space"):
                opened.update([folder])
            filler.unlink()
            assert len(opened.search("أحمر", 100)) == 3
            opened.update([folder])
            assert len(opened) == 43
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_address_and_wrong_type_are_refused_with_right_call(tmp_path: Path, tiny_model: Path) -> None:
    for open_ in (Gallery.open, Gallery.rescue):
        with pytest.raises(InputError, match=r"on a server.*araclip\.open_gallery\('postgresql://me@host/pictures'\)"):
            open_("postgresql://me@host/pictures", model=tiny_model)
        with pytest.raises(InputError, match=r"a folder or an address, got int"):
            open_(5, model=tiny_model)  # type: ignore[arg-type]
    with Gallery.open(tmp_path / "g", model=tiny_model, create=True) as gallery:
        for method in (gallery.update, gallery.add, gallery.remove):
            with pytest.raises(InputError, match=r"takes several \w+s, got int"):
                method(5)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="a folder is a text or a path object, got int"):
            gallery.update([5])  # type: ignore[list-item]
        with pytest.raises(InputError, match="a path is a text or a path object, got int"):
            gallery.remove([5])  # type: ignore[list-item]


def test_a_gallery_shows_where_it_is_and_whose_vectors_it_has(tmp_path: Path, tiny_model: Path) -> None:
    with Gallery.open(tmp_path / "صور", model=tiny_model, create=True) as gallery:
        assert repr(gallery) == f"Gallery('{tmp_path / 'صور'}', model='{gallery.model.label}')"


def test_a_gallery_of_another_model_is_not_written(tmp_path: Path, tiny_model: Path) -> None:
    from araclip.gallery.ingest.reembed import reembed

    pictures.solid(tmp_path / "pictures" / "a.png")
    other = AraCLIP(write_tiny_model(tmp_path / "other", seed=1, name="other"), threads=1)
    with Gallery.open(tmp_path / "g", model=tiny_model, create=True) as gallery:
        gallery.update([tmp_path / "pictures"])
        pictures.solid(tmp_path / "pictures" / "a.png", pictures.GREEN)
        gallery.add([tmp_path / "pictures" / "a.png"])  # takes the only path of the picture before
        assert reembed(tmp_path / "g", other) == 1
        with pytest.raises(WidthMismatch, match=r"vectors of other now, and was opened with tiny.*again"):
            gallery.search("أحمر")
        pictures.solid(tmp_path / "pictures" / "b.png", pictures.BLUE)
        with pytest.raises(WidthMismatch, match="vectors of other now"):
            gallery.update([tmp_path / "pictures"])
    with Gallery.open(tmp_path / "g", model=other) as gallery:
        assert len(gallery) == 1  # nothing of another model's came in

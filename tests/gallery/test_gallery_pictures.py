"""Single pictures: added with metadata, found by similarity, stored without a file, removed."""

import io
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import InputError, ModelNotFound, UnreadableImage, UnsupportedFormat
from araclip.gallery.catalog.filters import Filters

VIDEOS = find_spec("av") is not None  # without it, videos are passed over before they are opened


@pytest.fixture
def gallery(tmp_path: Path, model: AraCLIP) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as opened:
        yield opened


def encoded(colour: pictures.Colour, kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, kind)
    return written.getvalue()


def test_paths_bytes_and_pil_pictures_are_found_by_text(gallery: Gallery, tmp_path: Path) -> None:
    red = pictures.solid(tmp_path / "صور" / "أحمر.png")
    added = gallery.add([red, encoded(pictures.GREEN), Image.new("RGB", (9, 9), pictures.BLUE)])
    assert added.skipped == ()
    assert added.paths[0] == str(red)
    assert all(path and path.startswith("picture:") for path in added.paths[1:])
    for word, path in zip(("أحمر", "أخضر", "أزرق"), added.paths, strict=True):
        assert gallery.search(word, 1)[0].path == path


def test_a_picture_without_file_keeps_bounded_upright_pixels(gallery: Gallery, tmp_path: Path) -> None:
    large = pictures.photograph(tmp_path / "large.jpg", (3000, 1500)).read_bytes()
    turned = pictures.oriented(tmp_path / "turned.jpg", 6).read_bytes()
    kept = [Image.open(io.BytesIO(gallery.picture(path))) for path in gallery.add([large, turned]).paths if path]
    assert [(image.format, image.size) for image in kept] == [("JPEG", (1024, 512)), ("JPEG", (64, 32))]


def test_the_same_bytes_added_twice_are_one_picture(gallery: Gallery) -> None:
    first, second = gallery.add([encoded(pictures.RED)] * 2).paths
    assert first == second == gallery.add([encoded(pictures.RED)]).paths[0]
    assert len(gallery) == 1


def test_pixels_stay_when_the_file_that_held_them_too_vanishes(gallery: Gallery, tmp_path: Path) -> None:
    red = pictures.solid(tmp_path / "red.png")
    gallery.add([red])
    (kept,) = gallery.add([red.read_bytes()]).paths
    red.unlink()
    assert [hit.path for hit in gallery.search("أحمر")] == [kept]


def test_a_bad_picture_costs_one_line_and_the_others_are_added(gallery: Gallery, tmp_path: Path) -> None:
    lines: list[str] = []
    added = gallery.add([b"no picture", pictures.solid(tmp_path / "red.png"), b""], skip=lines.append)
    assert [path is None for path in added.paths] == [True, False, True]
    assert list(added.skipped) == lines
    assert lines[0].startswith("picture 1: ")
    assert len(gallery) == 1


@pytest.mark.parametrize("wrong", ["nowhere.png", ".", ""])
def test_a_path_that_is_no_file_is_refused_before_adding(
    gallery: Gallery, tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no such picture|not a file"):
        gallery.add([encoded(pictures.RED), wrong])
    assert len(gallery) == 0


def test_one_picture_instead_of_several_is_refused(gallery: Gallery) -> None:
    for picture in ("a.png", Path("a.png"), b"", Image.new("RGB", (2, 2))):
        with pytest.raises(InputError, match=r"Pass \[picture\]"):
            gallery.add(picture)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([{"a": "b"}], "2 pictures but 1 metadata"),
        ({"a": {"b": "c"}}, "'a' is"),
        ({1: "b"}, "1 is"),
        (["a", "b"], "metadata is a str"),
        ({"a": float("nan")}, "metadata 'a' is nan; JSON has no such number"),
        ({"a": ["b", "c\udc80"]}, "metadata 'a' is .*with half of a character"),
        ({"\ud800": "b"}, "with half of a character"),
        ({"a": [["b"]]}, "'a' is"),
    ],
)
def test_odd_metadata_is_refused_before_anything_is_added(gallery: Gallery, metadata: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        gallery.add([encoded(pictures.RED), encoded(pictures.BLUE)], metadata=metadata)  # type: ignore[arg-type]
    assert len(gallery) == 0


def test_metadata_belongs_to_a_path_and_follows_a_renamed_file(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    red, blue = pictures.solid(folder / "red.png"), pictures.solid(folder / "blue.png", pictures.BLUE)
    gallery.add([red, blue], metadata=[{"album": "رحلة", "stars": 5, "tags": ["بحر", "صيف"], "mine": True}, {}])
    for asked in (
        {"album": "رحلة"},
        {"stars": "5"},
        {"tags": "صيف"},
        {"mine": "true"},
        {"album": "رحلة", "stars": "5"},
    ):
        assert [hit.path for hit in gallery.search("صورة", where=Filters(metadata=asked))] == [str(red)]
    for asked in ({"album": "x"}, {"tags": "بحر", "stars": "4"}, {"no'key\"": "1"}):
        assert gallery.search("صورة", where=Filters(metadata=asked)) == []
    renamed = red.rename(folder / "renamed.png")
    gallery.update([folder])
    assert gallery.metadata(str(renamed))["album"] == "رحلة"
    pictures.solid(renamed, (250, 0, 0))
    gallery.update([folder])
    assert gallery.metadata(str(renamed))["stars"] == 5  # edited: still the same file to its owner


@pytest.mark.parametrize("other", ["a new picture", "a copy of another", "swapped"])
def test_metadata_follow_a_file_whose_old_name_is_taken(gallery: Gallery, tmp_path: Path, other: str) -> None:
    folder = tmp_path / "pictures"
    red, blue = pictures.solid(folder / "a.png"), pictures.solid(folder / "b.png", pictures.BLUE)
    gallery.add([red, blue], metadata=[{"album": "رحلة"}, {"album": "عيد"}])
    renamed = red.rename(folder / "renamed.png")
    if other == "a new picture":
        pictures.solid(red, pictures.GREEN)
    elif other == "a copy of another":
        shutil.copy(blue, red)
    else:
        blue.rename(red)
        renamed = renamed.rename(blue)
    gallery.update([folder])
    assert gallery.metadata(renamed) == {"album": "رحلة"}
    assert gallery.metadata(red) == ({"album": "عيد"} if other == "swapped" else {})


def test_an_edited_file_keeps_its_metadata_though_copied_before(gallery: Gallery, tmp_path: Path) -> None:
    edited = pictures.solid(tmp_path / "pictures" / "a.png")
    shutil.copy2(edited, edited.with_name("before.png"))
    gallery.update([edited.parent])
    gallery.add([edited], metadata={"album": "رحلة"})
    pictures.solid(edited, pictures.GREEN)
    gallery.update([edited.parent])
    assert gallery.metadata(edited) == {"album": "رحلة"}


def test_similar_finds_the_likest_first_without_itself(gallery: Gallery, tmp_path: Path) -> None:
    red = pictures.solid(tmp_path / "red.png", (250, 5, 5))
    pinkish = pictures.solid(tmp_path / "pinkish.png", (250, 60, 60))
    blue = pictures.solid(tmp_path / "blue.png", pictures.BLUE)
    gallery.add([red, pinkish, blue])
    (kept,) = gallery.add([encoded((240, 20, 20))]).paths
    expected = [kept, str(pinkish), str(blue)]
    assert kept is not None
    assert [hit.path for hit in gallery.similar(red)] == expected
    assert [hit.path for hit in gallery.similar(red.read_bytes())] == expected
    assert [hit.rank for hit in gallery.similar(red)] == [1, 2, 3]
    assert gallery.similar(kept, 1)[0].path == str(red)
    assert len(gallery.similar(Image.open(red))) == 4  # as pixels it is no file that the gallery has


def test_similar_to_what_is_no_picture_or_unknown_says_so(gallery: Gallery) -> None:
    with pytest.raises(UnsupportedFormat):
        gallery.similar(b"text")
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.similar("picture:0123")
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.picture("picture:0123")


def test_removed_pictures_are_not_found_and_their_files_stay(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    paths = [
        pictures.solid(folder / name, colour)
        for name, colour in (("a.png", pictures.RED), ("sub/b.png", pictures.GREEN), ("sub/c.png", pictures.BLUE))
    ]
    (kept,) = gallery.add([encoded((200, 200, 0))]).paths
    gallery.update([folder])
    with pytest.raises(InputError, match=r"nowhere.*nothing is removed"):
        gallery.remove([paths[0], tmp_path / "nowhere"])
    assert len(gallery) == 4
    assert gallery.remove([folder / "sub", str(kept)]) == 3
    assert [hit.path for hit in gallery.search("صورة")] == [str(paths[0])]
    assert all(path.exists() for path in paths)
    with pytest.raises(InputError, match="not in the gallery"):
        gallery.picture(str(kept))


def test_relative_path_and_one_through_link_name_same_picture(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pictures"
    pictures.solid(folder / "a.png")
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    gallery.add(["link/a.png"])
    gallery.update([folder])
    assert len(gallery.search("أحمر")[0].copies) == 0
    assert gallery.remove([os.path.join("pictures", "a.png")]) == 1  # noqa: PTH118


def test_pictures_below_a_link_are_hidden_by_the_paths_of_hits(gallery: Gallery, tmp_path: Path) -> None:
    pictures.solid(tmp_path / "drive" / "a.png")
    folder = tmp_path / "pictures"
    pictures.solid(folder / "b.png", pictures.BLUE)
    (folder / "usb").symlink_to(tmp_path / "drive", target_is_directory=True)
    gallery.update([folder])
    behind = str(folder / "usb" / "a.png")
    assert {hit.path for hit in gallery.search("صورة")} == {behind, str(folder / "b.png")}
    assert gallery.hide([behind]) == 1
    assert gallery.hidden() == [behind]
    assert gallery.remove([behind]) == 1


def test_an_empty_path_is_not_the_working_folder(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures.solid(tmp_path / "pictures" / "a.png")
    gallery.update([tmp_path / "pictures"])
    monkeypatch.chdir(tmp_path / "pictures")
    for change in (gallery.remove, gallery.hide):
        with pytest.raises(InputError, match="path is empty"):
            change([""])
    for refused in (
        lambda: gallery.update([""]), lambda: gallery.add([""]), lambda: gallery.similar(""), lambda: Gallery.open(""),
        lambda: gallery.backup(""), lambda: gallery.export(""),
    ):  # fmt: skip
        with pytest.raises(InputError, match="path is empty"):
            refused()
    with pytest.raises(ModelNotFound, match="no model ''"):
        AraCLIP.load("")
    assert gallery.remove(["."]) == 1


def test_links_to_an_indexed_folder_name_its_pictures(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures.solid(tmp_path / "pictures" / "sub" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "pictures", target_is_directory=True)
    gallery.update([tmp_path / "link"])
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "pictures", tmp_path / "link", "pictures", Path("link", "sub")):
        assert list(gallery.vectors(folder)) == [str(tmp_path / "pictures" / "sub" / "a.png")]
    assert gallery.vectors("none") == {}
    assert gallery.hide([tmp_path / "link"]) == 1
    assert gallery.hide([tmp_path / "pictures" / "sub" / ".."], hidden=False) == 1
    assert gallery.remove([tmp_path / "link"]) == 1


def test_a_linked_folder_gives_pictures_the_folders_own_path(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    pictures.solid(folder / "zoo" / "a.png")
    (folder / "best").symlink_to(folder / "zoo", target_is_directory=True)
    gallery.update([folder])
    hits = gallery.search("صورة", where=f"folder={folder / 'zoo'}")
    assert [hit.path for hit in hits] == [str(folder / "zoo" / "a.png")]
    assert len(gallery.search("صورة", where=f"folder={folder / 'best'}")) == 1


def test_a_picture_of_any_kind_is_a_query(gallery: Gallery, tmp_path: Path) -> None:
    red, blue = pictures.solid(tmp_path / "red.png"), pictures.solid(tmp_path / "blue.png", pictures.BLUE)
    gallery.add([red, blue])
    image = Image.open(blue).convert("RGB")
    for query in (blue, image, np.asarray(image), blue.read_bytes()):
        hits = gallery.search(query, 1)
        assert [(hit.path, hit.relevance) for hit in hits] == [(str(blue), None)]
    assert gallery.search(red, where="format=JPEG") == []


def test_an_array_of_pixels_is_added_as_a_picture(gallery: Gallery) -> None:
    pixels = np.full((30, 40, 3), (20, 20, 240), np.uint8)
    (path,) = gallery.add([pixels]).paths
    assert path is not None
    assert path.startswith("picture:")
    assert gallery.search("أزرق", 1)[0].path == path


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (5, "a picture is a path, encoded bytes, a PIL picture or an array of pixels; got int"),
        (None, "got NoneType"),
        (["قطة"], "got list"),
        (np.zeros((8, 8), np.uint8), "expected \\(height, width, 3\\)"),
        (np.zeros((8, 8, 3), np.float32), "type float32"),
        (Path("nowhere.png"), "no such picture"),
    ],
)
def test_what_is_no_query_is_an_error_of_ours(gallery: Gallery, query: object, message: str) -> None:
    for find in (gallery.search, gallery.similar):
        with pytest.raises(InputError, match=message):
            find(query)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        gallery.add([query])  # type: ignore[list-item]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_picture_is_not_waited_for(gallery: Gallery, tmp_path: Path) -> None:
    red = pictures.solid(tmp_path / "أحمر.png")
    gallery.add([red])
    about = red.stat()
    red.unlink()
    os.mkfifo(red)
    with pytest.raises(UnreadableImage, match="a named pipe"):
        gallery.picture(str(red))
    os.utime(red, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert [fault.where for fault in gallery.verify(contents=True)] == [str(red)]


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="needs root on Linux")
def test_a_link_to_a_source_that_blocks_is_skipped(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "صور"
    pictures.solid(folder / "red.png")
    names = ["kernel.png", "red.json", "red.txt", "red.xmp", *(["kernel.mp4"] if VIDEOS else [])]
    for name in names:
        (folder / name).symlink_to("/proc/kmsg")  # a regular file to `stat`, which gives each message once
    descriptor = os.open("/proc/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", 0) as waiting:
        while waiting.read(8192):  # None when there is nothing more
            pass
    lines: list[str] = []
    assert gallery.update([folder], skip=lines.append).pictures == 1
    assert all("a device, not a picture file" in line for line in lines)
    assert {Path(line.partition(": ")[0]).name for line in lines} == set(names)


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", ["endless.png", *(["endless.mp4"] if VIDEOS else [])])
def test_a_link_to_a_file_without_end_is_skipped(gallery: Gallery, tmp_path: Path, name: str) -> None:
    (tmp_path / "صور").mkdir()
    (tmp_path / "صور" / name).symlink_to("/proc/self/pagemap")  # 512 GB, but no bytes according to `stat`
    pictures.solid(tmp_path / "صور" / "red.png")
    lines: list[str] = []
    assert gallery.update([tmp_path / "صور"], skip=lines.append).pictures == 1
    assert len(lines) == 1 and name in lines[0]

"""Picture sets, archives and recipes of strangers: nothing is read or written elsewhere, and no size is believed."""

import gzip
import io
import json
import lzma
import os
import resource
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pytest

import pictures
from araclip.core import bounded_tar
from araclip.errors import AraCLIPError, DataError, InputError, RecipeError
from araclip.evaluation.published_sets import load_dataset
from araclip.evaluation.sets import stated_dialects
from araclip.training.data import text as parallel
from araclip.training.data.concepts import read_concepts
from araclip.training.data.pictures import PictureMixture, PictureSource
from araclip.training.recipe.recipe import read_recipe

CAT = "قطة"
GB = 10**9


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture that belongs to no set."""
    return pictures.solid(tmp_path / "private" / "secret.png")


def a_set(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pictures.solid(folder / "own.png")
    lines = [json.dumps({"image": name, "caption_ar": CAT, "dialect": "Gulf"}) + "\n" for name in ("own.png", *names)]
    (folder / "captions.jsonl").write_text("".join(lines), "utf-8")
    return folder


# ------------------------------------------------------------------ pictures of a set


def leading_out(folder: Path, secret: Path) -> list[str]:
    """Names that lead from a set's folder to a file beside it."""
    folder.mkdir()
    (folder / "link.png").symlink_to(secret)
    (folder / "below").symlink_to(secret.parent)
    (folder / "chain.png").symlink_to(folder / "link.png")
    return [str(secret), "../private/secret.png", "x/../../private/secret.png", "link.png", "chain.png",
            "below/secret.png", "..", "/dev/zero"]  # fmt: skip


@pytest.mark.parametrize("which", range(8))
def test_a_picture_outside_of_its_set_is_refused_by_every_reader(tmp_path: Path, secret: Path, which: int) -> None:
    name = leading_out(tmp_path / "set", secret)[which]
    folder = a_set(tmp_path / "set", name)
    readers: list[Callable[[], Any]] = [
        lambda: load_dataset(folder),
        lambda: stated_dialects(folder, [folder / "own.png"]),
        lambda: PictureMixture([PictureSource(folder)], 0, languages={"arabic": 1.0}),
    ]
    for read in readers:
        with pytest.raises((InputError, DataError), match=r"line 2: the picture .* lies outside of .*--images"):
            read()


def test_its_user_may_name_the_folder_that_holds_the_pictures(tmp_path: Path, secret: Path) -> None:
    folder = a_set(tmp_path / "set", str(secret), "secret.png")
    found = load_dataset(folder, images=secret.parent)
    assert found.pictures == (folder / "own.png", secret)
    assert len(PictureMixture([PictureSource(folder, images=secret.parent)], 0, languages={"arabic": 1.0}).files) == 2
    with pytest.raises(InputError, match=r"line 2: .* lies outside"):
        load_dataset(folder, images=tmp_path / "set" / "other")


def test_a_set_behind_a_link_and_links_inside_of_it_are_fine(tmp_path: Path) -> None:
    folder = a_set(tmp_path / "set", "./own.png", "sub/../own.png", "same.png")
    (folder / "sub").mkdir()
    (folder / "same.png").symlink_to("own.png")
    (tmp_path / "link").symlink_to(folder)
    assert {path.name for path in load_dataset(tmp_path / "link").pictures} == {"own.png", "same.png"}


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "x" * 300 + ".png", "d/" * 2500 + "x.png"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"line 2: .* cannot be a file's name"):
        load_dataset(a_set(tmp_path / "set", name))


def test_the_published_layouts_stay_in_their_folders(tmp_path: Path, secret: Path) -> None:
    names = leading_out(tmp_path / "set", secret)
    for name in names[:6]:
        (tmp_path / "set" / "Flickr8k.arabic.full.txt").write_text(f"{name}#0\t{CAT}\n", "utf-8")
        (tmp_path / "set" / "test_image_names.txt").write_text(f"{name}\n", "utf-8")
        (tmp_path / "set" / "test_1kcaptions_ar.txt").write_text(f"{CAT}\n", "utf-8")
        coco = {"images": [{"id": 1, "file_name": name}], "annotations": [{"image_id": 1, "caption": CAT}]}
        (tmp_path / "set" / "captions_val.json").write_text(json.dumps(coco), "utf-8")
        row = {"image/key": name.removesuffix(".png"), "ar": {"caption": [CAT]}}
        (tmp_path / "set" / "captions.jsonl").write_text(json.dumps(row), "utf-8")
        for dataset in ("flickr8k-ar-eljundi", "xtd-ar", "coco-ar"):
            with pytest.raises(InputError, match=r"(lies outside of|none of its 1 pictures is there)"):
                load_dataset(dataset, path=tmp_path / "set")
        with pytest.raises(InputError):
            load_dataset("xm3600-ar", path=tmp_path / "set")


def test_a_line_of_a_gigabyte_is_refused_before_it_is_in_memory(tmp_path: Path) -> None:
    folder = a_set(tmp_path / "set")
    with (folder / "captions.jsonl").open("ab") as file:
        file.truncate(int(1.5 * GB))  # a hole, of which nothing is on the disk
    with pytest.raises(InputError, match=r"captions\.jsonl line 2 has more than 4,000,000 bytes"):
        load_dataset(folder)


def test_a_pipe_in_place_of_a_list_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "captions.jsonl")
    with pytest.raises(InputError):
        load_dataset(tmp_path)


def test_parallel_text_that_expands_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    import pyarrow.parquet

    monkeypatch.setattr(parallel, "MAX_LINE", 10_000)
    long = pyarrow.array(["x" * 10_000]).take(pyarrow.array([0] * 1000))
    pyarrow.parquet.write_table(
        pyarrow.table({"en": long, "ar": long}), tmp_path / "a.parquet", compression="zstd", use_dictionary=False
    )
    (tmp_path / "b.tsv.xz").write_bytes(lzma.compress(b"en\tar\n" + b"x" * 30_000, preset=0))
    (tmp_path / "c.jsonl").write_bytes(b'{"en": "' + b"x" * 20_000 + b'", "ar": "y"}')
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=rf"{path.name}.* more than 10,000 bytes of text in a row"):
            list(parallel.read_pairs(path))


def of_one_text(kind: str, text: bytes, rows: int) -> Any:
    """A column that has one long text in each row, and holds it once."""
    import pyarrow

    if kind == "dictionary":
        return pyarrow.array([text.decode()]).dictionary_encode().take(pyarrow.array([0] * rows))
    views = struct.pack("<i4sii", len(text), text[:4], 0, 0) * rows
    long = pyarrow.Array.from_buffers(
        pyarrow.string_view(), rows, [None, pyarrow.py_buffer(views), pyarrow.py_buffer(text)]
    )
    return long if kind == "view" else pyarrow.ListArray.from_arrays(list(range(rows + 1)), long)


@pytest.mark.parametrize("kind", ["dictionary", "view", "list"])
def test_one_long_text_in_every_row_is_refused_early(kind: str, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    long = of_one_text(kind, b"x" * 1_200_000, 512)
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"en": long, "ar": ["ا"] * 512}), path)
    assert path.stat().st_size < 500_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"a\.parquet, row 1: more than 1,000,000 bytes of text in a row"):
        list(parallel.read_pairs(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB; all rows have 614 MB


# ------------------------------------------------------------------ archives


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **fields: Any) -> bytes:
    """The header of a tar's member, which may claim any size."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse(name: str, size: int) -> bytes:
    """The header of a GNU sparse file of that size that holds nothing."""
    header = bytearray(member(name, kind=tarfile.GNUTYPE_SPARSE))
    header[386:512] = bytes(126)
    header[483:495] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def pax(**records: str) -> bytes:
    """An extended header."""
    lines = b"".join(
        b"%d %s=%s\n" % (len(key) + len(value) + 3 + len(str(len(key) + len(value) + 5)), key.encode(), value.encode())
        for key, value in records.items()
    )
    return member("pax", len(lines), tarfile.XHDTYPE) + lines.ljust(512, b"\0")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize(
    "content",
    [
        member("a.jpg", 8 * GB),
        sparse("a.jpg", 1000 * GB),
        member("a.jpg", 8 * GB, tarfile.GNUTYPE_LONGNAME),
        member("a.jpg", 8 * GB, tarfile.XHDTYPE),
        pax(size=str(8 * GB)) + member("a.jpg", 10),
        pax(size="-1") + member("a.jpg", 10),
        pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1000 * GB)})
        + member("a.jpg", 512) + b"0\n".ljust(512, b"\0"),
    ],
)  # fmt: skip
def test_member_that_claims_gigabytes_is_named_before_it_is_read(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    compress = {".tar": bytes, ".tar.gz": gzip.compress, ".tar.xz": lzma.compress}[suffix]
    path.write_bytes(compress(content + bytes(20_480)))
    with pytest.raises(InputError, match=r"(has -?[\d,]+ bytes, at most|no whole tar)"):
        load_dataset(path, unpack_to=tmp_path / "u")
    assert not (tmp_path / "u").exists() or not list((tmp_path / "u").iterdir())


@pytest.mark.parametrize("damage", [lambda tar: tar[:1024] + b"x" * 512 + tar[1536:], lambda tar: tar[:1124]])
def test_an_archive_with_a_damaged_header_is_not_read_shorter(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    whole = b"".join(member(name, 3) + b"abc".ljust(512, b"\0") for name in ("a.txt", "b.txt")) + bytes(1024)
    path = tmp_path / "x.tar"
    path.write_bytes(whole)
    assert [name for name, _ in bounded_tar.read_members(path)] == ["a.txt", "b.txt"]
    path.write_bytes(damage(whole))
    with pytest.raises(InputError, match=r"no whole tar .* at byte 1,024"):
        list(bounded_tar.read_members(path))


@pytest.mark.parametrize(
    "content", [b"", b"caption\n" * 200, gzip.compress(b"caption\n" * 200)], ids=["empty", "text", "compressed"]
)
def test_another_file_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "captions.txt"
    path.write_bytes(content)
    assert not bounded_tar.is_tar(path)
    with pytest.raises(InputError, match=r"no picture set '.*captions\.txt'"):
        load_dataset(path, unpack_to=tmp_path / "u")


def test_an_archive_of_gigabytes_unpacked_is_refused(tmp_path: Path) -> None:
    content = member("a.txt", 3) + b"abc".ljust(512, b"\0") + bytes(1024)
    packed = bytearray(lzma.compress(content, preset=9))
    (tmp_path / "x.tar.xz").write_bytes(packed)
    assert list(bounded_tar.read_members(tmp_path / "x.tar.xz")) == [("a.txt", b"abc")]
    several = lzma.compress(content[:700]) + bytes(8) + lzma.compress(content[700:])  # as `cat` puts them together
    (tmp_path / "y.tar.xz").write_bytes(several)
    assert list(bounded_tar.read_members(tmp_path / "y.tar.xz")) == [("a.txt", b"abc")]
    packed[16] = 40  # in the block's header: a window of 4 GB
    packed[20:24] = zlib.crc32(packed[12:20]).to_bytes(4, "little")
    (tmp_path / "x.tar.xz").write_bytes(packed)
    with pytest.raises(InputError, match=r"x\.tar\.xz: unpacking it takes more than 100 MB of memory"):
        list(bounded_tar.read_members(tmp_path / "x.tar.xz"))


def test_an_archive_that_expands_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tar, "MAX_MEMBER", 100_000)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        for number in range(200):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = 90_000
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(InputError, match="expands the archive to more than 100 times its size"):
        load_dataset(tmp_path / "x.tar.gz", unpack_to=tmp_path / "u")


def test_members_that_lead_elsewhere_touch_nothing_there(tmp_path: Path, secret: Path) -> None:
    picture = secret.read_bytes()
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("../up.jpg", "/abs.jpg", "a/../../b.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(picture)
            tar.addfile(info, io.BytesIO(picture))
            text = tarfile.TarInfo(name.replace(".jpg", ".txt"))
            text.size = len(CAT.encode())
            tar.addfile(text, io.BytesIO(CAT.encode()))
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.type, info.linkname = kind, str(secret)
            tar.addfile(info)
            text = tarfile.TarInfo(f"{number}.txt")
            text.size = len(CAT.encode())
            tar.addfile(text, io.BytesIO(CAT.encode()))
    before = {path for path in tmp_path.rglob("*") if "u" not in path.relative_to(tmp_path).parts}
    found = load_dataset(tmp_path / "x.tar", unpack_to=tmp_path / "u")
    after = {path for path in tmp_path.rglob("*") if "u" not in path.relative_to(tmp_path).parts}
    assert before == after
    assert (len(found.pictures), found.missing) == (3, 4)
    assert not any(path.is_symlink() for path in (tmp_path / "u").rglob("*"))


def test_a_saved_data_set_gives_only_the_pictures_of_its_folder(tmp_path: Path, secret: Path) -> None:
    import datasets

    for path in (str(secret), "../private/secret.png", "link.png"):
        rows = {"image": [{"bytes": None, "path": path}], "caption_ar": [CAT], "other": [{"bytes": None, "path": path}]}
        features = datasets.Features(
            {
                "image": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
                "caption_ar": datasets.Value("string"),
                "other": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            }
        )
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
        if not (tmp_path / "saved" / "link.png").exists():
            (tmp_path / "saved" / "link.png").symlink_to(secret)
        with pytest.raises(InputError, match=r"row 1: the picture .* lies outside of"):
            load_dataset(tmp_path / "saved", unpack_to=tmp_path / "u")
        assert not list((tmp_path / "u").rglob("*.png"))


# ------------------------------------------------------------------ recipes


NAMES = ["../../x", "/tmp/x", "a/b", "a\\b", "..", ".hidden", "-x", "c:d", "a\nb", "cache", "x" * 201]


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_or_recipe_that_would_write_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    quoted = json.dumps(name)
    for text in (f"[{quoted}]\nkind = 'distill'\n", f"name = {quoted}\n[distill]\n"):
        (tmp_path / "recipe.toml").write_text(text, "utf-8")
        with pytest.raises(RecipeError, match=r"(names a folder below --runs|that all stages share)") as refusal:
            read_recipe(tmp_path / "recipe.toml")
        assert "\n" not in str(refusal.value)
    (tmp_path / "recipe.toml").write_text("[distill]\n", "utf-8")
    if "." not in name:
        with pytest.raises(AraCLIPError, match=r"(names a folder below --runs|that all stages share)"):
            read_recipe(tmp_path / "recipe.toml", [f"{name}.kind=distill"])


def test_a_plain_name_in_any_language_is_a_stage(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("['مرحلة أولى (1)']\nkind = 'distill'\n", "utf-8")
    assert list(read_recipe(tmp_path / "recipe.toml").stages) == ["مرحلة أولى (1)"]


# ------------------------------------------------------------------ files of classes


def of_concepts(folder: Path, **changes: Any) -> Callable[[], Any]:
    """Two concepts, and what reads them."""
    np.savez(folder / "c.npz", features=np.ones((2, 4)))
    listing = {"names_en": [["cat"], ["dog"]], "names_ar": [["قطة"], ["كلب"]], **changes}
    (folder / "c.json").write_text(json.dumps(listing), "utf-8")
    return lambda: read_concepts(folder / "c", ("arabic",), 4)


def test_a_dot_in_the_name_of_classes_belongs_to_the_name(tmp_path: Path) -> None:
    of_concepts(tmp_path)
    for suffix in ("npz", "json"):
        (tmp_path / f"c.{suffix}").rename(tmp_path / f"c.21k.{suffix}")
    assert read_concepts(tmp_path / "c.21k", ("arabic",), 4)
    assert read_concepts(tmp_path / "c.21k.npz", ("arabic",), 4)
    of_concepts(tmp_path, names_ar=[])
    with pytest.raises(DataError, match=r"c\.22k"):
        read_concepts(tmp_path / "c.22k", ("arabic",), 4)


def test_a_damaged_file_of_classes_is_refused(tmp_path: Path) -> None:
    read, causes = of_concepts(tmp_path), set()
    assert read()
    whole = (tmp_path / "c.npz").read_bytes()
    for place in range(0, len(whole), 5):
        (tmp_path / "c.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read()
        except DataError as error:  # anything else is a fault
            causes.add(type(error.__cause__))
    assert BadZipFile in causes
    (tmp_path / "c.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"c: BadZipFile.*\.npz with"):
        read()


@pytest.mark.parametrize("changes", [{"names_ar": [CAT, "كلب"]}, {"names_en": "ab"}])
def test_a_text_in_place_of_a_list_of_classes_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"is no list of texts.*\.npz with"):
        of_concepts(tmp_path, **changes)()

"""Picture sets in every published form: written here as published, read by `load_dataset`, malformed ones first."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import pictures
from araclip.errors import InputError
from araclip.evaluation.published_sets import KNOWN, load_dataset
from araclip.evaluation.sets import PictureSet, read_pictures, read_set

CAT, DOG, SEA = "قطة على طاولة", "كلب في حديقة", "غروب فوق البحر"


def a_set(folder: Path, *rows: object, files: tuple[str, ...] = ()) -> Path:
    """A folder in our form, with these lines, and with a picture for each of `files`."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    for name in files:
        pictures.solid(folder / name)
    return folder


def said(found: PictureSet) -> dict[str, tuple[str, ...]]:
    """Captions by picture name."""
    return {path.name: texts for path, texts in zip(found.pictures, found.captions, strict=True)}


# ------------------------------------------------------------------ our folder


def test_read_pictures_keeps_one_split_and_normalises_captions(tmp_path: Path) -> None:
    folder = a_set(
        tmp_path / "set",
        {"image": "a.png", "split": "dev", "ar": ["قِطّة", "قطة", " "], "en": "cat"},
        {"image": "b.png", "split": "train", "ar": "كلب"},
    )
    (picture,) = read_pictures(folder, ("en",), ("ar",), "dev")
    # two people wrote the same caption: two queries
    assert (picture.path, picture.english, picture.arabic) == (folder / "a.png", ("cat",), ("قطة", "قطة"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file": "b.png"}', "line 2: 'image' is None"),
        ('{"image": 5}', "line 2: 'image' is 5"),
        ('{"image": ""}', "line 2: 'image' is ''"),
        ("{broken", "line 2: no JSON"),
        ('["a.png"]', "line 2: a list"),
        ('{"image": "b.png", "caption_ar": 5}', "line 2: 'caption_ar' is 5"),
        ('{"image": "b.png", "caption_ar": ["x", null]}', "line 2: 'caption_ar' is"),
    ],
)
def test_a_malformed_row_names_its_line(tmp_path: Path, line: str, message: str) -> None:
    folder = a_set(tmp_path / "set", files=("a.png", "b.png"))
    (folder / "captions.jsonl").write_text('{"image": "a.png", "caption_ar": "قطة"}\n' + line, "utf-8")
    for read in (lambda: read_set(folder, "caption_ar"), lambda: read_pictures(folder, (), ("caption_ar",))):
        with pytest.raises(InputError, match=rf"captions\.jsonl {message}"):
            read()


def test_a_byte_that_is_no_utf8_and_a_missing_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_pictures(tmp_path, (), ())
    (tmp_path / "captions.jsonl").write_bytes(b'{"image": "a.png"}\n{"image": "\xff.png"}\n')
    with pytest.raises(InputError, match="line 2: no JSON in UTF-8"):
        read_set(tmp_path, "caption_ar")


def test_a_missing_picture_is_counted_and_the_rest_is_there(tmp_path: Path) -> None:
    folder = a_set(
        tmp_path / "مجموعة",
        {"image": "gone.png", "caption_ar": DOG},
        {"image": "قطة <b>.png", "caption_ar": [CAT]},
        {"image": "quiet.png"},
        files=("قطة <b>.png", "quiet.png"),
    )
    found = load_dataset(folder)
    assert (found.name, found.missing, said(found)) == ("مجموعة", 1, {"قطة <b>.png": (CAT,), "quiet.png": ()})
    (folder / "قطة <b>.png").unlink()
    with pytest.raises(InputError, match="none of 1 pictures has a caption in 'caption_ar'"):
        load_dataset(folder)
    (folder / "quiet.png").unlink()
    with pytest.raises(InputError, match=r"none of its 3 pictures is there, such as .*gone\.png"):
        load_dataset(folder)
    with pytest.raises(InputError, match=r"\(split test\) has no pictures"):
        load_dataset(folder, split="test")


def test_a_picture_with_a_line_for_each_caption_is_one_picture(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "caption_ar": CAT},
        {"image": "b.png", "caption_ar": DOG},
        {"image": "a.png", "caption_ar": SEA},
    ]
    found = load_dataset(a_set(tmp_path / "set", *rows, files=("a.png", "b.png")))
    assert said(found) == {"a.png": (CAT, SEA), "b.png": (DOG,)}
    texts, owner = found.queries()
    assert (texts, owner.tolist()) == ([CAT, SEA, DOG], [0, 0, 1])
    texts, owner = found.queries("first")
    assert (texts, owner.tolist()) == ([CAT, DOG], [0, 1])
    with pytest.raises(InputError, match="captions is 'best'"):
        found.queries("best")


def test_the_fingerprint_changes_with_names_sizes_and_captions(tmp_path: Path) -> None:
    row = {"image": "a.png", "caption_ar": CAT}
    one, same = (load_dataset(a_set(tmp_path / name, row, files=("a.png",))) for name in ("one", "same"))
    assert one.fingerprint == same.fingerprint
    other_text = load_dataset(a_set(tmp_path / "text", {**row, "caption_ar": DOG}, files=("a.png",)))
    other_name = load_dataset(a_set(tmp_path / "name", {**row, "image": "b.png"}, files=("b.png",)))
    pictures.photograph(tmp_path / "same" / "a.png", (64, 64))
    assert len({one.fingerprint, other_text.fingerprint, other_name.fingerprint, same.fingerprint}) == 4


# ------------------------------------------------------------------ published forms


def test_flickr8k_eljundi_as_published(tmp_path: Path) -> None:
    texts = tmp_path / "data" / "Flickr8k_text"
    texts.mkdir(parents=True)
    (texts / "Flickr8k.arabic.full.txt").write_text(f"1.jpg#0\t{CAT}\n1.jpg#1\t{SEA}\n2.jpg#0\t{DOG}\n", "utf-8")
    (texts / "Flickr_8k.testImages.txt").write_text("1.jpg\n", "utf-8")
    for name in ("1.jpg", "2.jpg"):
        pictures.solid(tmp_path / "data" / "Flicker8k_Dataset" / name)
    found = load_dataset("flickr8k-ar-eljundi", path=tmp_path / "data", split="test")
    assert (found.name, said(found)) == ("flickr8k-ar-eljundi", {"1.jpg": (CAT, SEA)})
    assert len(load_dataset("flickr8k-ar-eljundi", path=tmp_path / "data").pictures) == 2
    (texts / "Flickr8k.arabic.full.txt").write_text(f"1.jpg#0\t{CAT}\n2.jpg {DOG}\n", "utf-8")
    with pytest.raises(InputError, match=r"arabic\.full\.txt line 2: no tab"):
        load_dataset("flickr8k-ar-eljundi", path=tmp_path / "data")
    with pytest.raises(InputError, match="no split 'validation', it has train, dev, test"):
        load_dataset("flickr8k-ar-eljundi", path=tmp_path / "data", split="validation")
    with pytest.raises(InputError, match=r"no Flickr_8k\.devImages\.txt or dev\.txt"):
        load_dataset("flickr8k-ar-eljundi", path=tmp_path / "data", split="dev")


def test_flickr30k_with_lists_of_names_without_suffix(tmp_path: Path) -> None:
    captions = tmp_path / "captions-arabic.txt"
    captions.write_text(f"1.jpg#0\t{CAT}\n2.jpg#0\t{DOG}\n", "utf-8")
    (tmp_path / "test.txt").write_text("2\n", "utf-8")
    pictures.solid(tmp_path / "elsewhere" / "2.jpg")
    found = load_dataset("flickr30k-ar", path=captions, images=tmp_path / "elsewhere", split="test")
    assert said(found) == {"2.jpg": (DOG,)}


def test_xtd_as_published_with_pictures_of_coco(tmp_path: Path) -> None:
    names = ("COCO_train2014_000000000009.jpg", "COCO_val2014_000000000042.jpg")
    xtd = tmp_path / "XTD10"
    xtd.mkdir()
    (xtd / "test_image_names.txt").write_text("\n".join(names) + "\n", "utf-8")
    (xtd / "test_1kcaptions_ar.txt").write_text(f"{CAT}\n{DOG}\n", "utf-8")
    pictures.solid(tmp_path / "coco" / "train2014" / names[0])
    found = load_dataset("xtd-ar", path=xtd, images=tmp_path / "coco")
    assert (said(found), found.missing) == ({names[0]: (CAT,)}, 1)
    (xtd / "arabic.txt").write_text(f"{SEA}\n{DOG}\n", "utf-8")  # another translation
    found = load_dataset("xtd-ar", path=xtd / "arabic.txt", images=tmp_path / "coco")
    assert said(found) == {names[0]: (SEA,)}
    (xtd / "test_1kcaptions_ar.txt").rename(xtd / "arb_Arab.txt")  # as XTD200 has it
    assert said(load_dataset("xtd-ar", path=xtd, images=tmp_path / "coco")) == {names[0]: (CAT,)}
    (xtd / "test_1kcaptions_ar.txt").write_text(f"{CAT}\n", "utf-8")
    with pytest.raises(InputError, match=r"has 1 lines, test_image_names\.txt 2"):
        load_dataset("xtd-ar", path=xtd)
    with pytest.raises(InputError, match="no hub that has XTD-Arabic"):
        load_dataset("xtd-ar")


def test_crossmodal_3600_as_published(tmp_path: Path) -> None:
    row = {"image/key": "0001", "image/locale": "ar", "ar": {"caption": [CAT, SEA], "caption/tokenized": ["x"]}}
    (tmp_path / "captions.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
    pictures.solid(tmp_path / "images" / "0001.jpg")
    found = load_dataset("xm3600-ar", path=tmp_path)
    assert (said(found), found.caption_field) == ({"0001.jpg": (CAT, SEA)}, "captions")
    with (tmp_path / "captions.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"image/key": "0002", "en": {"caption": ["a cat"]}}')
    with pytest.raises(InputError, match=r"captions\.jsonl line 2: no 'image/key' with texts in 'ar'"):
        load_dataset("xm3600-ar", path=tmp_path)
    with pytest.raises(InputError, match="no caption field 'caption_ar', it has captions"):
        load_dataset("xm3600-ar", path=tmp_path, caption_field="caption_ar")


def test_coco_in_its_own_form_and_in_karpathys(tmp_path: Path) -> None:
    annotations = {
        "images": [{"id": 7, "file_name": "7.jpg"}, {"id": 8, "file_name": "8.jpg"}],
        "annotations": [{"image_id": 7, "caption": CAT}, {"image_id": 7, "caption": SEA}],
    }
    (tmp_path / "annotations").mkdir()
    own = tmp_path / "annotations" / "captions_val2014.json"
    own.write_text(json.dumps(annotations), "utf-8")
    for name in ("7.jpg", "8.jpg"):
        pictures.solid(tmp_path / "val2014" / name)
    assert said(load_dataset("coco-ar", path=tmp_path, split="val2014")) == {"7.jpg": (CAT, SEA), "8.jpg": ()}
    assert said(load_dataset("coco-ar", path=own, images=tmp_path, split="val")) == {"7.jpg": (CAT, SEA), "8.jpg": ()}
    with pytest.raises(InputError, match=r"captions_val2014\.json is not of split 'train'"):
        load_dataset("coco-ar", path=own, split="train")
    karpathy = tmp_path / "dataset_coco.json"
    entries = [
        {"filename": f"{i}.jpg", "split": s, "sentences": [{"raw": DOG}]} for i, s in ((7, "test"), (8, "train"))
    ]
    karpathy.write_text(json.dumps({"images": entries}), "utf-8")
    assert said(load_dataset("coco-ar", path=karpathy, split="test")) == {"7.jpg": (DOG,)}
    own.write_text(json.dumps({"images": [{"id": 7}], "annotations": [{"image_id": 9, "caption": CAT}]}), "utf-8")
    with pytest.raises(InputError, match=r"captions_val2014\.json: KeyError"):
        load_dataset("coco-ar", path=own)


# ------------------------------------------------------------------ tars


def tar(path: Path, **members: bytes) -> Path:
    """A tar; `a__jpg` is a.jpg and `sub___a__jpg` is sub/a.jpg."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("___", "/").replace("__", "."))
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    return pictures.solid(tmp_path / "one.jpg").read_bytes()


def test_a_webdataset_shard_is_unpacked_once_and_read(tmp_path: Path, picture: bytes) -> None:
    about = json.dumps({"caption_ar": [DOG], "image": "../../etc/passwd", "n": 3}).encode()
    shard = tar(
        tmp_path / "shards" / "test-000.tar",
        **{"a__jpg": picture, "a__txt": CAT.encode(), "._a__jpg": b"mac", "a__seg__cls": b"5",
           "sub___b__txt": DOG.encode(), "sub___b__json": about, "sub___b__PNG": picture, "c__txt": SEA.encode()},
    )  # fmt: skip
    found = load_dataset(shard, unpack_to=tmp_path / "unpacked")
    assert (found.name, found.caption_field, found.missing) == ("test-000", "txt", 1)
    assert said(found) == {"00000000.jpg": (CAT,), "00000001.png": (DOG,)}
    assert [path.read_bytes() for path in found.pictures] == [picture, picture]
    before = found.pictures[0].stat().st_mtime_ns
    again = load_dataset(shard, unpack_to=tmp_path / "unpacked", caption_field="caption_ar")
    assert said(again) == {"00000000.jpg": (), "00000001.png": (DOG,)}
    assert again.pictures[0].stat().st_mtime_ns == before


def test_half_a_character_in_a_json_member_is_no_crash(tmp_path: Path, picture: bytes) -> None:
    shard = tar(tmp_path / "x.tar", a__jpg=picture, a__json=b'{"caption_ar": "\\ud83d \\u0642\\u0637\\u0629"}')
    (texts,) = load_dataset(shard, caption_field="caption_ar", unpack_to=tmp_path / "u").captions
    assert texts[0].endswith(" قطة")


def test_folder_of_shards_has_splits_that_their_names_begin_with(tmp_path: Path, picture: bytes) -> None:
    for name in ("train-0", "test-0", "test-1"):
        tar(tmp_path / "shards" / f"{name}.tar", a__jpg=picture, a__txt=name.encode())
    texts = {
        split: load_dataset(tmp_path / "shards", split=split, unpack_to=tmp_path / "u").captions
        for split in (None, "test")
    }
    assert texts == {None: (("test-0",), ("test-1",), ("train-0",)), "test": (("test-0",), ("test-1",))}
    with pytest.raises(InputError, match=r"train-0\.tar is not of split 'test'"):
        load_dataset(tmp_path / "shards" / "train-0.tar", split="test", unpack_to=tmp_path / "u")
    with pytest.raises(InputError, match="has its pictures inside"):
        load_dataset(tmp_path / "shards", images=tmp_path, unpack_to=tmp_path / "u")
    with pytest.raises(InputError, match=r"shards has no tar of split 'dev'.* The first is test-0\.tar"):
        load_dataset(tmp_path / "shards", split="dev", unpack_to=tmp_path / "u")
    with pytest.raises(InputError, match=r"^shards: none of 3 pictures has a caption in 'caption_ar'"):
        load_dataset(tmp_path / "shards", caption_field="caption_ar", unpack_to=tmp_path / "u")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a__json": b"{broken"}, r"x\.tar, a\.json: .*Expected JSON"),
        ({"a__json": b"[1]"}, r"x\.tar, a\.json: a list, expected an object"),
        ({"a__txt": b"\xff"}, r"x\.tar, a\.txt: .*Expected text in UTF-8"),
        (
            {"a__txt": b"x" * 3_000_000, "a__json": b'{"y": "' + b"x" * 3_000_000 + b'"}'},
            r"x\.tar, a\.json: 6,000,009 bytes of text about one picture",
        ),
    ],
)
def test_a_malformed_member_names_tar_and_member(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(tar(tmp_path / "x.tar", **members), unpack_to=tmp_path / "u")
    assert list((tmp_path / "u").iterdir()) == []


def test_a_shard_whose_download_broke_off_is_named(tmp_path: Path, picture: bytes) -> None:
    whole = tar(tmp_path / "x.tar", a__jpg=picture * 50, a__txt=CAT.encode()).read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[: len(picture) * 25])
    with pytest.raises(InputError, match=r"x\.tar is no whole tar"):
        load_dataset(tmp_path / "x.tar", unpack_to=tmp_path / "u")


# ------------------------------------------------------------------ Hugging Face


def test_crossmodal_and_wit_as_the_hub_has_them(tmp_path: Path, picture: bytes) -> None:
    import datasets

    columns = {"image_id": ["1", "2"], "captions": [[CAT, SEA], [DOG]], "image": [{"bytes": picture, "path": None}] * 2}
    structs = datasets.Dataset.from_dict(columns)  # Crossmodal-3600's are bare structs
    decoded = structs.cast_column("image", datasets.Image())  # WIT's are pictures
    for name, rows in (("xm3600-ar", structs), ("wit-ar", decoded)):
        rows.save_to_disk(tmp_path / name)
        found = load_dataset(name, path=tmp_path / name, unpack_to=tmp_path / "u")
        assert (found.name, found.captions) == (name, ((CAT, SEA), (DOG,)))
        assert found.pictures[0].read_bytes() == picture
        datasets.DatasetDict({"ar": rows}).save_to_disk(tmp_path / f"{name}-all")
        assert load_dataset(name, path=tmp_path / f"{name}-all", unpack_to=tmp_path / "u").captions == found.captions
    assert load_dataset(tmp_path / "wit-ar", caption_field="captions", unpack_to=tmp_path / "u").captions == (
        (CAT, SEA),
        (DOG,),
    )


def test_any_saved_dataset_is_read_by_split_and_column(tmp_path: Path, picture: bytes) -> None:
    import datasets

    rows = {"caption_ar": [CAT, None], "image": [{"bytes": picture, "path": "a.png"}, None], "n": [1, 2]}
    part = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    datasets.DatasetDict({"dev": part, "test": part.select([0])}).save_to_disk(tmp_path / "saved")
    found = load_dataset(tmp_path / "saved", split="dev", unpack_to=tmp_path / "u")
    assert (found.name, found.split, found.captions, found.missing) == ("saved", "dev", ((CAT,),), 1)
    for split, said in ((None, "has the splits dev, test"), ("train", "has the splits dev, test, not 'train'")):
        with pytest.raises(InputError, match=rf"saved {said}\. Name one of them\.$"):  # and nothing of the network
            load_dataset(tmp_path / "saved", split=split, unpack_to=tmp_path / "u")
    with pytest.raises(InputError, match=r"^saved: none of \d pictures? has a caption in 'captions'"):
        load_dataset(tmp_path / "saved", split="dev", caption_field="captions", unpack_to=tmp_path / "u")
    part.rename_column("image", "photo").save_to_disk(tmp_path / "other")
    with pytest.raises(InputError, match="has the columns caption_ar, photo, n, and no 'image'"):
        load_dataset(tmp_path / "other", unpack_to=tmp_path / "u")


def test_without_the_package_or_the_network_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"nobody/nothing \(split test\) cannot be loaded: .*pass its path"):
        load_dataset("hub:nobody/nothing", unpack_to=tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'araclip\[hub\]'"):
        load_dataset("xm3600-ar", unpack_to=tmp_path)


def test_a_set_nobody_knows_names_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"no picture set 'flikr8k'.*flickr8k-ar-eljundi.*hub:<id>"):
        load_dataset("flikr8k")
    assert all(source.title and source.fields and source.note for source in KNOWN.values())


def test_queries_of_a_set_are_rows_of_its_pictures(tmp_path: Path) -> None:
    rows = [{"image": f"{i}.png", "caption_ar": [str(i)] * (i % 3)} for i in range(6)]
    found = load_dataset(a_set(tmp_path / "set", *rows, files=tuple(f"{i}.png" for i in range(6))))
    texts, owner = found.queries()
    assert owner.dtype == np.int64
    assert [found.pictures[row].stem for row in owner] == texts

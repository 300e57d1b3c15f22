"""Public picture sets for araclip-mini's recipe: names of labels, what is left out, what no training may see."""

import importlib
import json
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from araclip.errors import InputError

for needed in ("timm", "torch", "resvg_py"):  # extras train and demo
    pytest.importorskip(needed)
mini_more, mini_held, mini_data = map(importlib.import_module, ("more", "held", "data"))


def noise(seed: int, size: tuple[int, int] = (60, 40)) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def saved(path: Path, picture: Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder DATA with dictionaries, in which only «قطة» is a cat."""
    folder = tmp_path / "data"
    (folder / "parallel").mkdir(parents=True)
    for name in mini_more.DICTIONARIES:
        (folder / "parallel" / name).write_bytes(lzma.compress("en\tar\ncat\tالقطة\n".encode()))
    return folder


def laid_out(name: str, tmp_path: Path, data: Path) -> str:
    said: str = mini_more.lay_out(name, tmp_path / "clones", data, mini_more.dictionary_of(data))
    return said


def test_a_set_is_laid_out_with_licence_and_source_once(tmp_path: Path, data: Path) -> None:
    clone = tmp_path / "clones" / "pacs"
    saved(clone / "PACS" / "photo" / "dog" / "1.jpg", noise(1))
    saved(clone / "PACS" / "art_painting" / "dog" / "1.jpg", noise(2))
    assert laid_out("pacs", tmp_path, data) == "made, 2 of 2 pictures can be read"
    assert laid_out("pacs", tmp_path, data) == "there already"
    painting, photo = lines(data / "more" / "pacs")
    assert painting["caption_en"] == ["a painting of a dog"] and photo["caption_en"] == ["a photo of a dog"]
    assert (photo["label"], photo["class_ar"], photo["source"]) == ("dog", "كلب", "PACS/photo/dog/1.jpg")
    assert photo["license"] == mini_more.SETS["pacs"].licence
    copy = data / "more" / "pacs" / str(photo["image"])
    assert copy.read_bytes() == (clone / "PACS" / "photo" / "dog" / "1.jpg").read_bytes()


def test_what_is_no_picture_is_left_out_and_so_are_links(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "clones" / "trash" / "dataset-resized" / "glass"
    good = saved(folder / "good.jpg", noise(1))
    (folder / "pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\n")
    (folder / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (folder / "link.jpg").symlink_to(good)
    assert laid_out("trash", tmp_path, data) == "made, 1 of 3 pictures can be read"


def test_a_missing_clone_is_named_and_other_sets_are_laid_out(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "clones" / "houses" / "Houses Dataset" / "7_kitchen.jpg", noise(1))
    monkeypatch.setattr(sys, "argv", ["x", "--clones", str(tmp_path / "clones"), "--data", str(data)])
    mini_more.main()
    said = capsys.readouterr().out
    assert f"voc: left out, since {tmp_path / 'clones' / 'voc'} is missing" in said
    assert "github.com/BernieChen96/ImageClassification" in said
    assert "houses: made, 1 of 1" in said


def test_a_damaged_or_endless_list_is_named(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "clones" / "mulberry" / "EN" / "x.png", noise(1))
    board = tmp_path / "clones" / "cboard" / "src"
    for path in ("api/mulberry-symbols.json", "translations/en-US.json", "translations/ar-SA.json"):
        (board / path).parent.mkdir(parents=True, exist_ok=True)
        (board / path).write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"mulberry-symbols\.json"):
        laid_out("mulberry", tmp_path, data)
    monkeypatch.setattr(mini_more, "LISTING", 1000)
    with pytest.raises(InputError, match="larger than 1,000 bytes"):
        laid_out("mulberry", tmp_path, data)


def test_doubtful_names_stay_where_a_dictionary_has_them(tmp_path: Path, data: Path) -> None:
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path fill="red" d="M0 0H9V9H0z"/></svg>'
    english = {"symbol.cat": "Cat", "symbol.dog": "dog"}
    for key in english:
        file = tmp_path / "clones" / "mulberry" / "EN" / f"{key[7:]}.svg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(drawing)
    listed = [{"id": key, "src": f"/symbols/mulberry/{key[7:]}.svg"} for key in english]
    board = tmp_path / "clones" / "cboard" / "src"
    for path, content in (
        ("api/mulberry-symbols.json", listed),
        ("translations/en-US.json", english),
        ("translations/ar-SA.json", {"symbol.cat": "قطة", "symbol.dog": "قطة"}),
    ):
        (board / path).parent.mkdir(parents=True, exist_ok=True)
        (board / path).write_text(json.dumps(content))
    laid_out("mulberry", tmp_path, data)
    cat, dog = lines(data / "more" / "mulberry")
    assert (cat["label"], cat["class_ar"], cat["caption_en"]) == ("cat", "قطة", ["cat"])
    assert dog["label"] == "dog" and "class_ar" not in dog
    with Image.open(data / "more" / "mulberry" / str(cat["image"])) as drawn:
        assert (drawn.size, drawn.getpixel((100, 100))) == ((224, 224), (255, 0, 0))


def test_things_in_a_picture_are_named_together_and_once_each(tmp_path: Path, data: Path) -> None:
    clone = tmp_path / "clones" / "voc"
    for name in ("1.jpg", "2.jpg"):
        saved(clone / "JPEGImages" / name, noise(1))
    (clone / "HandledText").mkdir()
    boxes = "1.jpg\ncar 1 2 3 4 \nperson 1 2 3 4 \ncar 5 6 7 8 \n3\n"
    (clone / "HandledText" / "annotations.txt").write_text(boxes)
    laid_out("voc", tmp_path, data)
    both, unknown = lines(data / "more" / "voc")
    assert (both["caption_en"], both["class_ar"]) == (["a photo of a car and a person"], "سيارة وشخص")
    assert unknown["caption_en"] == [] and "label" not in unknown


def test_every_label_has_one_name_of_a_set_that_is_known() -> None:
    for name in mini_more.SETS:
        for key, label in mini_more.names_of(name).items():
            assert key and label.label and label.english.isascii(), (name, key)
            assert mini_more.word_key(label.arabic), (name, key)
    rows = [line.split("\t") for line in mini_more.NAMES.read_text(encoding="utf-8").splitlines()[1:]]
    assert {row[0] for row in rows} <= set(mini_more.SETS)
    assert len({(row[0], row[1]) for row in rows}) == len(rows)


# ── what no training may see ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_of_a_held_picture_is_left_out_however_changed(tmp_path: Path) -> None:
    held = {"image": str(saved(tmp_path / "held.png", noise(1)))}
    mirrored = noise(1, (300, 200)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    copies = [saved(tmp_path / "small.jpg", noise(1, (45, 30))), saved(tmp_path / "mirrored.webp", mirrored)]
    others = [saved(tmp_path / f"{seed}.jpg", noise(seed)) for seed in range(2, 8)]
    rows = [{"image": str(path)} for path in [*copies, *others]]
    assert mini_held.without_near(rows, [held]) == rows[2:]
    assert mini_held.without_near(rows, []) == rows
    assert mini_held.without_near([], [held]) == []


def test_a_set_is_split_without_copies_of_measured_pictures(
    tmp_path: Path,
) -> None:
    published, out, measured = tmp_path / "set", tmp_path / "out", {"image": str(saved(tmp_path / "m.png", noise(0)))}
    out.mkdir()
    rows = []
    for seed in range(12):
        saved(published / "images" / f"{seed:02}.jpg", noise(seed))
        row = {"image": f"images/{seed:02}.jpg", "caption_en": [], "split": None}
        rows.append({**row, "label": "Dog", "class_ar": "كلب"} if seed < 10 else row)
    (published / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mini_data.write_more("some", mini_data.sides_of(published), out, [measured], lambda line: None)
    names = {side: [Path(str(row["image"])).stem for row in lines(out / f"some-{side}")] for side in ("train", "held")}
    assert names == {"held": ["04", "09"], "train": ["01", "02", "03", "05", "06", "07", "08", "10", "11"]}
    assert lines(out / "some-train")[0]["caption_ar"] == ["كلب"]
    assert lines(out / "some-train")[-1]["caption_en"] == lines(out / "some-train")[-1]["caption_ar"] == []

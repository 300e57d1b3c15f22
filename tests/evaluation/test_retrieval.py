"""Evaluating encoders: queries, results, and encoders that are refused a score."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import pictures
from araclip import AraCLIP
from araclip.errors import InputError, ModelMismatch, UnsupportedFormat
from araclip.evaluation.retrieval import evaluate
from araclip.evaluation.scores import Evaluated, measures
from araclip.evaluation.sets import PictureSet

COLOURS = {"أحمر": (255, 0, 0), "أخضر": (0, 255, 0), "أزرق": (0, 0, 255)}
Floats = NDArray[np.float32]


class Table:
    """An encoder that looks its vectors up, by text and by the name of a file."""

    def __init__(self, texts: dict[str, list[float]], files: dict[str, list[float]], width: int = 2) -> None:
        self.texts, self.files, self.width = texts, files, width
        self.encoded: list[str] = []

    def encode_text(self, texts: Iterable[str]) -> Floats:
        self.encoded += (listed := list(texts))
        return np.array([self.texts[text] for text in listed], np.float32)

    def encode_image(self, pictures: Iterable[Path]) -> Floats:
        return np.array([self.files[path.name] for path in pictures], np.float32)


@pytest.fixture
def coloured(tmp_path: Path) -> PictureSet:
    files = tuple(pictures.solid(tmp_path / f"{name}.png", colour) for name, colour in COLOURS.items())
    return PictureSet("colours", "dev", "caption_ar", files, tuple((name,) for name in COLOURS), missing=2)


def test_a_model_that_knows_its_colours_finds_them_all(coloured: PictureSet, tiny_model: Path) -> None:
    model = AraCLIP.load(tiny_model)
    found = evaluate(model, coloured)
    assert measures(found.t2i)["R@1"] == measures(found.i2t)["R@1"] == 1.0
    assert (found.name, found.license, found.missing) == ("tiny", "Apache-2.0", 2)
    assert (found.queries, found.owner.tolist(), found.pictures) == (list(COLOURS), [0, 1, 2], coloured.pictures)
    assert (
        found.t2i.found.tolist() == [[0, *r] for r in found.t2i.found[:1, 1:].tolist()] + found.t2i.found[1:].tolist()
    )
    assert (found.t2i.margin > 0.5).all()
    protocol = found.protocol
    assert (protocol.n_queries, protocol.n_images, protocol.model) == (3, 3, model.config.label)
    assert (protocol.dataset, protocol.split, protocol.caption_field, protocol.captions) == (
        "colours", "dev", "caption_ar", "all",
    )  # fmt: skip
    assert found.cost.width == model.width
    assert found.cost.megabytes == pytest.approx(sum(f.stat().st_size for f in tiny_model.iterdir()) / 1e6)
    assert found.cost.text_ms is not None and found.cost.text_ms > 0


def test_any_own_caption_of_a_picture_counts(tmp_path: Path) -> None:
    files = tuple(pictures.solid(tmp_path / f"{name}.png") for name in "abc")
    dataset = PictureSet("set", None, "caption_ar", files, (("قطة", "كلب"), ("كلب",), ()))
    model = Table(
        {"قطة": [0.0, 1.0], "كلب": [1.0, 0.0]}, {"a.png": [1.0, 0.0], "b.png": [0.6, 0.8], "c.png": [0.0, 1.0]}
    )
    found = evaluate(model, dataset, label="table@1")
    assert model.encoded == ["قطة", "كلب"]  # each text once
    assert found.queries == ["قطة", "كلب", "كلب"]
    assert found.t2i.ranks.tolist() == [3, 1, 2]  # «قطة» finds c, then b, then its own a
    assert found.t2i.clusters.tolist() == found.owner.tolist() == [0, 0, 1]
    assert found.i2t.clusters.tolist() == [0, 1]  # c has no caption, so it is no query
    assert found.i2t.ranks.tolist() == [1.5, 2.5]  # a's «كلب» ties with b's, and b's with a's below «قطة»
    assert found.i2t.level.tolist() == [1, 1]
    first = evaluate(model, dataset, label="table@1", captions="first")
    assert (first.queries, first.protocol.captions) == (["قطة", "كلب"], "first")
    assert first.protocol.id != found.protocol.id


def test_vectors_that_are_known_are_not_made_again(coloured: PictureSet, tiny_model: Path) -> None:
    model = AraCLIP.load(tiny_model)
    known = model.encode_image(coloured.pictures)
    nowhere = replace(coloured, pictures=tuple(path.with_suffix(".gone") for path in coloured.pictures))
    found = evaluate(model, nowhere, image_vectors=known)
    assert measures(found.t2i)["R@1"] == 1.0
    assert found.cost.image_ms is None
    with pytest.raises(ModelMismatch, match=r"picture vectors are \(2, 8\), expected \(3, 8\)"):
        evaluate(model, nowhere, image_vectors=known[:2])


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([np.nan, 1.0], "vector of text 0 has length nan, expected 1"),
        ([3.0, 4.0], "vector of text 0 has length 5, expected 1"),
        ([0.0, 0.0], "vector of text 0 has length 0, expected 1"),
        ([1.0], r"text vectors are \(1, 1\), expected \(1, 2\)"),
    ],
)
def test_a_broken_encoder_gets_no_number(tmp_path: Path, vector: list[float], message: str) -> None:
    dataset = PictureSet("set", None, "caption_ar", (pictures.solid(tmp_path / "a.png"),), (("قطة",),))
    with pytest.raises(ModelMismatch, match=message):
        evaluate(Table({"قطة": vector}, {"a.png": [1.0, 0.0]}), dataset, label="broken@0")


def test_a_model_without_label_or_a_set_without_captions_fails(coloured: PictureSet, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="a Table does not say which model it is"):
        evaluate(Table({}, {}), coloured)
    with pytest.raises(InputError, match="none of the 3 pictures has a caption in 'caption_ar'"):
        evaluate(AraCLIP.load(tiny_model), replace(coloured, captions=((), (), ())))


def test_an_encoder_may_say_its_label_and_license_itself(tmp_path: Path) -> None:
    model = Table({"قطة": [1.0, 0.0]}, {"a.png": [1.0, 0.0]})
    model.label, model.license = "مرآة@3f2a", "MIT"  # type: ignore[attr-defined]
    found = evaluate(model, PictureSet("set", None, "ar", (pictures.solid(tmp_path / "a.png"),), (("قطة",),)))
    assert (found.name, found.license, found.protocol.model) == ("مرآة", "MIT", "مرآة@3f2a")


def test_a_picture_that_cannot_be_opened_is_named(coloured: PictureSet, tiny_model: Path) -> None:
    pictures.text_as_picture(coloured.pictures[1])
    with pytest.raises(UnsupportedFormat, match=r"أخضر\.png"):
        evaluate(AraCLIP.load(tiny_model), coloured)


# ------------------------------------------------------------------ the cache


def same(a: Evaluated, b: Evaluated) -> bool:
    """All arrays equal, in type too, and all else as well."""
    ways = [(vars(a.t2i), vars(b.t2i)), (vars(a.i2t), vars(b.i2t))]
    arrays = all(np.array_equal(x[k], y[k]) and x[k].dtype == y[k].dtype for x, y in ways for k in x)
    return arrays and (a.protocol, a.cost, a.queries, a.pictures) == (b.protocol, b.cost, b.queries, b.pictures)


def untimed(found: Evaluated) -> Evaluated:
    return replace(found, cost=replace(found.cost, text_ms=None, image_ms=None))


def test_results_are_kept_under_their_protocol(
    coloured: PictureSet, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, cache = AraCLIP.load(tiny_model), tmp_path / "results" / "cache"
    found = evaluate(model, coloured, cache=cache)
    assert [path.name for path in cache.iterdir()] == [f"{found.protocol.id}.npz"]
    with monkeypatch.context() as patch:
        patch.setattr(AraCLIP, "encode_text", None)
        patch.setattr(AraCLIP, "encode_image", None)
        assert same(evaluate(AraCLIP.load(tiny_model), coloured, cache=cache), untimed(found))
    for other in (replace(coloured, split="test"), replace(coloured, captions=(("أحمر",), ("أخضر",), ("لون",)))):
        assert evaluate(model, other, cache=cache).protocol.id != found.protocol.id
    assert len(list(cache.iterdir())) == 3


def test_a_device_that_rounds_otherwise_has_results_of_its_own(
    coloured: PictureSet, tiny_model: Path, tmp_path: Path
) -> None:
    model = AraCLIP.load(tiny_model)
    found = evaluate(model, coloured, cache=tmp_path)
    model.device = "gpu:1"
    evaluate(model, coloured, cache=tmp_path)
    name = f"{found.protocol.id}.npz"
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npz")} == {name, str(Path("gpu-1", name))}


def test_an_unwritable_cache_is_said_and_loses_no_result(
    coloured: PictureSet, tiny_model: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    (tmp_path / "file").write_text("", encoding="utf-8")
    model = AraCLIP.load(tiny_model)
    found = evaluate(model, coloured, cache=tmp_path / "file" / "cache", log=lines.append)
    assert same(untimed(found), untimed(evaluate(model, coloured)))
    assert [line for line in lines if "are not stored there" in line] == lines and lines


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another"])
def test_damaged_result_is_computed_again_with_line_that_says_so(
    coloured: PictureSet, tiny_model: Path, tmp_path: Path, damage: str
) -> None:
    model = AraCLIP.load(tiny_model)
    found = evaluate(model, coloured, cache=tmp_path)
    other = evaluate(model, replace(coloured, split="test"), cache=tmp_path)
    path = tmp_path / f"{found.protocol.id}.npz"
    whole = path.read_bytes()
    middle = len(whole) // 3
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "flipped": whole[:middle]
            + bytes(255 - byte for byte in whole[middle : middle + 40])
            + whole[middle + 40 :],
            "empty": b"",
            "another": (tmp_path / f"{other.protocol.id}.npz").read_bytes(),
        }[damage]
    )
    lines: list[str] = []
    again = evaluate(model, coloured, cache=tmp_path, log=lines.append)
    assert len(lines) == 1
    assert f"{path} is damaged" in lines[0] and "computed again" in lines[0]
    assert again.t2i.ranks.tolist() == found.t2i.ranks.tolist()
    assert same(evaluate(model, coloured, cache=tmp_path, log=lines.append), untimed(again))
    assert len(lines) == 1


def test_a_protocol_has_another_id_when_anything_differs(coloured: PictureSet, tiny_model: Path) -> None:
    protocol = evaluate(AraCLIP.load(tiny_model), coloured).protocol
    changed = [replace(protocol, **{name: f"{value}x" if isinstance(value, str) else (value or 0) + 1})
               for name, value in vars(protocol).items()]  # fmt: skip
    assert len({p.id for p in [protocol, *changed]}) == len(changed) + 1
    assert len(protocol.id) == 12

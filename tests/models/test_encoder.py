"""AraCLIP over a real model folder, whole and broken."""

import io
import itertools
import json
import pickle
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import pictures
import tiny
from araclip import Gallery
from araclip.core.installed_models import installed
from araclip.errors import ImageError, InputError, ModelMismatch, ModelNotFound, UnsupportedFormat
from araclip.models import folder as model_folder
from araclip.models import inference
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import IMAGE_BATCH, TEXT_BATCH
from araclip.pictures.images import AHEAD

MIXED = ["قطة", "", "سيارة على طاولة في بيت كبير جدا", "red", "قطة وكلب", "house " * 40, "unknown-word", "👩‍🚀"]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> AraCLIP:
    return AraCLIP.load(tiny_model, threads=1)


def is_unit(vectors: NDArray[np.float32]) -> bool:
    return bool(np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6))


# ------------------------------------------------------------------ text


def test_a_model_by_a_relative_path_bears_another_folder(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    loaded = AraCLIP.load(tiny_model.name)
    monkeypatch.chdir(tmp_path)
    assert loaded.encode_text("أحمر").shape == (loaded.width,)
    assert AraCLIP.load(loaded.origin).fingerprint == loaded.fingerprint


def test_texts_become_unit_vectors_of_the_models_width(model: AraCLIP) -> None:
    vectors = model.encode_text(MIXED)
    assert (vectors.shape, vectors.dtype) == ((len(MIXED), model.width), np.float32)
    assert is_unit(vectors)


def test_vectors_come_in_the_order_of_their_texts(model: AraCLIP) -> None:
    together = model.encode_text(MIXED)
    alone = np.concatenate([model.encode_text([text]) for text in MIXED])
    assert np.allclose(together, alone, atol=1e-6)
    assert len(np.unique(together.round(5), axis=0)) > len(MIXED) // 2


@given(st.lists(st.sampled_from(MIXED), max_size=20), st.integers(1, 7))
def test_neither_the_batch_nor_its_size_changes_a_vector(tiny_model: Path, texts: list[str], batch_size: int) -> None:
    model = shared(tiny_model)
    one_by_one = dict(zip(MIXED, model.encode_text(MIXED), strict=True))
    vectors = model.encode_text(texts, batch_size=batch_size)
    assert vectors.shape == (len(texts), model.width)
    assert all(np.allclose(vector, one_by_one[text], atol=1e-6) for text, vector in zip(texts, vectors, strict=True))


def shared(folder: Path, models: dict[Path, AraCLIP] = {}) -> AraCLIP:  # noqa: B006 - one model for all examples
    return models.setdefault(folder, AraCLIP.load(folder, threads=1))


@pytest.mark.parametrize("name", ["tiny", "araclip-mini"])
def test_a_text_tower_opened_for_few_texts_gives_same_vectors(tiny_model: Path, name: str) -> None:
    folder = tiny_model if name == "tiny" else name
    usual, few = AraCLIP(folder, threads=1), AraCLIP(folder, threads=1)
    few.open_text_tower()
    assert np.allclose(few.encode_text(MIXED), usual.encode_text(MIXED), atol=2e-6)


def test_large_graphs_read_few_texts_at_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = AraCLIP(tiny_model, threads=1).encode_text(MIXED * 3)
    monkeypatch.setattr(inference, "SMALL_GRAPH", 0)
    monkeypatch.setattr(inference, "LARGE_TEXTS", 5)
    runs, run = list[int](), inference.OnnxRuntimeSession.run

    def counted(session: inference.OnnxRuntimeSession, inputs: Any) -> Any:
        runs.append(len(inputs["input_ids"]))
        return run(session, inputs)

    monkeypatch.setattr(inference.OnnxRuntimeSession, "run", counted)
    assert np.allclose(AraCLIP(tiny_model, threads=1).encode_text(MIXED * 3), usual, atol=1e-6)
    assert runs == [5, 5, 5, 5, 4]


def test_no_texts_and_no_pictures_give_no_vectors(model: AraCLIP) -> None:
    assert model.encode_text([]).shape == (0, model.width)
    assert model.encode_image(iter([])).shape == (0, model.width)
    assert model.encode_text([]).dtype == np.float32


def test_a_generator_of_texts_is_read_as_needed(model: AraCLIP) -> None:
    taken = itertools.count()
    endless: Iterator[Any] = (number or "قطة" for number in taken)  # one text, then numbers without end
    with pytest.raises(InputError, match="int: 1"):
        model.encode_text(endless)
    assert next(taken) <= TEXT_BATCH * 16


def test_more_texts_than_one_read_holds_are_all_there(model: AraCLIP) -> None:
    vectors = model.encode_text(("red" if number % 2 else "blue" for number in range(75)), batch_size=2)
    assert np.array_equal(vectors.argmax(axis=1), [0 if number % 2 else 2 for number in range(75)])


def test_one_text_gives_one_vector_and_several_give_rows(model: AraCLIP) -> None:
    one = model.encode_text("قطة")
    assert (one.shape, one.dtype) == ((model.width,), np.float32)
    assert np.array_equal(one, model.encode_text(["قطة"])[0])
    assert model.encode_text(text for text in ["قطة"]).shape == (1, model.width)
    assert model.encode_text("").shape == (model.width,)


@pytest.mark.parametrize("texts", [["قطة", 7], [None], [b"cat"], b"cat", None, 3, 0.5])
def test_what_is_neither_a_text_nor_several_is_refused(model: AraCLIP, texts: Any) -> None:
    with pytest.raises(InputError, match="encode_text takes"):
        model.encode_text(texts)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_that_no_batch_can_have_is_refused(model: AraCLIP, batch_size: int) -> None:
    with pytest.raises(InputError, match=f"batch_size is {batch_size},"):
        model.encode_text(["قطة"], batch_size=batch_size)
    with pytest.raises(InputError, match=f"batch_size is {batch_size},"):
        model.encode_image([Image.new("RGB", (4, 4))], batch_size=batch_size)


def test_a_model_that_was_used_can_be_pickled_and_copied(model: AraCLIP) -> None:
    picture = Image.new("RGB", (20, 30), "red")
    text, image = model.encode_text("أحمر"), model.encode_image(picture)
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model)):
        assert np.array_equal(other.encode_text("أحمر"), text)
        assert np.array_equal(other.encode_image(picture), image)


def test_texts_are_normalized_before_they_are_read(model: AraCLIP) -> None:
    plain, *decorated = model.encode_text(["أحمر", "أَحْمَر", "أحـــمر", "\u202bأحمر\u202c", " ا\u0654حمر\n"])
    assert all(np.array_equal(plain, vector) for vector in decorated)
    assert not np.array_equal(plain, model.encode_text(["احمر"])[0])


def test_tokens_past_the_limit_are_cut(model: AraCLIP) -> None:
    room = tiny.MAX_TOKENS - 2  # for <s> and </s>
    short, long, longer = model.encode_text(["cat " * room, "cat " * room + "dog", "cat " * 5000])
    assert np.array_equal(short, long)
    assert np.array_equal(short, longer)


def test_text_that_no_encoding_can_hold_still_has_a_vector(model: AraCLIP) -> None:
    assert is_unit(model.encode_text(["\ud83d", "\x00", "\u200d", "قطة\udcff"]))


# ------------------------------------------------------------------ pictures


@pytest.mark.parametrize("colour", tiny.COLOURS)
def test_a_colour_word_in_either_language_finds_its_picture(model: AraCLIP, tmp_path: Path, colour: str) -> None:
    files = [pictures.solid(tmp_path / f"{name}.png", rgb) for name, rgb in tiny.COLOURS.items()]
    scores = model.encode_text([colour, tiny.ARABIC[colour]]) @ model.encode_image(files).T  # (2, 3)
    assert scores.argmax(axis=1).tolist() == [list(tiny.COLOURS).index(colour)] * 2


def test_pictures_become_unit_vectors_in_their_order(model: AraCLIP, tmp_path: Path) -> None:
    red = pictures.solid(tmp_path / "red.png", pictures.RED)
    black = Image.new("L", (9, 9), 0)
    vectors = model.encode_image([black, red, str(red), Image.open(red), black])
    assert (vectors.shape, vectors.dtype) == ((5, model.width), np.float32)
    assert is_unit(vectors)
    assert np.allclose(vectors[1:4], vectors[1], atol=1e-6)
    assert np.allclose(vectors[0], vectors[4], atol=1e-6)
    assert not np.allclose(vectors[0], vectors[1], atol=0.1)


def test_a_picture_has_the_same_vector_alone_and_in_a_batch(model: AraCLIP) -> None:
    rng = np.random.default_rng(0)
    several = [Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for _ in range(2 * IMAGE_BATCH + 3)]
    together = model.encode_image(several)
    alone = np.concatenate([model.encode_image([picture]) for picture in several])
    assert np.allclose(together, alone, atol=1e-6)
    assert np.allclose(together, model.encode_image(several, batch_size=5), atol=1e-6)


def test_a_bad_picture_raises_an_error_that_names_it(model: AraCLIP, tmp_path: Path) -> None:
    good, bad = pictures.solid(tmp_path / "good.png"), pictures.text_as_picture(tmp_path / "bad.jpg")
    with pytest.raises(UnsupportedFormat, match=r"bad\.jpg"):
        model.encode_image([good, bad, good])


def test_a_generator_of_pictures_is_read_as_needed(model: AraCLIP, tmp_path: Path) -> None:
    taken = itertools.count()
    endless = (tmp_path / f"gone-{number}.jpg" for number in taken)
    with pytest.raises(ImageError, match="gone-0"):
        model.encode_image(endless)
    assert next(taken) <= AHEAD + 1


def test_one_picture_of_any_kind_gives_one_vector(model: AraCLIP, tmp_path: Path) -> None:
    path = pictures.solid(tmp_path / "red.png", pictures.RED)
    with Image.open(path) as image, path.open("rb") as file:
        kinds: list[Any] = [path, str(path), image, np.asarray(image), io.BytesIO(path.read_bytes()), file]
        (expected,) = model.encode_image([path])
        for one in kinds:
            vector = model.encode_image(one)
            assert (vector.shape, vector.dtype) == ((model.width,), np.float32)
            assert np.allclose(vector, expected, atol=1e-6), one


def test_arrays_of_pixels_are_pictures(model: AraCLIP) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    expected = model.encode_image([Image.fromarray(one) for one in pixels])
    assert np.array_equal(model.encode_image(pixels), expected)
    assert np.array_equal(model.encode_image(list(pixels)), expected)
    assert np.array_equal(model.encode_image(pixels[1]), model.encode_image([Image.fromarray(pixels[1])])[0])
    assert np.array_equal(model.encode_image(pixels[0][::-1, ::2]), model.encode_image(pixels[0][::-1, ::2].copy()))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 3), np.int64),
        np.zeros((1, 2, 4, 4, 3), np.uint8),
        np.array(5),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_of_another_shape_or_type_is_refused_with_both(model: AraCLIP, array: Any) -> None:
    with pytest.raises(InputError, match=rf"{array.dtype} is no picture; expected \(height, width, 3\) of uint8"):
        model.encode_image(array)
    with pytest.raises(InputError, match="is no picture"):
        model.encode_image([array])


@pytest.mark.parametrize("entry", [None, 3, object()])
def test_what_is_no_picture_is_refused_by_its_type(model: AraCLIP, entry: Any) -> None:
    for several in (entry, [entry]):
        with pytest.raises(InputError, match=f"encode_image takes pictures, got {type(entry).__name__}"):
            model.encode_image(several)
    assert model.encode_image(np.array([], dtype=str)).shape == (0, model.width)


def test_pixels_of_another_shape_or_type_are_refused(model: AraCLIP) -> None:
    good = np.zeros((2, tiny.SIZE, tiny.SIZE, 3), np.uint8)
    assert model.encode_pixels(good).shape == (2, model.width)
    for bad in (good[0], good[:, 1:], good.astype(np.float32), [1, 2]):
        with pytest.raises(InputError, match=rf"encode_pixels takes an array \(n, {tiny.SIZE}, {tiny.SIZE}, 3\)"):
            model.encode_pixels(bad)  # type: ignore[arg-type]


def test_threads_may_share_a_model_that_nobody_used_before(tiny_model: Path) -> None:
    model, expected = AraCLIP.load(tiny_model), AraCLIP.load(tiny_model).encode_text(MIXED)
    picture = Image.new("RGB", (20, 20), pictures.BLUE)
    start, results = threading.Barrier(4), []

    def encode() -> None:
        start.wait(timeout=60)
        for _ in range(5):
            results.append((model.encode_text(MIXED), model.encode_image([picture])))

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    assert all(np.allclose(texts, expected, atol=1e-6) for texts, _ in results)
    assert all(np.allclose(images, results[0][1], atol=1e-6) for _, images in results)


def test_the_builder_makes_the_same_model_twice(tmp_path: Path) -> None:
    first, again, other, wide = (
        AraCLIP.load(tiny.write_tiny_model(tmp_path / name, **options))
        for name, options in (("a", {}), ("b", {}), ("c", {"seed": 1}), ("d", {"width": 12}))
    )
    assert first.config.label == again.config.label
    assert len({model.config.fingerprint for model in (first, other, wide)}) == 3
    assert wide.encode_text(["قطة"]).shape == (1, 12)
    assert wide.encode_image([Image.new("RGB", (4, 4))]).shape == (1, 12)


# ------------------------------------------------------------------ which model is meant


def test_a_model_is_named_by_name_path_text_or_itself(tiny_model: Path) -> None:
    model = AraCLIP(tiny_model, threads=1)
    assert AraCLIP.load(model) is model
    for found in (AraCLIP(str(tiny_model)), AraCLIP.load(tiny_model), AraCLIP.load(str(tiny_model))):
        assert (found.name, found.fingerprint, found.label) == (model.name, model.fingerprint, model.label)
    assert (model.name, model.image_size, model.threads) == ("tiny", tiny.SIZE, 1)
    assert model.label == f"tiny@{model.fingerprint}" == model.config.label


class Foreign:
    """An encoder with all members of the protocol that inherits nothing of ours."""

    name, fingerprint, label, license = "foreign", "f" * 12, "foreign@ffffffffffff", None
    width, image_size, threads = 3, 4, 1

    def encode_text(self, texts: str | Iterable[str], *, batch_size: int = 1) -> NDArray[np.float32]:
        count = 1 if isinstance(texts, str) else len(list(texts))
        return np.eye(3, dtype=np.float32)[np.zeros(count, int)]

    def encode_image(self, pictures: Any, *, batch_size: int = 1) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[[0 for _ in pictures]]

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[pixels.mean(axis=(1, 2)).argmax(axis=1)]


def test_any_encoder_is_a_model_and_a_gallery_searches_with_it(tmp_path: Path) -> None:
    encoder = Foreign()
    assert AraCLIP.load(encoder) is encoder
    for name, colour in (("red", pictures.RED), ("blue", pictures.BLUE)):
        pictures.solid(tmp_path / "pictures" / f"{name}.png", colour)
    with Gallery.open(tmp_path / "g", model=encoder, create=True) as gallery:
        gallery.update([tmp_path / "pictures"])
        assert [Path(hit.path).stem for hit in gallery.search("أحمر", k=1)] == ["red"]


@pytest.mark.parametrize("model", [None, 3, b"araclip-mini", ["araclip-mini"], object(), AraCLIP])
def test_what_names_no_model_is_refused_by_its_type(model: Any, tmp_path: Path) -> None:
    doors: list[Callable[[Any], object]] = [AraCLIP.load, AraCLIP]
    if model is not None:  # which is the gallery's own model
        doors.append(lambda it: Gallery.open(tmp_path / "g", model=it, create=True))
    for use_it in doors:
        with pytest.raises(InputError, match=rf"a {type(model).__name__} (is no|names no) model"):
            use_it(model)


def test_the_members_that_an_encoder_lacks_are_named() -> None:
    class Half:
        name = label = "half"

        def encode_text(self, texts: Any) -> None: ...

    with pytest.raises(InputError, match="lacks encode_image, encode_pixels, fingerprint, image_size, license, thr"):
        AraCLIP.load(Half())  # type: ignore[arg-type]


def test_a_model_shows_what_it_is(model: AraCLIP) -> None:
    assert repr(model) == f"<AraCLIP {model.label}: 8-wide vectors, {tiny.SIZE} × {tiny.SIZE} pixels>"


# ------------------------------------------------------------------ broken folders


def use(folder: Path) -> None:
    """Every public method of a model."""
    model = AraCLIP.load(folder)
    model.encode_text(["قطة"])
    model.encode_image([Image.new("RGB", (4, 4))])


def change(**fields: Any) -> Callable[[Path], None]:
    """Replace fields of config.json; text__pad_id means the field pad_id of text."""

    def break_it(folder: Path) -> None:
        config = tiny.read_config(folder)
        for name, value in fields.items():
            *inside, last = name.split("__")
            (config[inside[0]] if inside else config)[last] = value
        tiny.write_config(folder, config)

    return break_it


def remove(*fields: str) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        config = tiny.read_config(folder)
        tiny.write_config(folder, {name: value for name, value in config.items() if name not in fields})

    return break_it


def overwrite(part: str, content: bytes, *, rehash: bool = False) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        (folder / part).write_bytes(content)
        if rehash:
            tiny.rehash(folder)

    return break_it


def part_of_another_model(part: str, *, rehash: bool, **options: Any) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        other = tiny.write_tiny_model(folder.parent / "other", **options)
        shutil.copy(other / part, folder / part)
        if rehash:
            tiny.rehash(folder)

    return break_it


def swap_graphs(folder: Path) -> None:
    text, image = (folder / "text.onnx").read_bytes(), (folder / "image.onnx").read_bytes()
    (folder / "text.onnx").write_bytes(image)
    (folder / "image.onnx").write_bytes(text)
    tiny.rehash(folder)


def test_the_folder_of_a_stage_is_told_apart_from_a_broken_copy(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for folder in (tmp_path, tmp_path / "model"):
        (folder / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelMismatch, match=r"is a stage of a training run, no model folder. Name .*/model, or export"):
        AraCLIP(tmp_path)


@pytest.mark.parametrize("part", model_folder.PARTS)
def test_a_missing_part_is_named(copy: Path, part: str) -> None:
    (copy / part).unlink()
    with pytest.raises(ModelMismatch, match=rf"{part} missing.*Copy the folder again"):
        AraCLIP.load(copy)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (overwrite("config.json", b"{"), ["config.json", "not valid JSON"]),
        (overwrite("config.json", b"\xff\xfe"), ["config.json", "not valid JSON"]),
        (overwrite("config.json", b"[]"), ["config.json", "list", "object"]),
        (change(format=3), ["format 3", "reads format 2", "Install"]),
        (remove("format"), ["format None", "reads format 2"]),
        (change(text__normalizer=99), ["normaliser 99", f"has {model_folder.NORMALIZER_VERSION}", "Install"]),
        (change(colour="red"), ["unknown field colour", "ModelConfig"]),
        (change(text__colour="red"), ["unknown field colour", "TextConfig"]),
        (change(image__colour="red"), ["unknown field colour", "ImageConfig"]),
        (remove("license"), ["license", "missing"]),
        (remove("text"), ["TextConfig", "None"]),
        (change(text=[]), ["TextConfig", "[]"]),
        (change(image="squash"), ["ImageConfig", "squash"]),
        (change(width=0), ["width is 0", "positive"]),
        (change(width="8"), ["width is '8'", "positive"]),
        (change(image__size=-1), ["image.size is -1", "positive"]),
        (change(matryoshka=[9]), ["matryoshka is (9,)", "1 to 8"]),
        (change(matryoshka=[4, 2]), ["matryoshka is (4, 2)", "rising"]),
        (change(matryoshka="4"), ["matryoshka is '4'", "1 to 8"]),
        (change(text__max_tokens=1.5), ["text.max_tokens is 1.5", "positive"]),
        (change(files={}), ["no hash of", "text.onnx", "Export"]),
        (change(files=5), ["files is 5", "hashes"]),
        (change(files=dict.fromkeys(model_folder.HASHED, 5)), ["files is", "hashes"]),
        (change(width=9), ["text.onnx", "makes 8-wide", "says 9"]),
        (change(image__size=32), ["image.onnx", "16", "32"]),
        (part_of_another_model("text.onnx", rehash=True, width=12), ["text.onnx", "12-wide", "says 8"]),
        (part_of_another_model("image.onnx", rehash=True, width=12), ["image.onnx", "12-wide", "says 8"]),
        (part_of_another_model("text.onnx", rehash=False, seed=1), ["text.onnx", "has hash", "config.json says"]),
        (part_of_another_model("image.onnx", rehash=False, seed=1), ["image.onnx", "has hash", "config.json says"]),
        (overwrite("tokenizer.json", b"{}"), ["tokenizer.json", "has hash", "config.json says"]),
        (overwrite("tokenizer.json", b"{}", rehash=True), ["tokenizer.json", "cannot be read", "Export"]),
        (overwrite("text.onnx", b"garbage", rehash=True), ["text.onnx", "cannot be opened", "Export"]),
        (overwrite("image.onnx", b"garbage", rehash=True), ["image.onnx", "cannot be opened", "Export"]),
        (overwrite("image.onnx", b"", rehash=True), ["image.onnx", "cannot be opened", "Export"]),
        (swap_graphs, ["text.onnx", "input_ids", "pixels"]),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) else "",
)
def test_contradiction_names_folder_both_sides_and_remedy(
    copy: Path, break_it: Callable[[Path], None], says: list[str]
) -> None:
    break_it(copy)
    with pytest.raises(ModelMismatch) as caught:
        use(copy)
    message = str(caught.value)
    assert str(copy) in message
    assert [words for words in says if words not in message] == []
    assert any(remedy in message.lower() for remedy in ("copy the", "export the", "install the", "compare", "expected"))


def test_a_whole_copy_works_and_has_the_same_fingerprint(copy: Path, model: AraCLIP) -> None:
    use(copy)
    assert AraCLIP.load(copy).config.label == model.config.label
    assert model.config.label.startswith("tiny@")


def test_text_only_use_never_opens_the_image_graph(copy: Path) -> None:
    overwrite("image.onnx", b"garbage")(copy)
    assert AraCLIP.load(str(copy)).encode_text(["قطة"]).shape == (1, 8)


def test_unknown_name_is_refused_with_models_on_this_machine(tmp_path: Path) -> None:
    known = ", ".join(installed()) or "none"
    for name in ("araclip-huge", str(tmp_path / "nowhere")):
        with pytest.raises(ModelNotFound) as caught:
            AraCLIP.load(name)
        assert f"'{name}'" in str(caught.value)
        assert f"({known})" in str(caught.value)


def test_folder_without_model_is_refused_with_list_of_parts(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match=r"a model folder holds config\.json, tokenizer\.json"):
        AraCLIP.load(tmp_path)


def test_the_config_survives_the_round_trip(tiny_model: Path) -> None:
    raw = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    config = model_folder.read_config(tiny_model)
    assert (config.name, config.width, config.text.max_tokens) == (raw["name"], raw["width"], raw["text"]["max_tokens"])
    assert config.image.mean == (0.0, 0.0, 0.0)

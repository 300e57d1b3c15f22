"""The model folder: other ways to prepare texts and pictures, weights in files of their own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from PIL import Image

import hostile_folders as hostile
import tiny
from araclip import AraCLIP
from araclip.errors import ModelMismatch
from araclip.gallery.ingest.intake import commit_every
from araclip.models import folder as model_folder
from araclip.models import inference
from araclip.models.checks import check_model_folder
from araclip.pictures.images import squares_ahead

PAD = 3


def without_mask(model: onnx.ModelProto) -> None:
    """A text graph that averages over all tokens, padding included."""
    (mask,) = (node for node in model.graph.input if node.name == "attention_mask")
    model.graph.input.remove(mask)
    model.graph.node.insert(0, helper.make_node("Equal", ["input_ids", "input_ids"], ["attention_mask"]))


def siglip(folder: Path) -> Path:
    """As SigLIP's texts are fed: padded to one length with a given id, no mask, not normalised."""
    hostile.graph("text.onnx", without_mask)(folder)
    hostile.config(text__padding="max_length", text__attention_mask=False, text__pad_id=PAD, text__normalizer=0)(folder)
    return folder


def test_texts_are_padded_with_the_given_id_and_no_mask(copy: Path) -> None:
    model = AraCLIP(siglip(copy), threads=1)
    texts = ["قطة", "", "house " * 40, "سيارة على طاولة"]
    session = onnxruntime.InferenceSession(str(copy / "text.onnx"))
    assert [node.name for node in session.get_inputs()] == ["input_ids"]
    ids = np.full((len(texts), tiny.MAX_TOKENS), PAD)
    for row, encoding in zip(ids, model._text.tokenizer.encode(tuple(texts)), strict=True):
        row[: len(encoding.ids)] = encoding.ids
    assert np.allclose(model.encode_text(texts), session.run(None, {"input_ids": ids})[0], atol=1e-6)
    assert np.allclose(model.encode_text(texts[0]), model.encode_text(texts)[0], atol=1e-6)


def test_without_normaliser_text_reaches_tokenizer_as_typed(copy: Path) -> None:
    hostile.config(text__normalizer=0)(copy)
    plain, decorated = AraCLIP(copy, threads=1).encode_text(["أحمر", "أَحْمَر"])  # whose word is unknown
    assert not np.allclose(plain, decorated)


@pytest.mark.parametrize("changed", [
    {"text__padding": "max_length"}, {"text__normalizer": 0}, {"image__resize": "shortest"},
    {"image__interpolation": "lanczos"}, {"text__attention_mask": False}, {"image__reduction": "exact"},
    {"image__crop_offset": "floor"},
])  # fmt: skip
def test_another_preparation_is_another_model_and_facts_are_not(copy: Path, changed: dict[str, Any]) -> None:
    before = model_folder.read_config(copy)
    hostile.config(source={"id": "org/name", "revision": "abc"}, languages=["ar", "en"])(copy)
    assert model_folder.read_config(copy).fingerprint == before.fingerprint
    hostile.config(**changed)(copy)
    assert model_folder.read_config(copy).fingerprint != before.fingerprint


@pytest.mark.parametrize(("changed", "says"), [
    ({"text__padding": "left"}, "text.padding is 'left', expected one of longest, max_length"),
    ({"text__attention_mask": 1}, "text.attention_mask is 1, expected true or false"),
    ({"text__normalizer": 2}, "normaliser 2"),
    ({"image__resize": "longest"}, "image.resize is 'longest', expected one of squash, shortest"),
    ({"image__interpolation": "box"}, "image.interpolation is 'box'"),
    ({"image__reduction": 2}, "image.reduction is 2, expected one of blocks, exact"),
    ({"image__crop_offset": None}, "image.crop_offset is None"),
    ({"source": ["x"]}, "source is"), ({"source": {"id": "a\x1b[2J"}}, "source is"),
    ({"languages": []}, "languages is"), ({"languages": "ar"}, "languages is"), ({"languages": [1]}, "languages is"),
])  # fmt: skip
def test_a_field_that_cannot_be_so_is_named(copy: Path, changed: dict[str, Any], says: str) -> None:
    hostile.config(**changed)(copy)
    with pytest.raises(ModelMismatch) as caught:
        AraCLIP(copy)
    assert says in str(caught.value)


@pytest.mark.parametrize("change", [lambda folder: None, siglip, hostile.config(languages=["ar"])])
def test_a_configuration_that_is_written_is_read_as_it_was(copy: Path, change: Callable[[Path], Any]) -> None:
    change(copy)
    config = model_folder.read_config(copy)
    model_folder.write_config(copy, replace(config, files=model_folder.hashes(copy)))
    assert model_folder.read_config(copy) == config


def test_a_folder_encodes_alike_whatever_it_was_made_of(copy: Path) -> None:
    before = AraCLIP(copy)
    hostile.config(source={"id": "org/name"})(copy)
    stated = AraCLIP(copy)
    assert (stated.image_transform, stated.fingerprint) == (before.image_transform, before.fingerprint)


def test_an_input_that_config_json_does_not_declare_is_named(copy: Path) -> None:
    hostile.config(text__attention_mask=False)(copy)
    with pytest.raises(ModelMismatch, match=r"takes attention_mask, which config\.json does not declare"):
        AraCLIP(copy).encode_text("قطة")


@pytest.mark.parametrize("part", ["text.onnx", "image.onnx"])
def test_weights_beside_the_graph_are_used_and_hashed(copy: Path, part: str, tiny_model: Path) -> None:
    hostile.data_file(part)(copy)
    assert (copy / part).stat().st_size < (tiny_model / part).stat().st_size
    config = check_model_folder(copy)
    assert config.data_files == (f"{part}.data",)
    assert config.fingerprint != model_folder.read_config(tiny_model).fingerprint
    texts, picture = ["قطة", "red"], Image.new("RGB", (9, 5), "red")
    assert np.array_equal(AraCLIP(copy).encode_text(texts), AraCLIP(tiny_model).encode_text(texts))
    assert np.array_equal(AraCLIP(copy).encode_image(picture), AraCLIP(tiny_model).encode_image(picture))
    (copy / f"{part}.data").write_bytes(bytes(8 * len(tiny.VOCABULARY)))
    changed = AraCLIP(copy)
    with pytest.raises(ModelMismatch, match=rf"{part}\.data has hash"):
        changed.encode_text("قطة") if part == "text.onnx" else changed.encode_image(picture)


def test_large_pictures_are_run_a_few_at_a_time(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert inference.rows_per_run(224, 30_000_000) == 16
    assert [inference.rows_per_run(size, 370_000_000) for size in (224, 256, 384, 512)] == [4, 3, 1, 1]
    assert (squares_ahead(224), squares_ahead(512)) == (32, 6)
    assert (commit_every(224), commit_every(512)) == (128, 24)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    together = AraCLIP(copy, threads=1).encode_pixels(pixels)
    monkeypatch.setattr(inference, "SMALL_ROWS", 3)
    assert np.allclose(AraCLIP(copy, threads=1).encode_pixels(pixels), together, atol=1e-6)
    assert AraCLIP(copy, threads=1).encode_pixels(pixels[:0]).shape == (0, 8)

"""AraCLIPProcessor makes the squares that `AraCLIP.load` sees: with the model's own resize, filter and scaling."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.nn.functional import normalize as l2_normalize
from transformers import CLIPImageProcessor, ViTImageProcessor

import tiny_hf
from araclip import AraCLIP, AraCLIPModel, AraCLIPProcessor
from araclip.errors import ModelMismatch
from araclip.models import folder as model_folder
from araclip.pictures.image_transform import transform_of
from araclip.training.export import export as exporting
from araclip.training.export.export import export
from tiny_hf import SIZE

pytestmark = pytest.mark.usefixtures("traced_quickly")

SQUARE = {"height": SIZE, "width": SIZE}
CROP: dict[str, Any] = {"size": {"shortest_edge": SIZE}, "crop_size": SQUARE}
SCALING: dict[str, Any] = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "trained here": (ViTImageProcessor(size=SQUARE, resample=3, **SCALING), {}),
    "bilinear, as published": (ViTImageProcessor(size=SQUARE, resample=2, **SCALING), {"reduction": "exact"}),
    "the middle, lanczos": (CLIPImageProcessor(**CROP, resample=1, **SCALING), {}),
}


def pictures() -> list[Image.Image]:
    """Noise of odd sizes, four times as large as the square, transparent, grey, and lying on its side."""
    rng = np.random.default_rng(3)
    sizes = ((33, 51), (60, 17), (SIZE, SIZE), (SIZE + 3, SIZE), (9, 5), (6 * SIZE + 1, 5 * SIZE))
    noise = [Image.fromarray(rng.integers(0, 256, (high, wide, 3), dtype=np.uint8)) for wide, high in sizes]
    lying = noise[0].copy()
    lying.getexif()[ExifTags.Base.Orientation] = 6
    clear = Image.fromarray(rng.integers(0, 256, (40, 30, 4), dtype=np.uint8))
    return [*noise, lying, clear, noise[1].convert("L")]


@pytest.fixture(scope="module", params=WAYS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    images, settings = WAYS[request.param]
    processor = AraCLIPProcessor(images, tiny_hf.tiny_tokenizer(), **settings)
    return tiny_hf.saved(tmp_path_factory.mktemp("saved") / "model", tiny_hf.model_of_distinct_weights(), processor)


@torch.inference_mode()
def through_the_processor(folder: Path, images: Any) -> np.ndarray[Any, Any]:
    model, processor = AraCLIPModel.from_pretrained(folder).eval(), AraCLIPProcessor.from_pretrained(folder)
    vectors = model.get_image_features(**processor(images=images, return_tensors="pt")).pooler_output
    return l2_normalize(vectors, dim=-1).numpy()


def test_saved_model_and_its_export_see_pixels_of_araclip_load(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "SECONDS", 0.0)  # no need to measure speed
    export(saved, tmp_path / "exported", weights="float32")
    exported, library = AraCLIP.load(tmp_path / "exported"), AraCLIP.load(saved)
    wanted = exported.encode_image(pictures())
    for found in (
        library.encode_image(pictures()),
        library.encode_pixels(np.stack([transform_of(library).pixels(one.convert("RGB")) for one in pictures()[:6]])),
        through_the_processor(saved, pictures()),
        through_the_processor(tmp_path / "exported", pictures()),
        through_the_processor(saved, [np.asarray(one) for one in pictures()[:6]]),
    ):
        np.testing.assert_allclose(found, wanted[: len(found)], atol=2e-6, rtol=0)
    made = [
        AraCLIPProcessor.from_pretrained(folder)(images=pictures(), return_tensors="np")["pixel_values"]
        for folder in (saved, tmp_path / "exported")
    ]
    np.testing.assert_allclose(*made, atol=1e-6)
    image, how = model_folder.read_config(tmp_path / "exported").image, AraCLIPProcessor.from_pretrained(saved)
    assert image == replace(how.preprocessing, tower="vit")
    assert transform_of(library) == transform_of(exported) == how.preprocessing.transform


def test_a_resize_keyword_is_left_to_the_image_processor() -> None:
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8))
    processor = tiny_hf.tiny_processor()
    for asked in ({"do_resize": False}, {"size": {"height": 16, "width": 16}}, {"resample": 0}):
        given = processor(images=wide, return_tensors="np", **asked)["pixel_values"]
        np.testing.assert_array_equal(
            given, processor.image_processor(wide, return_tensors="np", **asked)["pixel_values"]
        )
    tensor = torch.tensor(np.asarray(wide)).permute(2, 0, 1)
    for images in (tensor, [tensor], np.array(wide).transpose(2, 0, 1)):
        assert processor(images=images, return_tensors="np")["pixel_values"].shape == (1, 3, SIZE, SIZE)
    many = processor(images=np.stack([np.asarray(wide)] * 3), return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(many[1], processor(images=wide, return_tensors="np")["pixel_values"][0])


def test_a_reduction_that_is_unknown_is_refused() -> None:
    with pytest.raises(ModelMismatch, match="reduction is 'some', known are blocks, exact"):
        tiny_hf.tiny_processor(reduction="some")


def test_a_folders_processor_with_an_oblong_crop_still_works() -> None:
    settings: dict[str, Any] = {"size": {"shortest_edge": 40}, "crop_size": SQUARE}
    processor = AraCLIPProcessor(CLIPImageProcessor(**settings), tiny_hf.tiny_tokenizer())
    wanted = CLIPImageProcessor(**settings)(pictures()[0], return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(processor(images=pictures()[0], return_tensors="np")["pixel_values"], wanted)

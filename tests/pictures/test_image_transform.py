"""The square of a picture: torchvision's on pictures of odd sizes, and the same wherever a picture comes from."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from transformers import CLIPImageProcessor, SiglipImageProcessor

import hostile_folders as hostile
import tiny
from araclip import AraCLIP, Gallery
from araclip.models.encoder_base import EncoderBase
from araclip.models.folder import INTERPOLATIONS
from araclip.pictures.image_transform import ImageTransform, transform_of
from araclip.server.decoding import worker
from araclip.training.model.foreign import on_pillow

SIZES = [(1, 500), (500, 1), (37, 501), (501, 37), (225, 224), (1001, 333), (640, 481), (3000, 2000), (1, 1)]
PIL_NUMBERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}


def blobs(width: int, height: int) -> Image.Image:
    """A smooth picture of any size."""
    small = np.random.default_rng(width * height).integers(0, 256, (height // 9 + 2, width // 9 + 2, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_square_is_what_torchvision_makes_as_open_clip_calls_it(size: tuple[int, int]) -> None:
    picture = blobs(*size)
    for interpolation in INTERPOLATIONS:
        mode, side = InterpolationMode(interpolation), 64
        crop = Compose([Resize(side, mode), CenterCrop((side, side))])
        for resize, reference in (("squash", Resize((side, side), mode)), ("shortest", crop)):
            made = ImageTransform(side, resize, interpolation, None).pixels(picture)
            assert np.array_equal(made, np.asarray(reference(picture))), (resize, interpolation)


@pytest.mark.parametrize("size", [(37, 501), (225, 224), (640, 481), (67, 64), (64, 71)], ids=str)
def test_a_square_is_what_transformers_makes_with_pillow(size: tuple[int, int]) -> None:
    picture, side = blobs(*size), 64
    for interpolation in INTERPOLATIONS:
        plain = {"resample": PIL_NUMBERS[interpolation], "do_normalize": False, "do_rescale": False}
        crop = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}, **plain)
        squash = SiglipImageProcessor(size={"height": side, "width": side}, **plain)
        for resize, processor in (("squash", squash), ("shortest", crop)):
            made = ImageTransform(side, resize, interpolation, None, "floor").pixels(picture)
            assert np.array_equal(made, pixels_of(on_pillow(processor), picture)), (resize, interpolation)
            if interpolation != "nearest":  # of two equally near, tensors take the other
                apart = np.abs(made.astype(int) - pixels_of(processor, picture).astype(int))
                assert apart.max() <= 3 and apart.mean() < 0.3, (resize, interpolation)


def pixels_of(processor: Any, picture: Image.Image) -> Any:
    return np.asarray(processor(images=picture, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)


def test_a_picture_of_any_length_costs_the_memory_of_its_square() -> None:
    picture = Image.new("RGB", (60_000, 1), "red")
    picture.paste((0, 0, 255), (29_990, 0, 30_010, 1))
    middle = ImageTransform(224, "shortest", "bicubic", None).pixels(picture)
    assert middle.shape == (224, 224, 3)
    assert (middle[..., 2] == 255).all()


@pytest.fixture(params=["shortest", "squash"])
def model(request: Any, tmp_path: Path) -> AraCLIP:
    """A model that sees pictures in one of the two ways, without blocks."""
    folder = tiny.write_tiny_model(tmp_path / "model")
    hostile.config(image__resize=request.param, image__interpolation="lanczos")(folder)
    return AraCLIP(folder, threads=1)


def test_files_uploads_and_queries_are_seen_as_the_model_does(model: AraCLIP, tmp_path: Path) -> None:
    wide = Image.new("RGB", (90, 30), "red")
    wide.paste((0, 255, 0), (30, 0, 60, 30))
    path = tmp_path / "pictures" / "wide.png"
    path.parent.mkdir()
    wide.save(path)
    expected = model.encode_image(wide)
    green = model.encode_text("green") @ expected
    assert (green > 0.9) == (model.config.image.resize == "shortest")  # the red edges are cut off
    gallery = Gallery.open(tmp_path / "gallery", model=model, create=True)
    gallery.update([path.parent])
    assert gallery.search(path)[0].score == pytest.approx(1, abs=1e-3)
    assert gallery.search("green")[0].score == pytest.approx(float(green), abs=2e-3)
    (added,) = gallery.add([wide]).paths
    (other,) = (hit for hit in gallery.search("green", k=5) if hit.path == added)
    assert other.score == pytest.approx(float(green), abs=0.02)  # a JPEG
    _, (pixels, _) = worker.read(path.read_bytes(), vars(model.image_transform))
    assert np.array_equal(np.frombuffer(pixels, np.uint8), model.image_transform.pixels(wide).ravel())


def test_encoder_that_says_nothing_of_it_gets_squashed_pictures(model: AraCLIP) -> None:
    class Foreign:
        image_size = 16

    assert transform_of(Foreign()) == ImageTransform(16, "squash", "bicubic", 2.0)
    assert transform_of(model) is model.image_transform
    assert issubclass(AraCLIP, EncoderBase)


def test_a_folder_of_format_1_sees_pictures_as_before(tiny_model: Path) -> None:
    assert AraCLIP(tiny_model).image_transform == ImageTransform(tiny.SIZE, "squash", "bicubic", 2.0)


def test_a_jpeg_decoded_at_a_fraction_gives_nearly_that_square() -> None:
    written = io.BytesIO()
    blobs(2400, 1800).save(written, "JPEG", quality=92)
    for resize in ("squash", "shortest"):
        transform = ImageTransform(224, resize, "bicubic", None)
        (_, (pixels, _)), whole = worker.read(written.getvalue(), vars(transform)), Image.open(written)
        made = np.frombuffer(pixels, np.uint8).reshape(224, 224, 3).astype(int)
        assert np.abs(made - transform.pixels(whole).astype(int)).mean() < 1

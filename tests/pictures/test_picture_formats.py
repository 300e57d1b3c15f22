"""Formats beyond the usual ones: HEIC, AVIF, JPEG XL, JPEG 2000, RAW; and files that are not read, counted by kind."""

import asyncio
import io
import json
import random
from pathlib import Path

import numpy as np
import pylibjxl
import pytest
from PIL import ExifTags, Image

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import EmptyFolder, ImageError, ImageTooLarge, UnsupportedFormat
from araclip.gallery.ingest.scan import unread_kind, unread_line
from araclip.pictures import formats, limits, plugins
from araclip.pictures.images import open_image, open_with_facts
from araclip.server.decoding.sandbox import Sandbox
from araclip.server.settings import Settings
from raw_files import dng, preview
from serving import encoded

HEIC = Path(__file__).parents[1] / "samples" / "turned.heic"  # made for these tests; irot and EXIF both say: turn it
Damage = tuple[str, bytes]


def jxl(picture: np.ndarray, orientation: int = 1) -> bytes:  # type: ignore[type-arg]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = orientation, "Canon"
    return bytes(pylibjxl.encode(np.ascontiguousarray(picture), exif=exif.tobytes(), effort=3))


def striped() -> np.ndarray:  # type: ignore[type-arg]
    """(48, 64, 3), black with a red corner top left."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:12, :16] = pictures.RED
    return picture


def every_kind() -> dict[str, bytes]:
    picture = Image.fromarray(striped())
    return {
        "HEIF": HEIC.read_bytes(),
        "AVIF": encoded(picture, "AVIF"),
        "JXL": jxl(striped()),
        "JPEG2000": encoded(picture, "JPEG2000"),
        "RAW": dng(preview()),
    }


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JXL", "JPEG2000", "RAW"])
@pytest.mark.parametrize("size", [None, 20])
def test_picture_of_every_further_format_is_read_by_its_content(kind: str, size: int | None, tmp_path: Path) -> None:
    path = pictures.written(tmp_path / "a.jpg", every_kind()[kind])
    with open_with_facts(path, size) as (image, facts):
        assert image.mode == "RGB"
        assert facts.format == kind
        assert (facts.width < facts.height) == (image.width < image.height)


def test_a_heic_whose_box_and_exif_both_turn_it_is_turned_once() -> None:
    with open_with_facts(HEIC) as (image, facts):
        assert image.size == (facts.width, facts.height) == (64, 96)
        red = np.asarray(image, int)[:, :, 0] > 150
    assert red[:30, -20:].all()  # top left as stored, top right after a turn to the right
    assert red.sum() < 1000
    assert (facts.camera, facts.latitude, facts.captured_at) == ("Canon EOS R5", 24.7, "2023-05-17T18:30:00")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_avif_and_a_raw_are_put_upright(orientation: int) -> None:
    turned = orientation in (6, 8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    with open_with_facts(io.BytesIO(encoded(Image.fromarray(striped()), "AVIF", exif=exif, quality=95))) as (
        image,
        facts,
    ):
        assert image.size == (facts.width, facts.height) == ((48, 64) if turned else (64, 48))
        corner = {3: (60, 44), 6: (44, 4), 8: (4, 60)}[orientation]
        assert image.getpixel(corner)[0] > 200  # type: ignore[index]
    with open_with_facts(io.BytesIO(dng(preview(), orientation=orientation))) as (image, facts):
        assert image.size == ((480, 640) if turned else (640, 480))
        assert (facts.width, facts.height) == ((48, 64) if turned else (64, 48))  # of the sensor
        corner = {3: (630, 470), 6: (470, 10), 8: (10, 630)}[orientation]
        assert image.getpixel(corner)[2] > 150  # type: ignore[index]
    with open_with_facts(io.BytesIO(jxl(striped(), orientation))) as (image, facts):
        assert image.size == (facts.width, facts.height) == (64, 48)
        assert facts.camera == "Canon"


@pytest.mark.parametrize(
    "picture",
    [striped()[:, :, 0], striped().astype(np.uint16) * 257, np.dstack([striped(), striped()[:, :, 0]])],
    ids=["grey", "16 bits", "transparent"],
)
def test_jpeg_xl_of_every_kind_of_pixel_is_read(picture: np.ndarray) -> None:  # type: ignore[type-arg]
    image = open_image(io.BytesIO(jxl(picture)))
    assert (image.mode, image.size) == ("RGB", (64, 48))
    assert image.getpixel((4, 4))[0] > 200  # type: ignore[index]


def test_a_raw_without_a_preview_is_developed_at_half_size() -> None:
    with open_with_facts(io.BytesIO(dng(None, (400, 300)))) as (image, facts):
        assert (image.size, facts.width, facts.height, facts.camera) == ((200, 150), 400, 300, "Canon Test R5")


def test_a_tiff_of_a_camera_without_sensor_data_stays_a_tiff(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Canon"
    Image.new("RGB", (40, 30)).save(tmp_path / "a.tif", exif=exif)
    with open_with_facts(tmp_path / "a.tif") as (_, facts):
        assert (facts.format, facts.camera) == ("TIFF", "Canon")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JXL", "JPEG2000", "RAW"])
def test_pixels_beyond_the_limit_are_refused_by_the_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PIXELS", 3000)
    with pytest.raises(ImageTooLarge, match="megapixels, the limit"):
        open_image(io.BytesIO(every_kind()[kind]), name="a")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JXL", "JPEG2000", "RAW"])
def test_damage_is_an_error_of_ours(kind: str) -> None:
    whole, drawn = every_kind()[kind], random.Random(3)
    for number in range(40):
        content = bytearray(whole)
        if number % 2:
            content = content[: drawn.randrange(len(content))]
        else:
            for _ in range(4):
                content[drawn.randrange(len(content))] = drawn.randrange(256)
        try:
            open_image(io.BytesIO(bytes(content) or b"\0"), 20)
        except ImageError as error:
            assert "uploaded picture" in str(error)


# ------------------------------------------------------------------ what is not read


def test_a_picture_of_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats.Extra, "installed", property(lambda extra: False))
    monkeypatch.setattr(plugins, "readable_formats", lambda: tuple(formats.ALWAYS))
    with pytest.raises(UnsupportedFormat, match=r"HEIC is read by another package. pip install 'araclip\[heic\]'"):
        open_image(HEIC)


def test_files_that_are_not_read_are_counted_by_kind(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AraCLIP.load(tiny_model, threads=1)
    root = tmp_path / "pictures"
    pictures.solid(root / "red.png")
    for name in ("a.psd", "b.PSD", "c.svg", "notes.docx", ".hidden.psd", "d.heic"):
        (root / name).write_bytes(b"8BPS")
    (root / "e.heic").write_bytes(HEIC.read_bytes())
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        report = gallery.update([root])
        assert report.unread == {"Photoshop": 2, "SVG": 1}
        assert report.pictures == 2
        assert gallery.update_at([str(root / "c.svg")], [root]).unread == {"SVG": 1}

        monkeypatch.setattr("araclip.gallery.ingest.scan.SUFFIXES", frozenset({".png"}))
        monkeypatch.setattr(formats.Extra, "installed", property(lambda extra: False))
        report = gallery.update([root])  # the extra was uninstalled: what it has read stays
        assert (report.pictures, report.removed) == (2, 0)
        assert unread_line(report.unread) == (
            "5 files in formats that are not read: 2 HEIC (pip install 'araclip[heic]'), 2 Photoshop, 1 SVG."
        )
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.CR3").write_bytes(b"x")
    with (
        Gallery.open(tmp_path / "g2", model=model, create=True) as gallery,
        pytest.raises(
            EmptyFolder, match=r"1 file in formats that are not read: 1 RAW \(pip install 'araclip\[raw\]'\)"
        ),
    ):
        gallery.update([tmp_path / "none"])


def test_no_suffix_is_both_read_and_not_read() -> None:
    assert not [suffix for suffix in formats.SUFFIXES if unread_kind(f"a{suffix}")]
    assert unread_kind("a.txt") is unread_kind("psd") is None
    assert unread_kind("a.PSD") == "Photoshop"
    assert json.dumps(dict(formats.NOT_READ))


def test_the_server_s_sandbox_decodes_every_further_format() -> None:
    async def all_of_them() -> dict[str, tuple[int, int]]:
        sandbox = Sandbox(processes=1, memory=Settings.model_fields["decode_memory"].default, seconds=20, max_waiting=9)
        try:
            return {kind: (await sandbox.thumbnail(data, 256))[2:] for kind, data in every_kind().items()}
        finally:
            await sandbox.close()

    sizes = asyncio.run(all_of_them())
    assert sizes == {"HEIF": (64, 96), "AVIF": (64, 48), "JXL": (64, 48), "JPEG2000": (64, 48), "RAW": (256, 192)}

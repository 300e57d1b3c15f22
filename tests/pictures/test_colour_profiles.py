"""Pictures in other colour spaces than sRGB: what is shown and encoded are their colours, not their numbers."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from araclip.pictures.images import open_image
from araclip.pictures.upright import MAX_PROFILE

# Red, green and blue as XYZ under D50. Display P3: Apple's profile; Adobe RGB (1998): its specification, 4.3.5.3.
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    """An ICC profile, version 2.4."""
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s12x4s", at + len(body), b"none", 0x02400000, kind, space, pcs, b"acsp")
    header += bytes(28) + struct.pack(">3i", *(round(x * 65536) for x in (0.9642, 1, 0.8249)))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def of_colorants(colorants: tuple[tuple[float, float, float], ...], gamma: float = 2.19921875) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    xyz = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(x * 65536) for x in colour)) for colour in colorants]
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"wtpt")
    return profile(b"RGB ", dict(zip(names, (*xyz, *[curve] * 3, white), strict=True)))


def of_inks() -> bytes:
    """CMYK whose black is green: an 8-bit table with the corners only, to Lab."""
    corners = [(255 - 60 * (i >> 3 & 1) - 60 * (i >> 2 & 1) - 40 * (i >> 1 & 1), 128, 128) for i in range(16)]
    corners = [(150, 90, 160) if i & 1 else colour for i, colour in enumerate(corners)]
    steps = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table += steps * 4 + bytes(np.array(corners, np.uint8)) + steps * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ", b"prtr")


def opened(image: Image.Image, icc: bytes | None, kind: str = "PNG") -> tuple[Image.Image, Image.Image]:
    """The picture through our door and through Pillow's alone, from a file of a format."""
    file = BytesIO()
    image.save(file, kind, **({"icc_profile": icc} if icc else {}))
    return open_image(file), Image.open(file)


@pytest.fixture(scope="module")
def colours() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8))


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "RGB"), ("TIFF", "RGB")]
)
def test_red_of_display_p3_is_shown_as_red_that_was_photographed(kind: str, mode: str) -> None:
    picture = Image.new("RGB", (16, 16), (200, 60, 60))
    picture = picture.quantize() if mode == "P" else picture.convert(mode)
    shown, _ = opened(picture, of_colorants(DISPLAY_P3), kind)
    assert (shown.mode, "icc_profile" in shown.info) == ("RGB", False)
    # (200, 60, 60) to the power of 2.2, by the colorants to XYZ, by sRGB's inverse and curve back
    assert np.asarray(shown)[8, 8].tolist() == pytest.approx([219, 37, 49], abs=3)


def test_adobe_rgb_is_converted_and_its_greys_stay_grey() -> None:
    green, _ = opened(Image.new("RGB", (8, 8), (90, 180, 90)), of_colorants(ADOBE_RGB))
    grey, _ = opened(Image.new("RGB", (8, 8), (128, 128, 128)), of_colorants(ADOBE_RGB))
    assert np.asarray(green)[0, 0, 0] < 60  # a green beyond what the same numbers mean in sRGB
    assert np.ptp(np.asarray(grey)[0, 0].astype(int)) <= 2


def test_cmyk_is_converted_by_its_profile() -> None:
    black = Image.new("CMYK", (8, 8), (0, 0, 0, 255))
    shown, _ = opened(black, of_inks(), "JPEG")
    red, green, blue = np.asarray(shown)[4, 4].tolist()
    assert green > max(red, blue) + 5
    assert np.asarray(opened(black, None, "JPEG")[0]).max() < 5


@pytest.mark.parametrize(
    "icc",
    [
        None,
        SRGB,
        of_colorants(ADOBE_RGB)[:300],
        of_colorants(ADOBE_RGB).replace(b"acsp", b"xxxx"),
        of_colorants(ADOBE_RGB).replace(b"curv", b"mpet"),
        of_inks(),
        profile(b"RGB ", {}),
        of_colorants(ADOBE_RGB).ljust(MAX_PROFILE + 1, b"\0"),
    ],
    ids=["none", "sRGB", "cut short", "no profile", "programs", "another space", "empty", "too large"],
)  # fmt: skip
def test_srgb_and_what_is_no_profile_of_picture_change_no_pixel(colours: Image.Image, icc: bytes | None) -> None:
    shown, stored = opened(colours, icc, "TIFF")
    assert np.array_equal(np.asarray(shown), np.asarray(stored.convert("RGB")))


def test_a_picture_that_is_given_stays_as_it_was(colours: Image.Image) -> None:
    given = colours.copy()
    given.info["icc_profile"] = of_colorants(DISPLAY_P3)
    shown = open_image(given)
    assert np.array_equal(np.asarray(given), np.asarray(colours)) and "icc_profile" in given.info
    assert not np.array_equal(np.asarray(shown), np.asarray(colours))


def test_a_large_picture_is_converted_after_it_was_reduced(tmp_path: Path) -> None:
    picture = Image.new("RGB", (640, 480), (200, 60, 60))
    picture.save(tmp_path / "wide.png", icc_profile=of_colorants(DISPLAY_P3))
    assert np.asarray(open_image(tmp_path / "wide.png", 60))[0, 0, 0] == pytest.approx(219, abs=3)

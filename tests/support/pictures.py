"""Real picture files, valid and damaged. Each function writes one file, creating its folder, and returns its path."""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from araclip.pictures.facts import Facts
from araclip.pictures.images import open_with_facts

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
SUFFIX_OF = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tiff", "AVIF": ".avif",
    "JPEG2000": ".jp2",
}  # fmt: skip

Colour = tuple[int, int, int]


def solid(path: Path, colour: Colour = RED, size: tuple[int, int] = (64, 48)) -> Path:
    """One colour, in the format of the suffix."""
    return saved(Image.new("RGB", size, colour), path)


def every_format(folder: Path, colour: Colour = RED) -> dict[str, Path]:
    """One file for each allowed format, by the format's name."""
    return {kind: solid(folder / f"solid{suffix}", colour) for kind, suffix in SUFFIX_OF.items()}


def landscape(size: tuple[int, int] = (64, 32)) -> Image.Image:
    """Left half green over red, right half blue: no turned or mirrored copy of it looks the same."""
    picture = Image.new("RGB", size, RED)
    picture.paste(BLUE, (size[0] // 2, 0, *size))
    picture.paste(GREEN, (0, 0, size[0] // 2, size[1] // 2))
    return picture


def oriented(path: Path, orientation: int) -> Path:
    """`landscape()`, stored turned or mirrored, with the EXIF orientation (1–8) that puts it right again."""
    turns = Image.Transpose
    undo = {
        1: (),
        2: (turns.FLIP_LEFT_RIGHT,),
        3: (turns.ROTATE_180,),
        4: (turns.FLIP_TOP_BOTTOM,),
        5: (turns.TRANSPOSE,),
        6: (turns.ROTATE_90,),
        7: (turns.TRANSVERSE,),
        8: (turns.ROTATE_270,),
    }
    picture = landscape()
    for turn in undo[orientation]:
        picture = picture.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return saved(picture, path, exif=exif)


def photograph(path: Path, size: tuple[int, int] = (1600, 1200)) -> Path:
    """Smooth shapes with some texture, large enough for a JPEG decoder to take shortcuts."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-12, 13, (size[1], size[0], 1), dtype=np.int16)
    return saved(Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)), path, quality=92)


def cmyk(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    """A print-ready JPEG, red (no cyan, full magenta and yellow, no black)."""
    return saved(Image.new("CMYK", size, (0, 255, 255, 0)), path)


def grey(path: Path, level: int = 128, mode: str = "L") -> Path:
    """A flat grey in "1", "L", "I;16" or "F"."""
    return saved(Image.new(mode, (32, 32), level), path)


def sixteen_bit(path: Path, size: tuple[int, int] = (64, 16)) -> Path:
    """A ramp from black, left, to white, right, in 16-bit grey."""
    ramp = np.linspace(0, 65535, size[0]).astype(np.uint16)
    return saved(Image.fromarray(np.tile(ramp, (size[1], 1))), path)


def transparent(path: Path, mode: str) -> Path:
    """Left half opaque black, right half see-through black, in "RGBA", "LA" or "P" (palette)."""
    picture = Image.new("RGBA", (64, 32), (0, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (32, 0, 64, 32))
    if mode != "P":
        return saved(picture.convert(mode), path)
    palette = Image.new("P", picture.size, 0)
    palette.putpalette([0, 0, 0, 1, 1, 1])
    palette.paste(1, (32, 0, 64, 32))
    return saved(palette, path, transparency=1)


def animated(path: Path) -> Path:
    """Red, then green, then blue."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]
    return saved(frames[0], path, save_all=True, append_images=frames[1:], duration=50, loop=0)


def two_in_one(path: Path, size: tuple[int, int] = (640, 480)) -> Path:
    """A multi-picture JPEG, as phones write it: a red one, and a blue one behind it."""
    frames = [Image.new("RGB", size, colour) for colour in (RED, BLUE)]
    return saved(frames[0], path, format="MPO", save_all=True, append_images=frames[1:])


def one_pixel(path: Path) -> Path:
    """1 × 1, red."""
    return solid(path, RED, (1, 1))


def truncated(path: Path, keep: float = 0.6) -> Path:
    """A photograph whose download broke off."""
    whole = photograph(path, (320, 240)).read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    return path


def text_as_picture(path: Path) -> Path:
    """A text that was given the suffix of a picture."""
    return written(path, "هذه ليست صورة\n".encode())


def written(path: Path, content: bytes) -> Path:
    """Any bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def bomb(path: Path, size: tuple[int, int] = (60_000, 60_000)) -> Path:
    """A PNG of a hundred bytes whose header claims `size`."""
    return png(path, size, b"\0" * 64)


def damaged_png(path: Path) -> Path:
    """A PNG whose checksums are right and whose compressed pixels are nonsense: the decoder fails half way."""
    whole = zlib.compress(bytes(range(256)) * 16, 0)
    return png(path, (64, 63), whole[:900] + b"\xff" * 40, compress=False)


def png(path: Path, size: tuple[int, int], pixels: bytes, *, compress: bool = True) -> Path:
    """An 8-bit grey PNG, chunk by chunk, that may contradict itself."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    body = zlib.compress(pixels) if compress else pixels
    return written(path, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def saved(picture: Image.Image, path: Path, **options: object) -> Path:
    """A picture as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def read_facts(source: Path | BinaryIO) -> Facts:
    """What the header of a picture tells."""
    with open_with_facts(source, 1) as (_, facts):
        return facts


# ------------------------------------------------------------------ photographs with a place and a date

CAIRO, ALEXANDRIA, DUBAI = (30.0444, 31.2357), (31.2135, 29.8853), (25.2048, 55.2708)
TRIPOLI_LB, TRIPOLI_LY, TYRE, MEDINA = (34.4367, 35.8497), (32.8872, 13.1913), (33.2705, 35.2038), (24.4672, 39.6111)
AT = {
    "cairo": CAIRO,
    "alexandria": ALEXANDRIA,
    "dubai": DUBAI,
    "lebanon": TRIPOLI_LB,
    "libya": TRIPOLI_LY,
    "sea": (0, 0),
}


def taken_at(path: Path, where: tuple[float, float], when: str, colour: tuple[int, int, int]) -> None:
    """A picture of noise with a position and a date."""

    def parts(degrees: float) -> tuple[float, float, float]:
        return float(int(abs(degrees))), 60 * (abs(degrees) % 1), 0.0

    exif, gps = Image.Exif(), ExifTags.GPS
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = when
    block = exif.get_ifd(ExifTags.IFD.GPSInfo)
    block[gps.GPSLatitudeRef], block[gps.GPSLatitude] = "N" if where[0] >= 0 else "S", parts(where[0])
    block[gps.GPSLongitudeRef], block[gps.GPSLongitude] = "E" if where[1] >= 0 else "W", parts(where[1])
    noise = np.random.default_rng(len(path.name)).integers(-20, 20, (48, 64, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path, exif=exif)


def trips(root: Path) -> Path:
    """Six photographs of four cities, a year apart, and one without a position."""
    for number, (name, where) in enumerate(AT.items()):
        taken_at(root / f"{name}.jpg", where, f"{2020 + number}:05:17 12:00:00", (40 * number, 90, 200 - 30 * number))
    Image.new("RGB", (40, 40), (9, 9, 200)).save(root / "nowhere.png")
    return root

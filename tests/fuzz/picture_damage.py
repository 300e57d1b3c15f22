"""An unlimited corpus of damaged picture files: small real pictures of every allowed format, damaged from a seed.

Nothing is stored: format and number determine every byte.
"""

import io
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "support"))
from raw_files import dng  # noqa: E402

USUAL = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
FURTHER = ("AVIF", "JPEG2000", "HEIF", "JXL", "RAW")
FORMATS = (*USUAL, *FURTHER)
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
Damage = Callable[[bytearray, str, random.Random], bytes]


def damaged(kind: str, number: int) -> tuple[str, bytes]:
    """File `number` of a format: the kind of damage, and its bytes."""
    rng = random.Random(f"{kind} {number}")
    whole = wholes(kind)
    what, damage = DAMAGES[number % len(DAMAGES)]
    content = bytearray(whole[rng.randrange(len(whole))])
    return what, damage(content, kind, rng) or b"\0"


@cache
def wholes(kind: str) -> tuple[bytes, ...]:
    """Valid files of a format, in all modes, compressions and layouts that Pillow can write."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    photo = coarse.resize((61, 43), Image.Resampling.BICUBIC)
    ramp = Image.fromarray(np.tile(np.linspace(0, 65535, 40).astype(np.uint16), (30, 1)))
    glass = photo.convert("RGBA")
    glass.putalpha(photo.convert("L"))
    frames = [photo.rotate(turn).convert("RGB") for turn in (90, 180)]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2023:05:17 18:30:00"
    film = {"save_all": True, "append_images": frames, "duration": 50}
    written: dict[str, list[tuple[Image.Image, dict[str, object]]]] = {
        "JPEG": [
            (photo, {"exif": exif}),
            (photo, {"progressive": True, "comment": b"x" * 40}),
            (photo.convert("CMYK"), {}),
            (photo.convert("L"), {"restart_marker_rows": 1}),
            (photo, {"format": "MPO", "save_all": True, "append_images": frames}),
        ],
        "PNG": [
            (photo, {"exif": exif}),
            (glass, {}),
            (glass.convert("LA"), {}),
            (photo.quantize(16), {"transparency": 3, "bits": 4}),
            (ramp, {}),
            (photo.convert("1"), {}),
            (photo, film),
        ],
        "WEBP": [
            (photo, {"exif": exif}),
            (glass, {"lossless": True}),
            (glass, {"quality": 40, "xmp": b"<x:xmpmeta/>"}),
            (photo, film),
        ],
        "GIF": [(photo.quantize(32), {"interlace": 1, "comment": b"y" * 300}), (photo, film), (photo.convert("1"), {})],
        "BMP": [(photo, {}), (photo.quantize(16), {}), (photo.convert("1"), {}), (photo.convert("L"), {}), (glass, {})],
        "TIFF": [
            *((photo, {"compression": name}) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
            (photo.convert("1"), {"compression": "group4"}),
            (photo.convert("CMYK"), {"exif": exif}),
            (glass, {"compression": "zstd"}),
            (ramp, {"compression": "tiff_lzw"}),
            (photo.convert("F"), {}),
            (photo, {**film, "big_tiff": True}),
        ],
    }
    written |= {
        "AVIF": [(photo, {"exif": exif, "speed": 10}), (glass, {"speed": 10}), (photo, {**film, "speed": 10})],
        "JPEG2000": [
            (photo, {}),
            (glass, {"irreversible": True, "quality_layers": [20]}),
            (ramp, {}),
            (photo, {"no_jp2": True}),
        ],
    }
    if kind == "HEIF":
        return ((TESTS / "samples" / "turned.heic").read_bytes(),)
    if kind == "JXL":
        import pylibjxl

        pixels = [np.asarray(each) for each in (photo, glass, photo.convert("L"))]
        return tuple(
            bytes(pylibjxl.encode(each, effort=3, exif=exif.tobytes(), lossless=n == 1))
            for n, each in enumerate(pixels)
        )
    if kind == "RAW":
        jpeg = _saved(photo.resize((640, 480)), {"format": "JPEG"})
        return dng(jpeg, orientation=6), dng(None, (120, 90))
    return tuple(_saved(picture, {"format": kind, **options}) for picture, options in written[kind])


def _saved(picture: Image.Image, options: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, **options)  # type: ignore[arg-type]
    return stream.getvalue()


# ------------------------------------------------------------------ ways of breaking


def flip_bits(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """A few bits anywhere, half the time in the first hundred bytes."""
    most = min(len(content), 100) if rng.random() < 0.5 else len(content)
    for _ in range(rng.randint(1, 12)):
        content[rng.randrange(most)] ^= 1 << rng.randrange(8)
    return _sealed(content, kind, rng)


def cut_short(content: bytearray, kind: str, rng: random.Random) -> bytes:
    return bytes(content[: rng.randrange(len(content))])


def edit_a_number(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """Replace a word anywhere (a length, offset or count) by an edge case of its width."""
    for _ in range(rng.randint(1, 3)):
        width = rng.choice((1, 2, 4))
        start = rng.randrange(max(1, min(len(content), 400) - width))
        value = rng.choice(EDGES) % (1 << (8 * width))
        content[start : start + width] = value.to_bytes(width, rng.choice(("little", "big")))
    return _sealed(content, kind, rng)


def repeat_chunks(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """Repeat a chunk, segment or block, or shuffle all of them."""
    parts = _parts(bytes(content), kind)
    for _ in range(rng.randint(1, 3)):
        part = rng.choice(parts)
        at = rng.randrange(len(parts) + 1)
        parts[at:at] = [part] * rng.choice((1, 2, 50))
    if rng.random() < 0.2:
        rng.shuffle(parts)
    return b"".join(parts)


def splice(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """The beginning of one format before the rest of another, or one file inside another."""
    other = bytearray(rng.choice(wholes(rng.choice(USUAL))))
    cut, start = rng.randrange(1, min(60, len(content))), rng.randrange(len(other))
    if rng.random() < 0.5:
        return bytes(content[:cut] + other[start:])
    middle = rng.randrange(len(content))
    return bytes(content[:middle] + other + content[middle:])


def claim_much(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """Make width and height in the header huge, sometimes just below a limit."""
    width, height = rng.choice(
        (
            (12_000, 12_400),
            (30_000, 2),
            (2, 30_000),
            (65_535, 65_535),
            (0, 7),
            (4_000, 3_000),
            (2**31 - 1, 1),
            (1, 2**31),
        )
    )
    fields = {"BMP": (18, 22, "<i"), "GIF": (6, 8, "<H"), "PNG": (16, 20, ">I")}
    if kind in fields:
        at_width, at_height, layout = fields[kind]
        _put(content, at_width, layout, width)
        _put(content, at_height, layout, height)
        if kind == "GIF" and (block := content.find(b"\x2c", 13)) > 0:
            _put(content, block + 5, "<H", width)
            _put(content, block + 7, "<H", height)
    elif kind == "JPEG":
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if (at := content.find(marker)) > 0:
                _put(content, at + 5, ">H", height)
                _put(content, at + 7, ">H", width)
    elif kind == "WEBP":
        for name, offset in ((b"VP8X", 12), (b"VP8 ", 14), (b"VP8L", 9)):
            if (at := content.find(name)) > 0:
                _put(content, at + offset, "<I", (width | height << 14) & 0xFFFFFFFF)
    elif kind in ("HEIF", "AVIF"):
        if (at := content.find(b"ispe")) > 0:
            _put(content, at + 8, ">I", width)
            _put(content, at + 12, ">I", height)
    elif kind == "JPEG2000":
        for name, offset in ((b"ihdr", 4), (b"\xff\x51", 6)):
            if (at := content.find(name)) >= 0:
                _put(content, at + offset, ">I", height)
                _put(content, at + offset + 4, ">I", width)
    elif kind != "JXL":
        order = "<" if content[:2] == b"II" else ">"
        for tag in (256, 257, 278, 322, 323):  # width, length, rows a strip, width and length of a tile
            if (at := content.find(struct.pack(order + "H", tag), 8)) > 0:
                _put(content, at + 8, order + "I", height if tag in (257, 278, 323) else width)
    return _sealed(content, kind, rng)


def loop(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """Structures that point to themselves, nest, or repeat a thousand times."""
    if kind == "TIFF" or (kind != "GIF" and b"Exif\0\0" in content):
        start = 0 if kind == "TIFF" else content.find(b"Exif\0\0") + 6
        order = "<" if content[start : start + 2] == b"II" else ">"
        for _ in range(rng.randint(1, 4)):  # offsets of directories and values point backwards, or beyond the end
            at = start + 4 + 2 * rng.randrange(max(1, min(150, (len(content) - start - 8) // 2)))
            _put(content, at, order + "I", rng.choice((0, 4, 8, at - start, len(content) - 1, 2**32 - 1)))
        return bytes(content)
    if kind == "GIF":
        return (
            bytes(content[:-1])
            + b"\x21\xfe"
            + b"\xff"
            + b"z" * 255 * rng.choice((1, 4000))
            + b"\0"
            + bytes(content[13:])
        )
    if kind == "JPEG":
        scan = content.find(b"\xff\xda")
        return bytes(content[:-2] + content[scan:-2] * rng.choice((3, 400)) + content[-2:])
    parts = _parts(bytes(content), kind)
    return b"".join([*parts[:-1], *(parts[1:] * rng.choice((2, 200))), parts[-1]])


def break_exif(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """An EXIF block of nonsense, with many entries that all claim the whole block."""
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 400)
    for entry in range(400):
        tag = rng.choice((0x0112, 0x8769, 0x9003, 0x8825, entry))
        block += struct.pack(
            "<HHII", tag, rng.randrange(14), rng.choice((1, 4000, *EDGES)), rng.choice((8, 14, *EDGES))
        )
    if kind in FURTHER:
        at = max(content.find(b"Exif\0\0"), 0)
        content[at : at + len(block)] = block
        return flip_bits(content, kind, rng)
    options: dict[str, object] = {"format": kind}
    if kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        options["exif"] = block if kind != "TIFF" else Image.Exif()
    whole = bytearray(_saved(Image.new("RGB", (40, 30), "red"), options))
    return flip_bits(whole, kind, rng)


def wash_out(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """Zero, remove, fill or duplicate ranges of bytes."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content))
        end = min(len(content), start + rng.randint(1, 64))
        stretch = content[start:end]
        content[start:end] = rng.choice((bytes(len(stretch)), b"", rng.randbytes(len(stretch)), stretch * 2))
        content = content or bytearray(1)
    return bytes(content)


DAMAGES: tuple[tuple[str, Damage], ...] = tuple(
    (damage.__name__.replace("_", " "), damage)
    for damage in (flip_bits, cut_short, edit_a_number, repeat_chunks, splice, claim_much, loop, break_exif, wash_out)
)


# ------------------------------------------------------------------ what formats are made of


def _put(content: bytearray, at: int, layout: str, value: int) -> None:
    width = struct.calcsize(layout)
    if 0 <= at <= len(content) - width:
        content[at : at + width] = (value % (1 << (8 * width))).to_bytes(width, "little" if layout[0] == "<" else "big")


def _sealed(content: bytearray, kind: str, rng: random.Random) -> bytes:
    """Correct the checksums of a PNG, most of the time; its decoder stops at a wrong one."""
    if kind != "PNG" or rng.random() < 0.2:
        return bytes(content)
    return b"".join(
        part[:-4] + struct.pack(">I", zlib.crc32(part[4:-4])) if number and len(part) >= 12 else part
        for number, part in enumerate(_parts(bytes(content), kind))
    )


def _parts(content: bytes, kind: str) -> list[bytes]:
    """The file split where its chunks, segments or blocks begin."""
    cuts = {0, *_starts(content, kind), len(content)}
    places = sorted(cut for cut in cuts if cut <= len(content))
    return [content[start:end] for start, end in pairwise(places)] or [content]


def _starts(content: bytes, kind: str) -> Iterator[int]:
    if kind in ("PNG", "WEBP"):
        order, at, head = (">", 8, 12) if kind == "PNG" else ("<", 12, 8)
        while at + 8 <= len(content):
            yield at
            (length,) = struct.unpack_from(order + "I", content, at if kind == "PNG" else at + 4)
            at += head + length + (length % 2 if kind == "WEBP" else 0)
    elif kind == "JPEG":
        yield from (at for at in range(2, len(content) - 1) if content[at] == 0xFF and content[at + 1] not in (0, 0xFF))
    elif kind == "GIF":
        yield from (at for at in range(13, len(content) - 1) if content[at] in b"\x21\x2c" and content[at - 1] == 0)
    else:
        yield from range(8, len(content), 12)

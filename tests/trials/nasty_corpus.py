"""Three hundred pictures made to harm whoever opens them, by kind; a seed determines every byte.

They are made by hand, chunk by chunk, where `tests/fuzz/picture_damage.py` damages valid pictures at random.
"""

import random
import struct
import sys
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path

from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[1] / "fuzz"), str(Path(__file__).parent)]
from nasty_parts import Corpus, chunk, directory, exif, jpeg, png, saved, segment, tiff, with_exif
from picture_damage import FORMATS, FURTHER, USUAL, _starts, wholes

LARGE = (9_000, 9_000)  # a bomb that the limits allow


def polyglots(rng: random.Random) -> Corpus:
    archive = b"PK\3\4" + bytes(26) + b"x" + b"PK\5\6" + bytes(18)
    page, script = b"<html><script>alert(1)</script></html>", b"/*<?php system($_GET[0]); ?>*/"
    for kind, tail in product(USUAL, (archive, page + script, b"%PDF-1.7\n", saved(rng.choice(USUAL)))):
        yield kind, saved(kind) + tail
    for kind, tail in product(FURTHER, (archive, page + script)):
        yield kind, wholes(kind)[0] + tail
    yield "pdf first", b"%PDF-1.7\n" + saved("JPEG")
    yield "gif and script", saved("GIF").replace(b"GIF89a", b"GIF89a=1;") + script
    yield "html first", page + saved("PNG")
    yield "exe", b"MZ" + bytes(58) + saved("BMP")


def png_texts(rng: random.Random) -> Corpus:
    bomb = zlib.compress(bytes(1_000_000))
    yield "60 zTXt", png(*[chunk(b"zTXt", b"a\0\0" + bomb)] * 60)
    yield "9 zTXt", png(*[chunk(b"zTXt", b"a\0\0" + bomb)] * 9)
    yield "60 iTXt", png(*[chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)] * 60)
    yield "iCCP", png(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(300_000_000), 1)))
    yield "zTXt of 300 MB", png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(300_000_000), 1)))
    yield "tEXt of 20 MB", png(chunk(b"tEXt", b"a\0" + bytes(20_000_000)))
    yield "tEXt of 60 MB", png(chunk(b"tEXt", b"a\0" + bytes(60_000_000)))
    yield "no keyword", png(chunk(b"zTXt", b""), chunk(b"iTXt", b"\0"), chunk(b"tEXt", b""), chunk(b"iCCP", b"\0"))
    yield "raw profile", png(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n   9\n" + b"zz" * 4000))
    yield "behind the pixels", png()[:-12] + chunk(b"zTXt", b"a\0\0" + bomb) * 60 + chunk(b"IEND", b"")


def png_chunks(rng: random.Random) -> Corpus:
    for name, one in (
        ("texts", chunk(b"tEXt", b"k\0v")),
        ("unknown", chunk(b"quUx", b"")),
        ("times", chunk(b"tIME", bytes(7))),
    ):
        yield f"65,000 {name}", png(one * 65_000)
    whole = png()
    yield "65,000 empty IDAT", whole[:33] + chunk(b"IDAT", b"") * 65_000 + whole[33:]
    yield "300,000 unknown", png(chunk(b"quUx", b"") * 300_000)
    yield "a chunk of 2 GB", png(struct.pack(">I", 0x7FFFFFFF) + b"quUx")
    yield "a chunk of 4 GB", png(struct.pack(">I", 0xFFFFFFFF) + b"tEXt")
    yield "a critical unknown one", png(chunk(b"QUUX", b""))
    yield "two headers", png(png()[8:33])
    yield "palette of 3,000", png(chunk(b"PLTE", bytes(9000)), colour=3, data=zlib.compress(b"\xff" * 41 * 30))
    yield "no palette", png(colour=3, data=zlib.compress(b"\xff" * 41 * 30))
    yield "transparency too long", png(chunk(b"tRNS", bytes(5000)))
    yield "transparency too short", png(chunk(b"tRNS", b"\0"))


def animated(rng: random.Random) -> Corpus:
    for width, height, left, top in (
        (40, 30, 0, 0),
        (0, 0, 0, 0),
        (9000, 9000, 0, 0),
        (40, 30, 99, 99),
        (*[2**31 - 1] * 4,),
    ):
        frame = struct.pack(">IIIIIHHBB", 0, width, height, left, top, 1, 1, 0, 0)
        yield f"APNG frame of {width} at {left}", png(chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fcTL", frame))
    yield "APNG of 2³² frames", png(chunk(b"acTL", b"\xff" * 8))
    frames = [Image.new("RGB", (20, 20), (n, 0, 0)) for n in range(200)]
    yield "APNG of 200", saved("PNG", (20, 20), save_all=True, append_images=frames)
    yield "GIF of 200", saved("GIF", (20, 20), save_all=True, append_images=frames)
    yield "WebP of 200", saved("WEBP", (20, 20), save_all=True, append_images=frames[:40])
    whole = saved("GIF")
    for left, top, width, height in ((0, 0, 65535, 65535), (65000, 65000, 500, 500), (0, 0, 9000, 9000), (0, 0, 0, 0)):
        at = whole.index(b"\x2c", 13)
        yield (
            f"GIF frame of {width} at {left}",
            whole[: at + 1] + struct.pack("<4H", left, top, width, height) + whole[at + 9 :],
        )
    for width, height in ((16_384, 16_384), (8_000, 8_000), (16_777_216, 16_777_216)):
        extended = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        body = b"VP8X" + struct.pack("<I", 10) + extended + saved("WEBP")[12:]
        yield f"WebP canvas of {width}", b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def profiles(rng: random.Random) -> Corpus:
    name = b"ICC_PROFILE\0"
    yield "one of 255, 255 times", jpeg(*[segment(0xE2, name + bytes((1, 255)) + bytes(600))] * 255)
    yield "255 parts of 64 kB", jpeg(*[segment(0xE2, name + bytes((n, 255)) + bytes(65_000)) for n in range(1, 256)])
    yield "part 0 of 0", jpeg(segment(0xE2, name + b"\0\0"))
    yield "empty", jpeg(segment(0xE2, name))
    header = struct.pack(">I", 0xFFFFFFFF) + bytes(124) + struct.pack(">I", 0xFFFFFFFF) + b"desc" + b"\xff" * 8
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        yield f"{kind} of nonsense", saved(kind, icc_profile=header + rng.randbytes(2000))
        yield f"{kind} of 3 MB", saved(kind, icc_profile=bytes(3_000_000))


def directory_loops(rng: random.Random) -> Corpus:
    for offset in (8, 72, 0xFFFFFFF0, 4):
        yield f"TIFF to {offset}", tiff(following=offset)
        yield f"TIFF EXIF at {offset}", tiff((0x8769, 4, 1, offset))
        yield f"TIFF sub-IFD at {offset}", tiff((330, 4, 1, offset), (0x8825, 4, 1, offset), (0xA005, 4, 1, offset))
    for entries, following in (
        ([(0x8769, 4, 1, 8)], 8),
        ([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], 0),
    ):
        yield from with_exif(exif(entries, following))
    big = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + struct.pack("<Q", 2**63) + bytes(200)
    yield "BigTIFF of 2⁶³ entries", big
    yield "BigTIFF at 2⁶³", b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**63)


def orientations(rng: random.Random) -> Corpus:
    for value in (0, 9, 255, 65_535):
        yield from ((f"{value} {kind}", whole) for kind, whole in with_exif(exif([(0x0112, 3, 1, value)])))
        yield f"{value} TIFF", tiff((274, 3, 1, value))
    for kind, count in ((2, 4), (5, 1), (12, 1), (3, 60_000), (7, 1), (99, 1)):
        yield from ((f"type {kind}", whole) for _, whole in with_exif(exif([(0x0112, kind, count, 6)])))
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + b"<x tiff:Orientation" + b'="' * 20_000
    yield "XMP", jpeg(segment(0xE1, xmp))


def exif_bombs(rng: random.Random) -> Corpus:
    many = [(tag, 4, 15_000, 8) for tag in range(5_000)]
    yield from with_exif(exif(many))
    yield from with_exif(exif([(0x8769, 4, 1, 8), *many]))
    yield from ((kind, whole) for kind, whole in with_exif(exif([(0x0112, 4, 2_000_000, 26)], tail=bytes(8_000_000))))
    yield "60 segments", jpeg(*[segment(0xE1, exif(many)[:65_000])] * 60)
    yield "MPF", jpeg(segment(0xE2, b"MPF\0" + exif(many)[6:65_000]))
    yield (
        "MPF of 65,000 pictures",
        jpeg(segment(0xE2, b"MPF\0II*\0\x08\0\0\0" + directory([(0xB001, 4, 1, 65_000), (0xB002, 7, 16, 50)]))),
    )


def foreign(rng: random.Random) -> Corpus:
    yield "SVG", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    yield "SVG of entities", b"<!DOCTYPE s [<!ENTITY a '" + b"&a;" * 9 + b"'>]><svg>&a;</svg>"
    yield "HEIC", struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + rng.randbytes(2000)
    for kind, options in (
        ("AVIF", {}),
        ("JPEG2000", {}),
        ("ICO", {}),
        ("ICNS", {"size": (128, 128)}),
        ("PPM", {}),
        ("TGA", {}),
        ("DDS", {}),
        ("SGI", {}),
        ("PCX", {}),
        ("EPS", {}),
        ("PDF", {}),
    ):
        yield kind, saved(kind, **options)
    for name, head in (
        ("PSD", b"8BPS\0\1"),
        ("EMF", b"\1\0\0\0"),
        ("FLI", bytes(4) + b"\x11\xaf"),
        ("XPM", b"/* XPM */"),
        ("PS", b"%!PS\nsystem"),
        ("MP4", bytes(4) + b"ftypmp42"),
        ("gzip", b"\x1f\x8b"),
        ("zeros", bytes(99)),
    ):
        yield name, head + rng.randbytes(500) * (name != "zeros")


def cut(rng: random.Random) -> Corpus:
    for kind in FORMATS:
        whole = wholes(kind)[0]
        borders = sorted({at + shift for at in _starts(whole, kind) for shift in (0, 4, 8)} & set(range(1, len(whole))))
        for at in rng.sample(borders, min(12, len(borders))):
            yield f"{kind} at {at}", whole[:at]


def absurd(rng: random.Random) -> Corpus:
    for width, height in (
        (1, 2**31 - 1),
        (2**31 - 1, 1),
        (2**32 - 1, 2**32 - 1),
        (0, 0),
        (100_000, 1_499),
        (30_000, 30_000),
    ):
        yield f"PNG {width} × {height}", png(size=(width, height), data=b"\x78\x9c\x03\0\0\0\0\1")
        yield f"TIFF {width} × {height}", tiff(size=(width, min(height, 2**32 // max(1, width))))
        whole = bytearray(saved("BMP"))
        whole[18:26] = struct.pack("<II", width, height)
        yield f"BMP {width} × {height}", bytes(whole)
    for width, height in ((65_500, 65_500), (65_500, 1), (0, 7), (12_000, 12_000)):
        whole = bytearray(saved("JPEG"))
        at = whole.index(b"\xff\xc0")
        whole[at + 5 : at + 9] = struct.pack(">HH", height, width)
        yield f"JPEG {width} × {height}", bytes(whole)
        whole = bytearray(saved("GIF"))
        whole[6:10] = struct.pack("<HH", width, height)
        yield f"GIF {width} × {height}", bytes(whole)
        whole = bytearray(saved("WEBP"))
        whole[26:30] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
        yield f"WebP {width & 0x3FFF} × {height & 0x3FFF}", bytes(whole)
    yield "TIFF tile", tiff((322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8), (325, 4, 1, 9))
    yield "TIFF of 2,000 samples", tiff((277, 4, 1, 2_000))


def bombs(rng: random.Random) -> Corpus:
    yield "PNG", png(size=LARGE, data=zlib.compress(bytes((1 + 3 * LARGE[0]) * LARGE[1]), 1))
    yield "GIF", saved("GIF", LARGE, "P")
    yield "WebP", saved("WEBP", (8_000, 8_000), method=0)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "group4", "zstd", "lzma"):
        yield (
            f"TIFF {compression}",
            saved("TIFF", LARGE, "1" if compression == "group4" else "L", compression=compression),
        )
    yield "JPEG", saved("JPEG", LARGE)
    yield "JPEG progressive", saved("JPEG", LARGE, progressive=True)


def tag_bombs(rng: random.Random) -> Corpus:
    yield "65,535 tags", b"II*\0\x08\0\0\0" + directory([(tag, 4, 1_000, 8) for tag in range(65_535)])
    body = tiff(*((tag, 4, 20_000, 8) for tag in range(40_000, 44_000)))
    yield "4,000 tags at one place", body + bytes(80_000)
    at = 72 + 2 + 12 * 9 + 4
    yield "strips of 2 million", tiff((273, 4, 2_000_000, at), (279, 4, 2_000_000, at)) + bytes(8_000_000)
    yield "strips of 900,000", tiff((273, 4, 900_000, at), (279, 4, 900_000, at), (278, 4, 1, 1)) + bytes(3_600_000)
    yield "a count of 2³²", tiff((273, 4, 2**32 - 1, 8), (258, 3, 2**32 - 1, 8))
    yield "bits of 900,000", tiff((258, 3, 900_000, 8)) + bytes(1_800_000)
    yield "rationals", tiff((282, 5, 100_000, 8), (283, 12, 100_000, 8)) + bytes(900_000)
    yield "unknown types", tiff(*((tag, 999, 2**31, 2**31) for tag in range(50_000, 50_900)))
    yield "XMP of 20 MB", tiff((700, 1, 20_000_000, 180)) + bytes(20_000_000)


def bmp_tricks(rng: random.Random) -> Corpus:
    def bmp(width: int, height: int, bits: int, compression: int, data: bytes, colours: int = 0) -> bytes:
        head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, colours, 0)
        palette = bytes(4 * (colours or (256 if bits == 8 else 16)))
        return (
            b"BM" + struct.pack("<IHHI", 54 + len(palette) + len(data), 0, 0, 54 + len(palette)) + head + palette + data
        )

    yield "line ends", bmp(4_000, 4_000, 8, 1, b"\1\0\0\0" * 4_000)
    yield "one column of line ends", bmp(1, 2_000_000, 8, 1, b"\1\0\0\0" * 200_000)
    yield "one row, one end", bmp(20_000_000, 1, 8, 1, b"\1\0\0\0")
    yield "jumps", bmp(60_000, 400, 8, 1, b"\0\2\xff\xff" * 5_000)
    yield "runs of nothing", bmp(1_000, 1_000, 8, 1, b"\0\0" * 500_000)
    yield "four bits", bmp(5_000, 5_000, 4, 2, b"\xff\x11" * 100_000)
    yield "too many pixels for a run", bmp(6_000, 6_000, 8, 1, b"\1\0")
    yield "upside down", bmp(4, -(2**31), 8, 0, bytes(99))
    yield "negative width", bmp(-4, 4, 8, 0, bytes(99))
    yield "65,537 colours", bmp(4, 4, 8, 0, bytes(99), 65_537)
    yield "three bits", bmp(4, 4, 3, 0, bytes(99))
    yield "as JPEG", bmp(4, 4, 0, 4, saved("JPEG"))
    yield "header of 4 GB", b"BM" + struct.pack("<IHHI", 99, 0, 0, 54) + b"\xff" * 40
    for count in (1, 65_535):
        entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 2**31, 6 + 16 * count)
        yield (
            f"ICO of {count}",
            struct.pack("<HHH", 0, 1, count) + entry * count + png(size=(60_000, 60_000), data=b"x"),
        )


def jpeg_tricks(rng: random.Random) -> Corpus:
    whole = saved("JPEG", (64, 64), progressive=True)
    scan = whole[whole.rfind(b"\xff\xda") : -2]
    yield "10,000 scans", whole[:-2] + scan * 10_000 + whole[-2:]
    large = saved("JPEG", (2_000, 1_500), progressive=True)
    for count in (900, 10_000):
        yield f"{count} scans of 3 MP", large[:-2] + large[large.rfind(b"\xff\xda") : -2] * count + large[-2:]
    for count in (9_000, 20_000, 500_000):
        yield f"{count} segments", jpeg(segment(0xFE, b"") * count)
    yield "600 comments of 64 kB", jpeg(segment(0xFE, bytes(65_000)) * 600)
    yield "900 comments of 64 kB", jpeg(segment(0xFE, bytes(65_000)) * 900)
    yield "30 MB of padding", jpeg(b"\xff" * 30_000_000)
    yield "8 MB of junk", jpeg(bytes(8_000_000))
    yield "no scan", b"\xff\xd8" + segment(0xFE, b"") * 5_000
    yield "tables", jpeg(segment(0xDB, b"\xff" * 65_000), segment(0xC4, b"\xff" * 65_000))
    yield "restarts", jpeg(segment(0xDD, b"\xff\xff"), b"\xff\xd0" * 50_000)
    yield "255 components", jpeg(segment(0xC0, struct.pack(">BHHB", 8, 9, 9, 255) + bytes(3 * 255)))
    yield "twelve bits", jpeg(segment(0xC1, struct.pack(">BHHB", 12, 9, 9, 3) + b"\1\x11\0\2\x11\0\3\x11\0"))
    yield "Photoshop", jpeg(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5_000))


def gif_tricks(rng: random.Random) -> Corpus:
    whole = saved("GIF")
    at = whole.index(b"\x2c", 13)
    for count in (1_000, 60_000):
        comment = b"\x21\xfe" + (b"\xff" + b"z" * 255) * count + b"\0"
        yield f"comment of {count} blocks", whole[:at] + comment + whole[at:]
    for name, block in (
        ("application", b"\x21\xff\x0bNETSCAPE2.0\3\1\0\0\0"),
        ("control", b"\x21\xf9\4\7\0\0\xff\0"),
        ("comments", b"\x21\xfe\1z\0"),
    ):
        yield f"40,000 {name} blocks", whole[:at] + block * 40_000 + whole[at:]
    yield "code size 12", whole[: at + 10] + b"\x0c" + whole[at + 11 :]
    yield "nonsense", whole[: at + 11] + b"".join(b"\xff" + rng.randbytes(255) for _ in range(50)) + b"\0;"


MAKERS: tuple[Callable[[random.Random], Corpus], ...] = (
    *(polyglots, png_texts, png_chunks, animated, profiles, directory_loops, orientations, exif_bombs, foreign),
    *(cut, absurd, bombs, tag_bombs, bmp_tricks, jpeg_tricks, gif_tricks),
)
KINDS = {made.__name__.replace("_", " "): made for made in MAKERS}


def corpus(kind: str, seed: int = 0) -> list[tuple[str, bytes]]:
    """The pictures of a kind: name and bytes."""
    return list(KINDS[kind](random.Random(f"{seed} {kind}")))

"""Rendered Arabic screenshots: chats, bills, articles and menus, light and dark, with the words that stand in them."""

import lzma
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from araclip.text.words import asked_words, words

FONTS = (
    "/usr/share/fonts/truetype/vazirmatn/Vazirmatn-Regular.ttf",
    "/usr/share/fonts/truetype/vazirmatn-variable/Vazirmatn[wght].ttf",
    "/usr/share/fonts/truetype/noto/NotoNaskhArabic-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansArabic-Regular.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
SIZE = (720, 1280)  # a phone's, at half of its pixels
THEMES = (("#ffffff", "#111111", "#e8f5e9"), ("#f2f2f7", "#1c1c1e", "#ffffff"), ("#121b22", "#e9edef", "#1f2c34"))


@dataclass(frozen=True)
class Screenshot:
    """A picture, the lines in it, and three of its words as a query."""

    picture: Image.Image
    lines: tuple[str, ...]
    query: str


def sentences(path: Path) -> list[str]:
    """Arabic lines of a tab-separated file, 20 to 60 letters each, one script only."""
    raw = path.read_bytes()
    text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode()
    lines = [line.split("\t")[-1].strip() for line in text.splitlines()]
    latin = re.compile("[A-Za-z]")
    return [line for line in lines if 20 <= len(line) <= 60 and not latin.search(line)]


def screenshots(lines: Sequence[str], count: int, seed: int = 0) -> list[Screenshot]:
    """Pages with lines of their own; a query is three words of three letters and more, from anywhere on its page."""
    draw = random.Random(seed)
    fonts = [path for path in FONTS if Path(path).is_file()]
    if not fonts:
        raise SystemExit(f"none of these fonts is here: {', '.join(FONTS)}")
    pages = []
    for number in range(count):
        some = tuple(draw.sample(list(lines), draw.randint(6, 12)))
        font = ImageFont.truetype(fonts[number % len(fonts)], draw.choice((22, 26, 30, 36)))
        known = [word.folded for line in some for word in asked_words(line) if len(word.folded) > 3]
        pages.append(
            Screenshot(_page(some, font, THEMES[number % 3], number % 4), some, " ".join(draw.sample(known, 3)))
        )
    return pages


def _page(lines: Sequence[str], font: ImageFont.FreeTypeFont, theme: tuple[str, str, str], kind: int) -> Image.Image:
    paper, ink, box = theme
    page = Image.new("RGB", SIZE, paper)
    draw = ImageDraw.Draw(page)
    top, right = 90, SIZE[0] - 40
    draw.rectangle((0, 0, SIZE[0], 60), fill=box)
    draw.text((right, 14), "9:41", font=font, fill=ink, anchor="ra")
    for number, line in enumerate(lines):
        for part in _wrapped(line, font, SIZE[0] - (200 if kind == 0 else 90)):
            height = font.size * 1.7
            if top + height > SIZE[1] - 20:
                return page
            shift = 100 * (number % 2) if kind == 0 else 0
            if kind in (0, 3):
                width = draw.textlength(part, font=font, direction="rtl", language="ar")
                draw.rounded_rectangle(
                    (right - shift - width - 20, top - 4, right - shift + 14, top + height - 6), 12, fill=box
                )
            draw.text((right - shift, top), part, font=font, fill=ink, anchor="ra", direction="rtl", language="ar")
            top += int(height)
        top += {0: 18, 1: 6, 2: 24, 3: 30}[kind]
        if kind == 1:
            draw.line((40, top - 6, right, top - 6), fill=ink)
    return page


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    parts: list[str] = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if font.getlength(longer, direction="rtl") <= width or not parts[-1]:
            parts[-1] = longer
        else:
            parts.append(word)
    return parts


def share_read(read: str, lines: Sequence[str]) -> float:
    """The share of the words in `lines` that OCR has read, by their stems."""
    seen = {word.stem for word in words(read)}
    wanted = [word.stem for line in lines for word in words(line)]
    return sum(stem in seen for stem in wanted) / len(wanted)

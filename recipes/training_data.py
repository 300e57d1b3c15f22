"""What araclip-mini learns from: pictures with captions or names, drawn emoji, parallel text."""

import itertools
import lzma
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from araclip import normalize
from araclip.demo import sample_pictures
from araclip.evaluation.datasets import Picture, read_pictures
from araclip.training.data import Pair, read_pairs

CAPTIONED = {"flickr30k_subset": "caption_ar_mt", "coco_subset": "", "pascal_sentences": ""}
LABELLED = (
    "nips17_ccby",
    "caltech101",
    "sports100",
    "gcompris_words",
    "based_cooking_pd",
    "documerica_pd",
    "egypt_landmarks",
)
EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"  # Debian's fonts-noto-color-emoji, OFL-1.1
EMOJI_SIZE = 109  # the one size its bitmaps have
SKIN_TONES = {chr(c) for c in range(0x1F3FB, 0x1F400)}


def emoji_names(data: Path) -> dict[str, tuple[str, str]]:
    """English and Arabic name of every emoji without skin tone, from Unicode CLDR."""
    with lzma.open(data / "parallel" / "cldr_emoji_names.tsv.xz", "rt", encoding="utf-8") as rows:
        next(rows)
        cells = [row.rstrip("\n").split("\t") for row in rows]
    return {emoji: (english, arabic) for english, arabic, emoji in cells if not SKIN_TONES & set(emoji)}


def noto_pictures(data: Path) -> list[tuple[Image.Image, Picture]]:
    """Noto's drawing of every emoji that its font has."""
    font = ImageFont.truetype(EMOJI_FONT, EMOJI_SIZE)
    drawn = []
    for emoji, (english, arabic) in emoji_names(data).items():
        if max(map(ord, emoji)) < 0x2190 or font.getlength(emoji) > 150:
            continue
        canvas = Image.new("RGB", (150, 140), "white")
        ImageDraw.Draw(canvas).text((7, 8), emoji, font=font, embedded_color=True)
        if canvas.getextrema() != ((255, 255),) * 3 and len(set(canvas.resize((8, 8)).getdata())) > 3:
            drawn.append((canvas, Picture(Path(f"noto/{emoji}"), (english,), (arabic,), "noto_emoji")))
    return drawn


def openmoji_pictures(data: Path, work: Path) -> list[Picture]:
    """OpenMoji's drawings, as the demo makes them; its photographs stay out."""
    names = {emoji.replace("\ufe0f", ""): english for emoji, (english, _) in emoji_names(data).items()}
    samples = [s for s in sample_pictures(work / "samples", lambda done, total: None) if s.emoji]
    known = [(s, names.get(s.emoji.replace("\ufe0f", ""))) for s in samples]
    return [Picture(s.path, (english,), (normalize(s.arabic),), "openmoji") for s, english in known if english]


def training_pictures(data: Path) -> tuple[list[Path | Image.Image], list[Picture]]:
    """All training pictures: captioned ones first, then those with a name only."""
    flickr = read_pictures(
        data / "flickr8k", ("caption_en",), ("caption_ar", "caption_ar_eljundi", "caption_ar_f30k_mt"), "train"
    )
    captioned = [
        read_pictures(data / "more" / s, ("caption_en",), (field,) if field else ()) for s, field in CAPTIONED.items()
    ]
    named = [read_pictures(data / "more" / s, ("caption_en", "label"), ("caption_ar", "class_ar")) for s in LABELLED]
    files = flickr + list(itertools.chain(*captioned, *named))
    emoji = noto_pictures(data)
    return [p.path for p in files] + [image for image, _ in emoji], files + [picture for _, picture in emoji]


def parallel_pairs(data: Path, rows: dict[str, int], seed: int) -> list[Pair]:
    dice = random.Random(seed)
    pairs = []
    for name, count in rows.items():
        found = list(dict.fromkeys(read_pairs(data / "parallel" / f"{name}.tsv.xz")))
        pairs += found if len(found) <= count else dice.sample(found, count)
    return pairs

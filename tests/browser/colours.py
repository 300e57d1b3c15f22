"""A small real gallery for the page's tests: red, green and blue pictures of all shapes, dates, formats and names."""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from araclip import AraCLIP, Gallery

COUNT = 96  # more than two pages of results
SIZES = ((320, 240), (240, 320), (256, 256), (480, 180), (300, 200), (150, 400))
SUFFIXES = (".jpg", ".png", ".webp")
FOLDERS = ("رحلة", "holiday")
MIXED_NAME = "قطة cat (1) - نسخة.jpg"  # both directions and neutral marks in one name
HOSTILE_NAME = '"><img src=x onerror=alert(1)>.png'


def write_pictures(root: Path) -> None:
    """`COUNT` pictures: the first of each colour is pure, the later ones are ever greyer."""
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        colour = np.zeros(3)
        colour[i % 3] = 255
        grey = (i // 3) / (COUNT / 3)
        size = SIZES[i % len(SIZES)]
        mean = colour * (1 - grey) + np.array([128, 128, 128]) * grey
        coarse = rng.normal(mean, 18, (6, 6, 3)).clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        exif = Image.Exif()
        if i % 2:
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"202{i % 4}:0{1 + i % 9}:17 18:30:00"
        name = {0: MIXED_NAME, 1: HOSTILE_NAME}.get(i, f"{i:03}{SUFFIXES[i % 3]}")
        path = root / FOLDERS[i % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, exif=exif)


def write_gallery(root: Path, model: Path) -> Path:
    """Pictures below `root`, indexed; returns the gallery's folder."""
    write_pictures(root / "pictures")
    with Gallery.open(root / "gallery", model=AraCLIP(model), create=True) as gallery:
        gallery.update([root / "pictures"])
    return root / "gallery"

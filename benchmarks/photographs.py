"""Pictures for benchmarks of speed: random crops of the photographs in the scikit-image wheel (extra benchmark)."""

from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
)
SMALL, LARGE = (500, 375), (4000, 3000)  # a photograph of the web; one of twelve megapixels, as phones make them


def write_photographs(folder: Path, count: int, size: tuple[int, int] = SMALL) -> Path:
    """Write so many JPEGs (quality 90); returns the folder. Large ones have noise, as from a sensor."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sources = [Image.open(str(files("skimage") / "data" / name)).convert("RGB") for name in PHOTOGRAPHS]
    for i in range(count):
        source = sources[i % len(sources)]
        scale = rng.uniform(0.5, 0.95)
        w, h = int(source.width * scale), int(source.height * scale)
        x, y = int(rng.integers(source.width - w)), int(rng.integers(source.height - h))
        made = source.crop((x, y, x + w, y + h)).resize(size)
        if size == LARGE:
            noise = rng.integers(-8, 9, (size[1], size[0], 1), np.int16)
            made = Image.fromarray((np.asarray(made) + noise).clip(0, 255).astype(np.uint8))
        made.save(folder / f"{i:05}.jpg", quality=90)
    return folder

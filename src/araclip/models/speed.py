"""Measure how fast a model is on this machine, and remember the result."""

import json
import time
from dataclasses import asdict, dataclass

import numpy as np

from araclip.core import atomic, bounded_json
from araclip.core.paths import data_home
from araclip.errors import InputError
from araclip.models.encoder_base import Encoder, usable_cores

TEXTS = ("قطة على طاولة", "سيارة حمراء أمام بيت قديم", "two children play in the snow", "غروب الشمس على البحر")
SECONDS = 4.0  # limit: seconds to encode pictures, and again to encode texts
MOST = 32  # limit: pictures, and texts, that are measured


@dataclass(frozen=True)
class Speed:
    """How fast a model is.

    pictures_per_second: in batches, without decoding. text_ms: milliseconds for a call with one text, like a query.
    cores: number of cores that the process could use.
    """

    pictures_per_second: float
    text_ms: float
    cores: int


def measure(model: Encoder) -> Speed:
    """Encode noise pictures in batches of four, then short texts one by one, at most MOST of each, and time both."""
    size = model.image_size
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    model.encode_pixels(noise[:1])  # opens the graphs before the clock starts
    model.encode_text(TEXTS[0])
    begin, pictures = time.perf_counter(), 0
    while pictures < MOST and (not pictures or time.perf_counter() - begin < SECONDS):
        model.encode_pixels(noise)
        pictures += len(noise)
    rate = pictures / (time.perf_counter() - begin)
    milliseconds: list[float] = []
    begin = time.perf_counter()
    while len(milliseconds) < MOST and (not milliseconds or time.perf_counter() - begin < SECONDS):
        start = time.perf_counter()
        model.encode_text(TEXTS[len(milliseconds) % len(TEXTS)])
        milliseconds.append((time.perf_counter() - start) * 1e3)
    return Speed(round(rate, 2), round(float(np.median(milliseconds)), 2), usable_cores())


def store_speed(fingerprint: str, speed: Speed) -> None:
    """Store the speed of the model with this fingerprint on this machine."""
    path = data_home() / "speeds" / f"{fingerprint}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, json.dumps(asdict(speed)))


def read_speed(fingerprint: str) -> Speed | None:
    """Return the stored speed of the model with this fingerprint; None if none is stored or it cannot be read."""
    path = data_home() / "speeds" / f"{fingerprint}.json"
    try:
        found = bounded_json.read(path, max_bytes=10_000, kind=dict)
        return Speed(float(found["pictures_per_second"]), float(found["text_ms"]), int(found["cores"]))
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return None

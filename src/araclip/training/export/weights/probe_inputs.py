"""What a way to store weights is tried on: real captions and pictures, as inputs of a model folder's graphs.

Captions are this project's own. Pictures are those of a dev set or a folder, or else the photographs of the demo extra,
or, without it, drawn shapes.
"""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.demo import PHOTOGRAPHS
from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.gallery.queries.reference_queries import EVERYDAY
from araclip.inference.towers import Tokens, padded
from araclip.model_folder import ModelConfig
from araclip.picture_formats.kinds import SUFFIXES
from araclip.pictures.images import open_image
from araclip.training.export.weights.choice import Probes
from araclip.training.model.parity import probe_squares

CAPTIONS = 48
PICTURES = 8  # a vision transformer at 512 pixels takes seconds for each
CALIBRATION = 128  # pictures of a folder that static-int8 measures its ranges on
_BATCH = 8  # texts
_LARGE = 384  # pixels a side, from which on a picture alone is as fast as several at once


def text_probes(folder: Path, config: ModelConfig) -> Probes:
    """Captions as the text graph of a model folder takes them: each alone, and some in a batch."""
    captions = (*EVERYDAY[:CAPTIONS], *(what for what, _ in PHOTOGRAPHS.values()))
    encodings = Tokens(folder, config).encode(captions)
    return Probes([padded([one], config.text) for one in encodings], padded(encodings[-_BATCH:], config.text), _BATCH)


def image_probes(model: AraCLIP, pictures: Path | None = None, count: int = PICTURES) -> Probes:
    """Pictures as the image graph of a model takes them.

    Args:
        pictures: a folder, of which `count` pictures are taken, evenly.

    Raises:
        InputError: there is no picture in the folder.
    """
    squares = _squares(model, pictures, count)
    together = 1 if model.image_size >= _LARGE else min(4, len(squares))
    return Probes([{"pixels": square[None]} for square in squares], {"pixels": squares[:together]}, together)


def _squares(model: AraCLIP, pictures: Path | None, count: int) -> NDArray[np.uint8]:
    """(n, S, S, 3) uint8"""
    if pictures is None and (found := _photographs()):
        chosen = found[:count]
    elif pictures is None:
        return probe_squares(model.image_size)[-count:]
    else:
        found = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(f"{pictures} holds no picture ({', '.join(sorted(SUFFIXES))}). Name another folder.")
        chosen = found[:: max(1, len(found) // count)][:count]
    return np.stack([model.image_transform.pixels(open_image(path, model.image_size)) for path in chosen])


def _photographs() -> list[Path]:
    """Those of the scikit-image wheel that the sample gallery shows, where it is installed."""
    if find_spec("skimage") is None:
        return []
    wheel = Path(str(files("skimage"))) / "data"
    return [path for name in PHOTOGRAPHS if (path := wheel / name).is_file()]

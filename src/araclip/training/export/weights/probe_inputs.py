"""What a way to store weights is tried on: real captions and pictures, as inputs of a model folder's graphs.

Captions are this project's own. Pictures are those of folders (by default a dev set's), or else the photographs of the
demo extra, or, without it, drawn shapes.
"""

from collections.abc import Iterable, Sequence
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
from araclip.training.export.weights.sessions import Feed
from araclip.training.model.parity import probe_squares

CAPTIONS = 48
PICTURES = 8  # a vision transformer at 512 pixels takes seconds for each
CALIBRATION = 128  # pictures of each folder that static-int8 measures its ranges on

Probes = Sequence[Feed]  # one item each


def text_probes(folder: Path, config: ModelConfig) -> Probes:
    """Captions as the text graph of a model folder takes them, each alone."""
    captions = (*EVERYDAY[:CAPTIONS], *(what for what, _ in PHOTOGRAPHS.values()))
    return [padded([one], config.text) for one in Tokens(folder, config).encode(captions)]


def image_probes(model: AraCLIP, pictures: Sequence[Path] = (), count: int = PICTURES) -> Probes:
    """Pictures as the image graph of a model takes them, each alone.

    Args:
        pictures: folders, of each of which `count` pictures are taken, evenly; without any, photographs of the demo
            extra are.

    Raises:
        InputError: a folder is missing, or holds no picture.
    """
    return [{"pixels": square[None]} for square in _squares(model, pictures, count)]


def _squares(model: AraCLIP, folders: Sequence[Path], count: int) -> NDArray[np.uint8]:
    """(n, S, S, 3) uint8"""
    if folders:
        chosen = [path for folder in folders for path in _evenly(_pictures_in(folder), count)]
    elif found := _photographs():
        chosen = found[:count]
    else:
        return probe_squares(model.image_size)[-count:]
    return np.stack([model.image_transform.pixels(open_image(path, model.image_size)) for path in chosen])


def check_pictures(folders: Iterable[Path]) -> None:
    """Refuse what `image_probes` would, before the long work that comes first.

    Raises:
        InputError: a folder is missing, or holds no picture.
    """
    for folder in folders:
        _pictures_in(folder)


def _pictures_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Name a folder of pictures.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))}). Name another folder.")
    return found


def _evenly(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of them, at equal distances; all where there are fewer."""
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, min(count, len(paths)))]


def _photographs() -> list[Path]:
    """Those of the scikit-image wheel that the sample gallery shows, where it is installed."""
    if find_spec("skimage") is None:
        return []
    wheel = Path(str(files("skimage"))) / "data"
    return [path for name in PHOTOGRAPHS if (path := wheel / name).is_file()]

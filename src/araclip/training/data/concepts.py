"""Reads concepts: the classes of an image classifier, with names and a vector in the image tower's feature space."""

import hashlib
import random
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from araclip.core import bounded_json
from araclip.errors import DataError, InputError
from araclip.text.normalization import normalize

MAX_ARRAY = 500_000_000  # limit of an array's size in bytes; 20,000 classes of 2,048 numbers have 164 MB
_DAMAGE = (  # the errors that a damaged file can raise when its arrays or its JSON are read
    DataError, InputError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError,
    RuntimeError, struct.error, zlib.error, BadZipFile,
)  # fmt: skip

Floats = NDArray[np.float32]


def files_of_classes(path: Path) -> tuple[Path, Path]:
    """Return the paths of the two files that hold classes: `<path>.npz` and `<path>.json`; `path` may be either."""
    name = path.name.removesuffix(".npz").removesuffix(".json")
    return path.with_name(f"{name}.npz"), path.with_name(f"{name}.json")


@contextmanager
def class_files(path: Path, layout: str) -> Iterator[tuple[dict[str, Floats], dict[str, Any]]]:
    """Read the arrays of `<path>.npz` and the object in `<path>.json`; a context manager for a `with` block.

    An error in reading or inside the block becomes a DataError that ends with `layout`, which says what the two files
    must hold.
    """
    try:
        packed_path, about = files_of_classes(path)
        if not packed_path.is_file():
            raise DataError(f"{packed_path} is no file")
        with ZipFile(packed_path) as packed:
            if (largest := max((entry.file_size for entry in packed.infolist()), default=0)) > MAX_ARRAY:
                raise DataError(f"{packed_path}: an array of {largest:,} bytes, at most {MAX_ARRAY:,} are read")
        with np.load(packed_path, allow_pickle=False) as stored:
            arrays = {name: stored[name].astype(np.float32) for name in stored.files}
        yield arrays, bounded_json.read(about, kind=dict, error=DataError)
    except _DAMAGE as error:
        raise DataError(f"{path}: {error!r:.200}. {layout}") from error


def normalized_texts(listed: Any) -> list[str]:
    """Return the texts of a list, normalised; raise a TypeError or InputError if it is not a list of texts."""
    if not isinstance(listed, list):
        raise TypeError(f"{listed!r:.80} is no list of texts")
    return [normalize(text) for text in listed]


@dataclass(frozen=True)
class Concepts:
    """Those classes of an image classifier that have a name in a language that the training stage asks for."""

    features: Floats  # (classes, W): each class's vector in the space of the image tower's pooled output, of width W
    names: list[tuple[str, ...]]  # for each class its names, normalised, at least one
    # weight (all classes, W) and bias (all classes,) of the classifier; None: not known
    classifier: tuple[Floats, Floats] | None

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits: a hash of the features, the names and the classifier."""
        digest = hashlib.sha256(repr(self.names).encode())
        for array in (self.features, *(self.classifier or ())):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def draw(self, count: int, seed: int, step: int) -> tuple[list[str], list[int]]:
        """Draw `count` classes and a name of each; return the names, and the row numbers of the classes in `features`.

        The same seed and step give the same draw. If there are fewer classes, all are drawn.
        """
        rng = random.Random(f"concepts {seed} {step}")
        classes = rng.sample(range(len(self.names)), min(count, len(self.names)))
        return [rng.choice(self.names[c]) for c in classes], classes


def read_concepts(path: Path, languages: tuple[str, ...], width: int | None = None) -> Concepts:
    """Read concepts (an image classifier's classes) from `<path>.npz` and `<path>.json`.

    `recipes/mini/data.py` writes these files. The .npz holds `features`, and the classifier's `weight` and `bias` if
    they are known. The .json holds each class's names as `names_en` and `names_ar`; only names in `languages` are kept.
    A DataError is raised if features have another width than `width` (the image tower's; None: not compared), if files
    do not fit together, if a number is not finite, or if no class has a name.
    """
    layout = "Concepts are a .npz with `features` (C, W) and a .json with C lists of names a language."
    with class_files(path, layout) as (arrays, listing):
        by_language = {
            language: [normalized_texts(names) for names in listing[key]]
            for language, key in (("english", "names_en"), ("arabic", "names_ar"))
        }
        features = arrays["features"]
        names = [
            tuple(text for language in languages for text in by_language[language][c]) for c in range(len(features))
        ]
        differ = any(len(listed) != len(features) for listed in by_language.values())
    if differ:
        raise DataError(f"{path}: {len(features)} rows of features, not as many classes. Make the two anew.")
    width = features.shape[-1] if width is None else width
    if features.shape[1:] != (width,):
        raise DataError(
            f"{path}: features of shape {features.shape}, the image tower makes {width} numbers a picture. "
            "Make the concepts with this tower, or train the tower they were made with."
        )
    usable = [c for c, texts in enumerate(names) if texts]
    if not usable:
        raise DataError(f"{path}: no class has a name in {' or '.join(languages)}. Add names, or leave `concepts` out.")
    classifier = (arrays["weight"], arrays["bias"]) if {"weight", "bias"} <= arrays.keys() else None
    if not np.isfinite(features).all() or (classifier and not all(np.isfinite(part).all() for part in classifier)):
        raise DataError(f"{path}: a number in the .npz is NaN or infinite. Make the concepts anew.")
    if classifier and (classifier[0].shape[1:] != (width,) or classifier[1].shape != classifier[0].shape[:1]):
        shapes = f"{classifier[0].shape} and {classifier[1].shape}"
        raise DataError(f"{path}: weight and bias have shapes {shapes}, expected (classes, {width}) and (classes,).")
    return Concepts(features[usable], [names[c] for c in usable], classifier)

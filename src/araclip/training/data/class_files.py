"""Files of classes: arrays in a .npz, and words in a .json beside it. They may be damaged, and of any size."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from araclip import bounded_json
from araclip.errors import DataError, InputError
from araclip.text.normalization import normalize

MAX_ARRAY = 500_000_000  # bytes; 20,000 classes of 2,048 numbers have 164 MB
_DAMAGE = (  # what NumPy, zipfile and taking the two apart raise
    DataError, InputError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError,
    RuntimeError, struct.error, zlib.error, BadZipFile,
)  # fmt: skip

Floats = NDArray[np.float32]


@contextmanager
def class_files(path: Path, layout: str) -> Iterator[tuple[dict[str, Floats], dict[str, Any]]]:
    """The arrays of `<path>.npz` and the object in `<path>.json`, for a `with` block that takes them apart.

    Args:
        layout: a sentence for messages: what the two hold.

    Raises:
        DataError: a file is missing, damaged or too large, or the block fails on what it holds.
    """
    try:
        arrays = _read_arrays(path.with_suffix(".npz"))
        yield arrays, bounded_json.read(path.with_suffix(".json"), kind=dict, error=DataError)
    except _DAMAGE as error:
        raise DataError(f"{path}: {error!r:.200}. {layout}") from error


def normalized_texts(listed: Any) -> list[str]:
    """The texts of a list.

    Raises:
        TypeError, InputError: it is no list, such as a single text, or holds something else.
    """
    if not isinstance(listed, list):
        raise TypeError(f"{listed!r:.80} is no list of texts")
    return [normalize(text) for text in listed]


def _read_arrays(path: Path) -> dict[str, Floats]:
    """The arrays of a .npz, none of which may expand beyond MAX_ARRAY bytes."""
    if not path.is_file():
        raise DataError(f"{path} is no file")
    with ZipFile(path) as packed:
        if (largest := max((entry.file_size for entry in packed.infolist()), default=0)) > MAX_ARRAY:
            raise DataError(f"{path}: an array of {largest:,} bytes, at most {MAX_ARRAY:,} are read")
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}

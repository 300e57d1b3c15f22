"""The reference queries with which relevance is calibrated: everyday queries and nonsense.

Their vectors are cached beside the catalogue, for each model, so that a new process has only its own query to encode.
"""

import contextlib
import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np

from araclip.core import atomic
from araclip.gallery.relevance import ReferenceVectors
from araclip.models.encoder_base import Encoder, text_vectors

VERSION = 1  # version of the cache; increase it when the everyday or nonsense queries change
NONSENSE = 64  # how many nonsense queries there are

_lines = (files("araclip") / "text" / "data" / "everyday.txt").read_text(encoding="utf-8").splitlines()
_pairs = [line.split(" = ") for line in _lines if not line.startswith("#")]
EVERYDAY = [arabic for arabic, *_ in _pairs]
ENGLISH = {arabic: english[0] for arabic, *english in _pairs if english}  # query → its translation, if it has one

_ARABIC, _LATIN = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي", "abcdefghijklmnopqrstuvwxyz"


def nonsense_queries() -> list[str]:
    """Return NONSENSE strings of random letters, three quarters of them Arabic; always the same strings."""
    return [_random_word(i) if i % 2 else f"{_random_word(i)} {_random_word(NONSENSE + i)}" for i in range(NONSENSE)]


def _random_word(number: int) -> str:
    """Return 3 to 8 letters that follow from a number and look random: Latin ones for multiples of 4, else Arabic."""
    drawn = hashlib.sha256(str(number).encode()).digest()
    alphabet = _ARABIC if number % 4 else _LATIN
    return "".join(alphabet[byte % len(alphabet)] for byte in drawn[1 : 4 + drawn[0] % 6])


def reference_vectors(folder: Path, model: Encoder) -> ReferenceVectors:
    """Return the reference queries' vectors: read them from their cache file in `folder`, or encode and cache them."""
    path = folder / f"background-{model.fingerprint}-{VERSION}.f32"
    size = (len(EVERYDAY) + NONSENSE) * model.width * 4
    stored = atomic.read_checked(path)
    if stored is not None and len(stored) == size:
        vectors = np.frombuffer(stored, "<f4").reshape(-1, model.width)
        return ReferenceVectors(vectors[: len(EVERYDAY)], vectors[len(EVERYDAY) :])
    vectors = text_vectors(model, [*EVERYDAY, *nonsense_queries()])
    # on a read-only or full disk, the next process encodes the queries again, in a second
    with contextlib.suppress(OSError):
        atomic.write_checked(path, vectors.astype("<f4").tobytes())
        for stale in folder.glob("background-*"):
            if stale != path:
                atomic.unlink(stale)
    return ReferenceVectors(vectors[: len(EVERYDAY)], vectors[len(EVERYDAY) :])

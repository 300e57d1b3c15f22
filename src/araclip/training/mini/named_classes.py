"""Named classes: a classifier of image features, and the words that name its classes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from araclip.errors import DataError
from araclip.text.normalization import normalize
from araclip.training.data.concepts import Floats, class_files, normalized_texts


@dataclass(frozen=True)
class NamedClasses:
    """What `recipes/mini_names.py` makes.

    Attributes:
        weight, bias: of the classifier, (C, F) and (C,).
        exclusive: the first so many classes share a softmax; each of the others has a probability of its own.
        words: text → the classes that it names, one or more.
        others: texts that name no class: for them the names part shall count nothing.
    """

    weight: Floats
    bias: Floats
    exclusive: int
    words: dict[str, tuple[int, ...]]
    others: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with any number or text."""
        digest = hashlib.sha256(repr((self.exclusive, self.words, self.others)).encode())
        for array in (self.weight, self.bias):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]


def read_named_classes(path: Path) -> NamedClasses:
    """`<path>.npz` with `weight` and `bias`, and `<path>.json` with `exclusive`, `words` and `others`.

    Texts are normalised. A word marked `held` is left out: it is there to measure with.

    Raises:
        DataError: a file is missing or malformed, or the two disagree.
    """
    layout = (
        "Named classes are a .npz with `weight` (C, F) and `bias` (C,) and a .json with `exclusive`, `words` and "
        "`others`. Make the two anew."
    )
    with class_files(path, layout) as (arrays, listing):
        weight, bias = arrays["weight"], arrays["bias"]
        words = dict(_word(entry, len(bias)) for entry in listing["words"] if not entry.get("held"))
        others = tuple(normalized_texts(listing["others"]))
        exclusive = listing["exclusive"]
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or not isinstance(exclusive, int):
        raise DataError(f"{path}: weight {weight.shape} and bias {bias.shape} are no classifier. Make the two anew.")
    if not 0 <= exclusive <= len(bias) or not words or not all(np.isfinite(part).all() for part in (weight, bias)):
        raise DataError(
            f"{path}: {exclusive} exclusive of {len(bias)} classes, {len(words)} words, or a number that is not "
            "finite. Make the two anew."
        )
    return NamedClasses(weight, bias, exclusive, words, others)


def _word(entry: Any, classes: int) -> tuple[str, tuple[int, ...]]:
    text, numbers = normalize(entry["text"]), tuple(entry["classes"])
    if not text or not numbers or not all(isinstance(n, int) and 0 <= n < classes for n in numbers):
        raise ValueError(f"word {entry!r:.80} names no class below {classes}")
    return text, numbers

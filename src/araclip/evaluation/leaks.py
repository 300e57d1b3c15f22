"""Finds leaks: test pictures and captions that are also in the training data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from araclip.core.display import counted
from araclip.errors import ImageError
from araclip.evaluation.sets import PictureSet
from araclip.models.encoder_base import usable_cores
from araclip.pictures.phash import Hashes, hashes, nearest_hashes
from araclip.text.normalization import normalize

# Two pictures count as near copies if at most this many of the 64 bits of their perceptual hashes differ.
# docs/evaluation.md says how often so few bits differ between copies, and between different pictures.
NEAR = 6
EXAMPLES = 10  # limit: examples of pictures, and of captions, in the printed report


@dataclass(frozen=True)
class Copy:
    """A test picture and its nearest training picture; their perceptual hashes differ in `distance` of 64 bits."""

    test: Path
    training: Path
    distance: int


@dataclass(frozen=True)
class Leaks:
    """Pictures and captions of a test set that are also in training data."""

    pictures: tuple[Copy, ...]  #: test pictures with a near copy in the training data, nearest first
    captions: tuple[str, ...]  #: distinct test captions that equal a training caption after `normalize`
    n_pictures: int  #: number of test pictures
    n_training: int  #: number of training pictures that could be opened
    n_captions: int  #: number of distinct test captions
    unread: int  #: number of pictures, test and training, that could not be opened
    flat: int  #: number of test pictures of one colour, which are not compared

    def __repr__(self) -> str:
        return f"<Leaks: {len(self.pictures):,} test pictures and {len(self.captions):,} test captions in training>"

    def counts(self) -> dict[str, int]:
        """Return, for JSON, how many pictures and captions leaked and how many were compared."""
        return {
            "pictures": len(self.pictures),
            "captions": len(self.captions),
            "test_pictures": self.n_pictures,
            "test_captions": self.n_captions,
            "training_pictures": self.n_training,
            "not_compared": self.unread + self.flat,
        }

    def lines(self) -> list[str]:
        """Return the report as lines: the counts, each followed by up to ten examples."""
        lines = [
            f"{len(self.pictures):,} of {counted(self.n_pictures, 'test picture')} "
            f"{'has' if len(self.pictures) == self.n_pictures == 1 else 'have'} a near copy among "
            f"{counted(self.n_training, 'training picture')}",
            *(f"  {copy.test} ~ {copy.training} ({copy.distance} of 64 bits)" for copy in self.pictures[:EXAMPLES]),
            f"{len(self.captions):,} of {counted(self.n_captions, 'test caption is a', 'test captions are')} training "
            f"caption{'' if self.n_captions == 1 else 's'} too",
            *(f"  {caption}" for caption in self.captions[:EXAMPLES]),
        ]
        if self.unread or self.flat:
            unread = counted(self.unread, "picture")
            lines.append(f"not compared: {unread} that cannot be opened, {self.flat:,} of one colour")
        return lines


def find_leaks(
    test: PictureSet, pictures: Iterable[Path] = (), captions: Iterable[str] = (), *, near: int = NEAR
) -> Leaks:
    """Compare a test set with the pictures and captions that a model was trained on.

    Pictures are compared by perceptual hash, so a scaled, recompressed or renamed copy is found; a cropped or mirrored
    copy is not. Captions are compared after `normalize`; short captions may be equal by chance.

    Args:
        near: the most bits, of 64, in which the hashes of two pictures may differ if one is a copy of the other.
    """
    training_paths, training, unread = _hash_pictures(pictures)
    test_paths, tested, unread_too = _hash_pictures(test.pictures)
    textured = np.flatnonzero(tested)  # a picture of one colour, whose hash is always 0, is not compared
    copies = []
    if len(training) and len(textured):
        rows, distances = nearest_hashes(tested[textured], training)
        pairs = zip(textured.tolist(), rows.tolist(), distances.tolist(), strict=True)
        copies = [
            Copy(test_paths[tested_row], training_paths[row], bits) for tested_row, row, bits in pairs if bits <= near
        ]
    training_captions = {normalize(caption) for caption in captions}
    distinct = dict.fromkeys(text for texts in test.captions for text in texts)
    return Leaks(
        pictures=tuple(sorted(copies, key=lambda copy: copy.distance)),
        captions=tuple(text for text in distinct if text in training_captions),
        n_pictures=len(test.pictures),
        n_training=len(training),
        n_captions=len(distinct),
        unread=unread + unread_too,
        flat=len(tested) - len(textured),
    )


def pictures_and_captions(sets: Sequence[PictureSet]) -> tuple[list[Path], list[str]]:
    """Return all pictures and all captions of several sets."""
    pictures = [path for one in sets for path in one.pictures]
    return pictures, [text for one in sets for texts in one.captions for text in texts]


def _hash_pictures(pictures: Iterable[Path]) -> tuple[list[Path], Hashes, int]:
    """Return the paths and perceptual hashes of the pictures that can be opened, and how many cannot."""
    hashed = list(hashes(pictures, usable_cores()))
    read = [(path, value) for path, value in hashed if not isinstance(value, ImageError)]
    return [path for path, _ in read], np.array([value for _, value in read], np.uint64), len(hashed) - len(read)

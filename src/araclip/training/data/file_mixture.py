"""Picture files, captioned or not, mixed in fixed shares into batches without duplicates."""

import hashlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from araclip.errors import DataError, RecipeError
from araclip.training.data.picture_data import PictureSource, listed_pictures
from araclip.training.data.sampling import InterleavedSampler


class FileMixture:
    """An endless stream of batches of picture files that is a function of seed, step and size.

    Args:
        sources: picture sets with their shares; captions are not looked at, and groups make no difference.

    Attributes:
        files: of all sets, each once.

    Raises:
        RecipeError: no source.
        DataError: a set's list is missing or malformed, or empty, or a picture's file is missing.
    """

    def __init__(self, sources: Sequence[PictureSource], seed: int) -> None:
        if not sources:
            raise RecipeError("there is no picture set. Name one in `pictures`.")
        rows: dict[Path, int] = {}
        self._rows: list[list[int]] = []
        for source in sources:
            found = listed_pictures(source.folder, (), (), source.split, images=source.images)
            if not found:
                raise DataError(f"{source.folder} has no picture (split {source.split}). Correct it or leave it out.")
            self._rows.append([rows.setdefault(picture.path, len(rows)) for picture in found])
        self.files = list(rows)
        self._sampler = InterleavedSampler(list(map(len, self._rows)), [source.share for source in sources], seed)

    @property
    def fingerprint(self) -> str:
        """Changes with any picture's name, or their order."""
        return hashlib.sha256(repr([path.name for path in self.files]).encode()).hexdigest()[:12]

    def batch(self, step: int, size: int) -> list[int]:
        """Rows of `files` for one step, none twice.

        Raises:
            DataError: there are fewer pictures than `size`.
        """
        if size > len(self.files):
            raise DataError(f"a batch of {size} pictures, but there are only {len(self.files)}. Ask for fewer.")
        rows: dict[int, None] = {}
        for slot in count(step * size):
            which, row, _ = self._sampler.draw(slot)
            rows[self._rows[which][row]] = None
            if len(rows) == size:
                return list(rows)
        raise AssertionError

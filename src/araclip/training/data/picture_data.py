"""Pictures and their texts for contrastive learning: sets mixed in fixed shares into batches without duplicates."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.errors import DataError, InputError, RecipeError
from araclip.evaluation.picture_sets.datasets import CaptionedPicture, read_pictures
from araclip.training.data.limits import Positive
from araclip.training.data.noise import noisy
from araclip.training.data.sampling import InterleavedSampler

LANGUAGES = ("arabic", "english")
SPARE = 10**9  # slots from here on replace pictures that a batch drew twice


@dataclass(frozen=True)
class PictureSource:
    """A picture set; `share` is its part of each batch, relative to the other sets.

    Attributes:
        images: another folder in which its pictures may lie; without it all lie below `folder`.
    """

    folder: Path
    share: Positive = 1.0
    split: str | None = None
    english: tuple[str, ...] = ("caption_en",)
    arabic: tuple[str, ...] = ("caption_ar",)
    images: Path | None = None
    group: str = ""  # a batch holds sets of one group only, so that its negatives are pictures of one kind


@dataclass(frozen=True)
class Batch:
    """One step's pictures and texts.

    Attributes:
        rows: (I,) rows of `PictureMixture.pictures`, no picture twice.
        texts: (T,) input of the student.
        english: (T,) an English caption of the same picture, or None where it has none.
        owner: (T,) position in `rows` of each text's picture.
        same: (T, I) bool, true where a picture has the text among its own, so that the two are no negatives.
    """

    rows: list[int]
    texts: list[str]
    english: list[str | None]
    owner: list[int]
    same: NDArray[np.bool_]


class PictureMixture:
    """An endless stream of batches that is a function of seed, step and size.

    Args:
        sources: picture sets with their shares.
        languages: share of texts a language, {"arabic": 0.8, "english": 0.2}. A picture that has only one of them
            gives that one; a picture with no text in any of them is left out.
        captions: texts a picture in a batch.
        noise: chance that an Arabic text passes `noisy`.
        needs_files: the pictures are read later, so their files have to exist. Without, only texts are used, and a
            picture with fewer than `captions` of them is left out.

    Raises:
        RecipeError: no source, an unknown language, a share that is not positive.
        DataError: a set's list is missing or malformed (the line is named), it has no picture with a text in those
            languages, or a picture's file is missing.
    """

    def __init__(
        self,
        sources: Sequence[PictureSource],
        seed: int,
        *,
        languages: Mapping[str, float],
        captions: int = 1,
        noise: float = 0.0,
        needs_files: bool = True,
    ) -> None:
        unknown = [name for name in languages if name not in LANGUAGES]
        if unknown or not languages:
            raise RecipeError(f"languages are {dict(languages)}, known are {', '.join(LANGUAGES)}. Name at least one.")
        if wrong := [name for name, share in languages.items() if not 0 < share < float("inf")]:
            raise RecipeError(
                f"{wrong[0]} has share {languages[wrong[0]]}, expected a positive number. Or leave it out."
            )
        self.seed, self.languages, self.captions, self.noise = seed, dict(languages), captions, noise
        self.pictures: list[CaptionedPicture] = []
        self._offsets: list[int] = []
        for source in sources:
            self._offsets.append(len(self.pictures))
            self.pictures += _usable(source, tuple(languages), 1 if needs_files else captions, needs_files)
        sizes = np.diff([*self._offsets, len(self.pictures)]).tolist()
        groups: dict[str, list[int]] = {}
        for which, source in enumerate(sources):
            groups.setdefault(source.group, []).append(which)
        self._members = list(groups.values())  # of each group, its sources
        shares = [[sources[which].share for which in members] for members in self._members]
        self._groups = InterleavedSampler([1] * len(groups), [sum(of_group) for of_group in shares], seed)
        self._sources = [
            InterleavedSampler([sizes[which] for which in members], of_group, seed)
            for members, of_group in zip(self._members, shares, strict=True)
        ]
        self._first_row = _same_file(self.pictures)
        of_sources = [self._first_row[first : first + size] for first, size in zip(self._offsets, sizes, strict=True)]
        self._distinct = min(len({row for which in members for row in of_sources[which]}) for members in self._members)
        texts: dict[int, set[str]] = {}
        for row, picture in zip(self._first_row, self.pictures, strict=True):
            texts.setdefault(row, set()).update(picture.english + picture.arabic)
        self._texts = [texts[row] for row in self._first_row]
        self._neighbours: NDArray[np.int64] | None = None
        self._hard = 0

    @property
    def fingerprint(self) -> str:
        """Changes with any picture's name or text, or their order."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(repr((picture.source, picture.path.name, picture.english, picture.arabic)).encode())
        return digest.hexdigest()[:12]

    @property
    def files(self) -> list[Path]:
        """The pictures' files, in the order of `pictures`."""
        return [picture.path for picture in self.pictures]

    def texts_of(self, row: int) -> list[str]:
        """The captions of one picture in the languages asked for."""
        return [text for language in self.languages for text in getattr(self.pictures[row], language)]

    @property
    def texts(self) -> list[str]:
        """The captions of all pictures, one picture after the other."""
        return [text for row in range(len(self.pictures)) for text in self.texts_of(row)]

    def use_hard_negatives(self, neighbours: NDArray[np.int64], hard: int) -> None:
        """From now on a batch holds, with each drawn picture, `hard` of its (N, K) `neighbours`; see `mined`."""
        self._neighbours, self._hard = neighbours, min(hard, neighbours.shape[1])

    def batch(self, step: int, size: int) -> Batch:
        """The batch of one step; the same for the same seed, sources, step and size.

        Raises:
            DataError: there are fewer pictures than `size`.
        """
        if size > self._distinct:
            raise DataError(
                f"a batch of {size} pictures, but there are only {self._distinct} (in the smallest group, if there are "
                "groups). Ask for fewer, or add some."
            )
        rows = self._rows(step, size)
        texts, english, owner = [], [], []
        for position, row in enumerate(rows):
            rng = random.Random(f"{self.seed} {step} {position}")
            for text in self._draw_captions(self.pictures[row], rng):
                texts.append(text)
                owner.append(position)
                captions = self.pictures[row].english
                english.append(rng.choice(captions) if captions else None)
        same = self._same(texts, rows)
        return Batch(rows, [self._with_noise(t, step, i) for i, t in enumerate(texts)], english, owner, same)

    def _rows(self, step: int, size: int) -> list[int]:
        seeds = -(-size // (1 + self._hard))
        group, _, earlier = self._groups.draw(step)  # the group whose batch this is, and how many it had before
        own = range(earlier * seeds, (earlier + 1) * seeds)
        rows: dict[int, int] = {}  # first row of a picture's file → the row that was drawn
        for slot in chain(own, count(SPARE + earlier * size)):
            source_index, row, _ = self._sources[group].draw(slot)
            row += self._offsets[self._members[group][source_index]]
            rows.setdefault(self._first_row[row], row)
            if self._neighbours is not None:
                rng = np.random.default_rng([self.seed, step, row])
                for near in rng.permutation(self._neighbours[row])[: self._hard].tolist():
                    rows.setdefault(self._first_row[near], near)
            if len(rows) >= size:
                break
        return list(rows.values())[:size]

    def _draw_captions(self, picture: CaptionedPicture, rng: random.Random) -> list[str]:
        by_language = {name: getattr(picture, name) for name in self.languages if getattr(picture, name)}
        names = list(by_language)
        chosen: list[str] = []
        for _ in range(self.captions):
            name = rng.choices(names, [self.languages[n] for n in names])[0]
            left = [text for text in by_language[name] if text not in chosen] or list(by_language[name])
            chosen.append(rng.choice(left))
        return chosen

    def _same(self, texts: list[str], rows: list[int]) -> NDArray[np.bool_]:
        positions: dict[str, list[int]] = {}
        for position, row in enumerate(rows):
            for text in self._texts[row]:
                positions.setdefault(text, []).append(position)
        same = np.zeros((len(texts), len(rows)), np.bool_)
        for i, text in enumerate(texts):
            same[i, positions[text]] = True
        return same

    def _with_noise(self, text: str, step: int, position: int) -> str:
        rng = random.Random(f"noise {self.seed} {step} {position}")
        return noisy(text, rng) if rng.random() < self.noise else text


def listed_pictures(
    folder: Path,
    english: tuple[str, ...],
    arabic: tuple[str, ...],
    split: str | None,
    *,
    images: Path | None = None,
    needs_files: bool = True,
) -> list[CaptionedPicture]:
    """`read_pictures` for training, where a picture's file has to be there before the long part starts.

    Args:
        images: another folder in which its pictures may lie.
        needs_files: whether the pictures' files have to exist.

    Raises:
        DataError: the list is missing or malformed (the line is named), or it names a file that is not there or that
            lies elsewhere.
    """
    try:
        found = read_pictures(folder, english, arabic, split, images=images, needs_files=needs_files)
    except InputError as error:
        raise DataError(str(error)) from error
    missing = [picture.path for picture in found if needs_files and not picture.path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(found)} pictures that {folder / 'captions.jsonl'} names are missing, {missing[0]} "
            "for one. Fetch them, or remove their lines."
        )
    return found


def ungrouped(sources: Sequence[PictureSource]) -> list[PictureSource]:
    """The sources as one group, for a single batch that is to hold pictures of all of them."""
    return [replace(source, group="") for source in sources]


def draw_files(sources: Sequence[PictureSource], seed: int, count: int) -> tuple[list[Path], str]:
    """A batch of `count` pictures by the sources' shares, of all groups, and the fingerprint of the sets."""
    mixture = PictureMixture(ungrouped(sources), seed, languages=dict.fromkeys(LANGUAGES, 1.0))
    return [mixture.pictures[row].path for row in mixture.batch(0, count).rows], mixture.fingerprint


def _usable(source: PictureSource, languages: tuple[str, ...], texts: int, needs_files: bool) -> list[CaptionedPicture]:
    fields = {name: getattr(source, name) for name in LANGUAGES}
    found = listed_pictures(
        source.folder, fields["english"], fields["arabic"], source.split, images=source.images, needs_files=needs_files
    )
    usable = [p for p in found if sum(len(set(getattr(p, language))) for language in languages) >= texts]
    if not usable:
        raise DataError(
            f"{source.folder}: none of {len(found)} pictures (split {source.split}) has {_counted(texts)} in "
            f"{' or '.join(languages)}. Its caption fields are taken to be {fields}; correct them or leave the set out."
        )
    return usable


def _same_file(pictures: Sequence[CaptionedPicture]) -> list[int]:
    """For each picture the first row with the same file: two sets may list one with different captions."""
    first: dict[Path, int] = {}
    return [first.setdefault(picture.path, row) for row, picture in enumerate(pictures)]


def _counted(texts: int) -> str:
    return "a text" if texts == 1 else f"{texts} texts"

"""Mixes picture sets with captions into training batches without duplicates, and augments pictures."""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from araclip.errors import DataError, InputError, RecipeError
from araclip.evaluation.sets import CaptionedPicture, read_pictures
from araclip.pictures.images import square
from araclip.training.data.limits import Count, Positive
from araclip.training.data.noise import noisy
from araclip.training.data.sampling import InterleavedSampler

LANGUAGES = ("arabic", "english")
# A slot is a place in the sampler's endless stream of draws. If a picture is drawn twice for a batch, another is drawn
# from a spare slot; spare slots begin with this number.
SPARE = 10**9


@dataclass(frozen=True)
class PictureSource:
    """A picture set.

    `share` is its part of each batch, relative to the other sets; `images` is the folder of its pictures, if they do
    not lie in `folder`. Of a set with more than `limit` pictures, `limit` evenly spread pictures are used. Without a
    `split`, the pictures of the split "train" are used, to which pictures without a split belong.
    """

    folder: Path
    share: Positive = 1.0
    split: str | None = None
    english: tuple[str, ...] = ("caption_en",)  # names of the caption fields
    arabic: tuple[str, ...] = ("caption_ar",)
    images: Path | None = None
    # Each batch is drawn from the sets of one group, so that its negatives are pictures of one kind. Only hard
    # negatives may come from other groups.
    group: str = ""
    limit: Count | None = None

    @property
    def used_split(self) -> str:
        """The split whose pictures are used."""
        return self.split or "train"


@dataclass(frozen=True)
class Batch:
    """The I pictures and T texts of one step."""

    rows: list[int]  # (I,) the pictures, as rows of `PictureMixture.pictures`, no picture twice
    texts: list[str]  # (T,) captions that the student reads
    english: list[str | None]  # (T,) an English caption of each text's picture; None if the picture has none
    owner: list[int]  # (T,) position in `rows` of each text's picture
    same: NDArray[np.bool_]  # (T, I) true if the text is also a caption of the picture, so that the pair is no negative


class PictureMixture:
    """An endless stream of batches of pictures with captions.

    A batch depends on seed, step and size alone, and on the neighbours that `use_hard_negatives` was given, if any.

    Args:
        sources: picture sets with their shares.
        languages: share of each language in the texts, {"arabic": 0.8, "english": 0.2}. A picture that has captions in
            only one of these languages gives captions in that language. A picture that has none is left out.
        captions: how many captions of each picture a batch holds.
        noise: chance that a text gets mistakes as people make them in typing, see `noisy`.
        needs_files: true if the pictures will be read; then all files must exist. False if only texts are used; then
            pictures with fewer than `captions` captions are left out.
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
            self.pictures += _usable_pictures(source, tuple(languages), 1 if needs_files else captions, needs_files)
        self._names = [f"{source.folder.name} ({source.used_split})" for source in sources]
        sizes = np.diff([*self._offsets, len(self.pictures)]).tolist()
        groups: dict[str, list[int]] = {}
        for which, source in enumerate(sources):
            groups.setdefault(source.group, []).append(which)
        self._members = list(groups.values())  # for each group, the positions of its sources in `sources`
        shares = [[sources[which].share for which in members] for members in self._members]
        self._groups = InterleavedSampler([1] * len(groups), [sum(of_group) for of_group in shares], seed)
        self._sources = [
            InterleavedSampler([sizes[which] for which in members], of_group, seed)
            for members, of_group in zip(self._members, shares, strict=True)
        ]
        first: dict[Path, int] = {}  # file → its first row in `pictures`, which has a row for each set with the file
        self._first_row = [first.setdefault(picture.path, row) for row, picture in enumerate(self.pictures)]
        of_sources = [self._first_row[start : start + size] for start, size in zip(self._offsets, sizes, strict=True)]
        self._distinct = min(len({row for which in members for row in of_sources[which]}) for members in self._members)
        texts: dict[int, set[str]] = {}
        for row, picture in zip(self._first_row, self.pictures, strict=True):
            texts.setdefault(row, set()).update(picture.english + picture.arabic)
        self._texts = [texts[row] for row in self._first_row]
        self._neighbours: NDArray[np.int64] | None = None
        self._hard = 0

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits: a hash of the pictures' names and captions, in order."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(repr((picture.source, picture.path.name, picture.english, picture.arabic)).encode())
        return digest.hexdigest()[:12]

    @property
    def about(self) -> list[str]:
        """For each source one line of text: how many pictures it has, and how many captions in each language."""
        lines = []
        for name, start, end in zip(self._names, self._offsets, [*self._offsets[1:], None], strict=True):
            rows = self.pictures[start:end]
            counts = {language: sum(len(getattr(row, language)) for row in rows) for language in self.languages}
            captions = ", ".join(f"{count:,} captions in {language.title()}" for language, count in counts.items())
            lines.append(f"{name}: {len(rows):,} pictures, {captions}")
        return lines

    @property
    def files(self) -> list[Path]:
        """The pictures' files, in the order of `pictures`."""
        return [picture.path for picture in self.pictures]

    def texts_of(self, row: int) -> list[str]:
        """Return the captions of one picture in the mixture's languages."""
        return [text for language in self.languages for text in getattr(self.pictures[row], language)]

    @property
    def texts(self) -> list[str]:
        """The captions of all pictures in the mixture's languages, picture by picture."""
        return [text for row in range(len(self.pictures)) for text in self.texts_of(row)]

    def use_hard_negatives(self, neighbours: NDArray[np.int64], hard: int) -> None:
        """Let every later batch contain, for each drawn picture, up to `hard` of its neighbours, drawn at random.

        The batch keeps its size. Neighbours may come from all picture sets, even where a batch is otherwise drawn from
        one group of sets (`PictureSource.group`).

        Args:
            neighbours: (N, K), for each of the N pictures the rows of its K neighbours, as `mined` returns them.
        """
        self._neighbours, self._hard = neighbours, min(hard, neighbours.shape[1])

    def batch(self, step: int, size: int) -> Batch:
        """Return the batch of one step, of `size` pictures; the same seed, step and size give the same batch.

        A batch is drawn from the picture sets of one group (`PictureSource.group`), or of all sets if none has a group.

        Raises:
            DataError: there are fewer than `size` pictures in all, or in one of the groups.
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
        for i, text in enumerate(texts):
            rng = random.Random(f"noise {self.seed} {step} {i}")
            texts[i] = noisy(text, rng) if rng.random() < self.noise else text
        return Batch(rows, texts, english, owner, same)

    def _rows(self, step: int, size: int) -> list[int]:
        seeds = -(-size // (1 + self._hard))
        # the group of picture sets that this batch draws from, and how many earlier batches drew from it
        group, _, earlier = self._groups.draw(step)
        own = range(earlier * seeds, (earlier + 1) * seeds)
        rows: dict[int, int] = {}  # first row of a file, which stands for all its rows → the row that was drawn
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
        chosen: list[str] = []
        for _ in range(self.captions):
            unchosen = {name: [text for text in by_language[name] if text not in chosen] for name in by_language}
            left = {name: texts for name, texts in unchosen.items() if texts} or by_language
            name = rng.choices(list(left), [self.languages[name] for name in left])[0]
            chosen.append(rng.choice(left[name]))
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


def listed_pictures(
    folder: Path,
    english: tuple[str, ...],
    arabic: tuple[str, ...],
    split: str | None,
    *,
    images: Path | None = None,
    needs_files: bool = True,
) -> list[CaptionedPicture]:
    """Read a picture set with `read_pictures`; a missing picture file is a DataError now, not hours into training.

    Without `needs_files`, files may be missing.
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


def _usable_pictures(
    source: PictureSource, languages: tuple[str, ...], texts: int, needs_files: bool
) -> list[CaptionedPicture]:
    fields = {name: getattr(source, name) for name in LANGUAGES}
    found = listed_pictures(
        source.folder, fields["english"], fields["arabic"], source.used_split, images=source.images,
        needs_files=needs_files,
    )  # fmt: skip
    usable = [p for p in found if sum(len(set(getattr(p, language))) for language in languages) >= texts]
    if not usable:
        counted = "a text" if texts == 1 else f"{texts} texts"
        raise DataError(
            f"{source.folder}: none of {len(found)} pictures (split {source.used_split}) has {counted} in "
            f"{' or '.join(languages)}. Its caption fields are taken to be {fields}; correct them or leave the set out."
        )
    return _evenly_spread(usable, source.limit)


def _evenly_spread(pictures: list[CaptionedPicture], limit: int | None) -> list[CaptionedPicture]:
    count = min(limit or len(pictures), len(pictures))
    return [pictures[row * len(pictures) // count] for row in range(count)]


class FileMixture:
    """An endless stream of batches of picture files; a batch depends on seed, step and size alone.

    `files` lists the files of all sets, each once. Captions, and groups of sets (`PictureSource.group`), are ignored.
    """

    def __init__(self, sources: Sequence[PictureSource], seed: int) -> None:
        if not sources:
            raise RecipeError("there is no picture set. Name one in `pictures`.")
        rows: dict[Path, int] = {}
        self._rows: list[list[int]] = []
        self.about: list[str] = []  # a line for each source with the number of its pictures
        for source in sources:
            split = source.used_split
            found = _evenly_spread(listed_pictures(source.folder, (), (), split, images=source.images), source.limit)
            if not found:
                raise DataError(f"{source.folder} has no picture (split {split}). Correct it or leave it out.")
            self._rows.append([rows.setdefault(picture.path, len(rows)) for picture in found])
            self.about.append(f"{source.folder.name} ({split}): {len(found):,} pictures")
        self.files = list(rows)
        self._sampler = InterleavedSampler(list(map(len, self._rows)), [source.share for source in sources], seed)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits: a hash of the pictures' names, in order."""
        return hashlib.sha256(repr([path.name for path in self.files]).encode()).hexdigest()[:12]

    def draw(self, count: int) -> list[Path]:
        """Return `count` different files, drawn by the sources' shares; all files if there are fewer."""
        return [self.files[row] for row in self.batch(0, min(count, len(self.files)))]

    def batch(self, step: int, size: int) -> list[int]:
        """Return the rows of `files` for one step: `size` different rows, the same for the same seed, step and size."""
        if size > len(self.files):
            raise DataError(f"a batch of {size} pictures, but there are only {len(self.files)}. Ask for fewer.")
        rows: dict[int, None] = {}
        for slot in count(step * size):
            which, row, _ = self._sampler.draw(slot)
            rows[self._rows[which][row]] = None
            if len(rows) == size:
                return list(rows)
        raise AssertionError


BLOCK = 1024  # number of pictures whose cosines with all others are computed at once


def mined(vectors: NDArray[np.float32], pictures: Sequence[CaptionedPicture], count: int) -> NDArray[np.int64]:
    """Return hard negatives (N, K): for each of N pictures, the rows of the most similar other pictures.

    K is min(count, N − 1).

    Similarity is the inner product. A picture that shares a text or the file with the given picture is no negative.
    Such pictures only fill up the K places if too few of the 2·K most similar pictures are negatives.
    """
    texts = [{picture.path, *picture.english, *picture.arabic} for picture in pictures]
    count = min(count, len(vectors) - 1)
    out = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), BLOCK):
        scores = vectors[start : start + BLOCK] @ vectors.T  # (B, N)
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        most = min(2 * count, len(vectors) - 1)
        # argpartition finds the `most` highest scores of each row without sorting all N² scores
        best = np.sort(np.argpartition(-scores, most - 1, axis=1)[:, :most], axis=1)
        nearest = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, nearest, axis=1)
        for i, row in enumerate(best.tolist(), start):
            out[i] = sorted(row, key=lambda other: not texts[i].isdisjoint(texts[other]))[:count]
    return out


def contents_hash(pictures: Iterable[Path]) -> str:
    """Return a SHA-256, as hex digits, of these files' contents in order; their names and folders do not matter."""
    digest = hashlib.sha256()
    for picture in pictures:
        try:
            with picture.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{picture} cannot be read ({error.strerror}). Restore the file.") from error
    return digest.hexdigest()


SMALLEST = 0.6  # smallest sides of a crop, relative to the picture's: smaller crops lose what captions mention
JITTER = 0.3  # greatest relative change of brightness, contrast and colour


def augment(image: Image.Image, size: int, rng: np.random.Generator, degradation: float = 0.0) -> NDArray[np.uint8]:
    """Return a random crop (size, size, 3), mirrored half of the time, with brightness, contrast and colour shifted.

    `degradation` is the chance that the crop is also made worse, as by a messenger (grey, blurred, compressed);
    see `degraded`.
    """
    width, height = (rng.uniform(SMALLEST, 1.0) * side for side in image.size)
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    box = (left, top, left + width, top + height)
    cropped = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    picture = recolour(ImageOps.mirror(cropped) if rng.random() < 0.5 else cropped, rng)
    if degradation and rng.random() < degradation:
        picture = degraded(picture, rng)
    return np.asarray(picture, dtype=np.uint8)


def recolour(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture with brightness, contrast and colour shifted by up to `JITTER`."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(float(rng.uniform(1 - JITTER, 1 + JITTER)))
    return image


QUALITY = (60, 95)  # range of JPEG and WebP quality: messengers send 60, cameras write 95
ENLARGED = (2.0, 4.0)  # least and greatest factor by which a picture is enlarged before it is reduced again
FILTERS = (
    Image.Resampling.NEAREST,
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
GREY = 0.2  # chance that `degraded` takes a picture's colours away
SHARPENED = 80  # limit: per cent of the difference between a picture and its blurred copy that sharpening adds


def degraded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the RGB picture, in the same size, as it would come out of a messenger or a web page.

    One of five pictures turns grey. Half are enlarged two to four times and reduced again by one of several filters;
    half are slightly sharpened. Then three of four are saved as JPEG and the others as WebP. The same generator state
    gives the same pixels.
    """
    if rng.random() < GREY:
        image = image.convert("L").convert("RGB")
    if rng.random() < 0.5:
        times, enlarge, reduce = rng.uniform(*ENLARGED), *rng.integers([2, 0], len(FILTERS))
        large = image.resize((round(image.width * times), round(image.height * times)), FILTERS[enlarge])
        image = large.resize(image.size, FILTERS[reduce])
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.UnsharpMask(rng.uniform(0.5, 2.0), int(rng.integers(SHARPENED + 1)), 0))
    saved, quality = BytesIO(), int(rng.integers(QUALITY[0], QUALITY[1] + 1))
    image.save(saved, "JPEG" if rng.random() < 0.75 else "WEBP", quality=quality)
    return Image.open(saved).convert("RGB")


def views(image: Image.Image, size: int, count: int, seed: int, degradation: float = 0.0) -> NDArray[np.uint8]:
    """Return views (count, size, size, 3): the picture itself, its recoloured mirror image, then random crops.

    `degradation` is the chance that a crop is made worse, as by a messenger (compressed, resized, sharpened).
    """
    rng = np.random.default_rng(seed)
    out = [square(image, size)]
    if count > 1:
        out.append(np.asarray(recolour(Image.fromarray(out[0][:, ::-1]), rng), dtype=np.uint8))
    out += [augment(image, size, rng, degradation) for _ in range(count - 2)]
    return np.stack(out[:count])

"""What no training may see: Flickr8k's choice split, a fifth of every labelled set, and text that tells of either.

Choices (steps, weights, cuts) are made on these; Flickr8k's dev split is reported. Captions of held pictures
stand in parallel files as well, there under no picture's name: such rows are left out by their text.
"""

import lzma
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from araclip import normalize
from araclip.core import atomic
from araclip.errors import ImageError
from araclip.pictures.images import map_ahead, open_image
from sets import Row, fingerprint, link, read_table

CHOICE_EVERY, CHOICE = 10, 600  # pictures of Flickr8k's train split, by file name
HELD_EVERY = 5
LABELLED = ("scenes", "scenes15", "clothing", "flowers", "grocery", "caltech101", "sports100", "gcompris_words")
HASH = 16  # grey levels in a row, and rows, that a picture's hash compares
NEAR = 24  # bits of a hash, of 256, in which a copy of another size or quality may differ
CAPTIONED = {  # parallel files made of captions of Flickr8k's pictures, and their columns
    "flickr8k_rev.tsv.xz": 3,
    "flickr8k_eljundi.tsv.xz": 3,
    "flickr30k_en_ar_mt.tsv.xz": 3,
    "flickr30k_mt2.tsv.xz": 3,
}
SENTENCES = {"flores_dialects.tsv.xz": ("en\tar\tdialect\n", 3), "darija_sentences.tsv.xz": ("en\tar\n", 2)}
HEADER = "en\tar\tsplit\n"
CAPTIONS = ("caption_en", "caption_ar", "caption_ar_eljundi", "caption_ar_f30k_mt")
_LETTERS = re.compile(r"[\W_]+")


def choice_split(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Flickr8k's train rows, in the order of their names: those to train on, and the choice split."""
    train = sorted((row for row in rows if row["split"] == "train"), key=lambda row: Path(row["image"]).name)
    held = train[::CHOICE_EVERY][:CHOICE]
    names = {row["image"] for row in held}
    return [row for row in train if row["image"] not in names], held


@cache  # pictures that are measured with are compared with every set
def picture_hash(file: Path) -> NDArray[np.int8]:
    """(2, 256) of ±1: whether each grey level is brighter than the one left of it, in a picture and its mirror image.

    A picture that cannot be read is near no other: its numbers are 0.
    """
    try:
        small = open_image(file, 2 * HASH).convert("L").resize((HASH + 1, HASH), Image.Resampling.BOX)
    except ImageError:
        return np.zeros((2, HASH * HASH), np.int8)
    sides = np.stack([np.asarray(side, np.int16) for side in (small, ImageOps.mirror(small))])
    return np.where(np.diff(sides) > 0, 1, -1).reshape(2, -1).astype(np.int8)


def without_near(rows: Sequence[Row], held: Iterable[Row]) -> list[Row]:
    """Rows whose picture is none of the held ones, however it was resized, compressed or mirrored."""
    known, apart = (
        (found for _, found in map_ahead(picture_hash, [Path(row["image"]) for row in some], 2))
        for some in (held, rows)
    )
    others = np.array([sides[0] for sides in known], np.float32).reshape(-1, HASH * HASH)  # (H, 256)
    nearest = [(others @ sides.T.astype(np.float32)).max(initial=0) for sides in apart]
    return [row for row, bits in zip(rows, nearest, strict=True) if bits < HASH * HASH - 2 * NEAR]


def held_fifth(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of a labelled set: those to train on, and every fifth in the order of labels and names, so of each label.

    Pictures of one file name are kept on one side: a set may list the same picture twice.
    """
    by_picture: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["label"], row["image"])):
        by_picture[row["image"]].append(row)
    train: list[Row] = []
    held: list[Row] = []
    for number, same in enumerate(by_picture.values(), 1):
        (train if number % HELD_EVERY else held).extend(same)
    return train, held


def text_key(text: str) -> str:
    """A text as it is compared: normalised, in lower case, letters and digits alone.

    Flickr30k's files write "entry way." where Flickr8k has "entry way ." for the same caption.
    """
    return _LETTERS.sub(" ", normalize(text)).strip().casefold()


def keys_of(held: Iterable[Row]) -> set[str]:
    """The keys of every caption of some pictures, in both languages."""
    return {text_key(text) for row in held for field in CAPTIONS for text in row.get(field, ())}


def without_held(rows: Sequence[tuple[str, ...]], keys: set[str]) -> list[tuple[str, ...]]:
    """Rows of a parallel file neither of whose texts is a caption of a held picture.

    Generic captions («كلب يجري على العشب») belong to other pictures, too; they go as well.
    """
    return [row for row in rows if text_key(row[0]) not in keys and text_key(row[1]) not in keys]


def without_held_sentences(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows of sentences in dialects but for a fifth of the English sentences, each with all of its translations."""
    return [row for row in rows if zlib.crc32(text_key(row[0]).encode()) % HELD_EVERY]


def write_parallel(data: Path, out: Path, held: Sequence[Row]) -> str:
    """Fill `out/parallel`: the files of captions without the held pictures' rows, those of dialects without a fifth of
    their sentences, links to all others.

    Returns:
        A line of output.

    Raises:
        InputError: a file of captions is missing or damaged.
    """
    folder, source = out / "parallel", data / "parallel"
    if folder.is_symlink():  # an earlier release linked the whole folder
        folder.unlink()
    folder.mkdir(exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.name not in {*CAPTIONED, *SENTENCES}:
            link(folder / path.name, path)
    keys = keys_of(held)
    by = sorted(keys)
    lost = []
    for name, columns in CAPTIONED.items():
        lost.append(_filtered(source / name, folder / name, HEADER, columns, by, lambda rows: without_held(rows, keys)))
    for name, (header, columns) in SENTENCES.items():
        if (source / name).is_file():
            lost.append(_filtered(source / name, folder / name, header, columns, ["a fifth"], without_held_sentences))
    return "held rows left out: " + ", ".join(lost)


def _filtered(
    source: Path, target: Path, header: str, columns: int, by: Sequence[str],
    kept_of: Callable[[Sequence[tuple[str, ...]]], list[tuple[str, ...]]],
) -> str:  # fmt: skip
    """Write a table without some of its rows, unless it was made so before; returns its name and their number."""
    origin = fingerprint([by, source.stat().st_size if source.is_file() else 0])
    note = target.with_name(f".{target.name}.origin")
    if not (target.is_file() and note.is_file() and note.read_text(encoding="utf-8").split()[0] == origin):
        rows = read_table(source, columns)
        kept = kept_of(rows)
        atomic.write(target, _table(header, kept))
        atomic.write_text(note, f"{origin} {len(rows) - len(kept)}\n")
    return f"{target.name} {note.read_text(encoding='utf-8').split()[1]}"


def _table(header: str, rows: Sequence[tuple[str, ...]]) -> Callable[[Path], None]:
    def fill(part: Path) -> None:
        with lzma.open(part, "wt", encoding="utf-8", preset=1) as lines:
            lines.write(header)
            lines.writelines("\t".join(row) + "\n" for row in rows)

    return fill

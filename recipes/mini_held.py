"""What no training may see: Flickr8k's choice split, a fifth of every labelled set, and text that tells of either.

Choices (steps, weights, cuts) are made on these; Flickr8k's dev split is reported. Captions of held pictures
stand in parallel files as well, there under no picture's name: such rows are left out by their text.
"""

import lzma
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mini_sets import Row, fingerprint, read_table

from araclip import atomic, normalize

CHOICE_EVERY, CHOICE = 10, 600  # pictures of Flickr8k's train split, by file name
HELD_EVERY = 5
LABELLED = ("scenes", "scenes15", "clothing", "flowers", "grocery", "caltech101", "sports100", "gcompris_words")
CAPTIONED = {  # parallel files made of captions of Flickr8k's pictures, and their columns
    "flickr8k_rev.tsv.xz": 3,
    "flickr8k_eljundi.tsv.xz": 3,
    "flickr30k_en_ar_mt.tsv.xz": 3,
    "flickr30k_mt2.tsv.xz": 3,
}
HEADER = "en\tar\tsplit\n"
CAPTIONS = ("caption_en", "caption_ar", "caption_ar_eljundi", "caption_ar_f30k_mt")
_LETTERS = re.compile(r"[\W_]+")


def choice_split(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Flickr8k's train rows, in the order of their names: those to train on, and the choice split."""
    train = sorted((row for row in rows if row["split"] == "train"), key=lambda row: Path(row["image"]).name)
    held = train[::CHOICE_EVERY][:CHOICE]
    names = {row["image"] for row in held}
    return [row for row in train if row["image"] not in names], held


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


def write_parallel(data: Path, out: Path, held: Sequence[Row]) -> str:
    """Fill `out/parallel`: the files of captions without the held pictures' rows, links to all others.

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
        if path.name not in CAPTIONED and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path.resolve())
    keys = keys_of(held)
    lost = []
    for name, columns in CAPTIONED.items():
        origin = fingerprint([sorted(keys), [(source / name).stat().st_size if (source / name).is_file() else 0]])
        note = folder / f".{name}.origin"
        if (folder / name).is_file() and note.is_file() and note.read_text(encoding="utf-8").split()[0] == origin:
            lost.append(f"{name} {note.read_text(encoding='utf-8').split()[1]}")
            continue
        rows = read_table(source / name, columns)
        kept = without_held(rows, keys)
        atomic.write(folder / name, _table(kept))
        atomic.write_text(note, f"{origin} {len(rows) - len(kept)}\n")
        lost.append(f"{name} {len(rows) - len(kept)}")
    return "rows with captions of held pictures left out: " + ", ".join(lost)


def _table(rows: Sequence[tuple[str, ...]]) -> Callable[[Path], None]:
    def fill(part: Path) -> None:
        with lzma.open(part, "wt", encoding="utf-8", preset=1) as lines:
            lines.write(HEADER)
            lines.writelines("\t".join(row) + "\n" for row in rows)

    return fill

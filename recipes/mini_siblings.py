"""What several people said of one picture, without the picture: Flickr30k's captions, grouped.

The parallel file lists the captions of a picture one after another, five of them or, where two were equal, fewer, and
does not say where a picture ends. Pictures whose captions lie elsewhere tell it: between two of them whose first rows
stand a multiple of five apart, all pictures are taken to be whole; other stretches are left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from mini_sets import fingerprint, read_rows, read_table, write_set

EACH = 5
FILE = "flickr30k_en_ar_mt.tsv.xz"
BETTER = "flickr30k_mt2.tsv.xz"  # a second translation of some
KNOWN = ("flickr8k", "more/flickr30k_subset")
Row = tuple[str, ...]  # English, Arabic, split


def write_siblings(data: Path, out: Path) -> str:
    """The set `out/siblings`; its pictures are named and are not there. Returns what to say of it."""
    rows = read_table(data / "parallel" / FILE, 3)
    second = {_key(english): arabic for english, arabic, _ in read_table(data / "parallel" / BETTER, 3)}
    known = [[_key(text) for text in row["caption_en"]] for folder in KNOWN for _, row in read_rows(data / folder)]
    groups = [group for group in grouped(rows, known) if all(split == "train" for _, _, split in group)]
    listed = [_line(number, group, second) for number, group in enumerate(groups)]
    made = write_set(out / "siblings", {"rows": fingerprint(listed)}, lambda folder: listed)
    return f"{len(groups)} pictures' captions, {'made' if made else 'there already'}"


def grouped(rows: Sequence[Row], known: Iterable[Sequence[str]]) -> Iterator[Sequence[Row]]:
    """The rows of each picture, where it can be told.

    Args:
        known: for some pictures, the keys of all of their captions.
    """
    picture_of: dict[str, int | None] = {}  # None: the caption of several
    for number, keys in enumerate(known):
        for key in keys:
            picture_of[key] = None if picture_of.get(key, number) != number else number
    firsts = sorted(_whole(rows, picture_of))
    for first, after in pairwise(firsts):
        if (after - first) % EACH == 0:
            yield from (rows[start : start + EACH] for start in range(first, after, EACH))


def _whole(rows: Sequence[Row], picture_of: Mapping[str, int | None]) -> Iterator[int]:
    """First rows of known pictures that have all of their five captions, one after another."""
    found = [picture_of.get(_key(row[0])) for row in rows]
    places: dict[int, list[int]] = {}
    for place, picture in enumerate(found):
        if picture is not None:
            places.setdefault(picture, []).append(place)
    for of_picture in places.values():
        if len(of_picture) == EACH and of_picture[-1] - of_picture[0] == EACH - 1:
            yield of_picture[0]


def _line(number: int, group: Sequence[Row], second: Mapping[str, str]) -> dict[str, Any]:
    better = [second[_key(english)] for english, _, _ in group if _key(english) in second]
    return {
        "image": f"picture-{number}", "caption_en": [english for english, _, _ in group],
        "caption_ar": [arabic for _, arabic, _ in group] + better,
    }  # fmt: skip


def _key(text: str) -> str:
    return text.strip().rstrip(" .").casefold()

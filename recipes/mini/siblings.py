"""Flickr30k's captions grouped by picture, without the pictures.

The parallel file lists the captions of a picture one after another, five of them or, where two were equal, fewer, and
does not say where a picture ends. Pictures whose captions are known from elsewhere show it: between two of them whose
first rows are a multiple of five apart, every picture is assumed to have all five; other stretches are left out.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from held import text_key
from sets import fingerprint, read_rows, read_table, write_set

EACH = 5
FILE = "flickr30k_en_ar_mt.tsv.xz"
BETTER = "flickr30k_mt2.tsv.xz"  # a second translation of some
KNOWN = ("flickr8k", "more/flickr30k_subset")
Row = tuple[str, ...]  # English, Arabic, split


def write_siblings(data: Path, out: Path, held: Collection[str] = ()) -> str:
    """Write the set `out/siblings`, whose picture files do not exist; returns a line of output.

    Args:
        held: keys (`held.text_key`) of captions; a picture that has one of them is left out.
    """
    rows = read_table(data / "parallel" / FILE, 3)
    second = {_key(english): arabic for english, arabic, _ in read_table(data / "parallel" / BETTER, 3)}
    known = [[_key(text) for text in row["caption_en"]] for folder in KNOWN for _, row in read_rows(data / folder)]
    groups = [group for group in grouped(rows, known) if all(split == "train" for _, _, split in group)]
    groups = [group for group in groups if _keys(group).isdisjoint(held)]
    listed = [_line(number, group, second) for number, group in enumerate(groups)]
    made = write_set(out / "siblings", {"rows": fingerprint(listed)}, lambda folder: listed)
    return f"{len(groups)} pictures' captions, {'made' if made else 'there already'}"


def grouped(rows: Sequence[Row], known: Iterable[Sequence[str]]) -> Iterator[Sequence[Row]]:
    """The rows of each picture whose bounds are known.

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


def _keys(group: Sequence[Row]) -> set[str]:
    return {text_key(text) for english, arabic, _ in group for text in (english, arabic)}


def _whole(rows: Sequence[Row], picture_of: Mapping[str, int | None]) -> Iterator[int]:
    """First rows of known pictures that have all of their five captions, one after another."""
    pictures = [picture_of.get(_key(row[0])) for row in rows]
    rows_of: dict[int, list[int]] = {}
    for row_number, picture in enumerate(pictures):
        if picture is not None:
            rows_of.setdefault(picture, []).append(row_number)
    for numbers in rows_of.values():
        if len(numbers) == EACH and numbers[-1] - numbers[0] == EACH - 1:
            yield numbers[0]


def _line(number: int, group: Sequence[Row], second: Mapping[str, str]) -> dict[str, Any]:
    better = [second[_key(english)] for english, _, _ in group if _key(english) in second]
    return {
        "image": f"picture-{number}", "caption_en": [english for english, _, _ in group],
        "caption_ar": [arabic for _, arabic, _ in group] + better,
    }  # fmt: skip


def _key(text: str) -> str:
    return text.strip().rstrip(" .").casefold()

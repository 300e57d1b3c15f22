"""Prepares the data of araclip-mini's recipe: drawn emoji, class concepts, captions without pictures, a held-out set.

    python recipes/mini/data.py --data DATA --out WORK/data

Writes under --out what is missing there, each item atomically:

    fluent-3d, noto, twemoji and six more    emoji with names in both languages (npm fetches the drawings)
    nips17-train, nips17-held                photographs of ImageNet's classes; every fourth is held out of all training
    flickr8k-train, flickr8k-choice          600 photographs of the train split are held out of it, for choices
    flickr8k-compressed-train                the badly compressed copies of flickr8k-train's photographs
    scenes-train, scenes-held and so on      a fifth of each labelled set is held out of all training
    pacs-train, pacs-held and so on          the same of each set of recipes/mini/more.py that DATA has
    openstax_coco-train, -held               scenes with captions, those with a licence; every fourth is held out
    parallel                                 parallel text without the rows that are captions of held photographs
    siblings                                 captions grouped by picture, without the pictures
    names.npz, names.json, words.tsv         a classifier of a thousand and more classes, and what people call them
    concepts.npz, concepts.json              the mean feature of each ImageNet class, and its names
    towers/e5, towers/efficientnet-lite2     the towers that the recipe starts from, out of the extra `mini`
    flickr8k, flickr8k-compressed, more      links into DATA

A picture set is a folder with captions.jsonl; photographs are listed there by absolute path, not copied; the
recipe's `images` names the folder that holds them. All else that the recipe trains on is in DATA already. Downloaded
packages and computed features stay beside --out.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from araclip import normalize
from araclip.core import atomic
from araclip.errors import AraCLIPError
from araclip.training.data.text import read_pairs
from concepts import class_names, name_variants, synsets, write_concepts
from emoji_drawings import emoji_sets
from features import FeatureCache
from held import LABELLED, choice_split, held_fifth, keys_of, without_near, write_parallel
from more import SETS
from named_classes import write_names
from sets import DATA_HINT, Row, fingerprint, link, read_rows, write_set
from siblings import write_siblings
from towers import write_towers

HELD_EVERY = 4
CAPTIONED = "openstax_coco"  # photographs of scenes, with captions, no labels
UNLICENSED = "none stated"
PUBLISHED = ("flickr8k", "flickr8k-compressed", "more")


def prepare(data: Path, out: Path) -> None:
    """Write everything under `out`, with a line of output each."""
    start = time.monotonic()

    def log(what: str) -> None:
        print(f"{time.monotonic() - start:5.0f} s  {what}", flush=True)

    for name, made in emoji_sets(data, out.parent / "npm", out):
        log(f"{name}: {'made' if made else 'there already'}")
    for name in PUBLISHED:  # one folder for the recipe to start from
        link(out / name, data / name)
    learned, choice = choice_split(row for _, row in read_rows(data / "flickr8k"))
    for name, rows in (
        ("flickr8k-train", learned),
        ("flickr8k-compressed-train", copies(learned, data / "flickr8k-compressed" / "images")),
        ("flickr8k-choice", [{**row, "split": "choice"} for row in choice]),
    ):
        made = write_set(out / name, {"rows": fingerprint(rows)}, listing(rows))
        log(f"{name}: {len(rows)} pictures, {'made' if made else 'there already'}")
    for name in LABELLED:
        write_labelled(name, data / "more" / name, out, log)
    log(write_parallel(data, out, choice))
    log(f"towers: {write_towers(out / 'towers', texts_of(out / 'parallel'))}")
    log(f"siblings: {write_siblings(data, out, keys_of(choice))}")
    nips = data / "more" / "nips17_ccby"
    train, held = split([row for _, row in read_rows(nips)])
    named = names_of(data)
    for name, rows in (
        ("nips17-train", [with_names(row, *named[row["wnid"]]) for row in train]),
        ("nips17-held", [as_published(row) for row in held]),
    ):
        made = write_set(out / name, {"rows": fingerprint(rows)}, listing(rows))
        log(f"{name}: {len(rows)} pictures, {'made' if made else 'there already'}")
    measured = [row for _, row in read_rows(data / "flickr8k") if row["split"] != "train"] + choice + held
    measured += [row for name in LABELLED for _, row in read_rows(out / f"{name}-held")]
    scenes = [row for _, row in read_rows(data / "more" / CAPTIONED) if row["licence"] != UNLICENSED]
    write_more(CAPTIONED, split(scenes), out, measured, log)
    measured += [row for _, row in read_rows(out / f"{CAPTIONED}-held")]
    for name in SETS:
        if (data / "more" / name).is_dir():
            write_more(name, sides_of(data / "more" / name), out, measured, log)
        else:
            log(f"{name}: left out, since {data / 'more' / name} is missing; recipes/mini/more.py lays it out")
    cache = FeatureCache(out.parent / "features")
    log(f"concepts: {write_concepts(data, train, held, cache, out)}")
    log(f"names: {write_names(data, out, cache, out.parent / 'npm')}")


def texts_of(parallel: Path) -> list[str]:
    """The texts whose pieces the text tower's vocabulary keeps, sorted."""
    files = sorted(parallel.glob("[a-v]*.tsv.xz"))
    return sorted({text for file in files for pair in read_pairs(file) for text in (pair.english, pair.arabic)})


def write_labelled(name: str, published: Path, out: Path, log: Callable[[str], None]) -> None:
    """The two sides of a labelled set, whose English names stand bare as well, as people type them."""
    sides = held_fifth([row for _, row in read_rows(published)])
    for side, rows in zip(("train", "held"), sides, strict=True):
        named = [with_bare_name(row) | {"split": side} for row in rows]
        made = write_set(out / f"{name}-{side}", {"rows": fingerprint(named)}, listing(named))
        log(f"{name}-{side}: {len(rows)} pictures, {'made' if made else 'there already'}")


def sides_of(published: Path) -> tuple[list[Row], list[Row]]:
    """The pictures to train with and to hold out of a labelled set; those without a label are for training alone."""
    rows = [row for _, row in read_rows(published)]
    train, held = held_fifth([row for row in rows if "label" in row])
    return [*train, *(row for row in rows if "label" not in row)], held


def write_more(
    name: str, sides: tuple[list[Row], list[Row]], out: Path, measured: Sequence[Row], log: Callable[[str], None]
) -> None:
    """The two sides of a set that others gathered, without what is near a picture that is measured with."""
    train, held = sides
    for side, own, others in (("held", held, measured), ("train", train, [*measured, *held])):
        named = [with_bare_name(row) | {"split": side} for row in own]
        origin = {"rows": fingerprint(named), "measured": fingerprint([row["image"] for row in others])}
        made = write_set(out / f"{name}-{side}", origin, distant(named, others))
        left = sum(1 for _ in read_rows(out / f"{name}-{side}"))
        log(f"{name}-{side}: {left} of {len(own)} pictures, {'made' if made else 'there already'}")


def with_bare_name(row: Row) -> dict[str, Any]:
    """A labelled picture with its name alone, and with its Arabic name, with and without article, where it has one."""
    arabic = row.get("caption_ar") or (name_variants(normalize(row["class_ar"])) if row.get("class_ar") else ())
    english = dict.fromkeys([*([row["label"].lower()] if "label" in row else ()), *row["caption_en"]])
    return {**row, "caption_en": [*english], "caption_ar": [*arabic]}


def listing(rows: Sequence[Row]) -> Callable[[Path], Sequence[Row]]:
    """The `fill` of a set whose pictures are files elsewhere, so that none is drawn."""
    return lambda folder: rows


def distant(rows: Sequence[Row], others: Sequence[Row]) -> Callable[[Path], Sequence[Row]]:
    """The `fill` of a set without the pictures that are near others."""
    return lambda folder: without_near(rows, others)


def copies(rows: Sequence[Row], folder: Path) -> list[Row]:
    """The same rows with the pictures of the same file names in another folder."""
    return [{**row, "image": str(folder.resolve() / Path(row["image"]).name)} for row in rows]


def split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Train and held out: every fourth row is held out."""
    held = [row for number, row in enumerate(rows, 1) if number % HELD_EVERY == 0]
    return [row for number, row in enumerate(rows, 1) if number % HELD_EVERY], held


def names_of(data: Path) -> Mapping[str, tuple[Sequence[str], Sequence[str]]]:
    """WordNet id → English and Arabic names of an ImageNet class."""
    english, arabic = class_names(data / "parallel" / "imagenet_classnames.tsv.xz")
    return dict(zip(synsets(), zip(english, arabic, strict=True), strict=True))


def with_names(row: Row, english: Sequence[str], arabic: Sequence[str]) -> Row:
    """A picture with all names of its class as captions, to train on."""
    return {**row, "caption_en": [*english, *row["caption_en"]], "caption_ar": [*arabic]}


def as_published(row: Row) -> Row:
    """A picture with the one published name of its class in each language, to measure with."""
    return {**row, "caption_en": [row["label"]], "caption_ar": [row["class_ar"]]}


def main() -> None:
    """Parse the command line; exit code 2 where the data cannot be prepared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=DATA_HINT.removeprefix("--data is "))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with atomic.single_writer(args.out / ".lock"):
            prepare(args.data, args.out)
    except AraCLIPError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

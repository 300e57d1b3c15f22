"""Lays out public picture sets as folders of DATA/more, from clones of the repositories that hold them.

    python recipes/mini/more.py --clones CLONES --data DATA

CLONES has a folder for each repository of `SETS`: its files, unpacked, without the history. A set whose folder is
missing is left out, and a line of output says so. Written is DATA/more/<set> with the pictures and captions.jsonl, in
the form that docs/training-mini-data.md describes. English and Arabic names of labels stand in more.tsv.

The repositories are strangers': pictures that do not decode within the package's limits are left out and counted,
lists are read up to `LISTING` bytes, and no pickle is opened.
"""

import argparse
import csv
import json
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from araclip import normalize
from araclip.errors import AraCLIPError, ImageError, InputError
from araclip.pictures.images import map_ahead, open_image
from araclip.text.folding import fold
from concepts import without_article
from emoji_drawings import SIZE, draw_one
from sets import DATA_HINT, Row, fingerprint, read_table, write_set

LISTING = 8 * 2**20  # bytes of a list of names or captions
DRAWING = 2**20  # bytes of an SVG
PICTURES = (".jpg", ".jpeg", ".png")
NAMES = Path(__file__).with_suffix(".tsv")
DICTIONARIES = ("arabic_wordnet.tsv.xz", "freedict_eng_ara.tsv.xz")


@dataclass(frozen=True)
class Picture:
    """One picture of a clone and what is known of it; without a label it serves distillation alone."""

    file: Path
    label: str = ""
    english: tuple[str, ...] = ()
    arabic: str = ""


@dataclass(frozen=True)
class Name:
    """A label's name: English with its article, Arabic without."""

    english: str
    arabic: str

    @property
    def label(self) -> str:
        return re.sub("^(an?|the) ", "", self.english)


Names = Mapping[str, Name]  # key of a label in the clone → its name
Dictionary = Mapping[str, set[str]]  # English word → keys of its Arabic words


@dataclass(frozen=True)
class PictureSet:
    """Where a set comes from, under which terms, and how its pictures are listed."""

    repository: str
    licence: str
    listed: Callable[[Path, Names], Iterable[Picture]]
    doubtful: bool = False  # some of its Arabic names are wrong: those stay which a dictionary has


def named(file: Path, name: Name | None, form: str = "a photo of {}") -> Picture:
    """A picture whose label has this name, or none."""
    return Picture(file, name.label, (form.format(name.english),), name.arabic) if name else Picture(file)


def text_of(path: Path) -> str:
    """A list of names or captions.

    Raises:
        InputError: it is missing, larger than `LISTING` or no UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LISTING + 1)
        if len(content) > LISTING:
            raise InputError(f"{path} is larger than {LISTING:,} bytes. Unpack the repository again.")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}. Unpack the repository again, or remove its folder.") from error


def json_of(path: Path) -> Any:
    """A list in JSON.

    Raises:
        InputError: as `text_of`, or it is no JSON.
    """
    try:
        return json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {error}. Unpack the repository again, or remove its folder.") from error


def pictures_of(folder: Path, *suffixes: str) -> list[Path]:
    """The picture files below a folder, in the order of their names, without links."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in (suffixes or PICTURES))
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


# ── the sets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_folder(below: str) -> Callable[[Path, Names], Iterable[Picture]]:
    """Pictures whose folder is their label."""

    def listed(clone: Path, names: Names) -> Iterator[Picture]:
        for file in pictures_of(clone / below):
            yield named(file, names.get(file.parent.name))

    return listed


def clothing(clone: Path, names: Names) -> Iterator[Picture]:
    labels = {row.get("image"): row.get("label") for row in csv.DictReader(StringIO(text_of(clone / "images.csv")))}
    for file in pictures_of(clone / "images"):
        yield named(file, names.get(labels.get(file.stem) or ""))


def pacs(clone: Path, names: Names) -> Iterator[Picture]:
    forms = {"photo": "a photo of {}", "art_painting": "a painting of {}", "cartoon": "a cartoon of {}"}
    for file in pictures_of(clone / "PACS"):
        yield named(file, names.get(file.parent.name), forms.get(file.parent.parent.name, "a sketch of {}"))


def voc(clone: Path, names: Names) -> Iterator[Picture]:
    """annotations.txt has a picture's name, a line of label and box for each thing in it, and their number."""
    things: dict[str, list[Name]] = {}
    for line in text_of(clone / "HandledText" / "annotations.txt").splitlines():
        first = line.split(" ")[0]
        if first.endswith(".jpg"):
            current = things.setdefault(first, [])
        elif first in names and names[first] not in current:
            current.append(names[first])
    for file in pictures_of(clone / "JPEGImages"):
        seen = things.get(file.name, [])
        joined = Name(" and ".join(name.english for name in seen), " و".join(name.arabic for name in seen))
        yield named(file, joined if seen else None)


def houses(clone: Path, names: Names) -> Iterator[Picture]:
    for file in pictures_of(clone / "Houses Dataset"):
        yield named(file, names.get(file.stem.partition("_")[2]))


def butterflies(clone: Path, names: Names) -> Iterator[Picture]:
    for file in pictures_of(clone / "dataset" / "butterflies" / "images"):
        yield named(file, names.get(file.name[:3]))


def birds(clone: Path, names: Names) -> Iterator[Picture]:
    for file in pictures_of(clone / "dataset" / "birds"):
        kind = re.sub(r"_\d.*", "", file.stem).replace("_", " ").lower()
        bird = names["bird"]
        yield Picture(file, bird.label, (f"a photo of {bird.english}", kind), bird.arabic)


def sunrgbd(clone: Path, names: Names) -> Iterator[Picture]:
    yield from map(Picture, pictures_of(clone / "data" / "images"))


def mulberry(clone: Path, names: Names) -> Iterator[Picture]:
    """Drawings, named in both languages by the translations of a program that shows them."""
    board = clone.with_name("cboard") / "src"
    keys = {Path(row["src"]).name: row["id"] for row in json_of(board / "api" / "mulberry-symbols.json")}
    english, arabic = (json_of(board / "translations" / f"{language}.json") for language in ("en-US", "ar-SA"))
    for file in pictures_of(clone / "EN", ".svg"):
        key = keys.get(file.name, "")
        name = str(english.get(key) or file.stem.replace("_", " ")).strip(" ,").lower()
        yield Picture(file, name, (name,), str(arabic.get(key, "")))


def tuxpaint(clone: Path, names: Names) -> Iterator[Picture]:
    """Cut-outs and drawings, each with a description of one line beside it; some translations are of other things."""
    pairs = re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', text_of(clone / "po" / "tuxpaint-stamps-ar.po"), re.MULTILINE)
    arabic = {english: found.strip(" .") for english, found in pairs}
    for file in pictures_of(clone / "stamps", ".png", ".svg"):
        about = file.with_suffix(".txt")
        described = text_of(about).splitlines()[0].strip() if about.is_file() else ""
        plain = described.strip(" .").lower()
        if plain:
            yield Picture(file, Name(plain, "").label, (plain,), arabic.get(described, ""))


SETS: Mapping[str, PictureSet] = {
    "caltech101_full": PictureSet(
        "MachineLearning2020/Homework2-Caltech101", "CC BY 4.0 (Caltech-101)", by_folder("101_ObjectCategories")
    ),
    "clothing_full": PictureSet("alexeygrigorev/clothing-dataset", "CC0", clothing),
    "sunrgbd": PictureSet(
        "jdechicchis/ar-semantic-understanding-data", "research use, no licence file (SUN RGB-D)", sunrgbd
    ),
    "pacs": PictureSet("MachineLearning2020/Homework3-PACS", "research use, no licence file (PACS)", pacs),
    "voc": PictureSet("BernieChen96/ImageClassification", "Flickr terms, research use (PASCAL VOC 2007)", voc),
    "ikea": PictureSet("IvonaTau/ikea", "property of IKEA, non-commercial use", by_folder("images")),
    "houses": PictureSet("emanhamed/Houses-dataset", "research use, to be cited (Ahmed and Moustafa 2016)", houses),
    "trash": PictureSet(
        "congduytran12/Trash-Classification-", "MIT (TrashNet), no licence text", by_folder("dataset-resized")
    ),
    "butterflies": PictureSet("dsw88/cs601r-project1-dataset", "non-commercial (Leeds Butterfly)", butterflies),
    "birds": PictureSet("dsw88/cs601r-project1-dataset", "non-commercial (Caltech-UCSD Birds)", birds),
    "mulberry": PictureSet("mulberrysymbols/mulberry-symbols, with cboard-org/cboard", "CC BY-SA 4.0", mulberry, True),
    "tuxpaint": PictureSet("deepin-community/tuxpaint-stamps", "GPL-2.0 and public domain (Tux Paint)", tuxpaint, True),
}
CLONES = {"birds": "butterflies"}  # a set whose clone is another set's


# ── writing them ──────────────────────────────────────────────────────────────────────────────────────────────────────


def lay_out(name: str, clones: Path, data: Path, dictionary: Dictionary) -> str:
    """Write DATA/more/<name>; returns a line of output.

    Raises:
        InputError: a list of the clone is missing or damaged.
    """
    of, clone = SETS[name], clones / CLONES.get(name, name)
    if not clone.is_dir():
        return f"left out, since {clone} is missing: the files of github.com/{of.repository}"
    found = list(of.listed(clone, names_of(name)))
    if of.doubtful:
        found = [checked(picture, dictionary) for picture in found]
    listing = [(str(one.file.relative_to(clone)), one.label, one.english, one.arabic) for one in found]
    origin = {"listing": fingerprint(listing), "licence": of.licence}
    rows: list[Row] = []

    def fill(folder: Path) -> list[Row]:
        (folder / "images").mkdir()
        for (number, picture), suffix in map_ahead(lambda one: copied(one, folder), enumerate(found), 2):
            if suffix:
                about = {"caption_en": picture.english, "source": str(picture.file.relative_to(clone))}
                known = {"label": picture.label, "class_ar": picture.arabic}
                row = {"image": f"images/{number:05}{suffix}", **about, "license": of.licence}
                rows.append({**row, **{key: value for key, value in known.items() if value}})
        return rows

    made = write_set(data / "more" / name, origin, fill)
    return f"made, {len(rows)} of {len(found)} pictures can be read" if made else "there already"


def copied(one: tuple[int, Picture], folder: Path) -> str:
    """Copy a picture into a set, or draw it; returns the file's suffix, "" where it cannot be read."""
    number, file = one[0], one[1].file
    place = folder / "images" / f"{number:05}{file.suffix.lower()}"
    try:
        if file.suffix.lower() != ".svg":
            open_image(file, SIZE)
            shutil.copyfile(file, place)
        elif file.stat().st_size <= DRAWING:
            place = place.with_suffix(".png")
            draw_one(file.read_text(encoding="utf-8"), place)
        else:
            return ""
    except (ImageError, ValueError, OSError):  # ValueError: no SVG, or not in UTF-8
        return ""
    return place.suffix


def names_of(which: str) -> Names:
    """The names of a set's labels in more.tsv."""
    rows = (line.split("\t") for line in NAMES.read_text(encoding="utf-8").splitlines()[1:])
    return {key: Name(english, arabic) for name, key, english, arabic in rows if name == which}


def checked(picture: Picture, dictionary: Dictionary) -> Picture:
    """The picture without its Arabic name unless a dictionary has that name for its label."""
    known = dictionary.get(picture.label, set())
    return picture if word_key(picture.arabic) in known else replace(picture, arabic="")


def dictionary_of(data: Path) -> Dictionary:
    """English word → the keys of its Arabic words in the dictionaries of DATA/parallel."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in DICTIONARIES:
        for english, arabic in read_table(data / "parallel" / name, 2):
            found[english.lower()].add(word_key(arabic))
    return found


def word_key(arabic: str) -> str:
    """An Arabic word as it is compared: folded, without article."""
    return without_article(fold(normalize(arabic)))


def main() -> None:
    """Parse the command line; exit code 2 where a set cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=Path, required=True, help="a folder for each repository")
    parser.add_argument("--data", type=Path, required=True, help=DATA_HINT.removeprefix("--data is "))
    args = parser.parse_args()
    try:
        dictionary = dictionary_of(args.data)
        for name in SETS:
            print(f"{name}: {lay_out(name, args.clones, args.data, dictionary)}", flush=True)
    except AraCLIPError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

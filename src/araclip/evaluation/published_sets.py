"""Loads the picture sets that an evaluation can name, and reads the forms in which they are published."""

import glob
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from araclip.core import bounded_json
from araclip.core.bounded_tar import is_tar
from araclip.core.paths import data_home, user_path
from araclip.errors import InputError
from araclip.evaluation.archives import Hub, unpack_hub, unpack_tars
from araclip.evaluation.sets import (
    LISTING,
    PictureFiles,
    PictureSet,
    bounded_lines,
    json_lines,
    make_picture_set,
    read_set,
    texts_of,
)

# Limits: bytes and values of a JSON list of captions. Karpathy's list for COCO has 144 MB and 16 million values.
MAX_FILE, MAX_NODES = 500_000_000, 40_000_000
FOLDERS = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "train2014", "val2014", "")


@dataclass(frozen=True)
class SetFiles:
    """Finds the caption file and the pictures of a published picture set on this machine."""

    folder: Path  #: the caption file; or the folder that holds the caption files, itself or in a subfolder
    images: Path | None = None  #: the folder of the pictures, if they do not lie in `folder`

    @cached_property
    def pictures(self) -> PictureFiles:
        """Turns names in the set's list into paths: looks in FOLDERS below `images` and below the set's folder."""
        roots = tuple(root for root in (self.images, self._root) if root is not None)
        return PictureFiles(*(root / part for root in roots for part in FOLDERS), roots=roots)

    def captions(self, *patterns: str) -> Path:
        """Return the caption file: `folder` itself if it is a file, or else the file in it that `patterns` match."""
        return self.folder if self.folder.is_file() else self.file(*patterns)

    def file(self, *patterns: str) -> Path:
        """Return the file that matches the first pattern with a match, in the folder or else one level below.

        InputError is raised if no pattern has a match, or if the first pattern with a match has several.
        """
        for pattern in patterns:
            matches = sorted(self._root.glob(pattern)) or sorted(self._root.glob(f"*/{pattern}"))
            if len(matches) > 1:
                names = ", ".join(path.name for path in matches)
                raise InputError(f"{self._root} has {names}. Name a split, or pass the path of one file.")
            if matches:
                return matches[0]
        raise InputError(f"{self._root} has no {' or '.join(patterns)}. Unpack the set there, or pass the file's path.")

    @property
    def _root(self) -> Path:
        return self.folder.parent if self.folder.is_file() else self.folder


Rows = Iterator[tuple[Path, Sequence[str]]]


def flickr(files: SetFiles, split: str | None, patterns: tuple[str, ...]) -> Rows:
    """Read lines `name.jpg#0<tab>caption`; Flickr_8k.<split>Images.txt or <split>.txt lists the pictures of a split.

    Args:
        patterns: names that the caption file may have.

    Raises:
        InputError: a file is missing, or a line has no tab.
    """
    names_in_split = None
    if split is not None:
        names = _read_lines(files.file(f"Flickr_8k.{glob.escape(split)}Images.txt", f"{glob.escape(split)}.txt"))
        # file names without suffixes, since Flickr30k's lists have none
        names_in_split = {Path(name).stem for _, name in names}
    file_of: dict[str, Path] = {}
    for where, line in _read_lines(files.captions(*patterns)):
        name, tab, caption = line.partition("\t")
        if not tab:
            raise InputError(f"{where}: no tab in {line!r:.60}. Each line is name.jpg#0, a tab, and the caption.")
        name = name.partition("#")[0]
        if names_in_split is None or Path(name).stem in names_in_split:
            if name not in file_of:
                file_of[name] = files.pictures.path(name, where)  # each file is looked up only once
            yield file_of[name], [caption]


def xtd(files: SetFiles, language: str) -> Rows:
    """Read XTD (Aggarwal and Kale 2020).

    Line n of test_1kcaptions_<language>.txt describes the picture that line n of test_image_names.txt names. XTD has no
    Arabic captions; XTD200's machine translation of them (NLLB, Visheratin 2023) is in the file arb_Arab.txt.

    Raises:
        InputError: a file is missing, or the two files differ in their number of lines.
    """
    images = list(_read_lines(files.file("test_image_names.txt")))
    translated = ("arb_Arab.txt",) if language == "ar" else ()
    path = files.captions(f"test_1kcaptions_{language}.txt", *translated)
    captions = [line for _, line in _read_lines(path)]
    if len(images) != len(captions):
        raise InputError(f"{path} has {len(captions)} lines, test_image_names.txt {len(images)}. Fetch both again.")
    for (where, name), caption in zip(images, captions, strict=True):
        yield files.pictures.path(name, where), [caption]


def crossmodal(files: SetFiles, language: str) -> Rows:
    """Read Crossmodal-3600 (Thapliyal et al. 2022): lines with image/key and captions by language; files <key>.jpg.

    Raises:
        InputError: the file is missing, or a line has no key or language.
    """
    for where, row in json_lines(files.captions("captions.jsonl")):
        key, texts = row.get("image/key"), row.get(language)
        if not isinstance(key, str) or not isinstance(texts, dict):
            raise InputError(f"{where}: no 'image/key' with texts in '{language}'. Is it Crossmodal-3600's file?")
        yield files.pictures.path(f"{key}.jpg", where), texts_of(texts, where, "caption")


def coco(files: SetFiles, split: str | None) -> Rows:
    """Read COCO's form, captions_<split>.json ("images", "annotations"), or Karpathy's dataset_*.json ("sentences").

    Translations have the same form with other texts. In COCO's form the split is in the file's name (train2014,
    val2014); in Karpathy's form each entry states it (train, restval, val, test).

    Raises:
        InputError: there is no such file, it is no JSON, an entry lacks a field, or COCO's file is of another split.
    """
    path = files.captions(f"captions_{glob.escape(split or '')}*.json", "dataset*.json")
    try:
        content = bounded_json.read(path, max_bytes=MAX_FILE, max_nodes=MAX_NODES, kind=dict)
        pictures = content["images"]
        if "annotations" in content:
            if split is not None and split not in path.name:
                raise InputError(f"{path} is not of split '{split}', which its name would say. Leave the split out.")
            captions: dict[Any, list[str]] = {entry["id"]: [] for entry in pictures}
            for annotation in content["annotations"]:
                captions[annotation["image_id"]].append(annotation["caption"])
            for entry in pictures:
                texts = texts_of({"caption": captions[entry["id"]]}, str(path), "caption")
                yield files.pictures.path(entry["file_name"], str(path)), texts
            return
        for entry in pictures:
            if split is None or entry["split"] == split:
                sentences = {"raw": [sentence["raw"] for sentence in entry["sentences"]]}
                yield files.pictures.path(entry["filename"], str(path)), texts_of(sentences, str(path), "raw")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {error!r}. Expected COCO's captions_*.json or Karpathy's dataset_*.json.") from None


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is not blank: its file and line number as a text for messages, then the line itself."""
    for where, raw in bounded_lines(path):
        try:
            line = raw.decode("utf-8-sig").strip("\r\n ")
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: byte {error.start + 1} is no UTF-8. Convert the file.") from None
        if line:
            yield where, line


TARS = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz")
CAPTION_FIELD = "caption_ar"  # the usual caption field of a folder with captions.jsonl


@dataclass(frozen=True)
class Source:
    """A published picture set with Arabic captions."""

    title: str  #: the set's name in print
    read: Callable[[SetFiles, str | None], Rows] | None  #: reads the set's files; None: only the hub's copy is read
    fields: tuple[str, ...] = (CAPTION_FIELD,)  #: caption fields; the first is the default
    splits: tuple[str, ...] | None = None  #: names of the set's splits; None: those that the files name
    hub: Hub | None = None  #: a copy with pictures on the hub, if one is known; `fields[0]` is its caption column
    license: str | None = None  #: licence of the captions; None: not known
    note: str = ""  #: what a reader of figures on this set should know


KNOWN: Mapping[str, Source] = {
    "flickr8k-ar-eljundi": Source(
        "Flickr8k-Arabic (ElJundi et al. 2020)",
        partial(flickr, patterns=("Flickr8k.arabic.full.txt",)),
        splits=("train", "dev", "test"),
        note="Three captions a picture, machine-translated, then edited by people.",
    ),
    "flickr8k-ar-rev": Source(
        "Flickr8k-Arabic-Rev",
        partial(flickr, patterns=("*[Rr]ev*.txt",)),
        splits=("train", "dev", "test"),
        license="CC0",
        note="Captions written or rewritten by people; some are generic and fit several pictures.",
    ),
    "flickr30k-ar": Source(
        "Flickr30k-Arabic",
        partial(flickr, patterns=("*[Aa]rabic*",)),
        splits=("train", "val", "test"),
        note="Machine translations of Flickr30k's captions.",
    ),
    "xtd-ar": Source(
        "XTD-Arabic",
        lambda files, split: xtd(files, "ar"),
        splits=("test",),
        note="Translations by others: XTD has no Arabic. 800 of its 1,000 pictures are of COCO train2014: check what a "
        "model was trained on.",
    ),
    "xm3600-ar": Source(
        "Crossmodal-3600, Arabic",
        lambda files, split: crossmodal(files, "ar"),
        fields=("captions",),
        splits=("test",),
        hub=Hub("mteb/xm3600", "ar"),
        license="CC BY 4.0",
        note="3,600 pictures, 7,367 captions; published numbers differ in whether they ask all captions or the first.",
    ),
    "coco-ar": Source(
        "MS-COCO-Arabic", coco, note="Machine translations of COCO's captions, in COCO's or Karpathy's form."
    ),
    "wit-ar": Source(
        "WIT, Arabic (IGLUE's test side)",
        None,
        fields=("captions",),
        splits=("test",),
        hub=Hub("mteb/wit", "ar"),
        license="CC BY-SA 4.0",
        note="Captions of pictures in Wikipedia: many speak of what a picture means rather than of what it shows.",
    ),
}


def load_dataset(
    dataset: str | Path,
    *,
    path: Path | None = None,
    images: Path | None = None,
    split: str | None = None,
    caption_field: str | None = None,
    unpack_to: Path | None = None,
) -> PictureSet:
    """Load a picture set by name or path.

    Args:
        dataset: a name in KNOWN; "hub:<id>" for any Hugging Face dataset; or a path: a folder with captions.jsonl, a
            folder saved by `datasets`, a WebDataset tar, or a folder of tars (whose names begin with the split).
        path: the folder of a KNOWN set, or its caption file; by default the set's copy on the hub.
        images: the folder of the pictures, if they do not lie with the captions; only for a KNOWN set or a folder with
            captions.jsonl.
        split: only the pictures of this split; by default all pictures, but "test" for "hub:<id>".
        caption_field: by default the first of a KNOWN set's fields, "txt" for tars, and caption_ar for all others.
        unpack_to: sets from tars and the hub are unpacked here, once; by default the user's data directory.

    Raises:
        InputError: there is no such set, split or field, a row is malformed (file and line are named), or `path` or
            `images` would have no effect.
    """
    unpack_to = unpack_to or data_home() / "datasets"
    name = str(dataset)
    path, images = (place and user_path(place) for place in (path, images))
    if name in KNOWN:
        return _load_known_set(name, path, images, split, caption_field, unpack_to)
    if path is not None:
        raise InputError(f"'{name}' says where it lies; a path (--path) is for {', '.join(KNOWN)}. Leave it out.")
    if name.startswith("hub:"):
        _refuse_images(images, name)
        hub = Hub(name.removeprefix("hub:"), split or "test")
        return _read_unpacked(unpack_hub(hub, unpack_to), hub.id, hub.split, caption_field or CAPTION_FIELD)
    location = user_path(dataset)
    if (location / LISTING).is_file():
        return read_set(location, caption_field or CAPTION_FIELD, split, images)
    if _is_saved_dataset(location):
        _refuse_images(images, name)
        folder = unpack_hub(Hub(str(location), split), unpack_to)
        return _read_unpacked(folder, location.name, split, caption_field or CAPTION_FIELD)
    if location.is_dir() and (shards := [path for path in sorted(location.iterdir()) if path.name.endswith(TARS)]):
        _refuse_images(images, name)
        if not (tars := [path for path in shards if path.name.startswith(split or "")]):
            raise InputError(
                f"{location} has no tar of split '{split}', whose name would begin so. The first is {shards[0].name}."
            )
        return _read_unpacked(unpack_tars(tars, unpack_to), location.resolve().name, split, caption_field or "txt")
    if location.is_file() and is_tar(location):
        _refuse_images(images, name)
        if not location.name.startswith(split or ""):
            raise InputError(f"{location} is not of split '{split}': its name would begin so. Leave the split out.")
        folder = unpack_tars([location], unpack_to)
        return _read_unpacked(folder, location.name.partition(".")[0], split, caption_field or "txt")
    raise InputError(
        f"no picture set '{dataset}': neither one of {', '.join(KNOWN)} nor a folder with {LISTING}, a saved dataset, "
        "a tar or a folder of tars. Check the spelling, or write 'hub:<id>' for a Hugging Face dataset."
    )


def _load_known_set(
    name: str, path: Path | None, images: Path | None, split: str | None, field: str | None, unpack_to: Path
) -> PictureSet:
    source = KNOWN[name]
    if source.splits is not None and split is not None and split not in source.splits:
        raise InputError(f"{name} has no split '{split}', it has {', '.join(source.splits)}.")
    if field is not None and field not in source.fields:
        raise InputError(f"{name} has no caption field '{field}', it has {', '.join(source.fields)}.")
    field = source.fields[0] if field is None else field
    if path is not None and source.read is not None and not _is_saved_dataset(path):
        return make_picture_set(name, split, field, source.read(SetFiles(path, images), split))
    if source.hub is None:
        raise InputError(f"we know of no hub that has {source.title} with its pictures. Pass the path where it lies.")
    _refuse_images(images, name)
    hub = source.hub
    if path is not None:
        hub = replace(hub, id=str(path), split=hub.split if (path / "dataset_dict.json").is_file() else None)
    return _read_unpacked(unpack_hub(hub, unpack_to), name, split, field)


def _refuse_images(images: Path | None, name: str) -> None:
    """Raise InputError if the caller named a folder of pictures for a set that holds its pictures itself."""
    if images is not None:
        raise InputError(f"'{name}' has its pictures inside. Leave out the folder of pictures (--images).")


def _is_saved_dataset(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in ("dataset_dict.json", "state.json"))


def _read_unpacked(folder: Path, name: str, split: str | None, field: str) -> PictureSet:
    return replace(read_set(folder, field, name=name), split=split)

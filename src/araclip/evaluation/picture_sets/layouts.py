"""Published caption files: Flickr's, XTD's, Crossmodal-3600's, COCO's and Karpathy's.

Each reader takes the unpacked folder (or file) and yields rows of (picture file, captions). Pictures
may lie beside the captions, in one of the folders below, or in a folder of their own.
"""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from araclip.core import bounded_json
from araclip.errors import InputError
from araclip.evaluation.picture_sets.datasets import bounded_lines, json_lines, texts_of
from araclip.evaluation.picture_sets.picture_files import PictureFiles

MAX_FILE, MAX_NODES = 500_000_000, 40_000_000  # of a whole list; Karpathy's of COCO has 144 MB and 16 million nodes
FOLDERS = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k-images", "train2014", "val2014", "")


@dataclass(frozen=True)
class SetFiles:
    """Where the files of a set lie.

    Attributes:
        folder: with the caption files, directly or one folder below; or the caption file itself.
        images: the folder of the pictures, where it is another one.
    """

    folder: Path
    images: Path | None = None

    def picture(self, name: str, where: str) -> Path:
        """The picture's file, in the first folder that has it.

        Args:
            where: the name stands, for messages.

        Raises:
            InputError: it lies outside of the set's folders.
        """
        return self._files.path(name, where)

    @cached_property
    def _files(self) -> PictureFiles:
        roots = tuple(root for root in (self.images, self._root) if root is not None)
        return PictureFiles(*(root / part for root in roots for part in FOLDERS), roots=roots)

    def captions(self, *patterns: str) -> Path:
        """The caption file: `folder` where that is a file, else `file(*patterns)`."""
        return self.folder if self.folder.is_file() else self.file(*patterns)

    def file(self, *patterns: str) -> Path:
        """The file that matches the first of the patterns that any does.

        Raises:
            InputError: none does, or several do.
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
    """Lines of `name.jpg#0<tab>caption`; a split's names, one a line, in Flickr_8k.<split>Images.txt or <split>.txt.

    Args:
        patterns: names the caption file may have.

    Raises:
        InputError: a file is missing, or a line has no tab.
    """
    of_split = None
    if split is not None:
        names = _lines(files.file(f"Flickr_8k.{glob.escape(split)}Images.txt", f"{glob.escape(split)}.txt"))
        of_split = {Path(name).stem for _, name in names}  # Flickr30k's lists have no suffix
    file_of: dict[str, Path] = {}
    for where, line in _lines(files.captions(*patterns)):
        name, tab, caption = line.partition("\t")
        if not tab:
            raise InputError(f"{where}: no tab in {line!r:.60}. Each line is name.jpg#0, a tab, and the caption.")
        name = name.partition("#")[0]
        if of_split is None or Path(name).stem in of_split:
            if name not in file_of:
                file_of[name] = files.picture(name, where)  # once a picture, not once a caption
            yield file_of[name], [caption]


def xtd(files: SetFiles, language: str) -> Rows:
    """XTD (Aggarwal and Kale 2020): line n of test_1kcaptions_<language>.txt describes line n of test_image_names.txt.

    XTD has no Arabic of its own. What XTD200 (Visheratin 2023) translated with NLLB is called arb_Arab.txt.

    Raises:
        InputError: a file is missing, or they differ in length.
    """
    images = list(_lines(files.file("test_image_names.txt")))
    translated = ("arb_Arab.txt",) if language == "ar" else ()
    path = files.captions(f"test_1kcaptions_{language}.txt", *translated)
    captions = [line for _, line in _lines(path)]
    if len(images) != len(captions):
        raise InputError(f"{path} has {len(captions)} lines, test_image_names.txt {len(images)}. Fetch both again.")
    for (where, name), caption in zip(images, captions, strict=True):
        yield files.picture(name, where), [caption]


def crossmodal(files: SetFiles, language: str) -> Rows:
    """Crossmodal-3600 (Thapliyal et al. 2022): lines with image/key and, by language, caption; pictures are <key>.jpg.

    Raises:
        InputError: the file is missing, or a line has no key or language.
    """
    for where, row in json_lines(files.captions("captions.jsonl")):
        key, texts = row.get("image/key"), row.get(language)
        if not isinstance(key, str) or not isinstance(texts, dict):
            raise InputError(f"{where}: no 'image/key' with texts in '{language}'. Is it Crossmodal-3600's file?")
        yield files.picture(f"{key}.jpg", where), texts_of(texts, where, "caption")


def coco(files: SetFiles, split: str | None) -> Rows:
    """COCO's own form, captions_<split>.json ("images", "annotations"), or Karpathy's dataset_*.json ("sentences").

    Translations keep the form and replace the texts. Splits are those of the file names (train2014, val2014) in the
    first form, and those of the entries (train, restval, val, test) in the second.

    Raises:
        InputError: no such file, it is no JSON, an entry lacks a field, or a file of COCO's form is of another split.
    """
    path = files.captions(f"captions_{glob.escape(split or '')}*.json", "dataset*.json")
    try:
        content = bounded_json.read(path, max_bytes=MAX_FILE, max_nodes=MAX_NODES, kind=dict)
        pictures = content["images"]
        if "annotations" in content:
            if split is not None and split not in path.name:
                raise InputError(f"{path} is not of split '{split}', which its name would say. Leave the split out.")
            yield from _annotated(files, pictures, content["annotations"], str(path))
            return
        for entry in pictures:
            if split is None or entry["split"] == split:
                said = {"raw": [sentence["raw"] for sentence in entry["sentences"]]}
                yield files.picture(entry["filename"], str(path)), texts_of(said, str(path), "raw")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: {error!r}. Expected COCO's captions_*.json or Karpathy's dataset_*.json.") from None


def _annotated(files: SetFiles, pictures: list[Any], annotations: list[Any], where: str) -> Rows:
    captions: dict[Any, list[str]] = {entry["id"]: [] for entry in pictures}
    for annotation in annotations:
        captions[annotation["image_id"]].append(annotation["caption"])
    for entry in pictures:
        texts = texts_of({"caption": captions[entry["id"]]}, where, "caption")
        yield files.picture(entry["file_name"], where), texts


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Location (file and line) and text of each line that is not blank.

    Raises:
        InputError: it cannot be read, or a line is no UTF-8.
    """
    for where, raw in bounded_lines(path):
        try:
            line = raw.decode("utf-8-sig").strip("\r\n ")
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: byte {error.start + 1} is no UTF-8. Convert the file.") from None
        if line:
            yield where, line

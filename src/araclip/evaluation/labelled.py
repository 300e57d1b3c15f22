"""Labelled pictures for zero-shot classification: a folder a class (ImageNet), or captions.jsonl with a class field."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from araclip.core import bounded_json
from araclip.errors import InputError
from araclip.evaluation.picture_sets.datasets import LISTING, read_set
from araclip.evaluation.results import Ints
from araclip.pictures.formats import SUFFIXES
from araclip.text.normalization import normalize


@dataclass(frozen=True)
class LabelledSet:
    """Pictures of known classes, and the classes' names.

    Attributes:
        name, split: as of a PictureSet. names: (C,) normalised. pictures: (N,) files that are there.
        labels: (N,) the class of each. missing: pictures of the list whose file is not there.
    """

    name: str
    split: str | None
    names: tuple[str, ...]
    pictures: tuple[Path, ...]
    labels: Ints
    missing: int = 0

    def __repr__(self) -> str:
        of = f", split {self.split}" if self.split else ""
        return f"<LabelledSet {self.name}{of}: {len(self.pictures):,} pictures of {len(self.names):,} classes>"

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with any class name, and with any picture's name or class."""
        rows = [[path.name, label] for path, label in zip(self.pictures, self.labels.tolist(), strict=True)]
        return hashlib.sha256(json.dumps([self.names, rows]).encode()).hexdigest()[:12]


def from_folder(folder: Path, field: str, split: str | None = None, images: Path | None = None) -> LabelledSet:
    """A folder with captions.jsonl one of whose fields is the picture's class, such as `label` or `class_ar`.

    Args:
        images: another folder in which its pictures may lie.

    Raises:
        InputError: as of `datasets.read_set`; or a picture has several classes.
    """
    pictures = read_set(folder, field, split, images)
    classed = [(path, texts) for path, texts in zip(pictures.pictures, pictures.captions, strict=True) if texts]
    for path, texts in classed:
        if len(set(texts)) > 1:
            raise InputError(f"{folder / LISTING}: {path} has several classes in '{field}': {', '.join(texts)}.")
    names = sorted({texts[0] for _, texts in classed})
    class_of = {name: row for row, name in enumerate(names)}
    labels = np.array([class_of[texts[0]] for _, texts in classed], np.int64)
    return LabelledSet(pictures.name, split, tuple(names), tuple(path for path, _ in classed), labels, pictures.missing)


def imagenet(folder: Path, names: Path | Sequence[str], *, language: str = "ar") -> LabelledSet:
    """A split of ImageNet as torchvision unpacks it: a folder a class, named by its WordNet id, pictures inside.

    Args:
        folder: `val` or `train`.
        names: the classes' Arabic names in the order of their ids, or a JSON file of them: a list for all classes, or
            Babel-ImageNet's object, language → [indexes, names], which names some of them (Geigle et al. 2024); the
            pictures of the others are left out.

    Raises:
        InputError: names and folders do not agree in number, the file is of another form, or there are no pictures.
    """
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    if not classes:
        raise InputError(f"{folder} has no folders of classes. Pass ImageNet's val, one folder a WordNet id.")
    name_of = read_names(names, language) if isinstance(names, Path) else list(names)
    if isinstance(name_of, list):
        if len(name_of) != len(classes):
            raise InputError(f"{len(name_of)} names for {len(classes)} classes in {folder}. Pass one a class.")
        name_of = dict(enumerate(name_of))
    if any(not 0 <= index < len(classes) for index in name_of):
        raise InputError(f"a name for class {max(name_of)}, but {folder} has {len(classes)}. Is it all of ImageNet?")
    listed = [
        (path, label)
        for label, index in enumerate(name_of)
        for path in sorted(classes[index].iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    if not listed:
        raise InputError(f"{folder} has no pictures in its {len(classes)} folders. Unpack ImageNet there.")
    return LabelledSet(
        name="imagenet" if len(name_of) == len(classes) else "babel-imagenet",
        split=folder.name,
        names=tuple(map(normalize, name_of.values())),
        pictures=tuple(path for path, _ in listed),
        labels=np.array([label for _, label in listed], np.int64),
    )


def labelled_set(
    folder: Path, labels: str | None, field: str, split: str | None = None, images: Path | None = None
) -> LabelledSet:
    """The labelled set in a folder with `captions.jsonl`, or with a folder a class.

    Args:
        labels: names of the classes of folders: between commas in the order of the folders, or a JSON file as of
            `imagenet`. field: where a line of `captions.jsonl` names the class. images: see `from_folder`.

    Raises:
        InputError: as of `from_folder` and `imagenet`; or labels are missing, or given where the list has them.
    """
    if (folder / LISTING).is_file():
        if labels is not None:
            raise InputError(f"{folder / LISTING} names the classes itself. Leave the labels out.")
        return from_folder(folder, field, split, images)
    if labels is None:
        raise InputError(f"{folder} has no {LISTING}. Name the classes of its folders: a JSON file, or texts in order.")
    return imagenet(folder, Path(labels) if labels.endswith(".json") else re.split(" *[,،] *", labels.strip()))


def read_templates(path: Path, language: str = "ar") -> tuple[str, ...]:
    """Prompt templates of a JSON file, with {} or {c} for the name: a list, or language → list as Babel-ImageNet has.

    Raises:
        InputError: it is of another form.
    """
    content = _json(path)
    templates = _of_language(content, language, path) if isinstance(content, dict) else content
    if not isinstance(templates, list) or not all(isinstance(text, str) for text in templates):
        raise InputError(f"{path}: expected a list of texts with {{}} in them, or one a language.")
    return tuple(text.replace("{c}", "{}") for text in templates)


def read_names(path: Path, language: str = "ar") -> list[str] | dict[int, str]:
    """Names of all classes, or of some by their index, from a JSON file as of `imagenet`.

    Raises:
        InputError: it is of another form.
    """
    content = _json(path)
    if isinstance(content, dict):
        content = _of_language(content, language, path)
        if isinstance(content, list) and len(content) == 2 and all(isinstance(part, list) for part in content):
            indexes, names = content
            if len(indexes) == len(names) and _all_are(indexes, int) and _all_are(names, str):
                return dict(zip(indexes, names, strict=True))
    elif isinstance(content, list) and _all_are(content, str):
        return content
    raise InputError(f"{path}: expected a list of names, or language → [indexes, names] as Babel-ImageNet has it.")


def _all_are(items: Iterable[Any], kind: type) -> bool:
    return all(isinstance(item, kind) for item in items)


def _of_language(content: dict[str, Any], language: str, path: Path) -> Any:
    if language.upper() not in content:
        raise InputError(f"{path} has no '{language.upper()}', it has {', '.join(sorted(content)[:10])} …")
    return content[language.upper()]


def _json(path: Path) -> Any:
    try:
        return bounded_json.read(path)
    except InputError as error:
        fault = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise InputError(f"{path} cannot be read as JSON ({fault}). Check the path.") from None

"""Zero-shot classification: labelled sets, prompts, probabilities and accuracies."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from araclip.core import bounded_json
from araclip.core.display import Log
from araclip.errors import ImageError, InputError
from araclip.evaluation.retrieval import label_of, vectors_of
from araclip.evaluation.scores import Protocol, recall_at, score
from araclip.evaluation.sets import LISTING, read_set
from araclip.gallery.reference_queries import EVERYDAY
from araclip.models.encoder_base import Encoder, Vectors
from araclip.models.vectors import Floats, Ints
from araclip.pictures.formats import SUFFIXES
from araclip.text.normalization import NORMALIZER_VERSION, normalize


@dataclass(frozen=True)
class LabelledSet:
    """Pictures of known classes, and the classes' names."""

    name: str
    split: str | None
    names: tuple[str, ...]  #: (C,) normalised
    pictures: tuple[Path, ...]  #: (N,) files that are there
    labels: Ints  #: (N,) the class of each
    missing: int = 0  #: pictures of the list whose file is not there

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
        InputError: as of `sets.read_set`; or a picture has several classes.
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


SCALE = 30.0  # of cosines before the softmax; measured on araclip-mini, see benchmarks/label_probabilities.py
CHUNK = 64  # pictures encoded together while some may be unreadable
OTHER = (2.27, -4.3, -0.57)  # of the best label above everyday queries, constant, of the logarithm of their number
TEMPLATES = ("{}", "صورة {}", "صورة فوتوغرافية: {}", "لقطة مقرّبة: {}", "رسم {}")


@dataclass(frozen=True)
class Classified:
    """Zero-shot classification of N pictures into C classes."""

    protocol: Protocol
    ranks: Floats  #: (N,) of the right class, ties at their expected rank
    labels: Ints  #: (N,) the right class
    missing: int  #: pictures of the list whose file is not there

    def __repr__(self) -> str:
        return f"<Classified {len(self.ranks):,} pictures by {self.protocol.model}: top 1 {self.top1:.3f}>"

    @property
    def top1(self) -> float:
        """Share of pictures whose right class is the nearest."""
        return recall_at(self.ranks, 1)

    @property
    def top5(self) -> float:
        """Share of pictures whose right class is among the five nearest."""
        return recall_at(self.ranks, 5)

    @property
    def mean_per_class(self) -> float:
        """Mean over classes, of those that have pictures, of the share of their pictures that are right."""
        right = np.bincount(self.labels, self.ranks <= 1)
        count = np.bincount(self.labels)
        return float((right[count > 0] / count[count > 0]).mean())


def classify(
    model: Encoder,
    dataset: LabelledSet,
    templates: Sequence[str] = TEMPLATES,
    *,
    label: str | None = None,
    image_vectors: Vectors | None = None,
) -> Classified:
    """Name every picture by the nearest class. Where classes share a name, each of them is right.

    Args:
        templates: texts with {} where the class's name goes.
        label: as of `evaluate`. image_vectors: (N, D) of `dataset.pictures`, where they are known already.

    Raises:
        InputError: no template, one has no {}, or the model has no label and none was given.
        ModelMismatch, ImageError: as of `evaluate`.
    """
    classes = class_vectors(model, dataset.names, templates)  # (C, D)
    known = image_vectors
    encode = model.encode_image if known is None else lambda _: known
    pictures = vectors_of("picture", encode, dataset.pictures, model.width)  # (N, D)
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(dataset.names):
        rows_of.setdefault(name, []).append(row)
    scored = score(pictures, classes, [rows_of[dataset.names[row]] for row in dataset.labels.tolist()])
    protocol = Protocol(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        split=dataset.split,
        caption_field=" | ".join(templates),
        captions="all",
        n_queries=len(dataset.names),
        n_images=len(dataset.pictures),
        normalizer=NORMALIZER_VERSION,
        model=label_of(model, label),
    )
    return Classified(protocol, scored.ranks, dataset.labels, dataset.missing)


def class_vectors(model: Encoder, names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Vectors:
    """(C, D) of unit length: the mean over templates of the prompts' unit vectors (Radford et al. 2021, section 3.1.4).

    Raises:
        InputError: no template, or one has no {}. ModelMismatch: as of `evaluate`.
    """
    if not templates or any("{}" not in template for template in templates):
        raise InputError(f"the templates are {list(templates)!r:.200}, expected texts with {{}} where the name goes.")
    prompts = [template.replace("{}", name) for name in names for template in templates]
    vectors = vectors_of("text", model.encode_text, prompts, model.width)  # (C · T, D)
    means = vectors.reshape(len(names), len(templates), -1).mean(axis=1)
    normalized: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    return normalized


def label_probabilities(
    model: Encoder,
    pictures: Sequence[Path],
    labels: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
    *,
    other: bool = False,
    image_vectors: Vectors | None = None,
) -> Vectors:
    """(N, C) how probable each label is for each picture, if one of them is right: rows sum to 1.

    The softmax of `SCALE` × cosine (Radford et al. 2021), at the scale at which araclip-mini is calibrated.

    Args:
        other: add a last column, (N, C + 1): how probable it is that none of the labels is right, see `none_of`.
        image_vectors: (N, D) of the pictures, where they are known already.

    Raises:
        InputError: fewer than two labels, a picture that is a folder, or templates as of `class_vectors`.
        ModelMismatch, ImageError: as of `evaluate`.
    """
    if len(labels) < 2:
        raise InputError(f"{len(labels)} label to choose from: {', '.join(labels) or 'none'}. Name at least two.")
    if folder := next((path for path in pictures if path.is_dir()), None):
        raise InputError(f"{folder} is a folder. Pass picture files, such as {folder / '*.jpg'}.")
    classes = class_vectors(model, labels, templates)  # (C, D)
    encode = model.encode_image if image_vectors is None else lambda _: image_vectors
    vectors = vectors_of("picture", encode, pictures, model.width)  # (N, D)
    cosines = vectors @ classes.T  # (N, C)
    exponentials: Vectors = np.exp(SCALE * (cosines - cosines.max(axis=1, keepdims=True)), dtype=np.float32)
    probabilities: Vectors = np.divide(exponentials, exponentials.sum(axis=1, keepdims=True), dtype=np.float32)
    if not other:
        return probabilities
    everyday = vectors_of("text", model.encode_text, list(EVERYDAY), model.width)
    none = none_of(cosines, vectors @ everyday.T)[:, None]  # (N, 1)
    with_other: Vectors = np.concatenate([probabilities * (1 - none), none], axis=1).astype(np.float32)
    return with_other


def readable_vectors(model: Encoder, pictures: Sequence[Path], skip: Log) -> tuple[list[Path], Vectors]:
    """Those of the pictures that can be read, and their vectors (n, D); `skip` is called with a line for each other."""
    kept: list[Path] = []
    vectors = [np.empty((0, model.width), np.float32)]
    for start in range(0, len(pictures), CHUNK):
        chunk = list(pictures[start : start + CHUNK])
        try:
            found = [(chunk, model.encode_image(chunk))]
        except (ImageError, OSError):  # one by one, to leave out that picture alone
            found = []
            for path in chunk:
                try:
                    found.append(([path], model.encode_image([path])))
                except (ImageError, OSError) as error:
                    skip(f"{path}: {error}" if isinstance(error, OSError) else str(error))
        for paths, rows in found:
            kept += paths
            vectors.append(rows)
    return kept, np.concatenate(vectors)


def none_of(labels: Vectors, everyday: Vectors) -> Vectors:
    """(N,) how probable it is that none of the labels is right, from cosines with the labels (N, C) and with the
    reference queries (N, E).

    A logistic function of how far the best label stands above the everyday queries, in their standard deviations, and
    of the number of labels; fitted and measured by benchmarks/label_probabilities.py.
    """
    above = (labels.max(axis=1) - everyday.mean(axis=1)) / np.maximum(everyday.std(axis=1), 1e-6)
    odds = OTHER[0] * above + OTHER[1] + OTHER[2] * np.log(labels.shape[1])
    none: Vectors = 1 / (1 + np.exp(np.clip(odds, -30, 30)))
    return none


def read_labels(text: str) -> tuple[str, ...]:
    """Labels between commas (، too), or of the file of this name: one a line, or JSON as of `imagenet`;
    normalised, each once.

    Raises:
        InputError: the file cannot be read, or there are none.
    """
    path = os.path.expanduser(text)  # noqa: PTH111 - pathlib raises where a long list of labels is no file name
    try:
        is_file = os.path.isfile(path)  # noqa: PTH113
        if is_file and path.endswith(".json"):
            found = read_names(Path(path))
            named = list(found.values()) if isinstance(found, dict) else found
        else:
            named = Path(path).read_text(encoding="utf-8-sig").splitlines() if is_file else re.split("[,،]", text)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error}). Write one label a line.") from None
    labels = tuple(dict.fromkeys(label for label in map(normalize, named) if label))
    if not labels:
        raise InputError(
            f"'{text}' names no labels. Write them between commas, such as قطة,كلب, or one a line of a file."
        )
    return labels

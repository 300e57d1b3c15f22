"""Zero-shot classification: reads labelled sets and prompts, computes probabilities and accuracies."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from araclip.core import bounded_json
from araclip.core.display import Log
from araclip.errors import ImageError, InputError
from araclip.evaluation.retrieval import counting, label_of, vectors_of
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
    names: tuple[str, ...]  #: names of the classes, normalised
    pictures: tuple[Path, ...]  #: picture files, all of which exist
    labels: Ints  #: for each picture, the index of its class in `names`
    missing: int = 0  #: number of listed pictures whose file does not exist

    def __repr__(self) -> str:
        split = f", split {self.split}" if self.split else ""
        return f"<LabelledSet {self.name}{split}: {len(self.pictures):,} pictures of {len(self.names):,} classes>"

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits: a hash of the classes' names and of the pictures' names and classes."""
        rows = [[path.name, label] for path, label in zip(self.pictures, self.labels.tolist(), strict=True)]
        return hashlib.sha256(json.dumps([self.names, rows]).encode()).hexdigest()[:12]


def from_folder(folder: Path, field: str, split: str | None = None, images: Path | None = None) -> LabelledSet:
    """Read a folder with captions.jsonl in which one field is the picture's class, such as `label` or `class_ar`.

    Args:
        images: another folder in which the pictures may lie.

    Raises:
        InputError: the split or the field does not exist, a row is malformed, or a picture has several classes.
    """
    pictures = read_set(folder, field, split, images)
    pairs = [(path, texts) for path, texts in zip(pictures.pictures, pictures.captions, strict=True) if texts]
    for path, texts in pairs:
        if len(set(texts)) > 1:
            raise InputError(f"{folder / LISTING}: {path} has several classes in '{field}': {', '.join(texts)}.")
    names = sorted({texts[0] for _, texts in pairs})
    class_of = {name: row for row, name in enumerate(names)}
    labels = np.array([class_of[texts[0]] for _, texts in pairs], np.int64)
    return LabelledSet(pictures.name, split, tuple(names), tuple(path for path, _ in pairs), labels, pictures.missing)


def imagenet(folder: Path, names: Path | Sequence[str], *, language: str = "ar") -> LabelledSet:
    """Read a split of ImageNet as torchvision unpacks it: a folder for each class, named by the class's WordNet id.

    Args:
        folder: `val` or `train`.
        names: the classes' Arabic names in the order of their ids, or a JSON file: a list of all names, or
            Babel-ImageNet's object, language → [indexes, names], which has names for some classes (Geigle et al. 2024);
            pictures of the other classes are left out.

    Raises:
        InputError: the numbers of names and folders differ, the file has another form, or there are no pictures.
    """
    classes = [entry for entry in _visible(folder) if entry.is_dir()] if folder.is_dir() else []
    if not classes:
        raise InputError(f"{folder} has no folders of classes. Pass ImageNet's val, one folder a WordNet id.")
    name_of = read_names(names, language) if isinstance(names, Path) else list(names)
    if isinstance(name_of, list):
        if len(name_of) != len(classes):
            raise InputError(f"{len(name_of)} names for {len(classes)} classes in {folder}. Pass one a class.")
        name_of = dict(enumerate(name_of))
    for index in name_of:
        if not 0 <= index < len(classes):
            raise InputError(f"a name for class {index}, but {folder} has {len(classes)}. Is it all of ImageNet?")
    listed = [
        (path, label)
        for label, index in enumerate(name_of)
        for path in _visible(classes[index])
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


def _visible(folder: Path) -> list[Path]:
    """Return a folder's entries, sorted, without hidden ones such as .ipynb_checkpoints, which indexing skips, too."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def labelled_set(
    folder: Path, labels: str | None, field: str, split: str | None = None, images: Path | None = None
) -> LabelledSet:
    """Read a labelled set: a folder with `captions.jsonl`, or with a folder for each class.

    Args:
        labels: for folders of classes, the classes' names in the order of the folders, between commas; or a JSON file,
            see `imagenet`. None for a set with captions.jsonl.
        field, split, images: for captions.jsonl, the field with the class, the split, and another folder of pictures.

    Raises:
        InputError: the set or the names are malformed; labels are missing, or given although captions.jsonl has
            them; or a split or a folder of images is given for a set without captions.jsonl.
    """
    if (folder / LISTING).is_file():
        if labels is not None:
            raise InputError(f"{folder / LISTING} names the classes itself. Leave the labels out.")
        return from_folder(folder, field, split, images)
    if split is not None or images is not None:
        raise InputError(f"{folder} has no {LISTING}, so a split or a folder of images says nothing. Leave them out.")
    if labels is None:
        raise InputError(f"{folder} has no {LISTING}. Name the classes of its folders: a JSON file, or texts in order.")
    return imagenet(folder, Path(labels) if labels.endswith(".json") else re.split(" *[,،] *", labels.strip()))


def read_templates(path: Path, language: str = "ar") -> tuple[str, ...]:
    """Read prompt templates, with {} for the name, from a JSON file: a list, or language → list (Babel-ImageNet).

    A {c} in a template, as Babel-ImageNet has it, is returned as {}.

    Raises:
        InputError: the file has another form.
    """
    templates, _ = _read_json(path, language)
    if not isinstance(templates, list) or not all(isinstance(text, str) for text in templates):
        raise InputError(f"{path}: expected a list of texts with {{}} in them, or one a language.")
    return tuple(text.replace("{c}", "{}") for text in templates)


def read_names(path: Path, language: str = "ar") -> list[str] | dict[int, str]:
    """Read the names of classes from JSON: a list of all names, or language → [indexes, names] (Babel-ImageNet).

    Return the list; or, for `language`, the mapping from index to name, which may lack some classes.

    Raises:
        InputError: the file has another form.
    """
    content, by_language = _read_json(path, language)
    if by_language:
        if isinstance(content, list) and len(content) == 2 and all(isinstance(part, list) for part in content):
            indexes, names = content
            if len(indexes) == len(names) and _all_are(indexes, int) and _all_are(names, str):
                return dict(zip(indexes, names, strict=True))
    elif isinstance(content, list) and _all_are(content, str):
        return content
    raise InputError(f"{path}: expected a list of names, or language → [indexes, names] as Babel-ImageNet has it.")


def _all_are(items: Iterable[Any], kind: type) -> bool:
    return all(isinstance(item, kind) for item in items)


def _read_json(path: Path, language: str) -> tuple[Any, bool]:
    """Return the value of a JSON file, and whether the file maps languages to values.

    Of a file such as {"AR": …, "EN": …}, only the value of `language` is returned.
    """
    try:
        content = bounded_json.read(path)
    except InputError as error:
        fault = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise InputError(f"{path} cannot be read as JSON ({fault}). Check the path.") from None
    if not isinstance(content, dict):
        return content, False
    if language.upper() not in content:
        raise InputError(f"{path} has no '{language.upper()}', it has {', '.join(sorted(content)[:10])} …")
    return content[language.upper()], True


SCALE = 30.0  # factor of cosines before the softmax; measured on araclip-mini, see benchmarks/names.py
CHUNK = 64  # number of pictures encoded together, if some may be unreadable
# Numbers of the logistic function in `none_of`: the coefficient of the best label's cosine (in standard deviations),
# the constant term, and the coefficient of the logarithm of the number of labels.
OTHER = (2.27, -4.3, -0.57)
TEMPLATES = ("{}", "صورة {}", "صورة فوتوغرافية: {}", "لقطة مقرّبة: {}", "رسم {}")


@dataclass(frozen=True)
class Classified:
    """The result of classifying N pictures into C classes."""

    protocol: Protocol
    ranks: Floats  #: for each picture, the rank of its right class; the expected rank if classes tie
    labels: Ints  #: for each picture, the index of its right class
    missing: int  #: number of listed pictures whose file does not exist

    def __repr__(self) -> str:
        return f"<Classified {len(self.ranks):,} pictures by {self.protocol.model}: top 1 {self.top1:.3f}>"

    @property
    def top1(self) -> float:
        """The share of pictures whose right class is the nearest."""
        return recall_at(self.ranks, 1)

    @property
    def top5(self) -> float:
        """The share of pictures whose right class is among the five nearest."""
        return recall_at(self.ranks, 5)

    @property
    def mean_per_class(self) -> float:
        """The share of a class's pictures that are classified rightly, averaged over the classes that have pictures."""
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
    """Classify every picture by the nearest class. If classes share a name, each of them counts as right.

    Args:
        templates: texts with {} in place of the class's name.
        label: name and fingerprint of the model, "name@fingerprint"; by default the model's own `label`.
        image_vectors: the vectors (N, D) of `dataset.pictures`, if they are known already.

    Raises:
        InputError: there is no template, one has no {}, or the model has no label and none was given.
        ModelMismatch: the model's vectors are wrong. ImageError: a picture cannot be opened.
    """
    classes = class_vectors(model, dataset.names, templates)  # one row for each class
    # one row for each picture
    pictures = vectors_of("picture", model.encode_image, dataset.pictures, model.width, known=image_vectors)
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


def class_vectors(
    model: Encoder,
    names: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Vectors:
    """Return a unit vector for each class (C, D): the mean of its prompts' vectors (Radford et al. 2021, 3.1.4).

    `progress` is called with the numbers of prompts that were encoded and of all prompts.

    Raises:
        InputError: there is no template, or one has no {}. ModelMismatch: the model's vectors are wrong.
    """
    if not templates or any("{}" not in template for template in templates):
        raise InputError(f"the templates are {list(templates)!r:.200}, expected texts with {{}} where the name goes.")
    prompts = [template.replace("{}", name) for name in names for template in templates]

    encode = model.encode_text
    # one row for each prompt
    vectors = vectors_of("text", lambda texts: encode(counting(texts, progress)), prompts, model.width)
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Vectors:
    """Return for each picture the probability (N, C) of each label, supposing that one of them is right.

    So the probabilities of a picture sum to 1.

    Probabilities are the softmax of `SCALE` × cosine (Radford et al. 2021); at this SCALE araclip-mini is calibrated.

    Args:
        other: add a last column, (N, C + 1): the probability that none of the labels is right, see `none_of`.
        image_vectors: the vectors (N, D) of the pictures, if they are known already.
        progress: called with the numbers of prompts that were encoded and of all prompts.

    Raises:
        InputError: fewer than two labels, a picture that is a folder, or templates without {}.
        ModelMismatch: the model's vectors are wrong. ImageError: a picture cannot be opened.
    """
    if len(labels) < 2:
        raise InputError(f"{len(labels)} label to choose from: {', '.join(labels) or 'none'}. Name at least two.")
    if folder := next((path for path in pictures if path.is_dir()), None):
        raise InputError(f"{folder} is a folder. Pass picture files, such as {folder / '*.jpg'}.")
    classes = class_vectors(model, labels, templates, progress)  # one row for each label
    # one row for each picture
    vectors = vectors_of("picture", model.encode_image, pictures, model.width, known=image_vectors)
    cosines = vectors @ classes.T  # (pictures, labels)
    exponentials: Vectors = np.exp(SCALE * (cosines - cosines.max(axis=1, keepdims=True)), dtype=np.float32)
    probabilities: Vectors = np.divide(exponentials, exponentials.sum(axis=1, keepdims=True), dtype=np.float32)
    if not other:
        return probabilities
    everyday = vectors_of("text", model.encode_text, list(EVERYDAY), model.width)
    none = none_of(cosines, vectors @ everyday.T)[:, None]  # (pictures, 1)
    with_other: Vectors = np.concatenate([probabilities * (1 - none), none], axis=1).astype(np.float32)
    return with_other


def readable_vectors(
    model: Encoder,
    pictures: Sequence[Path],
    skip: Log,
    progress: Callable[[int, int], None] = lambda done, total: None,
    known: Mapping[str, Vectors] | None = None,
) -> tuple[list[Path], Vectors]:
    """Return the pictures that can be read, and their vectors (n, D); call `skip` with a line for each of the rest.

    Args:
        known: vectors (D,) by path; their pictures are not read.
    """
    vectors = {path: known[str(path)] for path in pictures if str(path) in known} if known else {}
    unknown = [path for path in pictures if path not in vectors]
    progress(len(pictures) - len(unknown), len(pictures))
    for start in range(0, len(unknown), CHUNK):
        chunk = unknown[start : start + CHUNK]
        try:
            vectors.update(zip(chunk, model.encode_image(chunk), strict=True))
        except (ImageError, OSError):  # encode the pictures one by one, to leave out only the bad ones
            for path in chunk:
                try:
                    vectors[path] = model.encode_image([path])[0]
                except (ImageError, OSError) as error:
                    skip(f"{path}: {error}" if isinstance(error, OSError) else str(error))
        progress(len(pictures) - max(0, len(unknown) - start - CHUNK), len(pictures))
    kept = [path for path in pictures if path in vectors]
    return kept, np.array([vectors[path] for path in kept], np.float32).reshape(len(kept), model.width)


def none_of(labels: Vectors, everyday: Vectors) -> Vectors:
    """Return for N pictures the probability (N,) that none of the labels is right.

    It is a logistic function of the number of labels and of how many standard deviations the best label's cosine lies
    above the mean cosine with everyday queries. benchmarks/names.py fits and measures it.

    Args:
        labels, everyday: cosines of the pictures with the labels (N, C), and with the queries EVERYDAY (N, E).
    """
    above = (labels.max(axis=1) - everyday.mean(axis=1)) / np.maximum(everyday.std(axis=1), 1e-6)
    odds = OTHER[0] * above + OTHER[1] + OTHER[2] * np.log(labels.shape[1])
    none: Vectors = 1 / (1 + np.exp(np.clip(odds, -30, 30)))
    return none


def read_labels(text: str) -> tuple[str, ...]:
    """Read labels from a text with commas (or ،) between them; return them normalised, each once.

    If `text` is the path of a file, the labels are read from the file. It has one label in each line, or is JSON: a
    list of names, or language → [indexes, names].

    Raises:
        InputError: the file cannot be read, or there are no labels.
    """
    path = os.path.expanduser(text)  # noqa: PTH111 - pathlib raises where a long list of labels is no file name
    try:
        is_file, is_json = os.path.isfile(path), path.lower().endswith(".json")  # noqa: PTH113
        if not is_file and (is_json or path.lower().endswith(".txt")):
            raise InputError(f"there is no file {path}. Name labels between commas, such as قطة,كلب, or their file.")
        if is_file and is_json:
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

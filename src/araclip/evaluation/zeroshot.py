"""Zero-shot classification: the class whose prompts are nearest to the picture."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from araclip.core.display import Log
from araclip.encoder_base import Vectors
from araclip.errors import ImageError, InputError
from araclip.evaluation.labelled import LabelledSet, read_names
from araclip.evaluation.metrics import recall_at
from araclip.evaluation.results import Floats, Ints, Protocol
from araclip.evaluation.retrieval import MinimalEncoder, label_of, vectors_of
from araclip.evaluation.scoring import score
from araclip.gallery.reference_queries import EVERYDAY
from araclip.text.normalization import NORMALIZER_VERSION, normalize

SCALE = 30.0  # of cosines before the softmax; measured on araclip-mini, see benchmarks/label_probabilities.py
CHUNK = 64  # pictures encoded together while some may be unreadable
OTHER = (2.27, -4.3, -0.57)  # of the best label above everyday queries, constant, of the logarithm of their number
TEMPLATES = ("{}", "صورة {}", "صورة فوتوغرافية: {}", "لقطة مقرّبة: {}", "رسم {}")


@dataclass(frozen=True)
class Classified:
    """Zero-shot classification of N pictures into C classes.

    Attributes:
        ranks: (N,) rank of the right class, ties at their expected rank. labels: (N,) the right class.
        missing: pictures of the list whose file is not there.
    """

    protocol: Protocol
    ranks: Floats
    labels: Ints
    missing: int

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
    model: MinimalEncoder,
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


def class_vectors(model: MinimalEncoder, names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Vectors:
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
    model: MinimalEncoder,
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


def readable_vectors(model: MinimalEncoder, pictures: Sequence[Path], skip: Log) -> tuple[list[Path], Vectors]:
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
    """Labels between commas (، too), or of the file of this name: one a line, or JSON as of `labelled.imagenet`;
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

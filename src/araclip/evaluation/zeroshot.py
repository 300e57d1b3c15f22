"""Zero-shot classification: the class whose name, put into prompts, comes nearest to the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from araclip.encoder_base import Vectors
from araclip.errors import InputError
from araclip.evaluation.labelled import LabelledSet
from araclip.evaluation.metrics import recall_at
from araclip.evaluation.results import Floats, Ints, Protocol
from araclip.evaluation.retrieval import MinimalEncoder, label_of, vectors_of
from araclip.evaluation.scoring import score
from araclip.text.normalization import NORMALIZER_VERSION

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
    called: dict[str, list[int]] = {}
    for place, name in enumerate(dataset.names):
        called.setdefault(name, []).append(place)
    found = score(pictures, classes, [called[dataset.names[place]] for place in dataset.labels.tolist()])
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
    return Classified(protocol, found.ranks, dataset.labels, dataset.missing)


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
    unit: Vectors = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit

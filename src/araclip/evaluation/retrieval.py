"""Text→image and image→text retrieval over one picture set, by any encoder."""

import logging
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from araclip.core.display import Log
from araclip.encoder import AraCLIP
from araclip.encoder_base import Vectors
from araclip.errors import InputError, ModelMismatch
from araclip.evaluation import cache as results_cache
from araclip.evaluation.cache import Measured
from araclip.evaluation.picture_sets.datasets import PictureSet
from araclip.evaluation.results import Cost, Direction, Evaluated, Ints, Protocol
from araclip.evaluation.scoring import score
from araclip.text.normalization import NORMALIZER_VERSION

Item = TypeVar("Item")
UNIT_TOLERANCE = 1e-2  # of a vector's length: half precision changes it by about 0.001


class MinimalEncoder(typing.Protocol):
    """The least that an evaluation needs of a model; any `araclip.encoder.Encoder` has it."""

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        ...

    def encode_text(self, texts: Iterable[str], /) -> Vectors:
        """Texts → (n, D) float32 of unit length, in the order given."""
        ...

    def encode_image(self, pictures: Iterable[Path], /) -> Vectors:
        """Files → (n, D) float32 of unit length, in the order given."""
        ...


def evaluate(
    model: MinimalEncoder,
    dataset: PictureSet,
    *,
    captions: str = "all",
    label: str | None = None,
    license: str | None = None,
    megabytes: float | None = None,
    image_vectors: Vectors | None = None,
    cache: Path | None = None,
    log: Log | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluated:
    """Every caption a query over all pictures, and every picture with captions a query over them.

    Relevant are the picture that a caption describes and, the other way, any caption of the picture.

    Args:
        captions: "all" of a picture's, or the "first".
        label: name and fingerprint of the model, "name@fingerprint"; by default the encoder's own
            `label`, as for `license`. Of an AraCLIP the megabytes are known, too.
        image_vectors: (N, D) of `dataset.pictures`, where they are known already.
        cache: folder of stored results, by protocol id, which are not computed again.
        log: called with a line for each damaged file of the cache; by default a warning of `logging`.
        progress: called as `progress("pictures" or "texts", read, total)` while they are encoded.

    Raises:
        InputError: no caption, or the model has no label and none was given.
        ModelMismatch: its vectors are not (n, D), not finite or not of unit length.
        ImageError: a picture cannot be opened; it is named.
    """
    label = label_of(model, label)
    license = license or getattr(model, "license", None)
    if isinstance(model, AraCLIP):
        megabytes = megabytes or sum(file.stat().st_size for file in model.folder.iterdir() if file.is_file()) / 1e6
    queries, owner = dataset.queries(captions)
    if not queries:
        raise InputError(f"none of the {len(dataset.pictures)} pictures has a caption in '{dataset.caption_field}'.")
    protocol = Protocol(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        split=dataset.split,
        caption_field=dataset.caption_field,
        captions=captions,
        n_queries=len(queries),
        n_images=len(dataset.pictures),
        normalizer=NORMALIZER_VERSION,
        model=label,
    )
    measured = results_cache.read(cache, protocol, log or logging.getLogger(__name__).warning) if cache else None
    if measured is None:
        measured = _measure(model, dataset, queries, owner, image_vectors, megabytes, progress)
        if cache:
            results_cache.write(cache, protocol, measured)
    return Evaluated(
        name=label.partition("@")[0],
        license=license,
        protocol=protocol,
        t2i=measured.t2i,
        i2t=measured.i2t,
        queries=queries,
        owner=owner,
        pictures=dataset.pictures,
        missing=dataset.missing,
        cost=measured.cost,
    )


def score_both_directions(text_vectors: Vectors, image_vectors: Vectors, owner: Ints) -> tuple[Direction, Direction]:
    """Text→image and image→text of (Q, D) and (N, D) vectors; owner: (Q,) the picture that each text describes."""
    captioned = np.unique(owner)
    own = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner)[captioned])[:-1])
    return (
        score(text_vectors, image_vectors, owner[:, None].tolist(), clusters=owner),
        score(image_vectors[captioned], text_vectors, [rows.tolist() for rows in own], clusters=captioned),
    )


def _measure(
    model: MinimalEncoder,
    dataset: PictureSet,
    queries: Sequence[str],
    owner: Ints,
    image_vectors: Vectors | None,
    megabytes: float | None,
    progress: Callable[[str, int, int], None] | None,
) -> Measured:
    def counted(kind: str, items: Sequence[Item]) -> Iterator[Item]:
        for read, item in enumerate(items, 1):
            yield item
            if progress:
                progress(f"{kind}s", read, len(items))

    def timed(kind: str, encode: Callable[[Iterable[Item]], Vectors], items: Sequence[Item]) -> tuple[Vectors, float]:
        start = time.perf_counter()
        vectors = vectors_of(kind, lambda items: encode(counted(kind, items)), items, model.width)
        return vectors, (time.perf_counter() - start) * 1e3 / len(items)

    if image_vectors is None:
        image_vectors, image_ms = timed("picture", model.encode_image, dataset.pictures)
    else:
        known, image_ms = image_vectors, None
        image_vectors = vectors_of("picture", lambda _: known, dataset.pictures, model.width)
    distinct = list(dict.fromkeys(queries))  # equal texts get one vector, and so tie
    text_vectors, text_ms = timed("text", model.encode_text, distinct)
    row_of = {text: row for row, text in enumerate(distinct)}
    directions = score_both_directions(text_vectors[[row_of[text] for text in queries]], image_vectors, owner)
    return Measured(*directions, Cost(megabytes, model.width, text_ms, image_ms))


def label_of(model: MinimalEncoder, label: str | None) -> str:
    """The label that was given, or the model's own.

    Raises:
        InputError: there is neither.
    """
    label = label or getattr(model, "label", None)
    if not label:
        raise InputError(f"a {type(model).__name__} does not say which model it is. Pass label='name@fingerprint'.")
    return label


def vectors_of(kind: str, encode: Callable[[Sequence[Item]], Vectors], items: Sequence[Item], width: int) -> Vectors:
    """(n, D) float32 of unit length, checked: a broken encoder must not get a score.

    Raises:
        ModelMismatch: they are of another shape, not finite or not of unit length; `kind` names what they are of.
    """
    vectors = np.asarray(encode(items), np.float32)
    if vectors.shape != (len(items), width):
        raise ModelMismatch(
            f"the model's {kind} vectors are {vectors.shape}, expected {(len(items), width)}. Check its encoder."
        )
    lengths = np.linalg.norm(vectors, axis=1)
    is_unit = np.abs(lengths - 1) <= UNIT_TOLERANCE  # false for NaN
    if not is_unit.all():
        row = int(np.argmin(is_unit))
        raise ModelMismatch(
            f"the model's vector of {kind} {row} has length {lengths[row]:.3g}, expected 1. Check its encoder."
        )
    return vectors

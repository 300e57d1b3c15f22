"""Evaluates any encoder in text→image and image→text retrieval on one picture set."""

import json
import logging
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from araclip.core import atomic
from araclip.core.display import Log
from araclip.errors import InputError, ModelMismatch, first_line
from araclip.evaluation.scores import Cost, Direction, Evaluated, Protocol, score
from araclip.evaluation.sets import PictureSet
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import Encoder, Vectors
from araclip.models.folder import megabytes as folder_megabytes
from araclip.models.vectors import Ints
from araclip.text.normalization import NORMALIZER_VERSION

Item = TypeVar("Item")
UNIT_TOLERANCE = 1e-2  # limit: difference of a vector's length from 1; half precision changes it by about 0.001


# the results that are cached, because computing them takes long: text→image, image→text, and the costs
Measured = tuple[Direction, Direction, Cost]


def evaluate(
    model: Encoder,
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
    """Evaluate a model: every caption searches all pictures, and every picture with captions searches all captions.

    The right answer to a caption is the picture that it describes; to a picture, any of its captions. The model needs
    `width`, `encode_text` and `encode_image`.

    Args:
        captions: which captions of a picture are queries: "all", or only the "first".
        label: name and fingerprint of the model, "name@fingerprint"; by default the encoder's own `label`.
        license: licence of the weights; by default the encoder's own `license`.
        megabytes: size of the model's files; by default measured for an AraCLIP, unknown for other encoders.
        image_vectors: the vectors (N, D) of `dataset.pictures`, if they are known already.
        cache: folder of stored results by protocol id; a stored result is not computed again.
        log: called with a line for each cache file that is damaged or cannot be written; by default a warning.
        progress: called as `progress("pictures" or "texts", read, total)` during encoding.

    Raises:
        InputError: no picture has a caption, or the model has no label and none was given.
        ModelMismatch, InvalidVectors: the model's vectors are not (n, D), not finite or not of unit length.
        ImageError: a picture cannot be opened; the message names it.
    """
    label = label_of(model, label)
    license = license or getattr(model, "license", None)
    if isinstance(model, AraCLIP):
        megabytes = megabytes or folder_megabytes(model.folder)
    queries, owner = dataset.queries(captions)
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
    log = log or logging.getLogger(__name__).warning
    cache = device_cache(cache, model) if cache else None
    measured = read_cached(cache, protocol, log) if cache else None
    if measured is None:
        measured = _measure_model(model, dataset, queries, owner, image_vectors, megabytes, progress)
        if cache:
            try:
                write_cached(cache, protocol, measured)
            except OSError as error:
                log(f"{cache}: the results of {label} are not stored there ({error.strerror or error}).")
    t2i, i2t, cost = measured
    return Evaluated(
        name=label.rpartition("@")[0] or label,
        license=license,
        protocol=protocol,
        t2i=t2i,
        i2t=i2t,
        queries=queries,
        owner=owner,
        pictures=dataset.pictures,
        missing=dataset.missing,
        cost=cost,
    )


def _measure_model(
    model: Encoder,
    dataset: PictureSet,
    queries: Sequence[str],
    owner: Ints,
    image_vectors: Vectors | None,
    megabytes: float | None,
    progress: Callable[[str, int, int], None] | None,
) -> Measured:
    def encode_timed(
        kind: str, encode: Callable[[Iterable[Item]], Vectors], items: Sequence[Item]
    ) -> tuple[Vectors, float]:
        start, report = time.perf_counter(), partial(progress, f"{kind}s") if progress else None
        vectors = vectors_of(kind, lambda items: encode(counting(items, report)), items, model.width)
        return vectors, (time.perf_counter() - start) * 1e3 / len(items)

    if image_vectors is None:
        image_vectors, image_ms = encode_timed("picture", model.encode_image, dataset.pictures)
    else:
        image_ms = None
        image_vectors = vectors_of("picture", model.encode_image, dataset.pictures, model.width, known=image_vectors)
    distinct = list(dict.fromkeys(queries))  # equal texts are encoded once, so that they tie
    text_vectors, text_ms = encode_timed("text", model.encode_text, distinct)
    row_of = {text: row for row, text in enumerate(distinct)}
    text_vectors = text_vectors[[row_of[text] for text in queries]]  # one row for each query
    captioned = np.unique(owner)
    own = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner)[captioned])[:-1])
    return (
        score(text_vectors, image_vectors, owner[:, None].tolist(), clusters=owner),
        score(image_vectors[captioned], text_vectors, [rows.tolist() for rows in own], clusters=captioned),
        Cost(megabytes, model.width, text_ms, image_ms),
    )


def label_of(model: Encoder, label: str | None) -> str:
    """Return the given label; without it, the model's own label.

    Raises:
        InputError: no label was given, and the model has none.
    """
    label = label or getattr(model, "label", None)
    if not label:
        raise InputError(f"a {type(model).__name__} does not say which model it is. Pass label='name@fingerprint'.")
    return label


def counting(items: Sequence[Item], report: Callable[[int, int], None] | None) -> Iterator[Item]:
    """Yield the items; after each, call `report` with the number of items so far and the number of all items."""
    for read, item in enumerate(items, 1):
        yield item
        if report:
            report(read, len(items))


def vectors_of(
    kind: str,
    encode: Callable[[Sequence[Item]], Vectors],
    items: Sequence[Item],
    width: int,
    *,
    known: Vectors | None = None,
) -> Vectors:
    """Encode texts or pictures, and check that the vectors are (n, D) float32 of unit length.

    A wrong shape (D is not `width`) or length is a ModelMismatch: a broken encoder must not get a score. `kind`, "text"
    or "picture", is for the message. With `known` vectors nothing is encoded.
    """
    vectors = np.asarray(encode(items) if known is None else known, np.float32)
    if vectors.shape != (len(items), width):
        raise ModelMismatch(
            f"the model's {kind} vectors are {vectors.shape}, expected {(len(items), width)}. Check its encoder."
        )
    lengths = np.linalg.norm(vectors, axis=1)
    is_unit = np.abs(lengths - 1) <= UNIT_TOLERANCE  # the comparison is false for NaN
    if not is_unit.all():
        row = int(np.argmin(is_unit))
        raise ModelMismatch(
            f"the model's vector of {kind} {row} has length {lengths[row]:.3g}, expected 1. Check its encoder."
        )
    return vectors


# Arrays that are stored with smaller types than in memory, which halves the size of a file.
_STORED_TYPES = {"found": np.uint32, "level": np.uint32, "clusters": np.uint32}


def device_cache(cache: Path, model: Encoder) -> Path:
    """Return the folder for cached results of the model's device: `cache` for the CPU, a subfolder for another device.

    Devices round differently, so their results are not mixed.
    """
    device = getattr(model, "device", "cpu")
    return cache if device == "cpu" else cache / device.replace(":", "-")


def read_cached(folder: Path, protocol: Protocol, log: Callable[[str], None]) -> Measured | None:
    """Return the results stored for this protocol; None if none are stored, or if their file is damaged (logged)."""
    path = folder / f"{protocol.id}.npz"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            if about["protocol"] != asdict(protocol):
                raise ValueError(f"it holds protocol {about['protocol']}")
            return _read_direction(stored, "t2i"), _read_direction(stored, "i2t"), Cost(**about["cost"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        log(f"{path} is damaged ({first_line(error):.120}); its results are computed again.")
        return None


def write_cached(folder: Path, protocol: Protocol, measured: Measured) -> None:
    """Store the results of this protocol, but not the encoding times, which hold for one run on one machine only."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        f"{way}.{name}": array.astype(_STORED_TYPES.get(name, array.dtype))
        for way, direction in zip(("t2i", "i2t"), measured[:2], strict=True)
        for name, array in vars(direction).items()
    }
    cost = replace(measured[2], text_ms=None, image_ms=None)
    arrays["about"] = np.array(json.dumps({"protocol": asdict(protocol), "cost": asdict(cost)}))

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    atomic.write(folder / f"{protocol.id}.npz", fill)


def _read_direction(stored: Any, way: str) -> Direction:
    arrays = {field.name: stored[f"{way}.{field.name}"] for field in fields(Direction)}
    if len({len(array) for array in arrays.values()}) != 1:
        raise ValueError(f"{way} has parts of different lengths")
    return Direction(**{n: a.astype(np.int64) if n in _STORED_TYPES else a for n, a in arrays.items()})

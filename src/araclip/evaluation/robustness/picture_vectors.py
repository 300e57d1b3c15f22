"""Vectors of a set's pictures, computed once for a model and kept beside the stored results."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from araclip.core import atomic
from araclip.encoder_base import Vectors
from araclip.evaluation.picture_sets.datasets import PictureSet
from araclip.evaluation.retrieval import MinimalEncoder, vectors_of


def picture_vectors(
    model: MinimalEncoder,
    dataset: PictureSet,
    label: str,
    cache: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Vectors:
    """(N, D) of `dataset.pictures`, from `cache/<id>.pictures`, or encoded and stored there.

    Args:
        label: of the model, name and fingerprint, on which the stored file depends.

    Raises:
        ModelMismatch, ImageError: as of `retrieval.evaluate`.
    """
    shape = (len(dataset.pictures), model.width)
    named = f"{label}\n{dataset.fingerprint}\n{shape}"
    path = cache / f"{hashlib.sha256(named.encode()).hexdigest()[:12]}.pictures" if cache else None
    stored = atomic.read_checked(path) if path else None
    if stored is not None and len(stored) == 4 * shape[0] * shape[1]:
        return np.frombuffer(stored, "<f4").reshape(shape)

    def counted() -> Iterator[Path]:
        for read, picture in enumerate(dataset.pictures, 1):
            yield picture
            if progress:
                progress("pictures", read, len(dataset.pictures))

    vectors = vectors_of("picture", lambda _: model.encode_image(counted()), dataset.pictures, model.width)
    if path is not None:
        with contextlib.suppress(OSError):  # full or read-only: encoded again the next time
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_checked(path, vectors.astype("<f4").tobytes())
    return vectors

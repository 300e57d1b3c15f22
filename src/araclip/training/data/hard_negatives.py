"""Hard negatives: pictures whose vectors are near each other's, by the model in training or by a gallery's."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.errors import DataError
from araclip.evaluation.datasets import CaptionedPicture
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.ingest.sources import absolute

BLOCK = 1024  # pictures compared with all others at once


def gallery_vectors(folder: Path, pictures: Sequence[Path]) -> NDArray[np.float32]:
    """(N, D), rows of unit length: what a gallery holds of the training pictures, whichever model indexed them.

    Raises:
        DataError: pictures are not in it.
        GalleryError: there is no gallery, or it cannot be used.
    """
    with closing(Catalog.open(folder, None)) as catalog:
        contents = [catalog.content_of(absolute(picture)) for picture in pictures]
        if missing := [picture for picture, content in zip(pictures, contents, strict=True) if content is None]:
            raise DataError(
                f"{len(missing)} of {len(pictures)} training pictures are not in the gallery {folder}, {missing[0]} "
                f"for one. Index their folders: araclip index {missing[0].parent} --gallery {folder}"
            )
        ids, vectors = catalog.vectors()  # (M,), (M, D) float16
    row_of = {int(content): row for row, content in enumerate(ids)}
    return vectors[[row_of[content] for content in contents if content is not None]].astype(np.float32)


def mined(vectors: NDArray[np.float32], pictures: Sequence[CaptionedPicture], count: int) -> NDArray[np.int64]:
    """(N, K): for each picture the rows of the K = min(count, N − 1) nearest others by inner product.

    Pictures that share a text or the file with it are no negatives: among the 2·K nearest they come last.

    Args:
        vectors: (N, D) of `pictures`, rows of unit length.
    """
    texts = [{picture.path, *picture.english, *picture.arabic} for picture in pictures]
    count = min(count, len(vectors) - 1)
    out = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), BLOCK):
        scores = vectors[start : start + BLOCK] @ vectors.T  # (B, N)
        scores[np.arange(len(scores)), np.arange(start, start + len(scores))] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, : min(2 * count, len(vectors) - 1)]
        for i, row in enumerate(best.tolist(), start):
            out[i] = sorted(row, key=lambda other: not texts[i].isdisjoint(texts[other]))[:count]
    return out

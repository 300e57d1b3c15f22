"""Text→image and image→text retrieval over one picture set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from araclip.encoder import AraCLIP, Vectors
from araclip.errors import InputError
from araclip.evaluation.datasets import Picture
from araclip.evaluation.metrics import ranks, summary


def retrieval(
    model: AraCLIP, pictures: Sequence[Picture], language: str = "arabic", image_vectors: Vectors | None = None
) -> dict[str, Any]:
    """Every caption a query over all pictures, and every picture a query over all captions (finding any of its own).

    Args:
        language: "arabic" or "english".
        image_vectors: (N, D) of `pictures`, where they are known already.

    Returns:
        `t2i` and `i2t` (see `metrics.summary`), `n_queries` (captions) and `n_images`.

    Raises:
        InputError: no picture has a caption in that language.
        ImageError: a picture cannot be opened.
    """
    captions = [(text, row) for row, picture in enumerate(pictures) for text in getattr(picture, language)]
    if not captions:
        raise InputError(f"none of the {len(pictures)} pictures has a caption in {language}. Check the caption field.")
    if image_vectors is None:
        image_vectors = model.encode_image(picture.path for picture in pictures)  # (N, D)
    text_vectors = model.encode_text(text for text, _ in captions)  # (Q, D)
    owner = np.array([row for _, row in captions])
    captioned = np.unique(owner)
    own_captions = [np.flatnonzero(owner == row).tolist() for row in captioned]
    return {
        "t2i": summary(ranks(text_vectors, image_vectors, [[row] for row in owner.tolist()])),
        "i2t": summary(ranks(image_vectors[captioned], text_vectors, own_captions)),
        "n_queries": len(captions),
        "n_images": len(pictures),
    }

"""Results of an evaluation as plain data: its protocol, and ranks and scores of each query.

Reports, significance tests and the result cache read them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Protocol:
    """All that a number depends on; two numbers may stand in one table only if all but the model agree.

    Attributes:
        dataset: its folder's or hub name. fingerprint: twelve hex digits of its pictures' names and sizes
            and of its captions.
        split: or None for all pictures.
        caption_field: field of captions.jsonl that the queries come from.
        captions: whether "all" of a picture's captions are queries, or the "first".
        n_queries, n_images: pool sizes.
        normalizer: version of `araclip.normalize` (`NORMALIZER_VERSION` of `text.normalization`).
        model: label and fingerprint of the encoder, such as "araclip-mini@3f2a".
    """

    dataset: str
    fingerprint: str
    split: str | None
    caption_field: str
    captions: str
    n_queries: int
    n_images: int
    normalizer: int
    model: str

    @property
    def id(self) -> str:
        """Twelve hex digits that change with any of the above."""
        text = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True)
class Direction:
    """One direction, text→image or image→text; Q queries over N candidates, any relevant one counts.

    Attributes:
        ranks: (Q,) from 1, expected rank under a random order of ties.
        level: (Q,) how many irrelevant candidates score exactly as the best relevant one does.
        ndcg10: (Q,) nDCG@10 with binary relevance, ties averaged.
        clusters: (Q,) the picture each query belongs to, for intervals by picture.
        found: (Q, K) the K best candidates, best first, ties by position.
        scores: (Q, K) float32, their cosines.
        relevant_score: (Q,) float32, cosine of the best relevant candidate.
        margin: (Q,) float32, `relevant_score` less the best irrelevant cosine.
    """

    ranks: Floats
    level: Ints
    ndcg10: Floats
    clusters: Ints
    found: Ints
    scores: NDArray[np.float32]
    relevant_score: NDArray[np.float32]
    margin: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"<Direction: {len(self.ranks):,} queries, R@1 {(self.ranks <= 1).mean():.3f}>"


@dataclass(frozen=True)
class Cost:
    """What a model costs on the machine of the run; None where it was not measured.

    Attributes:
        megabytes: of its files. width: of a vector. text_ms, image_ms: a text and a picture, in batches.
    """

    megabytes: float | None
    width: int
    text_ms: float | None
    image_ms: float | None


@dataclass(frozen=True)
class Evaluated:
    """One model on one picture set.

    Attributes:
        name: in tables. license: of the weights, where known.
        queries: (Q,) the texts, in the order of `t2i.ranks`. owner: (Q,) the row in `pictures` that each describes.
        pictures: (N,) files, in the order of `i2t`'s clusters where every picture has a caption.
        missing: pictures of the list whose file was not there, left out of the pools.
    """

    name: str
    license: str | None
    protocol: Protocol
    t2i: Direction
    i2t: Direction
    queries: Sequence[str]
    owner: Ints
    pictures: Sequence[Path]
    missing: int
    cost: Cost

    def __repr__(self) -> str:
        return f"<Evaluated {self.protocol.model} on {self.protocol.dataset}: text to image {self.t2i}>"

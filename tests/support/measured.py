"""Results of an evaluation made by hand or drawn from a seed: what reports and tables are tested with."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from araclip.evaluation.scores import Cost, Direction, Evaluated, Protocol

WORDS = ["قطة", "جالسة", "على", "طاولة", "خشبية", "في", "بيت", "كبير", "قديم", "جدا"]


def direction(
    ranks: Sequence[float], margin: Sequence[float] | None = None, clusters: Sequence[int] | None = None
) -> Direction:
    """Q queries with these ranks; nothing else about them matters."""
    place = np.asarray(ranks, np.float64)
    rows = np.arange(len(place))
    apart = np.zeros(len(place), np.float32) if margin is None else np.asarray(margin, np.float32)
    return Direction(
        ranks=place,
        level=np.zeros(len(place), np.int64),
        ndcg10=np.where(place <= 10, 1 / np.log2(place + 1), 0.0),
        clusters=rows if clusters is None else np.asarray(clusters),
        found=rows[:, None],
        scores=np.zeros((len(place), 1), np.float32),
        relevant_score=np.zeros(len(place), np.float32),
        margin=apart,
    )


def drawn(queries: int, candidates: int, own: Sequence[int], skill: float, seed: int) -> Direction:
    """Random cosines; the right candidate of each query (`own`) stands `skill` higher."""
    rng = np.random.default_rng(seed)
    rows = np.arange(queries)
    scores = rng.normal(0.2, 0.05, (queries, candidates)).astype(np.float32)
    scores[rows, own] += np.float32(skill)
    right = scores[rows, own]
    wrong = scores.copy()
    wrong[rows, own] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ranks = 1.0 + (scores > right[:, None]).sum(axis=1)
    return replace(
        direction(ranks.tolist(), (right - wrong.max(axis=1)).tolist()),
        found=order,
        scores=np.take_along_axis(scores, order, axis=1),
        relevant_score=right,
    )


def evaluated(
    name: str = "araclip-mini",
    *,
    skill: float = 0.1,
    seed: int = 0,
    images: int = 20,
    each: int = 2,
    pictures: Sequence[Path] | None = None,
    queries: Sequence[str] | None = None,
    **changes: Any,
) -> Evaluated:
    """A model on `images` pictures with `each` captions a picture."""
    owner = np.repeat(np.arange(images), each)
    total = images * each
    t2i = replace(drawn(total, images, owner.tolist(), skill, seed), clusters=owner)
    i2t = drawn(images, total, (np.arange(images) * each).tolist(), skill, seed + 1)
    protocol = Protocol("flickr8k", "0123456789ab", "dev", "caption_ar", "all", total, images, 1, f"{name}@3f2a")
    made = Evaluated(
        name=name,
        license="CC BY-NC-SA 4.0",
        protocol=protocol,
        t2i=t2i,
        i2t=i2t,
        queries=queries or [" ".join(WORDS[: 1 + i % 10]) for i in range(total)],
        owner=owner,
        pictures=pictures or [Path(f"images/{i}.jpg") for i in range(images)],
        missing=0,
        cost=Cost(megabytes=47.0, width=384, text_ms=1.2, image_ms=14.0),
    )
    return replace(made, **changes)

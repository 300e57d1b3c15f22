"""Synthetic picture vectors from a few thousand real ones, and statistics to compare the two.

A synthetic vector is a real one (minus the mean of all) mixed with one of its nearest neighbours and with noise of the
real covariance, rescaled to the real one's distance from the mean. The mean is kept, and with it the modality gap.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from araclip import AraCLIP

Floats = NDArray[np.float32]

NEIGHBOURS = 4
NOISE = 0.4  # in standard deviations of the real vectors; chosen by `described`
BLOCK = 50_000


def real_vectors(data: Path, work: Path, model: AraCLIP, most: int) -> tuple[Floats, Floats, Floats]:
    """Vectors of pictures under `data`, of Arabic captions to report on (dev) and of others to tune on (train).

    Cached in `work`; the first run encodes about a hundred pictures a second on two cores. `most` limits the pictures
    to a random sample.
    """
    cache = work / f"real-{model.fingerprint}-{most}.npz"
    if cache.is_file():
        with np.load(cache) as cached:
            return cached["pictures"], cached["dev"], cached["train"]
    pictures, captions = some_captions(data)
    rng = np.random.default_rng(0)
    vectors = model.encode_image([pictures[i] for i in rng.permutation(len(pictures))[:most]])
    texts = {split: model.encode_text(some) for split, some in captions.items()}
    np.savez(cache, pictures=vectors, **texts)
    return vectors, texts["dev"], texts["train"]


def some_captions(data: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """The pictures under `data`, and 1,000 Arabic captions of each of the splits dev and train."""
    pictures: list[Path] = []
    captions: dict[str, list[str]] = {"dev": [], "train": []}
    for lines in sorted(data.rglob("captions.jsonl")):
        for row in map(json.loads, lines.read_text(encoding="utf-8").splitlines()):
            path = lines.parent / row["image"]
            pictures.append(path if path.is_file() else lines.parent / "images" / row["image"])
            if row.get("split") in captions and "caption_ar" in row:
                captions[row["split"]] += row["caption_ar"]
    return pictures, {
        split: [some[i] for i in np.random.default_rng(1).permutation(len(some))[:1000]]
        for split, some in captions.items()
    }


def made_vectors(real: Floats, count: int) -> Iterator[Floats]:
    """Unit vectors (n, D), float16 values, in blocks; `count` in all."""
    rng = np.random.default_rng(1)
    mean = real.mean(axis=0)
    apart = real - mean
    away = np.linalg.norm(apart, axis=1, keepdims=True)
    directions = apart / away
    near = faiss.knn(directions, directions, NEIGHBOURS + 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
    varied = np.linalg.cholesky(np.cov(apart.T) + 1e-9 * np.eye(real.shape[1])).astype(np.float32).T
    for start in range(0, count, BLOCK):
        n = min(BLOCK, count - start)
        first = rng.integers(len(real), size=n)
        second = near[first, rng.integers(NEIGHBOURS, size=n)]
        angle = rng.uniform(0, np.pi / 4, (n, 1)).astype(np.float32)
        mixed = np.cos(angle) * apart[first] + np.sin(angle) * apart[second]
        mixed += NOISE * rng.standard_normal((n, real.shape[1]), np.float32) @ varied
        mixed *= away[first] / np.linalg.norm(mixed, axis=1, keepdims=True)
        vectors = mixed + mean
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        yield vectors.astype(np.float16).astype(np.float32)


def described(vectors: Floats, texts: Floats) -> dict[str, float]:
    """Statistics that the recall of an index may depend on."""
    spectrum = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1]
    share = np.cumsum(spectrum) / spectrum.sum()
    scores = texts @ vectors.T
    return {
        "length of the mean": float(np.linalg.norm(vectors.mean(axis=0))),
        "variance in 16 directions": float(share[15]),
        "in 64": float(share[63]),
        "in 128": float(share[127]),
        "effective dimensions": float(spectrum.sum() ** 2 / (spectrum**2).sum()),
        "text-picture score, mean": float(scores.mean()),
        "standard deviation": float(scores.std()),
        "99th percentile": float(np.percentile(scores, 99)),
        "99.9th": float(np.percentile(scores, 99.9)),
        "best of a query": float(scores.max(axis=1).mean()),
        "deviation within a query": float(scores.std(axis=1).mean()),
    }

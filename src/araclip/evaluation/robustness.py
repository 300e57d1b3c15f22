"""Measures robustness: how much recall a model loses, with intervals, when captions are rewritten (`rewriting`)."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core import atomic
from araclip.evaluation.retrieval import counting, device_cache, label_of, vectors_of
from araclip.evaluation.rewriting import KINDS, Kind
from araclip.evaluation.scores import resampled_means, score
from araclip.evaluation.sets import PictureSet
from araclip.gallery.plan import FILTERS, plan
from araclip.gallery.query import Query, Term, combine
from araclip.models.encoder_base import Encoder, Vectors
from araclip.models.vectors import Floats, Ints
from araclip.text.interpretation import Interpreter

CUTOFFS = (1, 10)
RESAMPLES = 2000  # bootstrap resamples, as in `scores.interval`
CLEAN = "as written"
BLOCK = 512  # texts encoded together; progress is reported after each block

TextEncoder = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class Loss:
    """The recall that a model loses by one kind of rewriting."""

    kind: str  # name in `rewriting.KINDS`; `CLEAN` for unchanged captions, whose losses are 0
    group: str
    queries: int  # number of captions
    changed: int  # number of captions that the kind changes
    recall: dict[str, float]  # R@k of the rewritten captions, for each k of CUTOFFS
    loss: dict[str, float]  # R@k of the captions as written minus R@k of the rewritten captions
    interval: dict[str, tuple[float, float]]  # 95 % bootstrap interval of `loss`; pictures are resampled
    loss_changed: dict[str, float]  # the loss over changed captions only; 0 if none is changed
    interval_changed: dict[str, tuple[float, float]]  # 95 % interval of `loss_changed`


@dataclass(frozen=True)
class Robustness:
    """How much recall a model loses on one picture set by each kind of rewriting; the captions as written come first.

    `way` names how texts were encoded: "literal" for texts as typed.
    """

    model: str
    dataset: str
    captions: str
    way: str
    seed: int
    losses: tuple[Loss, ...]

    def json(self) -> dict[str, Any]:
        """Return plain data, as `araclip evaluate --robustness --json` prints it."""
        return asdict(self)


def measure(
    model: Encoder,
    dataset: PictureSet,
    *,
    captions: str = "all",
    kinds: Sequence[Kind] = KINDS,
    encode: TextEncoder | None = None,
    way: str = "literal",
    label: str | None = None,
    image_vectors: Vectors | None = None,
    clean_ranks: Floats | None = None,
    cache: Path | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Robustness:
    """Rewrite every caption by each of `kinds`, search its picture in the whole set, and return the lost recall.

    Args:
        captions: which captions of a picture are queries: "all", or only the "first".
        encode: takes texts and returns (n, D) unit vectors; by default the model's `encode_text`, which takes texts
            literally.
        way: the name of `encode` in tables.
        image_vectors: the pictures' vectors (N, D), if they are known; otherwise pictures are encoded once, and their
            vectors kept in the folder `cache`, if one is given.
        clean_ranks: (Q,) ranks of the unchanged captions with the same `encode`, if they are known already.
        seed: seed of the kinds that draw at random; the same seed rewrites a text in the same way.
        progress: called as `progress(kind, texts done, texts in all)`.

    Raises:
        InputError: no picture has a caption. ModelMismatch: the model's vectors are wrong. ImageError: a picture cannot
            be opened.
    """
    queries, owner = dataset.queries(captions)
    label = label_of(model, label)
    pictures = image_vectors if image_vectors is not None else picture_vectors(model, dataset, label, cache, progress)
    encode_texts = encode or model.encode_text

    def rank_pictures(name: str, texts: Sequence[str], owner: Ints) -> Floats:
        """Return the ranks (n,), from 1, of each text's picture among all pictures (the expected rank if pictures tie).

        `owner[i]` is the row of the picture of text i. Equal texts are encoded once. `name`, the kind of rewriting, is
        passed to `progress`.
        """

        def encode_in_blocks(distinct: Sequence[str]) -> Vectors:
            parts = []
            for start in range(0, len(distinct), BLOCK):
                parts.append(encode_texts(distinct[start : start + BLOCK]))
                if progress:
                    progress(name, min(start + BLOCK, len(distinct)), len(distinct))
            return np.concatenate(parts)

        distinct = list(dict.fromkeys(texts))
        row_of = {text: row for row, text in enumerate(distinct)}
        vectors = vectors_of("text", encode_in_blocks, distinct, pictures.shape[1])
        return score(vectors[[row_of[text] for text in texts]], pictures, owner[:, None].tolist()).ranks

    clean = rank_pictures(CLEAN, queries, owner) if clean_ranks is None else clean_ranks
    losses = [_measure_loss(CLEAN, "", clean, clean, np.zeros(len(queries), np.bool_), owner)]
    for kind in kinds:
        rewritten = [kind(text, seed) for text in queries]
        changed = np.array([new != text for new, text in zip(rewritten, queries, strict=True)])
        ranks = clean.copy()
        rows = np.flatnonzero(changed)
        if len(rows):
            ranks[rows] = rank_pictures(kind.name, [rewritten[row] for row in rows], owner[rows])
        losses.append(_measure_loss(kind.name, kind.group, clean, ranks, changed, owner))
    return Robustness(label, dataset.name, captions, way, seed, tuple(losses))


def _measure_loss(kind: str, group: str, clean: Floats, ranks: Floats, changed: np.ndarray, owner: Ints) -> Loss:
    names = [f"R@{k}" for k in CUTOFFS]
    before, after = ((of[:, None] <= np.array(CUTOFFS)).astype(np.float64) for of in (clean, ranks))  # (queries, k)
    loss, rows = before - after, np.flatnonzero(changed)

    def by_cutoff(values: Floats) -> dict[str, float]:
        return dict(zip(names, values.tolist(), strict=True))

    def intervals(values: Floats, clusters: Ints) -> dict[str, tuple[float, float]]:
        if not values.any():
            return dict.fromkeys(names, (0.0, 0.0))
        low, high = np.quantile(resampled_means(values, clusters, RESAMPLES, 0), [0.025, 0.975], axis=0)
        return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}

    return Loss(
        kind=kind,
        group=group,
        queries=len(clean),
        changed=len(rows),
        recall=by_cutoff(after.mean(axis=0)),
        loss=by_cutoff(loss.mean(axis=0)),
        interval=intervals(loss, owner),
        loss_changed=by_cutoff(loss[rows].mean(axis=0) if len(rows) else np.zeros(len(names))),
        interval_changed=intervals(loss[rows], owner[rows]),
    )


def picture_vectors(
    model: Encoder,
    dataset: PictureSet,
    label: str,
    cache: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Vectors:
    """Read the vectors (N, D) of `dataset.pictures` from `cache/<id>.pictures`, or else encode and store them there."""
    shape = (len(dataset.pictures), model.width)
    identity = f"{label}\n{dataset.fingerprint}\n{shape}"
    name = f"{hashlib.sha256(identity.encode()).hexdigest()[:12]}.pictures"
    path = device_cache(cache, model) / name if cache else None
    stored = atomic.read_checked(path) if path else None
    if stored is not None and len(stored) == 4 * shape[0] * shape[1]:
        return np.frombuffer(stored, "<f4").reshape(shape)

    pictures, report = dataset.pictures, partial(progress, "pictures") if progress else None
    vectors = vectors_of("picture", lambda _: model.encode_image(counting(pictures, report)), pictures, model.width)
    if path is not None:
        with contextlib.suppress(OSError):  # disk full or read-only: the next run encodes the pictures again
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_checked(path, vectors.astype("<f4").tobytes())
    return vectors


class UnderstoodEncoder:
    """Encodes texts as a search does: as the weighted sum of vectors of all texts (readings) that the text may mean.

    Unlike in a search, dates, folders and operators in a text are ordinary words and characters here, because the texts
    are captions. An interpreter finds the readings. `texts` counts the texts encoded so far, `readings` the readings
    encoded for them; a reading that occurs several times in one call is encoded and counted once.
    """

    def __init__(self, model: Encoder, interpreter: Interpreter) -> None:
        self._model, self._interpreter = model, interpreter
        self.texts = self.readings = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        queries = [Query((Term("text", text),)) for text in texts]
        plans = [plan(query, self._interpreter, today=date.today(), ignore=FILTERS) for query in queries]
        different = list(dict.fromkeys(reading for each in plans for reading in each.texts))
        self.texts, self.readings = self.texts + len(texts), self.readings + len(different)
        vectors = dict(zip(different, self._model.encode_text(different), strict=True))
        rows = []
        for each in plans:
            found = each.vectors([vectors[text] for text in each.texts], _refuse_picture)
            rows.append(combine(found.terms, each.query))
        return np.stack(rows)


def _refuse_picture(name: str) -> NDArray[np.float32]:
    raise AssertionError(f"a text of a set names no picture, and {name} was asked for")

"""What each kind of rewriting costs: the loss of recall, with intervals, of any model on any picture set."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core import atomic
from araclip.errors import InputError
from araclip.evaluation.retrieval import label_of, vectors_of
from araclip.evaluation.rewriting import KINDS, Kind
from araclip.evaluation.scores import resampled_means, score
from araclip.evaluation.sets import PictureSet
from araclip.gallery.plan import FILTERS, plan
from araclip.gallery.query import Query, Term, combine
from araclip.models.encoder_base import Encoder, Vectors
from araclip.models.vectors import Floats, Ints
from araclip.text.interpretation import Interpreter

CUTOFFS = (1, 10)
RESAMPLES = 2000  # of the bootstrap, as `scores.interval` has them
CLEAN = "as written"
BLOCK = 512  # texts that are encoded together, after which progress is told

TextEncoder = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class Loss:
    """One kind of rewriting."""

    kind: str  # of `rewriting.KINDS`; `CLEAN` for the captions as they are, whose losses are 0
    group: str
    queries: int  # how many captions there are
    changed: int  # how many of them the kind changes
    recall: dict[str, float]  # R@k over all captions, for each k of CUTOFFS
    loss: dict[str, float]  # R@k of the captions as written less that of the rewritten ones
    interval: dict[str, tuple[float, float]]  # its 95 % interval by picture
    loss_changed: dict[str, float]  # among the captions that the kind changes, 0 where it changes none
    interval_changed: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Robustness:
    """A model's losses on one picture set, the clean captions first; `way`: how the texts became vectors."""

    model: str
    dataset: str
    captions: str
    way: str
    seed: int
    losses: tuple[Loss, ...]

    def json(self) -> dict[str, Any]:
        """Plain data, as `araclip evaluate --robustness --json` prints it."""
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
    """Rewrite every caption in every way, and find its picture among all of the set's.

    Args:
        captions: "all" of a picture's, or the "first".
        encode: texts → (n, D) unit vectors; by default the model's `encode_text`, so that texts are taken literally.
        way: the name of `encode`, for tables.
        image_vectors: (N, D) of the pictures, where they are known; otherwise they are encoded once, and kept in
            `cache` if that is given.
        clean_ranks: (Q,) of the captions as they are and by the same `encode`, where an evaluation has them already.
        seed: of random kinds; a text is always rewritten alike for one seed.
        progress: called as `progress(kind, texts done, texts in all)`.

    Raises:
        InputError: no caption. ModelMismatch, ImageError: as of `retrieval.evaluate`.
    """
    queries, owner = dataset.queries(captions)
    if not queries:
        raise InputError(f"none of the {len(dataset.pictures)} pictures has a caption in '{dataset.caption_field}'.")
    label = label_of(model, label)
    pictures = image_vectors if image_vectors is not None else picture_vectors(model, dataset, label, cache, progress)
    encode_some = encode or model.encode_text

    def find(name: str, texts: Sequence[str], owner: Ints) -> Floats:
        """Ranks of each text's own picture; equal texts are encoded once."""

        def encoded(distinct: Sequence[str]) -> Vectors:
            parts = []
            for start in range(0, len(distinct), BLOCK):
                parts.append(encode_some(distinct[start : start + BLOCK]))
                if progress:
                    progress(name, min(start + BLOCK, len(distinct)), len(distinct))
            return np.concatenate(parts)

        distinct = list(dict.fromkeys(texts))
        row_of = {text: row for row, text in enumerate(distinct)}
        vectors = vectors_of("text", encoded, distinct, pictures.shape[1])
        return score(vectors[[row_of[text] for text in texts]], pictures, owner[:, None].tolist()).ranks

    clean = find(CLEAN, queries, owner) if clean_ranks is None else clean_ranks
    losses = [_loss(CLEAN, "", clean, clean, np.zeros(len(queries), np.bool_), owner)]
    for kind in kinds:
        rewritten = [kind(text, seed) for text in queries]
        changed = np.array([new != text for new, text in zip(rewritten, queries, strict=True)])
        ranks = clean.copy()
        rows = np.flatnonzero(changed)
        if len(rows):
            ranks[rows] = find(kind.name, [rewritten[row] for row in rows], owner[rows])
        losses.append(_loss(kind.name, kind.group, clean, ranks, changed, owner))
    return Robustness(label, dataset.name, captions, way, seed, tuple(losses))


def _loss(kind: str, group: str, clean: Floats, ranks: Floats, changed: np.ndarray, owner: Ints) -> Loss:
    names = [f"R@{k}" for k in CUTOFFS]
    before, after = ((of[:, None] <= np.array(CUTOFFS)).astype(np.float64) for of in (clean, ranks))  # (Q, K)
    lost, rows = before - after, np.flatnonzero(changed)

    def named(values: Floats) -> dict[str, float]:
        return dict(zip(names, values.tolist(), strict=True))

    def ends(values: Floats, clusters: Ints) -> dict[str, tuple[float, float]]:
        if not values.any():
            return dict.fromkeys(names, (0.0, 0.0))
        low, high = np.quantile(resampled_means(values, clusters, RESAMPLES, 0), [0.025, 0.975], axis=0)
        return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}

    return Loss(
        kind=kind,
        group=group,
        queries=len(clean),
        changed=len(rows),
        recall=named(after.mean(axis=0)),
        loss=named(lost.mean(axis=0)),
        interval=ends(lost, owner),
        loss_changed=named(lost[rows].mean(axis=0) if len(rows) else np.zeros(len(names))),
        interval_changed=ends(lost[rows], owner[rows]) if len(rows) else dict.fromkeys(names, (0.0, 0.0)),
    )


def picture_vectors(
    model: Encoder,
    dataset: PictureSet,
    label: str,
    cache: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Vectors:
    """(N, D) of `dataset.pictures`, from `cache/<id>.pictures` of this label, or encoded and stored there."""
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


class UnderstoodEncoder:
    """Encodes texts with a model and an interpreter. Dates and folders are words here: a set of captions has neither.

    Signs in a text are ordinary characters. `readings` and `texts` count what was encoded so far.
    """

    def __init__(self, model: Encoder, interpreter: Interpreter) -> None:
        self._model, self._interpreter = model, interpreter
        self.texts = self.readings = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        queries = [Query((Term("text", text),)) for text in texts]
        read = [plan(query, self._interpreter, today=date.today(), ignore=FILTERS) for query in queries]
        different = list(dict.fromkeys(reading for each in read for reading in each.texts))
        self.texts, self.readings = self.texts + len(texts), self.readings + len(different)
        vectors = dict(zip(different, self._model.encode_text(different), strict=True))
        rows = []
        for each in read:
            terms = each.term_vectors([vectors[text] for text in each.texts], _no_picture)
            rows.append(combine(each.own(terms), each.query))
        return np.stack(rows)


def _no_picture(name: str) -> NDArray[np.float32]:
    raise AssertionError(f"a text of a set names no picture, and {name} was asked for")

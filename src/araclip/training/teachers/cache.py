"""A teacher's vectors on disk: every distinct text is encoded once, also across killed runs.

    cache.json             format, teacher, its fingerprint, width, number and hash of the texts
    shard-00000.parquet    vector (fixed-size list of D float16), text, source, license; whole or not there
    shard-00001.parquet    …

The shards alone decide: each carries the teacher's fingerprint and a hash of its rows, and vectors are looked up by
text. So a killed run goes on with the texts that no whole shard has, and a changed text is a new one.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from araclip import atomic, bounded_json
from araclip.errors import DataError, TeacherMismatch, first_line
from araclip.training.teachers.text_towers import Teacher

FORMAT = 1
UNIT_TOLERANCE = 1e-2  # teachers compute in half precision, too

TeacherProgress = Callable[[int, int, float, float], None]
Log = Callable[[str], None]


@dataclass(frozen=True)
class TeacherCache:
    """The vectors of some texts, in memory at two bytes a number; `folder` may hold those of more texts."""

    folder: Path
    teacher: str
    fingerprint: str
    width: int
    rows: dict[str, int] = field(repr=False)
    vectors: NDArray[np.float16] = field(repr=False)  # (N, D)

    def __len__(self) -> int:
        return len(self.rows)

    def lookup(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, D) float32, rows of unit length, in the order of `texts`.

        Raises:
            DataError: a text has no vector here; it is named.
        """
        unknown = [text for text in texts if text not in self.rows]
        if unknown:
            raise DataError(
                f"{self.folder}: {len(unknown)} of {len(texts)} texts have no teacher vector here, such as "
                f"{unknown[0]!r:.80}. Pass all texts to teacher_vectors; it computes only the new ones."
            )
        found = self.vectors[[self.rows[text] for text in texts]].astype(np.float32)  # (n, D)
        found /= np.linalg.norm(found, axis=1, keepdims=True)  # float16 changes lengths by 0.1 %
        return found


def teacher_vectors(
    teacher: Teacher,
    texts: Sequence[str],
    folder: Path,
    *,
    source: str | Sequence[str] | None = None,
    license: str | Sequence[str] | None = None,
    shard: int = 8192,
    batch: int = 256,
    progress: TeacherProgress | None = None,
    log: Log | None = None,
) -> TeacherCache:
    """The teacher's vectors for `texts`, read from `folder` where it has them, else computed and stored there.

    Args:
        texts: may repeat; each distinct one is encoded once.
        source, license: stored beside the texts: one for all, or one for each of `texts`.
        shard: texts a file; a killed run loses at most one such file.
        batch: texts a call of the teacher, similar lengths together.
        progress: called after each batch with texts done, texts in all, texts a second and seconds left.
        log: called with one line for each damaged file that is made anew; by default a warning of `logging`.

    Raises:
        TeacherMismatch: the folder holds another teacher's vectors; nothing in it is touched.
        DataError: an empty text, labels that do not match the texts, or vectors that are not finite or not of unit
            length.
        GalleryLocked: another process is filling the folder.
    """
    labels = list(zip(_spread("source", source, texts), _spread("license", license, texts), strict=True))
    about = dict(zip(reversed(texts), reversed(labels), strict=True))  # the first label of a text wins
    for text in about:
        if not isinstance(text, str) or not text:
            raise DataError(f"a text to encode is {text!r}, expected one that is not empty. Leave such rows out.")
    distinct = list(dict.fromkeys(texts))
    cache = TeacherCache(
        folder=folder,
        teacher=teacher.name,
        fingerprint=teacher.fingerprint,
        width=teacher.width,
        rows={text: row for row, text in enumerate(distinct)},
        vectors=np.zeros((len(distinct), teacher.width), np.float16),
    )
    folder.mkdir(parents=True, exist_ok=True)
    warn = log or logging.getLogger(__name__).warning
    if _read(cache, warn).missing.any():
        with atomic.single_writer(folder / ".lock"):
            _fill(cache, teacher, about, shard, batch, progress)
    return cache


@dataclass
class _State:
    missing: NDArray[np.bool_]  # (N,) texts that no whole shard has
    hashes: dict[str, tuple[int, str]]  # whole shards: number and hash of their texts


def _read(cache: TeacherCache, warn: Log) -> _State:
    """Copy what the folder has into `cache.vectors`."""
    _check_owner(cache, cache.folder / "cache.json", _read_json(cache.folder / "cache.json", warn))
    state = _State(np.ones(len(cache), bool), {})
    for path in sorted(cache.folder.glob("shard-*.parquet")):
        try:
            vectors, texts = _read_shard(cache, path)
        except TeacherMismatch:
            raise
        except Exception as error:  # a damaged file makes pyarrow raise nearly anything
            warn(f"{path} is damaged ({first_line(error):.120}); its texts are computed again.")
            continue
        pairs = [(position, cache.rows[text]) for position, text in enumerate(texts) if text in cache.rows]
        if pairs:
            positions, rows = (list(column) for column in zip(*pairs, strict=True))
            cache.vectors[rows] = vectors[positions]
            state.missing[rows] = False
        state.hashes[path.name] = (len(texts), _hash_texts(texts))
    return state


def _fill(
    cache: TeacherCache,
    teacher: Teacher,
    about: dict[str, tuple[str | None, str | None]],
    shard: int,
    batch: int,
    progress: TeacherProgress | None,
) -> None:
    for left in cache.folder.glob(".*.tmp"):  # of a killed run; we hold the lock
        left.unlink()
    state = _read(cache, lambda line: None)  # again: another process may have filled it meanwhile
    _write_json(cache, state)
    texts = list(cache.rows)
    todo = np.flatnonzero(state.missing)
    done, started = len(texts) - len(todo), time.perf_counter()
    names = _free_names(state)
    for first in range(0, len(todo), shard):
        rows = todo[first : first + shard]
        by_length = sorted(rows, key=lambda row: len(texts[row]))  # less padding
        for start in range(0, len(rows), batch):
            part = by_length[start : start + batch]
            cache.vectors[part] = _encoded(teacher, [texts[row] for row in part])
            computed = first + start + len(part)
            speed = computed / max(time.perf_counter() - started, 1e-9)
            if progress is not None:
                progress(done + computed, len(texts), speed, (len(todo) - computed) / speed)
        chunk = [texts[row] for row in rows]
        name = next(names)
        _write_shard(cache, cache.folder / name, cache.vectors[rows], chunk, [about[text] for text in chunk])
        state.hashes[name] = (len(chunk), _hash_texts(chunk))
    _write_json(cache, state)


def _encoded(teacher: Teacher, texts: list[str]) -> NDArray[np.float32]:
    vectors = teacher.encode(texts)
    if vectors.shape != (len(texts), teacher.width):
        raise DataError(
            f"teacher {teacher.name} made vectors of shape {vectors.shape} for {len(texts)} texts, expected "
            f"{(len(texts), teacher.width)}. Correct the teacher."
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1) < UNIT_TOLERANCE))  # NaN is wrong, too
    if len(wrong):
        raise DataError(
            f"teacher {teacher.name} made a vector of length {lengths[wrong[0]]:.3g} for {texts[wrong[0]]!r:.80}, "
            "expected 1. Compute in float32, or leave the text out."
        )
    return vectors


def _write_shard(
    cache: TeacherCache,
    path: Path,
    vectors: NDArray[np.float16],
    texts: list[str],
    labels: list[tuple[str | None, str | None]],
) -> None:
    flat = pyarrow.array(np.ascontiguousarray(vectors).reshape(-1), pyarrow.float16())
    columns = {
        "vector": pyarrow.FixedSizeListArray.from_arrays(flat, cache.width),
        "text": pyarrow.array(texts, pyarrow.string()),
        "source": pyarrow.array([source for source, _ in labels], pyarrow.string()),
        "license": pyarrow.array([license for _, license in labels], pyarrow.string()),
    }
    table = pyarrow.table(columns)
    about = {**_owner(cache), "rows": _hash_rows(vectors, table)}
    table = table.replace_schema_metadata({"araclip": json.dumps(about)})
    atomic.write(path, lambda temporary: pyarrow.parquet.write_table(table, temporary, compression="zstd"))


def _read_shard(cache: TeacherCache, path: Path) -> tuple[NDArray[np.float16], list[str]]:
    """(n, D) vectors and n texts of a whole shard of this teacher."""
    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read()
    about = bounded_json.parse((table.schema.metadata or {})[b"araclip"], str(path), kind=dict, error=DataError)
    _check_owner(cache, path, about)
    flat = table.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors: NDArray[np.float16] = flat.astype(np.float16, copy=False).reshape(len(table), cache.width)
    if _hash_rows(vectors, table) != about["rows"]:
        raise ValueError("its rows do not have the hash they were written with")
    return vectors, table.column("text").to_pylist()


def _owner(cache: TeacherCache) -> dict[str, Any]:
    return {"format": FORMAT, "teacher": cache.teacher, "fingerprint": cache.fingerprint, "width": cache.width}


def _check_owner(cache: TeacherCache, path: Path, about: dict[str, Any]) -> None:
    if about and about.get("format") != FORMAT:
        raise TeacherMismatch(
            f"{path} has format {about.get('format')!r}, this release reads format {FORMAT}. "
            "Name another cache folder, or delete this one to compute it anew."
        )
    if about and about.get("fingerprint") != cache.fingerprint:
        raise TeacherMismatch(
            f"{path} holds {about.get('width')}-wide vectors of {about.get('teacher')}@{about.get('fingerprint')}, "
            f"the teacher now is {cache.teacher}@{cache.fingerprint} with {cache.width}-wide ones. "
            "Name another cache folder, or delete this one to compute it anew."
        )


def _read_json(path: Path, warn: Log) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found: dict[str, Any] = bounded_json.read(path, kind=dict, error=DataError)
    except DataError as error:
        warn(f"{path} is damaged ({error}); it is written again from the shards.")
        return {}
    return found


def _write_json(cache: TeacherCache, state: _State) -> None:
    shards = sorted(state.hashes.items())
    about = {
        **_owner(cache),
        "texts": sum(number for _, (number, _) in shards),
        "texts_sha256": hashlib.sha256("".join(digest for _, (_, digest) in shards).encode()).hexdigest(),
    }
    atomic.write_text(cache.folder / "cache.json", json.dumps(about, ensure_ascii=False, indent=2) + "\n")


def _hash_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _hash_rows(vectors: NDArray[np.float16], table: Any) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(vectors).data)
    for column in ("text", "source", "license"):
        digest.update(json.dumps(table.column(column).to_pylist()).encode())
    return digest.hexdigest()


def _free_names(state: _State) -> Iterator[str]:
    number = 0
    while True:
        name = f"shard-{number:05d}.parquet"
        if name not in state.hashes:
            yield name
        number += 1


def _spread(what: str, label: str | Sequence[str] | None, texts: Sequence[str]) -> Sequence[str | None]:
    if label is None or isinstance(label, str):
        return [label] * len(texts)
    if len(label) != len(texts):
        raise DataError(f"{len(label)} {what} labels for {len(texts)} texts. Give one for all, or one for each.")
    return label

"""Loads teachers and keeps their vectors on disk: every distinct text is encoded once, even if runs are killed.

    cache.json             format, teacher, its fingerprint, width, number and hash of the texts
    shard-00000.parquet    vector (fixed-size list of D float16), text; complete or missing
    shard-00001.parquet    …

Only the shards count: each holds the teacher's fingerprint and a hash of its rows, and vectors are looked up by text.
So a restarted run encodes the texts that no undamaged shard has, and a changed text is a new text.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize as l2_normalize

from araclip.core import atomic, bounded_json
from araclip.core.display import Log
from araclip.errors import DataError, ModelMismatch, RecipeError, TeacherMismatch, first_line
from araclip.models.encoder import AraCLIP
from araclip.models.folder import existing_folder, find
from araclip.text.normalization import NORMALIZER_VERSION
from araclip.training.failures import failures
from araclip.training.teachers.text_encoders import (
    TextEncoder,
    araclip_text,
    fingerprint,
    open_clip_text,
    transformers_text,
)

_ENCODE = "tokenizer, settings and weights must belong together: copy the folder again"
NOT_TEXT = ("visual.", "vision_model.", "visual_projection.", "logit_")  # weights that no text vector depends on


class Teacher(Protocol):
    """A frozen text encoder; a student learns to reproduce its vectors."""

    @property
    def name(self) -> str:
        """The text that names the teacher, such as open_clip:MODEL/TAG, for messages."""

    @property
    def width(self) -> int:
        """D, how many numbers a vector has."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits: a hash of all that the vectors depend on (weights, tokens, kind)."""

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode texts as (n, D) float32, rows of unit length, in the order given."""


class TorchTeacher:
    """A teacher that is a text tower in PyTorch."""

    def __init__(self, name: str, text: TextEncoder, device: str, bfloat16: bool = False) -> None:
        self.name, self.device, self.bfloat16, self._text = name, device, bfloat16, text
        text.model.eval().requires_grad_(False).to(device)

    @cached_property
    def width(self) -> int:
        """D, how many numbers a vector has."""
        return int(self.encode(["a photo of a cat"]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits: a hash of kind, text weights and the token ids of a few texts."""
        state = self._text.model.state_dict()
        text = {name: tensor for name, tensor in state.items() if not name.startswith(NOT_TEXT)}
        kind = f"{self._text.kind} bfloat16" if self.bfloat16 else self._text.kind
        with failures(f"teacher {self.name}", _ENCODE, ModelMismatch, cannot="encode"):
            return fingerprint(kind, text, self._text.tokens)[:16]

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode texts as (n, D) float32, rows of unit length, in the order given."""
        if not texts:
            return np.empty((0, self.width), np.float32)
        narrow = torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bfloat16)
        with failures(f"teacher {self.name}", _ENCODE, ModelMismatch, cannot="encode"), narrow:
            features = self._text.encode(texts, self.device)
        vectors: NDArray[np.float32] = l2_normalize(features.float(), dim=-1).cpu().numpy()  # (n, D)
        return vectors


class FolderTeacher:
    """A teacher that is a model folder, run by ONNX Runtime."""

    def __init__(self, name: str, model: AraCLIP) -> None:
        self.name, self._model = name, model

    @property
    def width(self) -> int:
        """D, how many numbers a vector has."""
        return self._model.width

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits: a hash of the folder's fingerprint (graphs, tokenizer) and the normaliser's version."""
        kind = f"onnx {self._model.config.fingerprint} normalizer {NORMALIZER_VERSION}"
        return hashlib.sha256(kind.encode()).hexdigest()[:16]

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode texts as (n, D) float32, rows of unit length, in the order given."""
        return self._model.encode_text(texts)


FORMAT = 1
UNIT_TOLERANCE = 1e-2  # limit: difference of a vector's length from 1: some teachers compute in half precision

TeacherProgress = Callable[[int, int, float, float], None]


@dataclass(frozen=True)
class TeacherCache:
    """The teacher vectors of some texts, in memory as float16; `folder` may hold vectors of more texts."""

    folder: Path
    teacher: str
    fingerprint: str
    width: int
    rows: dict[str, int] = field(repr=False)
    vectors: NDArray[np.float16] = field(repr=False)  # (N, D)

    def __len__(self) -> int:
        return len(self.rows)

    def lookup(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of `texts`, (n, D) float32, unit length; a text without a vector is a DataError."""
        unknown = [text for text in texts if text not in self.rows]
        if unknown:
            raise DataError(
                f"{self.folder}: {len(unknown)} of {len(texts)} texts have no teacher vector here, such as "
                f"{unknown[0]!r:.80}. Pass all texts to teacher_vectors; it computes only the new ones."
            )
        found = self.vectors[[self.rows[text] for text in texts]].astype(np.float32)  # (n, D)
        found /= np.linalg.norm(found, axis=1, keepdims=True)  # unit length again, as float16 changes it by 0.1 %
        return found


def teacher_vectors(
    teacher: Teacher,
    texts: Sequence[str],
    folder: Path,
    *,
    shard: int = 8192,
    batch: int = 256,
    progress: TeacherProgress | None = None,
    log: Log | None = None,
) -> TeacherCache:
    """Return the teacher's vectors of `texts`: read them from `folder`, and compute and store there what is missing.

    Args:
        texts: may repeat; each distinct text is encoded once.
        shard: texts in one file; a killed run loses at most one file's work.
        batch: texts in one call of the teacher; texts of similar length are taken together.
        progress: called after each batch with texts done, texts in all, texts per second and seconds left.
        log: called with one line for each damaged file, which is written anew; by default a `logging` warning.

    Raises:
        TeacherMismatch: the folder holds another teacher's vectors, or has another format.
        DataError: a text is empty, or the teacher gives a vector of another width, or not of unit length.
    """
    distinct = list(dict.fromkeys(texts))
    for text in distinct:
        if not isinstance(text, str) or not text:
            raise DataError(f"a text to encode is {text!r}, expected one that is not empty. Leave such rows out.")
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
    if _read_shards(cache, warn).missing.any():
        with atomic.single_writer(folder / ".lock"):
            _encode_shard(cache, teacher, shard, batch, progress)
    return cache


@dataclass
class _ShardHashes:
    missing: NDArray[np.bool_]  # (N,) true for texts that no undamaged shard has
    hashes: dict[str, tuple[int, str]]  # undamaged shard → number and hash of its texts


def _read_shards(cache: TeacherCache, warn: Log) -> _ShardHashes:
    """Copy the vectors of undamaged shards into `cache.vectors`; return the missing texts and the shards' hashes."""
    owner = cache.folder / "cache.json"
    try:
        _check_cache_owner(cache, owner, bounded_json.read(owner, kind=dict, error=DataError) if owner.exists() else {})
    except DataError as error:
        warn(f"{owner} is damaged ({error}); it is written again from the shards.")
    state = _ShardHashes(np.ones(len(cache), bool), {})
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


def _encode_shard(
    cache: TeacherCache, teacher: Teacher, shard: int, batch: int, progress: TeacherProgress | None
) -> None:
    # temporary files here were left by killed runs, since only this process holds the folder's lock
    for left in cache.folder.glob(".*.tmp"):
        left.unlink()
    # read the folder again: before this process got the lock, another process may have written shards
    state = _read_shards(cache, lambda line: None)
    _write_json(cache, state)
    texts = list(cache.rows)
    todo = np.flatnonzero(state.missing)
    done, started = len(texts) - len(todo), time.perf_counter()
    numbered = (f"shard-{number:05d}.parquet" for number in count())
    names = (name for name in numbered if name not in state.hashes)
    for first in range(0, len(todo), shard):
        rows = todo[first : first + shard]
        by_length = sorted(rows, key=lambda row: len(texts[row]))  # texts of similar length need less padding
        for start in range(0, len(rows), batch):
            part = by_length[start : start + batch]
            cache.vectors[part] = _encode_checked(teacher, [texts[row] for row in part])
            computed = first + start + len(part)
            speed = computed / max(time.perf_counter() - started, 1e-9)
            if progress is not None:
                progress(done + computed, len(texts), speed, (len(todo) - computed) / speed)
        chunk = [texts[row] for row in rows]
        name = next(names)
        _write_shard(cache, cache.folder / name, cache.vectors[rows], chunk)
        state.hashes[name] = (len(chunk), _hash_texts(chunk))
    _write_json(cache, state)


def _encode_checked(teacher: Teacher, texts: list[str]) -> NDArray[np.float32]:
    vectors = teacher.encode(texts)
    if vectors.shape != (len(texts), teacher.width):
        raise DataError(
            f"teacher {teacher.name} made vectors of shape {vectors.shape} for {len(texts)} texts, expected "
            f"{(len(texts), teacher.width)}. Correct the teacher."
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1) < UNIT_TOLERANCE))  # written so that NaN counts as wrong, too
    if len(wrong):
        raise DataError(
            f"teacher {teacher.name} made a vector of length {lengths[wrong[0]]:.3g} for {texts[wrong[0]]!r:.80}, "
            "expected 1. Compute in float32, or leave the text out."
        )
    return vectors


def _write_shard(cache: TeacherCache, path: Path, vectors: NDArray[np.float16], texts: list[str]) -> None:
    flat = pyarrow.array(np.ascontiguousarray(vectors).reshape(-1), pyarrow.float16())
    columns = {
        "vector": pyarrow.FixedSizeListArray.from_arrays(flat, cache.width),
        "text": pyarrow.array(texts, pyarrow.string()),
    }
    table = pyarrow.table(columns)
    about = {**_cache_owner(cache), "rows": _hash_rows(vectors, table)}
    table = table.replace_schema_metadata({"araclip": json.dumps(about)})
    atomic.write(path, lambda temporary: pyarrow.parquet.write_table(table, temporary, compression="zstd"))


def _read_shard(cache: TeacherCache, path: Path) -> tuple[NDArray[np.float16], list[str]]:
    """Read a shard's vectors (n, D) and n texts; raise if it is damaged or another teacher's."""
    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read()
    about = bounded_json.parse((table.schema.metadata or {})[b"araclip"], str(path), kind=dict, error=DataError)
    _check_cache_owner(cache, path, about)
    flat = table.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors: NDArray[np.float16] = flat.astype(np.float16, copy=False).reshape(len(table), cache.width)
    if _hash_rows(vectors, table) != about["rows"]:
        raise ValueError("its rows do not have the hash they were written with")
    return vectors, table.column("text").to_pylist()


def _cache_owner(cache: TeacherCache) -> dict[str, Any]:
    return {"format": FORMAT, "teacher": cache.teacher, "fingerprint": cache.fingerprint, "width": cache.width}


def _check_cache_owner(cache: TeacherCache, path: Path, about: dict[str, Any]) -> None:
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


def _write_json(cache: TeacherCache, state: _ShardHashes) -> None:
    shards = sorted(state.hashes.items())
    about = {
        **_cache_owner(cache),
        "texts": sum(number for _, (number, _) in shards),
        "texts_sha256": hashlib.sha256("".join(digest for _, (_, digest) in shards).encode()).hexdigest(),
    }
    atomic.write_text(cache.folder / "cache.json", json.dumps(about, ensure_ascii=False, indent=2) + "\n")


def _hash_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _hash_rows(vectors: NDArray[np.float16], table: Any) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(vectors).data)
    # Earlier releases wrote further columns and hashed them too, so all columns are hashed here.
    for column in [name for name in table.column_names if name != "vector"]:
        digest.update(json.dumps(table.column(column).to_pylist()).encode())
    return digest.hexdigest()


def load_teacher(spec: str, device: str = "cpu", *, bfloat16: bool = False) -> Teacher:
    """Load the teacher that `spec` names.

    - `open_clip:ViT-B-16-SigLIP-512/webli`, or a file of weights instead of the tag;
    - `transformers:FOLDER_OR_HUB_ID`, for CLIP, SigLIP, SigLIP 2 and similar models;
    - `araclip:FOLDER`, for a saved AraCLIPModel or a model folder with ONNX graphs; also a bundled model's name.

    Nothing is downloaded but a hub id or tag that is not yet on this machine.

    Args:
        device: a PyTorch device, such as "cuda"; ONNX graphs run on the CPU.
        bfloat16: true: a PyTorch tower computes in bfloat16 (autocast), several times as fast on processors that
            support it.
    """
    kind, _, location = spec.partition(":")
    if kind not in ("open_clip", "transformers", "araclip") or not location:
        raise RecipeError(
            f"teacher '{spec}' is of no known kind. Known are open_clip:MODEL/TAG_OR_FILE, open_clip:local-dir:FOLDER; "
            "transformers:FOLDER_OR_HUB_ID; araclip:FOLDER_OR_BUNDLED_NAME."
        )
    name = f"teacher {spec}"
    # the attribute with the image tower, which is dropped below, to halve the memory
    unused = ["vision_model"]
    if kind == "open_clip":
        text, unused = open_clip_text(name, location), ["visual"]
    elif kind == "transformers":
        text = transformers_text(name, location)
    else:
        folder = existing_folder(location)
        if folder is None or (folder / "text.onnx").is_file():
            return FolderTeacher(spec, AraCLIP(find(location)))
        text, unused = araclip_text(name, folder), ["vision_model", "visual_projection"]
    for part in unused:
        if hasattr(text.model, part):
            setattr(text.model, part, None)
    return TorchTeacher(spec, text, device, bfloat16)

"""`embed`: a Ray Data pipeline, on this machine or on a cluster, that turns a source into shards of vectors.

list the source ─► leave out what stands in shards ─► read and decode ─► encode (a pool of actors) ─► write shards
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from araclip.bulk.shard_file import (
    KEY_BYTES,
    ShardFolder,
    ShardHeader,
    absolute_place,
    key_of,
    read_path,
    read_rows,
    schema_of,
    stored_path,
    write_shard,
)
from araclip.bulk.sources import is_container, list_source, read_pictures
from araclip.core import atomic
from araclip.core.bounded_parquet import MISSING
from araclip.core.display import counted
from araclip.core.processes import usable_cores
from araclip.errors import AraCLIPError, BulkError, InputError, ShardMismatch, SourceError, first_line
from araclip.gallery.catalog.records import File, RecordedModel
from araclip.gallery.ingest.intake import ENCODE_BATCH, vectors_in_batches
from araclip.models.devices import requested_device
from araclip.models.encoder import Encoder, ModelLike, as_encoder
from araclip.models.folder import DEFAULT_MODEL
from araclip.pictures.image_transform import ImageTransform, transform_of

SHARD_ROWS = 4096  # pictures of a shard: a killed run loses so many, about a minute of two cores
BLOCK = 64  # files of a task that reads
MAX_BLOCKS = 20_000  # limit: tasks that read; with more files each task reads more of them
FINISHED = "finished.json"


@dataclass(frozen=True)
class EmbedReport:
    """The result of `embed`: what stands in OUT now, how much of it is new, and notes on files that were left out."""

    out: str
    model: str
    pictures: int
    refused: int
    new: int
    notes: tuple[str, ...] = ()


def embed(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: ModelLike | None = None,
    jobs: int | None = None,
    device: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EmbedReport:
    """Embed the pictures of a source into shards: on the Ray cluster that $RAY_ADDRESS names, or on this machine.

    Pictures that stand in a shard are not embedded again, so a run that was killed goes on. A picture that cannot be
    used is listed, with the reason, in a .refused.jsonl file.

    Args:
        source: a folder, a picture, a tar or a parquet file of pictures; a path, or a URL of an object store.
        out: a folder or a URL; created if it does not exist.
        model: a name, a path or an encoder, as `AraCLIP.load` takes; araclip-mini by default.
        jobs: the number of encoders; by default one for each core, or for each GPU with `device` "cuda".
        device: the device that encodes, such as "cpu" or "cuda"; by default $ARACLIP_DEVICE or the CPU.
        progress: called with the number of pictures done, and of files to read, after each shard.

    Raises:
        InputError: the source does not exist or holds nothing; a package is missing.
        ShardMismatch: the folder holds shards of another source or model.
        SourceError: the source, or some of its pictures, cannot be read now; all others are embedded.
        BulkError: Ray has given up. ModelError: the model cannot be found or used.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise InputError(MISSING) from None
    device = requested_device(device)
    encoder, folder, name = as_encoder(model or DEFAULT_MODEL, device=device), ShardFolder(out), absolute_place(source)
    header = ShardHeader(stored_path(name), RecordedModel.of(encoder))
    try:
        files, notes = list_source(name, folder.place)
        done, counts = _what_stands(folder, header)
        # tars and parquet files are read again to see what is left of them, unless a run has finished all
        listing = hashlib.sha256(b"".join(map(key_of, files))).hexdigest()
        finished = folder.names(FINISHED) and json.loads(folder.read(FINISHED)) == [listing, *counts]
    except OSError as error:
        raise SourceError(f"{name} or {out} cannot be read ({first_line(error):.200}). Run it again later.") from None
    todo = [] if finished else _leave_out(files, done)
    failed, new = list[str](), 0
    for each in _run(todo, encoder, name_to_load(model, encoder), header, folder, jobs, device) if todo else ():
        counts = counts[0] + each["pictures"], counts[1] + each["refused"]
        new, failed = new + each["pictures"], failed + each["retry"]
        progress(new + each["refused"], len(todo))
    if failed:
        raise SourceError(
            f"{counted(len(failed), 'file')} could not be read now, such as {failed[0]}. Run the same command again: "
            f"the {counts[0]:,} pictures in {folder.place} are kept."
        )
    folder.write(FINISHED, json.dumps([listing, *counts]).encode())
    return EmbedReport(folder.place, header.model.label, *counts, new, tuple(notes))


def _what_stands(folder: ShardFolder, header: ShardHeader) -> tuple[dict[bytes, str], tuple[int, int]]:
    """Return key and path of each picture that is embedded or refused for good, and how many there are of either kind.

    Raises:
        ShardMismatch: the folder holds shards of another source or model.
    """
    done: dict[bytes, str] = {}
    for name in folder.names(".parquet"):
        for found, batch in read_rows(folder.path_of(name), columns := ("path", "size", "mtime_ns"), SHARD_ROWS):
            found.refuse_another(header.model, header.source, folder.path_of(name))
            rows = zip(*(batch[each].to_pylist() for each in columns), strict=True)
            done |= {key_of(File(read_path(row[0]), *row[1:])): row[0] for row in rows}
    embedded = len(done)
    for name in folder.names(".refused.jsonl"):
        for row in map(json.loads, folder.read(name).splitlines()):
            if not row["retry"]:
                done[key_of(File(read_path(row["path"]), row["size"], row["mtime_ns"]))] = row["path"]
    return done, (embedded, len(done) - embedded)


def _leave_out(files: list[File], done: dict[bytes, str]) -> list[tuple[File, bytes]]:
    """Return the files that are to be read, each with the keys that are done of a tar or parquet file."""
    inside: dict[str, list[bytes]] = {file.path: [] for file in files if is_container(file.path)}
    for key, stored in done.items() if inside else ():
        outer = read_path(stored)
        while outer and outer not in inside:
            outer = outer.rpartition("/")[0]
        if outer:
            inside[outer].append(key)
    return [
        (file, b"".join(inside.get(file.path, ()))) for file in files if file.path in inside or key_of(file) not in done
    ]


def _run(
    todo: list[tuple[File, bytes]], encoder: Encoder, model: str, header: ShardHeader, folder: ShardFolder,
    jobs: int | None, device: str,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Run the pipeline; yield for each shard how many pictures it has, how many were refused, and what to retry."""
    import pyarrow as pa
    import ray.data

    if folder.is_local:
        atomic.remove_abandoned(Path(folder.place))
    if not ray.is_initialized():
        # no reports of usage to Ray's makers, and no lines of its C++
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"} | os.environ
        own = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": usable_cores(), "include_dashboard": False}
        ray.init(**own, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    resources, gpus = ray.cluster_resources(), int(device.startswith("cuda"))
    cores = int(resources.get("CPU", 1))
    jobs = jobs or int(resources.get("GPU", 1) if gpus else cores)
    files = pa.table({
        **{name: [getattr(file, name) for file, _ in todo] for name in ("size", "mtime_ns")},
        "path": [stored_path(file.path) for file, _ in todo], "done": [done for _, done in todo],
    })  # fmt: skip
    size = max(1, min(BLOCK, len(todo) // jobs), len(todo) // MAX_BLOCKS)
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=jobs)
    of_actors = model, header.model, max(1, cores // jobs), device
    begun, whole = time.strftime("%Y%m%dT%H%M%S", time.gmtime()), {"batch_size": None, "batch_format": "pyarrow"}
    # On a CPU, Ray joins reading to encoding: a picture is decoded where it is encoded. Half a core each, so that the
    # encoders of a machine that dies find room on the others.
    rows = (
        ray.data.from_arrow([files.slice(at, size) for at in range(0, len(files), size)])
        .map_batches(decode, num_cpus=0.5, fn_args=(transform_of(encoder),), **whole)
        .map_batches(Embedder, compute=pool, fn_constructor_args=of_actors, num_cpus=0.5, num_gpus=gpus, **whole)
        .map_batches(write, num_cpus=0, fn_args=(folder.place, header, begun), **whole | {"batch_size": SHARD_ROWS})
    )
    try:
        yield from rows.iter_rows()
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[-1]
        raise BulkError(f"Ray has given up ({why:.300}). Shards are kept: run the same command again.") from None


def _table(rows: list[dict[str, Any]]) -> Any:
    """Return rows on their way as a pyarrow table: a shard's columns but `vector`, the bytes of pixels or of the vector
    (`data`), and why a picture is refused.
    """
    import pyarrow as pa

    fields = [field for field in schema_of(1) if field.name != "vector"]
    more = {"data": pa.binary(), "reason": pa.string(), "retry": pa.bool_()}
    return pa.Table.from_pylist(rows, pa.schema([*fields, *more.items()]))


def decode(files: Any, transform: ImageTransform) -> Iterator[Any]:
    """Read and decode the pictures of files, a table of Ray Data; yield tables of rows with pixels."""
    rows: list[dict[str, Any]] = []
    for file in files.to_pylist():
        keys = {file["done"][at : at + KEY_BYTES] for at in range(0, len(file["done"]), KEY_BYTES)}
        for row in read_pictures(File(read_path(file["path"]), file["size"], file["mtime_ns"]), keys, transform):
            rows.append(row)
            if len(rows) == ENCODE_BATCH:
                yield _table(rows)
                rows = []
    yield _table(rows)


class Embedder:
    """An actor of Ray that turns the pixels of rows into vectors; it loads the model once."""

    def __init__(self, model: str, record: RecordedModel, threads: int, device: str) -> None:
        self._model, self._record, self._threads, self._device = model, record, threads, device

    @cached_property
    def _encoder(self) -> Encoder:
        encoder = as_encoder(self._model, threads=self._threads, device=self._device)
        if encoder.fingerprint != self._record.fingerprint:
            raise ShardMismatch(
                f"a machine has {encoder.label}, this run {self._record.label}. Install the same model."
            )
        return encoder

    def __call__(self, table: Any) -> Any:
        """Encode a table of rows."""
        rows = table.to_pylist()
        found = [row for row in rows if row["data"]]
        try:
            shape = (self._encoder.image_size, self._encoder.image_size, 3)
            pixels = [np.frombuffer(row["data"], np.uint8).reshape(shape) for row in found]
            for row, vector in zip(found, vectors_in_batches(self._encoder, pixels), strict=True):
                row["data"] = vector.astype("<f2").tobytes()
        except AraCLIPError as error:  # for example because this machine does not have the model
            rows = [row | {"data": None, "reason": str(error), "retry": True} for row in rows]
        return _table(rows)


def write(rows: Any, place: str, header: ShardHeader, begun: str) -> Any:
    """Write a shard of rows, and the list of its refused pictures; return a table of one row that counts them."""
    import pyarrow as pa

    # The name depends on the rows alone: a task that Ray repeats replaces its file.
    name = f"{begun}-{hashlib.sha256(chr(0).join(rows['path'].to_pylist()).encode()).hexdigest()[:16]}"
    refused = rows.filter(rows["reason"].is_valid()).select(["path", "size", "mtime_ns", "reason", "retry"]).to_pylist()
    if refused:
        lines = "".join(json.dumps(each) + "\n" for each in refused)
        ShardFolder(place).write(f"{name}.refused.jsonl", lines.encode())
    if len(pictures := rows.filter(rows["data"].is_valid())):
        write_shard(ShardFolder(place), f"{name}.parquet", pictures, header)
    retry = [f"{each['path']} ({each['reason']})" for each in refused if each["retry"]]
    return pa.table({"pictures": [len(pictures)], "refused": [len(refused) - len(retry)], "retry": [retry]})


def name_to_load(model: ModelLike | None, encoder: Encoder) -> str:
    """Return the name or path by which another process loads the same model; raise InputError if it has none."""
    if origin := getattr(encoder, "origin", ""):
        return str(origin)
    if model is None or isinstance(model, str | os.PathLike):
        return os.fspath(model or DEFAULT_MODEL)
    raise InputError("several processes cannot share an encoder object. Name the model.")

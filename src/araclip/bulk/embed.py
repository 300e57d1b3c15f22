"""`embed`: a Ray Data pipeline, on this machine or on a cluster, that turns a source into shards of vectors.

list the source ─► leave out what stands in shards ─► read and decode ─► encode (a pool of actors) ─► write shards
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from araclip.bulk import shard_file, sources
from araclip.bulk.shard_file import OTHER_BYTES, columns_of, read_file, read_shard, schema_of, write_options
from araclip.core.bounded_parquet import MISSING, store_of
from araclip.core.display import counted
from araclip.core.processes import usable_cores
from araclip.errors import BulkError, InputError, SourceError
from araclip.gallery.catalog.records import File, RecordedModel
from araclip.gallery.ingest.intake import ENCODE_BATCH, vectors_in_batches
from araclip.gallery.locations import URL
from araclip.models.devices import requested_device
from araclip.models.encoder import Encoder, as_encoder
from araclip.models.folder import DEFAULT_MODEL
from araclip.pictures.image_transform import ImageTransform, transform_of

try:
    import ray.data
except ImportError:
    raise InputError(MISSING) from None

SHARD_ROWS = 4096  # pictures of a shard: a killed run loses so many, about a minute of two cores
BLOCK = 64  # pictures of a task that reads; a tar or parquet file has a task of its own
MAX_TASKS = 20_000  # limit: tasks that read pictures; with more pictures, each task reads more of them


@dataclass(frozen=True)
class EmbedReport:
    """The result of `embed`: what stands in OUT now, how much of it is new, and notes on what cannot be read."""

    out: str
    model: str
    pictures: int
    refused: int
    new: int
    notes: tuple[str, ...] = ()


def embed(
    source: str | os.PathLike[str], out: str | os.PathLike[str], *, model: str | os.PathLike[str] = DEFAULT_MODEL,
    jobs: int | None = None, device: str | None = None,
) -> EmbedReport:  # fmt: skip
    """Embed the pictures of a source into shards: on the Ray cluster that $RAY_ADDRESS names, or on this machine.

    Pictures that stand in a shard are not embedded again, so a run that was killed goes on. A picture that cannot be
    used has a row without a vector that tells the reason.

    Args:
        source: a folder, a picture, a tar or a parquet file of pictures; a path, or a URL of an object store.
        out: a folder or a URL; created if it does not exist.
        model: a name or a path, as `AraCLIP.load` takes.
        jobs: the number of encoders; by default one for each core, or for each GPU with `device` "cuda".
        device: the device that encodes, such as "cpu" or "cuda"; by default $ARACLIP_DEVICE or the CPU.

    Raises:
        InputError: the source holds nothing. ShardMismatch: the folder holds shards of another model.
        SourceError: the source, or some of its pictures, cannot be read now; all others are embedded.
        BulkError: Ray has given up. ModelError: the model cannot be found or used.
    """
    place, encoder = shard_file.absolute_place(out), as_encoder(model, device=requested_device(device))
    if not place.isprintable():  # Ray would leave out some of its characters, and write elsewhere
        raise InputError(f"{place!r:.200} has characters that cannot be printed. Name another folder for the shards.")
    files, notes = sources.list_source(shard_file.absolute_place(source), place)
    _remove_torn(place)
    done, pictures, refused, _ = _what_stands(before := shard_file.list_shards(place), encoder)
    new, more, failed = 0, 0, list[str]()
    if todo := [file for file in files if sources.is_container(file.path) or not _is_in(done, file)]:
        name = getattr(encoder, "origin", "") or os.fspath(model)  # by which the actors load it
        _run(todo, done, encoder, name, place, jobs, requested_device(device))
        written = [shard for shard in shard_file.list_shards(place) if shard not in before]
        _, new, more, failed = _what_stands(written, encoder)
    if failed:
        raise SourceError(
            f"{counted(len(failed), 'file')} could not be read now, such as {failed[0]}. Run the same command again: "
            f"the {pictures + new:,} pictures in {place} are kept."
        )
    return EmbedReport(place, encoder.label, pictures + new, refused + more, new, tuple(notes))


def _remove_torn(place: str) -> None:
    """Remove shards that a killed run has begun to write on a disk; in a store a file is whole or is not there."""
    for path in Path(place).glob("[0-9]*T[0-9]*_*_[0-9]*-*.parquet") if not URL.match(place) else ():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4))
            if file.tell() < 8 or file.read() != b"PAR1":
                path.unlink()


def _what_stands(shards: list[str], model: Encoder) -> tuple[NDArray[np.bytes_], int, int, list[str]]:
    """Return the sorted keys of the files that are done, how many are embedded and refused, and what failed and why."""
    columns, keys, failed, refused = ("path", "size", "mtime_ns", "reason", "retry"), list[str](), list[str](), 0
    batches = (batch for shard in shards for batch in read_shard(shard, model, columns, SHARD_ROWS))
    for row in (row for batch in batches for row in batch.to_pylist()):
        if row["retry"]:
            failed.append(f"{row['path']} ({row['reason']})")
        else:
            keys.append(shard_file.key_of(read_file(row)))
            refused += row["reason"] is not None
    return np.unique(np.array(keys, "S20")), len(keys) - refused, refused, failed


def _is_in(done: NDArray[np.bytes_], file: File) -> bool:
    at = np.searchsorted(done, key := np.bytes_(shard_file.key_of(file)))
    return bool(at < len(done) and done[at] == key)


def _run(
    todo: list[File], done: NDArray[np.bytes_], encoder: Encoder, name: str, place: str, jobs: int | None, device: str
) -> None:
    """Run the pipeline: read and decode, encode, write."""
    if not ray.is_initialized():
        # no reports of usage to Ray's makers, and no lines of its C++
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"} | os.environ
        own = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": usable_cores(), "include_dashboard": False}
        ray.init(**own, log_to_driver=False, logging_level="error")
    context, (system, path) = ray.data.DataContext.get_current(), store_of(place)
    context.enable_progress_bars = sys.stderr.isatty()
    context.target_max_block_size = SHARD_ROWS * (2 * encoder.width + OTHER_BYTES)  # so that a tar fills several shards
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    gpus, cores = int(device.startswith("cuda")), int(ray.cluster_resources().get("CPU", 1))
    jobs = jobs or (int(ray.cluster_resources().get("GPU", 1)) if gpus else cores)
    single = [file for file in todo if not sources.is_container(file.path)]
    size = max(1, min(BLOCK, len(single) // jobs), len(single) // MAX_TASKS)
    tasks = [[file] for file in todo if sources.is_container(file.path)]
    tasks += [single[at : at + size] for at in range(0, len(single), size)]
    whole, model = {"batch_size": None, "batch_format": "pyarrow"}, RecordedModel.of(encoder)
    pool = {"compute": ray.data.ActorPoolStrategy(min_size=1, max_size=jobs), "num_gpus": gpus}
    of_actors = name, model, max(1, cores // jobs), device
    # later runs' shards come last; a task that Ray repeats replaces its file
    names = ray.data.datasource.FilenameProvider(time.strftime("%Y%m%dT%H%M%S", time.gmtime()), "parquet")
    # On a CPU, Ray joins reading to encoding: a picture is decoded where it is encoded. Half a core each, so that the
    # encoders of a machine that dies find room on the others.
    rows = (
        ray.data.from_arrow([pa.Table.from_pylist([*map(columns_of, files)]) for files in tasks])
        .map_batches(decode, num_cpus=0.5, fn_args=(done, transform_of(encoder)), **whole)
        .map_batches(Embedder, num_cpus=0.5, fn_constructor_args=of_actors, **pool, **whole)
    )
    try:
        rows.write_parquet(
            path, filesystem=system, filename_provider=names, min_rows_per_file=SHARD_ROWS,
            ray_remote_args={"num_cpus": 0}, **write_options(model),
        )  # fmt: skip
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[-1]
        raise BulkError(f"Ray has given up ({why:.300}). Shards are kept: run the same command again.") from None


def decode(files: pa.Table, done: NDArray[np.bytes_], transform: ImageTransform) -> Iterator[pa.Table]:
    """Read and decode the pictures of files; yield tables of a shard's rows, with `pixels` in place of `vector`."""
    table_of, is_done = partial(pa.Table.from_pylist, schema=schema_of(None)), partial(_is_in, done)
    found = (row for file in files.to_pylist() for row in sources.read_pictures(read_file(file), is_done, transform))
    while rows := list(islice(found, ENCODE_BATCH)):
        yield table_of(rows)


class Embedder:
    """An actor of Ray that turns the pixels of rows into vectors; it loads the model once."""

    def __init__(self, name: str, model: RecordedModel, threads: int, device: str) -> None:
        self._encoder = as_encoder(name, threads=threads, device=device)
        shard_file.refuse_another(model, self._encoder, "the run of which this machine is a part")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode a table of rows."""
        found, shape = table["pixels"].is_valid().to_numpy(), (-1, *[self._encoder.image_size] * 2, 3)
        pixels = np.frombuffer(b"".join(filter(None, table["pixels"].to_pylist())), np.uint8).reshape(shape)
        vectors = np.zeros((len(table), self._encoder.width), np.float16)
        if len(pixels):
            vectors[found] = vectors_in_batches(self._encoder, list(pixels))
        vector = schema_of(self._encoder.width).field("vector")
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), type=vector.type, mask=pa.array(~found))
        return table.set_column(table.schema.get_field_index("pixels"), vector, column)

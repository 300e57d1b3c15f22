"""Embed one shard: decode its pictures in threads, encode them in batches, write a file that is complete or absent.

Pictures are read, decoded and hashed as by `araclip index`, within the same limits of size.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from araclip.bulk.places import ShardFolder
from araclip.bulk.plan import ShardTask
from araclip.bulk.shard_file import ShardRow, ShardWriter, can_be_stored, read_header
from araclip.bulk.sources import WaitingPicture, pictures_of
from araclip.core import atomic
from araclip.errors import AraCLIPError, ImageError, InputError, ShardMismatch, SourceError, UnreadableImage
from araclip.gallery.ingest.intake import ENCODE_BATCH, LoadedPicture, read_source
from araclip.models.encoder_base import Encoder, pixel_vectors
from araclip.pictures.captions import join_captions
from araclip.pictures.image_transform import transform_of
from araclip.pictures.images import map_ahead, squares_ahead

Progress = Callable[[int], None]  # called after each batch with the number of pictures done so far


@dataclass(frozen=True)
class ShardReport:
    """The result of a shard: how many pictures were embedded, how many could not be used, and the time it took.

    `skipped` is true if an earlier run had finished the shard.
    """

    shard: int
    pictures: int
    refused: int
    seconds: float
    skipped: bool = False


# the outcome of a shard: its report, or its number and the reason why it failed
Outcome = ShardReport | tuple[int, str]


def report_if_finished(task: ShardTask, out: ShardFolder) -> ShardReport | None:
    """Return the report of a shard that was finished before; None if its file is missing, damaged or unreadable now."""
    try:
        found = read_header(out.path_of(task.plan.file_name(task.shard)))
    except (InputError, SourceError, OSError):
        return None
    return ShardReport(task.shard, found.rows, found.refused, 0.0, skipped=True)


def embed_shard(
    task: ShardTask, model: Encoder, out: ShardFolder, progress: Progress = lambda done: None
) -> ShardReport:
    """Embed one shard, unless it is finished, and return the report on the shard.

    If two processes embed the same shard at once, both write the same rows, and one of the two files remains.

    Raises:
        ShardMismatch: `model` is not the model that the plan of the task names.
        SourceError: something cannot be read now; nothing of the shard is written.
        InvalidVectors: the model is damaged: its vectors are not finite, not unit vectors, or not one for each picture.
        OSError: the folder cannot be written.
    """
    if model.fingerprint != task.plan.model.fingerprint:
        raise ShardMismatch(
            f"this process has the model {model.label}, and the plan says {task.plan.model.label}. Install the same "
            "model on every machine, and name it with --model."
        )
    if done := report_if_finished(task, out):
        return done
    begin = time.monotonic()
    refused: list[tuple[str, str]] = []
    rows, name = 0, task.plan.file_name(task.shard)

    def write_refused(path: Path) -> None:
        lines = (json.dumps({"path": path, "reason": reason}) + "\n" for path, reason in refused)
        text = "".join(lines).encode()
        atomic.step("write the list")
        path.write_bytes(text)

    def fill(path: Path) -> None:
        nonlocal rows
        writer = ShardWriter(path, task.plan, task.shard)
        try:
            for group in _encode_rows(task, model, refused):
                writer.write(group)
                progress(writer.rows)
            writer.close(len(refused))
        except BaseException:
            writer.abandon()
            raise
        rows = writer.rows
        # The list of refused pictures is written first, because a shard file on the disk means that the shard is
        # finished.
        listed = name.removesuffix(".parquet") + ".refused.jsonl"
        if refused:
            out.write(listed, write_refused)
        else:
            out.remove(listed)  # delete a list of refused pictures that a killed run may have left

    out.write(name, fill)
    return ShardReport(task.shard, rows, len(refused), time.monotonic() - begin)


def try_embed_shard(task: ShardTask, model: Encoder, out: ShardFolder) -> Outcome:
    """Embed one shard; return its report, or its number and why it was not finished."""
    try:
        return embed_shard(task, model, out)
    except (AraCLIPError, OSError) as error:
        return task.shard, str(error)


def _encode_rows(task: ShardTask, model: Encoder, refused: list[tuple[str, str]]) -> Iterator[list[ShardRow]]:
    """Yield the rows of a shard, one batch of the encoder at a time; add pictures that cannot be used to `refused`.

    Raises:
        SourceError: the disk fails or a permission is missing; the pictures themselves may be sound.
    """
    transform = transform_of(model)

    def refuse(path: str, why: str) -> None:
        refused.append((path, why))

    def load(waiting: WaitingPicture) -> LoadedPicture | OSError | ImageError:
        try:
            if not can_be_stored(waiting.file.path):
                return UnreadableImage("its path is too long, or that of a scene in a video: a gallery cannot hold it")
            return read_source(waiting.fetch(), set(), transform)
        except (OSError, ImageError) as error:
            return error.with_traceback(None)  # drops the traceback: its frames would keep the file's bytes in memory
        finally:
            waiting.release()

    pictures = pictures_of(task.parts, refuse)
    batch: list[tuple[WaitingPicture, LoadedPicture]] = []
    with closing(map_ahead(load, pictures, model.threads, squares_ahead(transform.size))) as ahead:
        for waiting, loaded in ahead:
            if isinstance(loaded, LoadedPicture):
                batch.append((waiting, loaded))
            elif isinstance(loaded, OSError) and not isinstance(loaded, FileNotFoundError):
                raise SourceError(
                    f"{waiting.file.path} cannot be read ({loaded.strerror or loaded}). Check its rights and the disk, "
                    "then run the same command again: finished shards are kept."
                )
            else:
                refuse(waiting.file.path, str(getattr(loaded, "strerror", None) or loaded))
            if len(batch) == ENCODE_BATCH:
                yield _make_rows(batch, model)
                batch = []
    if batch:
        yield _make_rows(batch, model)


def _make_rows(batch: list[tuple[WaitingPicture, LoadedPicture]], model: Encoder) -> list[ShardRow]:
    decoded = [loaded.decoded for _, loaded in batch if loaded.decoded]
    vectors = pixel_vectors(model, np.stack([each.pixels for each in decoded]))  # one row for each picture
    rows = []
    for (waiting, loaded), each, vector in zip(batch, decoded, vectors, strict=True):
        facts = each.facts
        if waiting.caption:
            facts = replace(facts, caption=join_captions([*facts.caption.splitlines(), *waiting.caption.splitlines()]))
        rows.append(ShardRow(loaded.file, loaded.digest, vector, facts, each.phash, has_file=waiting.has_file))
    return rows

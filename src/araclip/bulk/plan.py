"""Plan a bulk run: choose the number and the names of the shards, and check the shards that the folder already has."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from araclip.bulk.sources import SHARD_NAME, BulkSource, Part, cut_into_shards, default_shards
from araclip.errors import InputError, ShardMismatch
from araclip.gallery.catalog.records import RecordedModel
from araclip.models.encoder_base import Encoder

MAX_SHARDS = 99_999


@dataclass(frozen=True)
class Plan:
    """The properties that all shards of a run share; two runs with equal plans write the same files.

    Attributes:
        source: the name of the source, for people.
        fingerprint: hex digits that change when files of the source come, go, or change their size or version
            (`sources.fingerprint_of`).
        model: the model that encodes.
        shards: the number of shards.
    """

    source: str
    fingerprint: str
    model: RecordedModel
    shards: int

    def file_name(self, shard: int) -> str:
        """Return the name of a shard's file."""
        return f"{self.fingerprint}-{self.model.fingerprint}-{shard:05}-of-{self.shards:05}.parquet"


@dataclass(frozen=True)
class ShardTask:
    """The task to embed one shard; it can be sent to another process."""

    plan: Plan
    shard: int
    parts: tuple[Part, ...]


def make_plan(source: BulkSource, model: Encoder, existing: Iterable[str], folder: str, shards: int | None) -> Plan:
    """Decide into how many shards a source is cut, and return the plan that all of these shards share.

    Args:
        existing: the names of the files that are already in the shards' folder.
        folder: the path or URL of the shards' folder, for messages.
        shards: the number of shards; None for as many as the folder has already, or as the source's size suggests.

    Raises:
        ShardMismatch: the folder holds shards of another source or model, or of a run with another number of shards.
        InputError: there would be more than MAX_SHARDS shards.
    """
    found = {(match[1], match[2], int(match[4])) for name in existing if (match := SHARD_NAME.fullmatch(name))}
    for source_print, model_print, number in sorted(found):
        if model_print != model.fingerprint:
            raise ShardMismatch(
                f"{folder} holds shards of model {model_print}, and this run has {model.label}. Their vectors cannot "
                "be compared: name another folder, or that model with --model."
            )
        if source_print != source.fingerprint:
            raise ShardMismatch(
                f"{folder} holds shards of source {source_print}, and {source.name} is now {source.fingerprint}: "
                "another source, or files came, went or changed since. Name another folder, or restore the source."
            )
        if shards not in (None, number):
            raise ShardMismatch(
                f"{folder} holds shards of {number:,}, and {shards:,} are asked for. Ask for {number:,}, or name "
                "another folder."
            )
    wanted = shards or next((number for *_, number in found), None) or default_shards(source.parts)
    if not 1 <= wanted <= MAX_SHARDS:
        raise InputError(f"{wanted:,} shards are asked for; 1 to {MAX_SHARDS:,} can be had.")
    return Plan(source.name, source.fingerprint, RecordedModel.of(model), wanted)


def make_tasks(plan: Plan, source: BulkSource, shards: Iterable[int]) -> list[ShardTask]:
    """Return a task for each of the shard numbers `shards`; a process embeds the shard from its task alone."""
    parts = cut_into_shards(source.parts, plan.shards)
    return [ShardTask(plan, shard, tuple(parts[shard])) for shard in shards]


def parse_shard(text: str) -> tuple[int, int]:
    """Parse "i/n" with 0 ≤ i < n; return i and n. Raise InputError for other texts."""
    match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
    if not match or not int(match[1]) < int(match[2]):
        raise InputError(
            f"--shard {text!r:.40} is no share; write i/n with i from 0 to n-1, such as 0/16 … 15/16 (in a Slurm array "
            '"$SLURM_ARRAY_TASK_ID/16").'
        )
    return int(match[1]), int(match[2])

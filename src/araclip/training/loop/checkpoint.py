"""Write and read checkpoints: a file is written atomically, a damaged file is recognised, the last two are kept.

A checkpoint `step-000123.pt` is the zip that torch.save writes, plus a zip comment that holds the SHA-256 of all bytes
before the comment. torch.load reads it like any other file.
"""

import errno
import hashlib
import io
import re
import shutil
import struct
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from araclip.core import atomic
from araclip.core.display import Log
from araclip.errors import RunMismatch, TrainingError, first_line

FORMAT = 2  # increase it when older releases cannot resume from a checkpoint, and say in docs/upgrading.md what to do
_FORMAT = "checkpoint_format"  # the key under which a checkpoint holds FORMAT
STORED = 2  # checkpoints kept: the newest, and the one before in case a disk error damages the newest
_NAME = re.compile(r"step-(\d{6,})\.pt")
_MARK = b"sha256:"
_SEAL = len(_MARK) + 64  # bytes of the zip comment: the mark and the hex digits of a SHA-256
_FULL = {errno.ENOSPC, errno.EDQUOT}
_PLAIN = (int, float, bool, str, bytes, type(None))  # types that torch.load(weights_only=True) reads besides tensors


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of `step`, the number of steps done; of the older checkpoints, keep only the newest.

    Checkpoints of later steps and temporary files of killed runs are deleted, too, since a run that resumed from an
    earlier step writes them anew. Only one process may save at a time. `state` holds tensors, numbers, strings, bytes,
    None, and dicts, lists and tuples of these; anything else, and a full disk, is a TrainingError.
    """
    for key, leaf in _leaves(state):
        if not isinstance(leaf, Tensor) and type(leaf) not in _PLAIN:
            raise TrainingError(
                f"the state of step {step} holds a {type(leaf).__name__} at {key}, which a checkpoint cannot give "
                "back safely. Store numbers as int or float, arrays as tensors."
            )
    path = folder / f"step-{step:06}.pt"
    try:
        atomic.write(path, lambda temporary: _write_state(temporary, state))
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        tensors = [leaf for _, leaf in _leaves(state) if isinstance(leaf, Tensor)]
        # 512: for each tensor, the archive adds some 300 bytes, and further bytes that align the tensor
        needed = sum(tensor.nbytes + 512 for tensor in tensors)
        free = shutil.disk_usage(folder).free
        system = error if isinstance(error, OSError) else error.__context__
        if getattr(system, "errno", None) in _FULL or free < needed:
            raise TrainingError(
                f"the disk of {folder} is full: the checkpoint of step {step} needs about {needed:,} bytes, "
                f"{free:,} are free. Earlier checkpoints are whole. Make room, then start it again without --fresh: "
                "it resumes from the last one."
            ) from error
        if isinstance(system, OSError) and system is not error:
            raise system from error  # another error of the system, such as a limit of file sizes
        raise
    _remove_older(folder, step)
    return path


def newest(folder: Path, log: Log) -> tuple[int, dict[str, Any]] | None:
    """Return step and state of the newest undamaged checkpoint, tensors on the CPU; None if there is none.

    A damaged checkpoint is skipped; `log` gets a line that names it and says what is used instead.

    Raises:
        RunMismatch: an undamaged file is no checkpoint, such as a pickle that would run code (no code was run), or a
            newer release wrote it.
    """
    damaged: list[str] = []
    for step, path in reversed(_checkpoints(folder)):
        if not _is_whole(path):
            damaged.append(path.name)
            continue
        for name in damaged:
            log(f"{folder / name} is damaged, as by a crash or a disk error; resuming from {path.name}.")
        return step, _read_state(path)
    for name in damaged:
        log(f"{folder / name} is damaged and no whole checkpoint is left; starting from the beginning.")
    return None


def _read_state(path: Path) -> dict[str, Any]:
    with warnings.catch_warnings(action="ignore"):  # torch warns if the file is a pickle that torch.save did not write
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a foreign archive makes torch raise nearly anything
            state = first_line(error)
    if not isinstance(state, dict):
        raise RunMismatch(
            f"{path} is no checkpoint of a run ({state!r:.150}); nothing of it was run. Delete it to resume from the "
            "one before, or begin anew with --fresh."
        )
    number = state.pop(_FORMAT, 1)
    if not isinstance(number, int) or number > FORMAT:
        raise RunMismatch(
            f"{path} has format {number!r:.20}, this release reads up to {FORMAT}. Resume with the release that wrote "
            "it, or begin anew with --fresh."
        )
    return state


def latest(folder: Path) -> Path | None:
    """Return the path of the newest checkpoint, by its name and without reading it; None if there is none."""
    found = _checkpoints(folder)
    return found[-1][1] if found else None


def remove_all(folder: Path) -> None:
    """Delete every checkpoint in the folder, and every temporary file that writing a checkpoint left."""
    for _, path in _checkpoints(folder):
        path.unlink()
    _remove_older(folder, 0)


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step-*.pt"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_file())  # skips folders and pipes


def _remove_older(folder: Path, step: int) -> None:
    found = _checkpoints(folder)
    stored = {path for at, path in [row for row in found if row[0] <= step][-STORED:]}
    for _, path in found:
        if path not in stored:
            path.unlink(missing_ok=True)
    for path in folder.glob(".step-*.pt.*.tmp"):
        path.unlink(missing_ok=True)


def _leaves(value: Any, name: str = "state") -> Iterator[tuple[str, Any]]:
    if type(value) in {dict, OrderedDict}:
        for key, item in value.items():
            yield f"a key of {name}", key
            yield from _leaves(item, f"{name}[{key!r}]")
    elif type(value) in {list, tuple}:
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}[{i}]")
    else:
        yield name, value


def _write_state(temporary: Path, state: dict[str, Any]) -> None:
    # torch gets an open file: given a path, it would keep the file open after a full disk.
    with temporary.open("wb") as file:
        torch.save({**state, _FORMAT: FORMAT}, file)
    with temporary.open("rb+") as file:
        # Make the file's digest the zip's comment: overwrite the comment's length, which is 0, and append the comment.
        file.seek(-2, io.SEEK_END)
        file.write(struct.pack("<H", _SEAL))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, io.SEEK_END)
        file.write(_MARK + digest.encode())


def _is_whole(path: Path) -> bool:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = file.seek(0, io.SEEK_END) - _SEAL  # number of bytes before the zip comment
        if left <= 0:
            return False
        file.seek(0)
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
        return file.read() == _MARK + digest.hexdigest().encode()

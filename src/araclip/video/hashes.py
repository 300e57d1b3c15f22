"""Hashes of whole videos, each computed once for a state of its file: it has gigabytes, and each scene asks for it."""

import hashlib
import os
import threading
from collections import OrderedDict
from typing import Any, BinaryIO, cast

from araclip.errors import UnreadableImage

MOST = 4096  # videos whose hashes are remembered

_State = tuple[int, int, int, int, int]
_known: OrderedDict[_State, bytes] = OrderedDict()
_lock = threading.Lock()


def file_hash(file: BinaryIO, name: str) -> bytes:
    """The SHA-256 of a file that is open, from its beginning.

    A file of the same device, number, size and times of change is taken to be unchanged: who may not set the clock
    cannot forge the time at which the system saw it change.

    Raises:
        UnreadableImage: it changed while it was read.
        OSError: it cannot be read.
    """
    state = _state(file)
    with _lock:
        if state in _known:
            _known.move_to_end(state)
            return _known[state]
    file.seek(0)
    found = hashlib.file_digest(cast(Any, file), "sha256").digest()
    if _state(file) != state:
        raise UnreadableImage(f"{name}: it changed while it was read. Index it again when it is complete.")
    with _lock:
        _known[state] = found
        while len(_known) > MOST:
            _known.popitem(last=False)
    return found


def forget() -> None:
    """Compute every hash again: a disk may have lost bytes without anybody writing to it."""
    with _lock:
        _known.clear()


def _state(file: BinaryIO) -> _State:
    about = os.fstat(file.fileno())
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns

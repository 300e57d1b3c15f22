"""What processes that decode untrusted files have in common: their environment, and messages on a pipe.

A message is four bytes of length, a JSON object of that length, and the blobs whose sizes the object lists. Nothing is
pickled: the output of a process that may be compromised must not be able to run code in the one that reads it.
"""

import json
import os
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

MAX_HEAD = 100_000  # bytes of the JSON object
PASSED_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TMPDIR")

Reply = tuple[dict[str, Any], list[bytes]]


def environment() -> dict[str, str]:
    """The environment of such a process: no tokens, and one thread, since a thread's arena counts as memory."""
    passed = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    return passed | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def send(stream: BinaryIO, about: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one message."""
    head = json.dumps({**about, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(struct.pack(">I", len(head)) + head)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: BinaryIO, most: int | None = None) -> Reply | None:
    """Read one message; None at the end of the input.

    Args:
        most: bytes of all blobs; None for messages of a process that is trusted.

    Raises:
        ValueError: it is cut short or not of this form, or has larger blobs.
    """
    length = stream.read(4)
    if len(length) < 4:
        return None
    (size,) = struct.unpack(">I", length)
    if most is not None and size > MAX_HEAD:
        raise ValueError(f"a head of {size} bytes")
    about = json.loads(stream.read(size))
    if not isinstance(about, dict) or not isinstance(about.get("blobs"), list):
        raise ValueError("no list of blobs")
    sizes = [int(each) for each in about["blobs"]]
    if most is not None and not (min(sizes, default=0) >= 0 and sum(sizes) <= most):
        raise ValueError(f"blobs of {sizes} bytes")
    blobs = [stream.read(each) for each in sizes]
    if [len(blob) for blob in blobs] != sizes:
        raise ValueError("it is cut short")
    return about, blobs

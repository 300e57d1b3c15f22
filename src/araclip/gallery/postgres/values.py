"""Values as PostgreSQL takes them. Pure, but for the clock."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray


def now() -> str:
    """The time as `contents.added` has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def signed(phash: int) -> int:
    """64 bits as PostgreSQL's integers have them."""
    return phash - (1 << 64) if phash >> 63 else phash


def sent(vector: NDArray[np.floating[Any]]) -> str:
    """A vector (D,) as pgvector reads it, of float16 numbers."""
    return str(vector.astype(np.float16).astype(np.float32).tolist())


def storable(text: str) -> str:
    """A text that PostgreSQL can hold: without NUL, and without bytes of names that are no text."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()

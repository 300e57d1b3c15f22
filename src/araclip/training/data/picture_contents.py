"""What picture files hold, for the names of caches."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def contents_hash(pictures: Iterable[Path]) -> str:
    """SHA-256 of the bytes of these files in their order, as hex digits; a copy of them has the same.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for picture in pictures:
        with picture.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

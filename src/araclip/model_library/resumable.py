"""Large files of the hub, downloaded into its own cache so that a download which breaks off goes on where it was.

huggingface_hub begins a file again with every run, and weights are one file of gigabytes. A file whose SHA-256 the hub
tells is therefore fetched here, continued with a range request, compared, and put where huggingface_hub looks for it.
"""

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from araclip.core import atomic
from araclip.errors import GalleryLocked, InputError, ModelNotFound

LARGE = 10_000_000  # bytes; smaller files are begun again
PIECE = 1 << 20
TIMEOUT = 60  # seconds without a byte
Progress = Callable[[str, int, int], None]  # file, bytes done, bytes in all


class BrokenOff(ConnectionError):
    """The connection ended before the file was complete; what has arrived is kept."""


def fetch(
    url: str, blob: Path, size: int, sha256: str, *, token: str | None, progress: Progress = lambda *told: None
) -> None:
    """Download a file to `blob`, which appears complete and compared with its hash, or not at all.

    What arrives lies in a hidden file beside it, and is continued by the next call.

    Raises:
        BrokenOff: the network failed; the next call continues.
        InputError: another process is downloading it.
        ModelNotFound: the server refuses the file, or it has another hash or size than the hub says.
        OSError: the disk is full or read-only.
    """
    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f".{sha256}.part")
    lock = part.with_suffix(".lock")
    try:
        with atomic.single_writer(lock):  # two processes that append to one file would spoil it
            if not blob.exists():
                _complete(url, blob, part, size, sha256, token, progress)
    except GalleryLocked as error:
        raise InputError(f"{url.rpartition('/')[2]} is being downloaded already: {error}") from None
    with contextlib.suppress(OSError):  # whoever waits for it finds the file
        lock.unlink()


def _complete(url: str, blob: Path, part: Path, size: int, sha256: str, token: str | None, progress: Progress) -> None:
    done = part.stat().st_size if part.exists() else 0
    if done > size:  # of another file
        part.unlink()
        done = 0
    if done < size:
        _append(url, part, done, size, token, progress)
    with part.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        part.unlink()
        raise ModelNotFound(f"{url} has hash {actual[:12]}…, the hub says {sha256[:12]}…. Try again: it begins anew.")
    atomic.complete(part, blob)


def _append(url: str, part: Path, done: int, size: int, token: str | None, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "araclip", "Accept-Encoding": "identity"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    if token:  # not for the server of the files, to which the hub redirects
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, part.open("ab") as file:
            if done and answer.status != http.HTTPStatus.PARTIAL_CONTENT:  # it sends the whole file
                file.truncate(0)
                done = 0
            while done < size and (piece := _read(answer, min(PIECE, size - done))):
                file.write(piece)
                done += len(piece)
                progress(url.rpartition("/")[2], done, size)
    except urllib.error.HTTPError as error:
        raise ModelNotFound(f"{url}: the hub answers {error.code} {error.reason}. Try again later.") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise BrokenOff(f"{error} after {done:,} of {size:,} bytes") from error
    if done < size:
        raise BrokenOff(f"the connection ended after {done:,} of {size:,} bytes")


def _read(answer: IO[bytes], most: int) -> bytes:
    """Some bytes of an answer; what the system says while they are read is of the network and not of a file."""
    try:
        return answer.read(most)
    except OSError as error:  # no route, no network, TLS that was cut off
        raise ConnectionError(str(error)) from error

"""Download from the Hugging Face hub: choose a repository's files, check disk space, resume, turn errors into ours.

huggingface_hub starts an interrupted file again from its beginning, and weights are one file of gigabytes. This module
therefore downloads each large file whose SHA-256 the hub tells: by a range request it continues an interrupted file,
then compares the hash, and puts the file into huggingface_hub's cache, where huggingface_hub finds it.
"""

import contextlib
import glob
import hashlib
import http.client
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from araclip.core import atomic
from araclip.core.display import Log, shown
from araclip.errors import GalleryLocked, InputError, ModelNotFound, first_line
from araclip.models import folder as model_folder

SPARE = 200_000_000  # bytes of disk that a download leaves free for other programs


def check_space(place: Path, needed: int, what: str) -> None:
    """Raise InputError if the disk of `place`, which need not exist yet, has less than `needed` + SPARE bytes free."""
    there = place.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed and free < needed + SPARE:
        raise InputError(
            f"{what} takes {needed / 1e6:,.0f} MB at {place}, where {free / 1e6:,.0f} MB are free. Free some space, or "
            "choose another disk (--out, $ARACLIP_DATA; for downloads $HF_HOME)."
        )


LARGE = 10_000_000  # bytes from which on an interrupted download is resumed; a smaller file is downloaded again
PIECE = 1 << 20  # bytes read from the network at once
TIMEOUT = 60  # a download breaks off after this many seconds without a byte
Progress = Callable[[str, int, int], None]  # called with file name, bytes done and total bytes


class BrokenOff(ConnectionError):
    """The connection ended before the file was complete. The bytes that arrived are kept."""


def fetch(
    url: str, blob: Path, size: int, sha256: str, *, token: str | None, progress: Progress = lambda *counts: None
) -> None:
    """Download a file to `blob`, which appears complete and with the right hash, or not at all.

    The bytes that arrive are kept in a hidden file beside `blob`; the next call continues that file.

    Raises:
        BrokenOff: the network failed; the next call continues.
        InputError: another process is downloading the same file.
        ModelNotFound: the server refuses the file, or the hash of the file is not the one that the hub tells.
        OSError: the disk is full or read-only.
    """
    if blob.exists():
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f".{sha256}.part")
    lock = part.with_suffix(".lock")
    try:
        with atomic.single_writer(lock):  # only one process at a time may append to a file
            if not blob.exists():
                _finish_download(url, blob, part, size, sha256, token, progress)
    except GalleryLocked as error:
        raise InputError(f"{url.rpartition('/')[2]} is being downloaded already: {error}") from None
    with contextlib.suppress(OSError):  # the lock may be removed: a process that waits for it finds the finished file
        lock.unlink()


def _finish_download(
    url: str, blob: Path, part: Path, size: int, sha256: str, token: str | None, progress: Progress
) -> None:
    """Download what `part` lacks, compare its hash, and rename it to `blob`; if the hash is wrong, delete it."""
    done = part.stat().st_size if part.exists() else 0
    if done > size:  # more bytes than the file has: they are of another file, so drop them
        part.unlink()
        done = 0
    if done < size:
        _download_rest(url, part, done, size, token, progress)
    with part.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        part.unlink()
        raise ModelNotFound(f"{url} has hash {actual[:12]}…, the hub says {sha256[:12]}…. Try again: it begins anew.")
    atomic.replace_with_finished(part, blob)


def _download_rest(url: str, part: Path, done: int, size: int, token: str | None, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "araclip", "Accept-Encoding": "identity"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    if token:  # the hub redirects to a file server, which must not get the token
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, part.open("ab") as file:
            # A server that ignores the requested range sends the whole file, so the part that is here already is
            # emptied.
            if done and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                file.truncate(0)
                done = 0
            while done < size and (piece := _read_piece(answer, min(PIECE, size - done))):
                file.write(piece)
                done += len(piece)
                progress(url.rpartition("/")[2], done, size)
    except urllib.error.HTTPError as error:
        raise ModelNotFound(f"{url}: the hub answers {error.code} {error.reason}. Try again later.") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise BrokenOff(f"{error} after {done:,} of {size:,} bytes") from error
    if done < size:
        raise BrokenOff(f"the connection ended after {done:,} of {size:,} bytes")


def _read_piece(answer: IO[bytes], most: int) -> bytes:
    """Read at most `most` bytes of an answer; raise ConnectionError for an OSError, since the network failed."""
    try:
        return answer.read(most)
    except OSError as error:  # no route, no network, or a broken TLS connection, for example
        raise ConnectionError(str(error)) from error


MODEL_FOLDER_FILES = (*model_folder.PARTS, *model_folder.DATA_FILES)
_SETTINGS = (".json", ".txt", ".model", ".jinja", ".spm")  # endings of the files of settings and tokenizers
_SKIPPED = {"onnx", "openvino", "flax", "tf", "coreml", "gguf", "runs", ".cache"}  # folders that are not downloaded
HUB_TIMEOUT = 30  # limit: seconds to wait for the hub's answer about a repository
Files = Mapping[str, int]  # the size in bytes of each file in a repository, by name


def is_model_folder(files: Files | set[str]) -> bool:
    """True if these files of a repository are an AraCLIP model folder: config.json and at least one graph."""
    return "config.json" in files and ("text.onnx" in files or "image.onnx" in files)


def files_to_load(files: Files) -> list[str]:
    """Return the names of the files that loading a repository's model needs.

    For a finished model folder, these are all its parts. For another model, they are the settings, the tokenizer and
    the weights in one form, safetensors if possible. Weights in ONNX, TensorFlow or Flax are left out.
    """
    if is_model_folder(files):
        return [name for name in MODEL_FOLDER_FILES if name in files]
    chosen = [name for name in files if name.endswith(_SETTINGS) and not _SKIPPED & set(PurePosixPath(name).parts)]
    for place in sorted({str(PurePosixPath(name).parent) for name in files}):
        if not _SKIPPED & set(PurePosixPath(place).parts):
            chosen += _choose_weights([name for name in files if str(PurePosixPath(name).parent) == place])
    return chosen


def _choose_weights(names: list[str]) -> list[str]:
    """Return the files of one folder that hold weights: all safetensors, or, if there are none, all .bin and .pt files.

    If some of these files are named open_clip…, only they are returned. Files .pickle and .pkl are always added: they
    hold the head, a linear layer, of an older text encoder.
    """
    tensors = [name for name in names if name.endswith(".safetensors")]
    pickles = [name for name in names if name.endswith((".bin", ".pt")) and "training_args" not in name]
    # Older text encoders have their head in a pickle, which `peers.weight_files` reads without running its code.
    heads = [name for name in names if name.endswith((".pickle", ".pkl"))]
    found = tensors or pickles
    return ([name for name in found if PurePosixPath(name).name.startswith("open_clip")] or found) + heads


@dataclass(frozen=True)
class Snapshot:
    """A repository's files on this machine, and the licence that its page names (None: no licence known)."""

    folder: Path
    license: str | None = None


def download(
    repository: str, revision: str | None, *, check_files: Callable[[Files], None] = lambda files: None,
    log: Log = lambda line: None, progress: Progress = lambda *counts: None,
) -> Snapshot:  # fmt: skip
    """Download the files in a repository that its model needs and that are not yet in the local cache.

    The next call continues an interrupted download. If the hub cannot be reached, the local cache is used as it is.

    Args:
        check_files: called with all files of the repository before anything is downloaded; raises an error to refuse.
        progress: called with file name, bytes done and total bytes while large files are downloaded.

    Raises:
        ModelNotFound: the hub cannot be reached and the cache lacks the repository; the hub reports another error; or
            the repository holds no weights that are read here.
        InputError: the disk has too little space, or another process is downloading a file of the repository.
    """
    from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    with hub_errors(repository):
        try:
            found = HfApi(endpoint=_endpoint()).model_info(
                repository, revision=revision, files_metadata=True, timeout=HUB_TIMEOUT
            )
        except Exception as error:
            if not _is_unreachable(error):
                raise
            return Snapshot(_find_in_cache(repository, revision, error, log))
        files = {entry.rfilename: int(entry.size or 0) for entry in found.siblings or []}
        check_files(files)
        names = files_to_load(files)
        if not names:
            raise ModelNotFound(f"the repository {repository} holds no weights of a form that is read here.")
        here = (try_to_load_from_cache(repository, name, revision=found.sha) for name in names)
        missing = sum(files[name] for name, place in zip(names, here, strict=True) if not isinstance(place, str))
        check_space(Path(constants.HF_HUB_CACHE), missing, f"downloading {repository}")
        if missing:
            log(f"{repository}: {missing / 1e6:,.0f} MB to download")
        for entry in found.siblings or []:
            if entry.rfilename in names and entry.lfs and int(entry.size or 0) >= LARGE:
                _fetch_large_file(repository, str(found.sha), entry, progress)
        patterns = [glob.escape(name) for name in names]
        shows_bars = not are_progress_bars_disabled()
        if not sys.stderr.isatty():
            disable_progress_bars()
        try:
            folder = snapshot_download(repository, revision=revision, endpoint=_endpoint(), allow_patterns=patterns)
        finally:
            if shows_bars:
                enable_progress_bars()
        card = found.card_data
        return Snapshot(Path(folder), str(card.license) if card and card.license else None)


def _fetch_large_file(repository: str, commit: str, entry: Any, progress: Progress) -> None:
    from huggingface_hub import constants, get_token, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name

    url = hf_hub_url(repository, entry.rfilename, revision=commit, endpoint=_endpoint())
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    blob = folder / "blobs" / entry.lfs.sha256
    fetch(url, blob, int(entry.size), entry.lfs.sha256, token=get_token(), progress=progress)


def _find_in_cache(repository: str, revision: str | None, why: Exception, log: Log) -> Path:
    """Return a repository's folder in the local cache; without one, raise ModelNotFound with the hub's error `why`."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"the hub cannot be reached ({_reason(why)}), and {repository} is not in the local cache. Connect to the "
            f"network, or name a folder that holds the model."
        ) from error
    log(f"the hub cannot be reached; {repository} is taken from the local cache")
    return folder


@contextmanager
def hub_errors(repository: str, *, doing: str = "the download of") -> Iterator[None]:
    """Turn errors of huggingface_hub and of the network in a `with` block into ModelNotFound; let all others pass.

    `doing`, such as "the download of", precedes the repository's name where a message says what failed.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        page = f"{_endpoint() or 'https://huggingface.co'}/{repository}"
        raise ModelNotFound(
            f"the repository {repository} is gated: its owners ask you to accept their terms. Open "
            f"{page}, accept them, then log in (`hf auth login`, or a token in $HF_TOKEN) and try again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"there is no repository {repository} on the hub, or it is private. Check the spelling; for a private one, "
            "log in (`hf auth login`, or a token in $HF_TOKEN)."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFound(f"the repository {repository} has no such revision. Leave @REVISION out.") from error
    except errors.HfHubHTTPError as error:
        refused = getattr(error.response, "status_code", None) in (401, 403)
        remedy = "Check the rights of the token ($HF_TOKEN, `hf auth login`)" if refused else "Try again later"
        raise ModelNotFound(f"the hub refused {doing} {repository} ({_reason(error)}). {remedy}.") from error
    except Exception as error:
        if _is_unreachable(error):
            raise ModelNotFound(
                f"{doing} {repository} broke off ({_reason(error)}). What has arrived is kept: run the same "
                "command again to continue."
            ) from error
        raise


def _is_unreachable(error: BaseException) -> bool:
    """True if the network failed or is switched off.

    Errors are recognised by the names of their classes, because the HTTP library differs between releases of
    huggingface_hub.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
        return True
    names: set[str] = set()
    cause: BaseException | None = error
    while cause is not None:
        names |= {kind.__name__ for kind in type(cause).__mro__}
        cause = cause.__cause__
    return bool(names & {"TransportError", "ConnectionError", "Timeout", "TimeoutException"})


def _reason(error: BaseException) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    return shown(first_line(error))[:200].rstrip(".")


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None

"""Videos decoded in separate processes with limits: the scenes of one, its pictures at known times, a still.

A process gets the open file, never a path. It is ended when it answers late, or with anything but what it should.
"""

import atexit
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import IO, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from araclip import errors
from araclip.decoding_process import Reply, environment, receive, send
from araclip.errors import ImageError, ImageTooLarge, UnreadableImage
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.picture_facts import Facts
from araclip.platforms.processes import in_forked_children
from araclip.video.formats import REMEDY, SCENES, SUFFIXES, can_read, suffix_of

SECONDS = 90.0  # of looking for scenes in one video: a longer one has scenes up to there
LATE_SECONDS = 60.0  # beyond that, after which the process is ended
STILL_SECONDS = 20.0
MEMORY = 2_000_000_000  # bytes of address space: eight frames of 8K with 10 bits, and the libraries
MOST_JOBS = 100  # of a process, which is then replaced
MOST_BYTES = 500_000_000  # of an answer
PROCESSES = 2  # that are kept for the next video

Progress = Callable[[float], None]  # called with the share of a video that is done


@dataclass(frozen=True)
class DecodedScenes:
    """Pictures of one video: times in seconds, (n, S, S, 3) uint8 squares, perceptual hashes; and the video's facts."""

    times: tuple[float, ...]
    pixels: NDArray[np.uint8]
    phashes: tuple[int, ...]
    facts: Facts


def find_scenes(
    file: IO[bytes], name: str, transform: ImageTransform, most: int = SCENES, progress: Progress | None = None
) -> DecodedScenes:
    """The scenes of a video that is open as a file, in order of their times.

    Args:
        name: its path, for messages; its suffix names the format.
        most: scenes.

    Raises:
        ImageError: it is no video that can be used, or takes more memory or time than it may.
    """
    target = {"most": most, "seconds": SECONDS, "transform": asdict(transform), "format": _format(name)}
    return _pictures(_ask(file, name, "scenes", target, SECONDS + LATE_SECONDS, progress), transform, name)


def pictures_at(file: IO[bytes], name: str, times: Sequence[float], transform: ImageTransform) -> DecodedScenes:
    """The pictures of a video at times that `find_scenes` gave; arguments and errors as there."""
    target = {"times": list(times), "transform": asdict(transform), "format": _format(name)}
    return _pictures(_ask(file, name, "pictures", target, SECONDS), transform, name)


def still(file: IO[bytes], name: str, time: float, side: int = 1024) -> bytes:
    """The picture at a time that `find_scenes` gave, as JPEG of at most `side` pixels a side; errors as there."""
    _, blobs = _ask(file, name, "still", {"time": time, "side": side}, STILL_SECONDS)
    if len(blobs) != 1:
        raise UnreadableImage(f"{name}: no answer of the process that decodes it. Try again.")
    return blobs[0]


def _format(name: str) -> str:
    return SUFFIXES.get(suffix_of(PurePath(name).name), "MP4")


def _pictures(answer: Reply, transform: ImageTransform, name: str) -> DecodedScenes:
    about, blobs = answer
    try:
        times = tuple(float(each) for each in about["times"])
        hashes = tuple(int(each, 16) for each in about["phashes"])
        pixels = np.frombuffer(b"".join(blobs), np.uint8).reshape(len(times), transform.size, transform.size, 3)
        facts = Facts(**about["facts"])
        if not (times and len(hashes) == len(times) and all(0 <= each < 1e6 for each in times)):
            raise ValueError("no scenes")
    except (KeyError, TypeError, ValueError):
        raise UnreadableImage(
            f"{name}: no picture of it can be decoded. Restore it from a copy, or remove it."
        ) from None
    return DecodedScenes(times, pixels, hashes, facts)


def _ask(
    file: IO[bytes], name: str, job: str, target: dict[str, Any], seconds: float, progress: Progress | None = None
) -> Reply:
    if not can_read():
        raise UnreadableImage(f"{name}: a video, which needs PyAV. Run: {REMEDY}")
    about = {"job": job, "target": target, "seconds": seconds}
    with _process() as process:
        try:
            answer, blobs = process.ask(file, about, seconds, progress or (lambda share: None))
        except TimeoutError:
            raise UnreadableImage(f"{name}: it took more than {seconds:.0f} s to decode. Convert it to MP4.") from None
        except (OSError, EOFError, ValueError):
            raise ImageTooLarge(
                f"{name}: it could not be decoded within the memory and time it may take. Convert it to MP4."
            ) from None
    if "error" in answer:
        kind = getattr(errors, str(answer["error"]), UnreadableImage)
        raise (kind if issubclass(kind, ImageError) else UnreadableImage)(f"{name}: {answer['message']}")
    return answer, blobs


class _Process:
    """One process of `araclip.video.worker`."""

    def __init__(self) -> None:
        self.jobs = 0
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "araclip.video.worker", str(MEMORY)],  # -P: nothing of the working folder
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
            )  # fmt: skip
        self._socket = ours
        self._stream = cast(BinaryIO, ours.makefile("rwb"))
        self._read_until(time.monotonic() + LATE_SECONDS)

    def ask(self, file: IO[bytes], about: dict[str, Any], seconds: float, progress: Progress) -> Reply:
        """Send a job with its file, and wait for the answer.

        Raises:
            TimeoutError, OSError, EOFError, ValueError: it is late, or the process has ended, or answers nonsense.
        """
        self.jobs += 1
        file.seek(0)
        socket.send_fds(self._socket, [b"v"], [file.fileno()])
        send(self._stream, about)
        until = time.monotonic() + seconds
        while "done" in (reply := self._read_until(until))[0]:
            progress(float(reply[0]["done"]))
        return reply

    def _read_until(self, moment: float) -> Reply:
        left = moment - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        reply = receive(self._stream, MOST_BYTES)
        if reply is None:
            raise EOFError
        return reply

    @property
    def alive(self) -> bool:
        return self._process.poll() is None and self.jobs < MOST_JOBS

    def stop(self) -> None:
        """Stop it at once; it holds nothing that would be lost."""
        self._process.kill()

    def end(self) -> None:
        """Stop it, and free what it took here."""
        self.stop()
        with suppress(OSError, ValueError):
            self._stream.close()
        self._socket.close()
        self._process.wait()


_idle: list[_Process] = []
_active: set[_Process] = set()
_lock = threading.Lock()


@contextmanager
def _process() -> Any:
    with _lock:
        found = _idle.pop() if _idle else None
    if found is not None and not found.alive:
        found.end()
        found = None
    process = found or _Process()
    with _lock:
        _active.add(process)
    try:
        yield process
    except BaseException:  # its stream may be out of step
        with _lock:
            _active.discard(process)
        process.end()
        raise
    with _lock:
        _active.discard(process)
        keep = process.alive and len(_idle) < PROCESSES
        if keep:
            _idle.append(process)
    if not keep:
        process.end()


def stop_all() -> None:
    """Stop what is being decoded, in whatever thread; it fails there."""
    with _lock:
        for process in _active:
            process.stop()


def close() -> None:
    """End the processes that wait for a video."""
    with _lock:
        waiting, _idle[:] = list(_idle), []
    for process in waiting:
        process.end()


atexit.register(close)
in_forked_children(_idle.clear)  # they are the parent's
in_forked_children(_active.clear)

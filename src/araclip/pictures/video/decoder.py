"""Decode videos in separate processes with limits: find a video's scenes, or decode its pictures at given times.

A process gets the open file, never a path. It is ended if it answers late, or sends an invalid answer.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from araclip import errors
from araclip.core.child_process import Child, ChildEnded, Pool, Reply
from araclip.core.display import Progress
from araclip.errors import ImageTooLarge, UnreadableImage
from araclip.pictures.facts import Facts
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.video.formats import REMEDY, SCENES, SUFFIXES, can_read, suffix_of

SECONDS = 90.0  # limit: seconds to search a video for scenes (the rest is not searched), or to decode known scenes
LATE_SECONDS = 60.0  # limit: seconds for a process to start, and to answer after the search; then it is ended
STILL_SECONDS = 20.0  # limit: seconds to decode one picture
MEMORY = 2_000_000_000  # bytes of address space: enough for eight 8K frames with 10 bits, and the libraries
MOST_JOBS = 100  # jobs after which a process is replaced, so that memory leaks of decoders do not add up
PROCESSES = 2  # limit: processes that are kept for the next video

CHILDREN = Pool(
    lambda: Child("araclip.pictures.video.worker", str(MEMORY), seconds=LATE_SECONDS, takes_files=True),
    keep=PROCESSES, most_jobs=MOST_JOBS,
)  # fmt: skip
stop_all = CHILDREN.stop  # stops all decoding: calls that wait for a process raise ImageTooLarge


@dataclass(frozen=True)
class DecodedScenes:
    """n pictures of a video: times in seconds, squares (n, side, side, 3) uint8, hashes (pHash); the video's facts."""

    times: tuple[float, ...]
    pixels: NDArray[np.uint8]
    phashes: tuple[int, ...]
    facts: Facts


def find_scenes(
    file: IO[bytes], name: str, transform: ImageTransform, most: int = SCENES, progress: Progress | None = None
) -> DecodedScenes:
    """Find and decode the scenes of a video that is open as a file, in order of their times.

    Args:
        name: the video's path, for messages; its suffix tells the format.
        most: the greatest number of scenes.
        progress: called with the finished share of the work.

    Raises:
        ImageError: the file is no video that can be used, or takes more memory or time than allowed.
    """
    target = {"most": most, "seconds": SECONDS, "transform": asdict(transform), "format": _video_format(name)}
    return _parse_scenes(_ask_worker(file, name, "scenes", target, SECONDS + LATE_SECONDS, progress), transform, name)


def pictures_at(file: IO[bytes], name: str, times: Sequence[float], transform: ImageTransform) -> DecodedScenes:
    """Decode the pictures of a video at `times`, which `find_scenes` has returned.

    The other arguments and the errors are those of `find_scenes`.
    """
    target = {"times": list(times), "transform": asdict(transform), "format": _video_format(name)}
    return _parse_scenes(_ask_worker(file, name, "pictures", target, SECONDS), transform, name)


def still(file: IO[bytes], name: str, time: float, side: int = 1024) -> bytes:
    """Return the picture at a time that `find_scenes` returned, as JPEG of at most `side` pixels a side.

    Raises the errors of `find_scenes`.
    """
    _, blobs = _ask_worker(file, name, "still", {"time": time, "side": side}, STILL_SECONDS)
    if len(blobs) != 1:
        raise UnreadableImage(f"{name}: no answer of the process that decodes it. Try again.")
    return blobs[0]


def _video_format(name: str) -> str:
    return SUFFIXES.get(suffix_of(PurePath(name).name), "MP4")


def _parse_scenes(answer: Reply, transform: ImageTransform, name: str) -> DecodedScenes:
    """Convert a worker process's answer to DecodedScenes; UnreadableImage if it is malformed or has no scene."""
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


def _ask_worker(
    file: IO[bytes], name: str, job: str, target: dict[str, Any], seconds: float, progress: Progress | None = None
) -> Reply:
    """Let a worker process do a job (one of `worker.JOBS`) for an open video; raises the errors of `find_scenes`."""
    if not can_read():
        raise UnreadableImage(f"{name}: a video, which needs PyAV. Run: {REMEDY}")
    about = {"job": job, "target": target, "seconds": seconds}

    def tell(said: dict[str, Any]) -> None:
        if progress:
            progress(float(said["done"]))

    with CHILDREN.child() as child:
        try:
            answer, blobs = child.ask(about, seconds=seconds, file=file, progress=tell)
        except TimeoutError:
            raise UnreadableImage(f"{name}: it took more than {seconds:.0f} s to decode. Convert it to MP4.") from None
        except ChildEnded:
            raise ImageTooLarge(
                f"{name}: it could not be decoded within the memory and time it may take. Convert it to MP4."
            ) from None
    if "error" in answer:
        raise errors.image_error(answer["error"])(f"{name}: {answer['message']}")
    return answer, blobs

"""The worker process that decodes videos: with little memory, no network, and no file but the one that it is handed.

For each job it gets an open file through its socket (`core.child_process`). The system lets it open no further files,
so that nothing in a video can make FFmpeg open another file.

A key frame begins a scene if it differs enough from the key frame chosen before. Frames that show one colour only
(black, white, a fade) are left out, unless there are no others. If too many frames differ enough, the required
difference is raised until no more than allowed are left.
"""

import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.core.child_process import Parent, Reply
from araclip.core.display import Progress
from araclip.core.limits import allow_processor, restrict
from araclip.errors import ImageError, ImageTooLarge, UnreadableImage
from araclip.pictures.facts import Facts
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import encode_picture, square
from araclip.pictures.phash import SIZE, phash
from araclip.pictures.video.frames import Video
from araclip.pictures.video.scenes import LATEST

SIDE = 32  # side in pixels of the scaled-down frames that are compared
DIFFERENT = 24.0  # least mean difference of two scenes over pixels and colours, of 255; see docs/log/2026-11.md
PLAIN = 6.0  # a frame whose pixels have a smaller standard deviation, in grey levels, counts as one plain colour

Small = NDArray[np.uint8]  # (SIDE, SIDE, 3)


def difference(one: Small, other: Small) -> float:
    """Compute the mean difference of two scaled-down frames, 0 to 255."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def is_plain(frame: Small) -> bool:
    """True if a frame shows one colour only."""
    return float(frame.reshape(-1, 3).std(axis=0).max()) < PLAIN


def choose_scenes(frames: Sequence[Small], most: int) -> list[int]:
    """Return the indexes of the frames that begin a scene, in order: at most `most`; none only if `frames` is empty."""
    worth = [number for number, frame in enumerate(frames) if not is_plain(frame)] or list(range(len(frames)))
    low = high = DIFFERENT
    if len(_pick_different(frames, worth, low)) > most:
        high = 256.0  # no two frames differ by so much, so that only one frame would be picked
        # halve the interval: the least required difference that picks at most `most` frames lies between low and high
        while high - low > 0.5:
            middle = (low + high) / 2
            low, high = (middle, high) if len(_pick_different(frames, worth, middle)) > most else (low, middle)
    return _pick_different(frames, worth, high)


def _pick_different(frames: Sequence[Small], among: Sequence[int], least: float) -> list[int]:
    """Pick, of the frame numbers `among`, the first, then each whose frame differs enough from the one picked before.

    The difference must be at least `least`, see `difference`.
    """
    picked: list[int] = []
    for number in among:
        if not picked or difference(frames[number], frames[picked[-1]]) >= least:
            picked.append(number)
    return picked


LOOKED_AT = 4  # how many key frames are examined for each scene that a video may have
STILL_QUALITY = 85


def scenes(video: Video, target: dict[str, Any], tell: Progress) -> Reply:
    """Find the scenes of a video and decode them; return their times, hashes and squares, see `pictures`.

    `target` holds the settings of the job, among them `most` (the greatest number of scenes) and `seconds` (after which
    the search for scenes ends). `tell` is called with the share of work done.
    """
    until = time.monotonic() + float(target["seconds"])
    most = int(target["most"])
    times, small = list[float](), list[Small]()
    for at, frame in video.frames(LOOKED_AT * most, until=until):
        if at >= LATEST:
            break
        times.append(at)
        small.append(np.asarray(video.upright(frame, SIZE * 4).resize((SIDE, SIDE), Image.Resampling.BOX)))
        tell(0.8 * at / (video.seconds or at or 1))
    return pictures(video, {**target, "times": [times[number] for number in choose_scenes(small, most)]}, tell)


def pictures(video: Video, target: dict[str, Any], tell: Progress) -> Reply:
    """Decode the scenes at `target["times"]`; return times, perceptual hashes, the video's facts, and squares.

    A scene that cannot be decoded is left out; UnreadableImage if no scene can.
    """
    transform, times = ImageTransform(**target["transform"]), target["times"]
    width, height = video.size()
    facts = Facts(target["format"], width, height, caption=video.caption(), **asdict(video.about()))
    kept: list[float] = []
    squares: list[bytes] = []
    hashes: list[int] = []
    for done, at in enumerate(times):
        try:
            picture = video.upright(video.at(at))
        except UnreadableImage:
            if not kept and done + 1 == len(times):
                raise
            continue
        kept.append(at)
        squares.append(transform.pixels(picture).tobytes())
        hashes.append(int(phash(square(picture, SIZE)[None])[0]))
        tell(0.8 + 0.2 * (done + 1) / len(times))
    return {"times": kept, "phashes": [f"{each:016x}" for each in hashes], "facts": asdict(facts)}, squares


def still(video: Video, target: dict[str, Any], tell: Progress) -> Reply:
    """Return the scene at `target["time"]` as JPEG, at most `target["side"]` pixels a side."""
    picture = video.upright(video.at(float(target["time"])), int(target["side"]))
    return {}, [encode_picture(picture, "JPEG", quality=STILL_QUALITY)]


JOBS: dict[str, Callable[[Video, dict[str, Any], Progress], Reply]] = {
    "scenes": scenes, "pictures": pictures, "still": still,
}  # fmt: skip


def main() -> None:
    """Decode the videos that the parent process sends, until it closes the socket."""
    parent = Parent(takes_files=True)
    _load_all()
    av.logging.set_level(av.logging.PANIC)
    lowest = os.dup(0)  # the video's file will get this lowest free descriptor; `restrict` allows no higher one
    os.close(lowest)
    restrict(int(sys.argv[1]), files=lowest + 1)
    parent.answer({"ready": True})
    for about, file in parent.questions_with_files():
        parent.answer(*_answer_job(file, about, lambda share: parent.tell({"done": share})))


def _load_all() -> None:
    """Load everything that would otherwise be loaded on first use, while this process may still open files."""
    Image.init()
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    picture = Image.fromarray(av.VideoFrame(16, 16, "yuv420p").reformat(format="rgb24").to_ndarray())
    phash(square(picture, SIZE)[None])
    ImageTransform(16).pixels(picture)
    encode_picture(picture, "JPEG")


def _answer_job(file: BinaryIO, about: dict[str, Any], tell: Progress) -> Reply:
    allow_processor(about["seconds"])
    try:
        return JOBS[about["job"]](Video(file), about["target"], _throttle(tell))
    except ImageError as error:
        return {"error": type(error).__name__, "message": str(error)}, []
    except MemoryError:
        return {"error": ImageTooLarge.__name__, "message": "not enough memory to decode it. Save a smaller copy."}, []
    except Exception as error:  # PyAV raises ValueError, IndexError and others on hostile files
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return {"error": "UnreadableImage", "message": f"damaged ({reason}). Restore it from a copy, or remove it."}, []


def _throttle(tell: Progress) -> Progress:
    """Return a function that passes progress on to `tell`, but not more than twice a second."""
    told = time.monotonic()

    def now_and_then(share: float) -> None:
        nonlocal told
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            tell(min(share, 1.0))

    return now_and_then


if __name__ == "__main__":
    main()

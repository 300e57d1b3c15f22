"""The process that decodes videos: with little memory, no network, and no file but the one it is handed.

It is handed the open file on its socket, one job at a time (`core.child_process`). As many files may be open as it
needs for that, so that nothing in a video can make FFmpeg open another.
"""

import importlib
import io
import os
import pkgutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from araclip.core.child_process import Parent, Reply
from araclip.core.limits import allow_processor, restrict
from araclip.errors import ImageError, ImageTooLarge
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import square
from araclip.pictures.phash import SIZE, phash
from araclip.pictures.picture_facts import Facts
from araclip.video import choice
from araclip.video.frames import Video
from araclip.video.scene_paths import LATEST

LOOKED_AT = 4  # key frames, for each scene there may be
STILL_QUALITY = 85

Tell = Callable[[float], None]  # how much of a job is done, 0 to 1


def scenes(video: Video, target: dict[str, Any], tell: Tell) -> Reply:
    """The scenes of a video: their times, and of each what `pictures` returns."""
    until = time.monotonic() + float(target["seconds"])
    most = int(target["most"])
    times, small = list[float](), list[choice.Small]()
    for at, frame in video.frames(LOOKED_AT * most, until=until):
        if at >= LATEST:
            break
        times.append(at)
        small.append(
            np.asarray(video.upright(frame, SIZE * 4).resize((choice.SIDE, choice.SIDE), Image.Resampling.BOX))
        )
        tell(0.8 * at / (video.seconds or at or 1))
    return pictures(video, {**target, "times": [times[number] for number in choice.chosen(small, most)]}, tell)


def pictures(video: Video, target: dict[str, Any], tell: Tell) -> Reply:
    """Of the scenes at some times: the model's squares, perceptual hashes, and the facts of the video."""
    transform, times = ImageTransform(**target["transform"]), target["times"]
    width, height = video.size()
    facts = Facts(target["format"], width, height, caption=video.caption(), **asdict(video.about()))
    kept: list[float] = []
    squares: list[bytes] = []
    hashes: list[int] = []
    for done, at in enumerate(times):
        picture = video.upright(video.at(at))
        kept.append(at)
        squares.append(transform.pixels(picture).tobytes())
        hashes.append(int(phash(square(picture, SIZE)[None])[0]))
        tell(0.8 + 0.2 * (done + 1) / len(times))
    return {"times": kept, "phashes": [f"{each:016x}" for each in hashes], "facts": asdict(facts)}, squares


def still(video: Video, target: dict[str, Any], tell: Tell) -> Reply:
    """The scene at a time as JPEG."""
    written = io.BytesIO()
    video.upright(video.at(float(target["time"])), int(target["side"])).save(written, "JPEG", quality=STILL_QUALITY)
    return {}, [written.getvalue()]


JOBS: dict[str, Callable[[Video, dict[str, Any], Tell], Reply]] = {
    "scenes": scenes, "pictures": pictures, "still": still,
}  # fmt: skip


def main() -> None:
    """Process jobs until the socket is closed."""
    parent = Parent(takes_files=True)
    _load_all()
    av.logging.set_level(av.logging.PANIC)
    lowest = os.dup(0)  # a descriptor that is free: the file's, and none above it
    os.close(lowest)
    restrict(int(sys.argv[1]), files=lowest + 1)
    parent.answer({"ready": True})
    for about, file in parent.questions_with_files():
        parent.answer(*_answer(file, about, lambda share: parent.tell({"done": share})))


def _load_all() -> None:
    """Load what is otherwise loaded on first use, while files may still be opened."""
    Image.init()
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    picture = Image.fromarray(av.VideoFrame(16, 16, "yuv420p").reformat(format="rgb24").to_ndarray())
    phash(square(picture, SIZE)[None])
    ImageTransform(16).pixels(picture)
    picture.save(io.BytesIO(), "JPEG")


def _answer(file: BinaryIO, about: dict[str, Any], tell: Tell) -> Reply:
    allow_processor(about["seconds"])
    try:
        return JOBS[about["job"]](Video(file), about["target"], _seldom(tell))
    except ImageError as error:
        return {"error": type(error).__name__, "message": str(error)}, []
    except MemoryError:
        return {"error": ImageTooLarge.__name__, "message": "not enough memory to decode it. Save a smaller copy."}, []
    except Exception as error:  # PyAV raises ValueError, IndexError and others on hostile files
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return {"error": "UnreadableImage", "message": f"damaged ({reason}). Restore it from a copy, or remove it."}, []


def _seldom(tell: Tell) -> Tell:
    """Not more often than twice a second."""
    told = time.monotonic()

    def now_and_then(share: float) -> None:
        nonlocal told
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            tell(min(share, 1.0))

    return now_and_then


if __name__ == "__main__":
    main()

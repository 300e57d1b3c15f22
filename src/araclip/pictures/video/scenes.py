"""The scenes of a video: their paths and hashes.

The path of a scene is the video's with the time of the scene in seconds, as a W3C media fragment: `clip.mp4#t=83.2`.
A scene is a picture of its own in a gallery. The catalogue stores its time with five digits before the point and three
after it (`clip.mp4#t=00083.200`), so that the scenes of a video follow each other in the order of their bytes; anyone
who names a scene may write the time as they like. No file can be taken for one: a name that ends so is refused.

A scene's hash is made of the video's and its time: it says which bytes the scene was seen in. That of a video is
computed once for a state of its file: it has gigabytes, and each scene asks for it.
"""

import hashlib
import os
import re
import threading
from collections import OrderedDict
from typing import Any, BinaryIO, NamedTuple, cast

from araclip.errors import UnreadableImage
from araclip.pictures.video.formats import is_video

MARK = "#t="
SUFFIX_BYTES = 12  # of the stored form
LATEST = 99_999.0  # seconds, which the stored form has digits for
_SCENE = re.compile(r"(.+)#t=(\d{1,6}(?:\.\d{1,6})?)", re.DOTALL)


class Scene(NamedTuple):
    """A video's path, and the time of one of its scenes in seconds."""

    video: str
    time: float


def scene_path(video: str, time: float) -> str:
    """The path under which a gallery stores a scene."""
    return f"{video}{MARK}{min(time, LATEST):09.3f}"


def scene_of(path: str) -> Scene | None:
    """The video and the time that a path names; None if it is no scene's."""
    found = _SCENE.fullmatch(path)
    return Scene(found[1], float(found[2])) if found and is_video(found[1]) else None


def file_of(path: str) -> str:
    """The path of the file: of a scene its video's, else the path itself."""
    scene = scene_of(path) if MARK in path else None
    return scene.video if scene else path


def belongs(path: str, at: str) -> bool:
    """Whether a path that begins as the file `at` is that file, lies below it, or is a scene of it. A picture's own
    name may begin so too: `clip.mp4#t=1 copy.jpg`."""
    return not path.startswith(at + MARK) or file_of(path) == at


class AtPath:
    """What is at a path: a picture, or a scene of a video."""

    path: str

    @property
    def file(self) -> str:
        """The path of the file: of a scene its video's."""
        return file_of(self.path)

    @property
    def time(self) -> float | None:
        """Of a scene its time in the video, in seconds; None of a picture."""
        scene = scene_of(self.path)
        return scene.time if scene else None


def stored(path: str) -> str:
    """A path as galleries store it: the time of a scene in all its digits."""
    scene = scene_of(path) if MARK in path else None
    return scene_path(*scene) if scene else path


def scene_digest(video: bytes, time: float) -> bytes:
    """The hash of a scene (SHA-256), from that of its video's bytes."""
    return hashlib.sha256(b"scene %d of " % round(time * 1000) + video).digest()


def clock(time: float) -> str:
    """A time as players show it: 1:23, or 1:02:03."""
    minutes, seconds = divmod(int(time), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


MOST = 4096  # videos whose hashes are remembered

_State = tuple[int, int, int, int, int]
_known: OrderedDict[_State, bytes] = OrderedDict()
_lock = threading.Lock()


def file_hash(file: BinaryIO, name: str) -> bytes:
    """The SHA-256 of a file that is open, from its beginning.

    A file of the same device, number, size and times of change is taken to be unchanged: who may not set the clock
    cannot forge the time at which the system saw it change.
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


def forget_hashes() -> None:
    """Compute every hash again: a disk may have lost bytes without anybody writing to it."""
    with _lock:
        _known.clear()


def _state(file: BinaryIO) -> _State:
    about = os.fstat(file.fileno())
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns

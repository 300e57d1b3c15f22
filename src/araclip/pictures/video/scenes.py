"""Makes the paths and hashes of the scenes of a video. In a gallery, each scene is a separate picture.

The path of a scene is the video's path and the scene's time in seconds, as a W3C media fragment: `clip.mp4#t=83.2`. The
catalogue stores the time with five digits before the point and three after it (`clip.mp4#t=00083.200`), so that the
scenes of a video are in order when paths are sorted; users may write other numbers of digits, up to six. A file whose
own name looks like a scene's path is refused, so that it cannot be taken for a scene.

The hash of a scene is made from the video's hash and the scene's time, so it tells in which bytes the scene was found.
The hash of a video is computed once and remembered until its file changes, because a video can have gigabytes and each
of its scenes needs the hash.
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
_BLOCK = 1 << 20  # bytes that are hashed at once
SUFFIX_BYTES = 12  # length of the end of a stored path, such as #t=00083.200
LATEST = 99_999.0  # the latest time in seconds that has only five digits before the point
_SCENE = re.compile(r"(.+)#t=(\d{1,6}(?:\.\d{1,6})?)", re.DOTALL)


class Scene(NamedTuple):
    """A video's path, and the time of one of its scenes in seconds."""

    video: str
    time: float


def scene_path(video: str, time: float) -> str:
    """Return the path under which a gallery stores a scene of a video."""
    return f"{video}{MARK}{min(time, LATEST):09.3f}"


def scene_of(path: str) -> Scene | None:
    """Return the video and the time that a path names; None if it is not the path of a scene."""
    found = _SCENE.fullmatch(path)
    return Scene(found[1], float(found[2])) if found and is_video(found[1]) else None


def file_of(path: str) -> str:
    """Return the path of the file: for a scene the path of its video, else the path itself."""
    scene = scene_of(path) if MARK in path else None
    return scene.video if scene else path


def is_at_or_below(path: str, at: str) -> bool:
    """True if a path is `at` itself, lies below it, or is one of its scenes.

    `path` must be `at`, or begin with `at` and a slash or #t=. False for another file whose name only begins like a
    scene's path: `clip.mp4#t=1 copy.jpg`.
    """
    return not path.startswith(at + MARK) or file_of(path) == at


class AtPath:
    """Base class of things that have a path: pictures, and scenes of videos."""

    path: str

    @property
    def file(self) -> str:
        """The path of the file; for a scene, the path of its video."""
        return file_of(self.path)

    @property
    def time(self) -> float | None:
        """For a scene, its time in the video in seconds; None for a picture."""
        scene = scene_of(self.path)
        return scene.time if scene else None


def stored_path(path: str) -> str:
    """Return a path in the form that galleries store: clip.mp4#t=83.2 → clip.mp4#t=00083.200.

    The time of a scene gets five digits and three decimals. Other paths stay as they are.
    """
    scene = scene_of(path) if MARK in path else None
    return scene_path(*scene) if scene else path


def scene_digest(video: bytes, time: float) -> bytes:
    """Compute the hash of a scene (SHA-256) from the hash of its video and its time in seconds."""
    return hashlib.sha256(b"scene %d of " % round(time * 1000) + video).digest()


def digest_at(path: str, file: BinaryIO) -> bytes:
    """Return the hash of the picture or scene that a path names; `file` is the open file of the picture or video."""
    scene = scene_of(path)
    if scene:
        return scene_digest(file_hash(file, scene.video), scene.time)
    return hashlib.file_digest(cast(Any, file), "sha256").digest()


def clock(time: float) -> str:
    """Write a time in seconds as players show it: 1:23, or 1:02:03."""
    minutes, seconds = divmod(int(time), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


MOST = 4096  # number of videos whose hashes are remembered

_State = tuple[int, int, int, int, int]
_known: OrderedDict[_State, bytes] = OrderedDict()
_lock = threading.Lock()


def file_hash(file: BinaryIO, name: str) -> bytes:
    """Return the SHA-256 of an open file's bytes; remember it until the file changes.

    A file with the same device, inode, size and times of change counts as unchanged. One of these times is set by the
    system at each change, so nobody can forge it without setting the clock.

    Raises:
        UnreadableImage: the file changed while it was read.
    """
    state = _state(file)
    with _lock:
        if state in _known:
            _known.move_to_end(state)
            return _known[state]
    file.seek(0)
    hashed, left = hashlib.sha256(), os.fstat(file.fileno()).st_size + 1  # one byte more, to notice a longer file
    while left and (block := file.read(min(left, _BLOCK))):  # not to the end: some files in /proc have none
        hashed.update(block)
        left -= len(block)
    found = hashed.digest()
    if not left or _state(file) != state:
        raise UnreadableImage(f"{name}: it changed while it was read. Index it again when it is complete.")
    with _lock:
        _known[state] = found
        while len(_known) > MOST:
            _known.popitem(last=False)
    return found


def forget_hashes() -> None:
    """Forget all remembered hashes, so that they are computed again; a disk may lose bytes without any write."""
    with _lock:
        _known.clear()


def _state(file: BinaryIO) -> _State:
    about = os.fstat(file.fileno())
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns

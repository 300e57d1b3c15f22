"""List which files are videos, which containers and codecs are decoded, and the names of the formats.

FFmpeg may open nothing else: play-lists and lists of parts (HLS, DASH, concat) can name other files, and FFmpeg's bugs
are mostly found in rare demuxers.
"""

import importlib.util
import os
from functools import cache

from araclip.core.system import hands_over_files
from araclip.errors import InputError

SUFFIXES = {  # suffix → name of the format, as filters and the API spell it
    ".mp4": "MP4", ".m4v": "MP4", ".mov": "MOV", ".qt": "MOV", ".3gp": "3GP", ".3g2": "3GP", ".mkv": "MKV",
    ".webm": "WEBM", ".avi": "AVI", ".mpg": "MPEG", ".mpeg": "MPEG", ".mts": "MPEGTS", ".m2ts": "MPEGTS",
    ".wmv": "WMV", ".flv": "FLV", ".ogv": "OGV",
}  # fmt: skip
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))
DEMUXERS = ("mov", "matroska", "webm", "avi", "mpeg", "mpegts", "asf", "flv", "ogg")  # FFmpeg's names of containers
CODECS = (
    "h264", "hevc", "mpeg4", "vp8", "vp9", "libdav1d", "mjpeg", "mpeg2video", "mpeg1video", "h263", "msmpeg4v2",
    "msmpeg4", "wmv1", "wmv2", "wmv3", "vc1", "theora", "prores", "dvvideo", "flv",
)  # fmt: skip
MEDIA_TYPES = {
    "MP4": "video/mp4", "MOV": "video/quicktime", "3GP": "video/3gpp", "MKV": "video/matroska", "WEBM": "video/webm",
    "AVI": "video/x-msvideo", "MPEG": "video/mpeg", "MPEGTS": "video/mp2t", "WMV": "video/x-ms-wmv",
    "FLV": "video/x-flv", "OGV": "video/ogg",
}  # fmt: skip
SCENES = 60  # the most scenes of a video, unless another number is asked for
MOST_SCENES = 500
VARIABLE = "ARACLIP_SCENES"
REMEDY = "pip install 'araclip[video]'"


def scenes_wanted(given: int | str | None = None) -> int:
    """Return how many scenes a video may have: `given`, else the environment's ARACLIP_SCENES, else SCENES.

    Raises:
        InputError: the number is not from 1 to MOST_SCENES.
    """
    value = os.environ.get(VARIABLE, SCENES) if given is None else given
    if isinstance(value, bool) or not str(value).isdecimal() or not 1 <= int(value) <= MOST_SCENES:
        raise InputError(f"scenes of a video are {value!r:.80}; pass a whole number from 1 to {MOST_SCENES}.")
    return int(value)


def is_video(path: str) -> bool:
    """True if a path has the suffix of a video."""
    return suffix_of(path) in SUFFIXES


def suffix_of(path: str) -> str:
    """Return a path's suffix in lower case: the last dot and all that follows; "" if there is no dot."""
    return path[path.rfind(".") :].lower() if "." in path else ""


@cache
def can_read() -> bool:
    """True if this machine reads videos: PyAV is installed (extra `video`), and processes can pass on open files."""
    return hands_over_files() and importlib.util.find_spec("av") is not None

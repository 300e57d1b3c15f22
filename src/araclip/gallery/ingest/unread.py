"""Files that look like pictures or videos and are not read here: their kinds, and what to do about them."""

from collections.abc import Mapping

from araclip.picture_formats.kinds import EXTRAS, NOT_READ
from araclip.platforms.names import lexists
from araclip.video.formats import REMEDY as VIDEO_REMEDY
from araclip.video.formats import can_read, is_video

VIDEO = "video"
_NOT_READ = {suffix: kind for kind, suffixes in NOT_READ.items() for suffix in suffixes}
_OF_EXTRAS = {suffix: extra for extra in EXTRAS.values() for suffix in extra.suffixes}
_REMEDIES = {extra.shown: extra.remedy for extra in EXTRAS.values()} | {VIDEO: VIDEO_REMEDY}


def unread_kind(name: str) -> str | None:
    """The kind of a file by its suffix, if it is a picture or a video that is not read here; None for any other."""
    if is_video(name):
        return None if can_read() else VIDEO
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    extra = _OF_EXTRAS.get(suffix)
    return _NOT_READ.get(suffix) if extra is None else None if extra.installed else extra.shown


def may_come_back(path: str) -> bool:
    """Whether a file was read with an extra that is gone, and is still there: what was indexed of it stays."""
    return unread_kind(path) in _REMEDIES and lexists(path)


def unread_line(counts: Mapping[str, int]) -> str:
    """One line about files that were not read: 3 files in formats that are not read: 2 HEIC (pip install …), 1 SVG."""
    total = sum(counts.values())
    parts = []
    for kind, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        remedy = f" ({_REMEDIES[kind]})" if kind in _REMEDIES else ""
        parts.append(f"{count:,} {kind}{remedy}")
    return f"{total:,} {'file' if total == 1 else 'files'} in formats that are not read: {', '.join(parts)}."

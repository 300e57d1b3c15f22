"""Read side-cars: files beside a picture with its caption (text, JSON) or its metadata (XMP), when new or changed.

Side-cars of IMG.jpg are IMG.jpg.txt, IMG.txt, IMG.jpg.json, IMG.json, Google Takeout's
IMG.jpg.supplemental-metadata.json, IMG.jpg.xmp (digiKam, darktable) and IMG.xmp (Lightroom); their endings may be in
capital letters. If a picture has several, their captions are joined into one.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from araclip.core.display import Log
from araclip.core.files import openable
from araclip.errors import AraCLIPError
from araclip.gallery.catalog.records import File
from araclip.gallery.catalog.sql_store import Turn
from araclip.gallery.catalog.store import Store
from araclip.pictures import metadata
from araclip.pictures.captions import SIDECAR_BYTES, group_sidecars, join_captions, sidecar_caption
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.images import open_file
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata
from araclip.pictures.video.formats import SUFFIXES as VIDEO_SUFFIXES
from araclip.pictures.video.formats import suffix_of

COMMIT_EVERY = 1000  # number of captions from side-cars that are stored in one commit


def pictures_beside(paths: Iterable[str]) -> set[str]:
    """Return the paths of the pictures and videos whose side-cars are among `paths`."""
    wanted: dict[str, set[str]] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if grouped := group_sidecars([name]):
            wanted.setdefault(folder, set()).update(grouped)
    found = set[str]()
    for folder, beginnings in wanted.items():
        with suppress(OSError):  # the folder may be gone
            for name in os.listdir(openable(folder)):  # noqa: PTH208  (names that are not UTF-8 stay text)
                suffix = suffix_of(name)
                known = suffix in SUFFIXES or suffix in VIDEO_SUFFIXES
                if known and not beginnings.isdisjoint((name, name[: -len(suffix)])):
                    found.add(os.path.join(folder, name))  # noqa: PTH118
    return found


def synchronise(
    catalog: Store, found: Mapping[str, tuple[File, ...]], at: Collection[str], turn: Turn, skip: Log, *, few: bool
) -> None:
    """Store what new and changed side-cars say; remove what deleted side-cars said.

    Args:
        found: the side-cars that exist now, by the path of their picture.
        at: the paths of the pictures to synchronise.
        few: True to look stored captions up path by path, instead of reading all.
    """
    known = {key: file for path in at for key, file in catalog.sidecars(path).items()} if few else catalog.sidecars()
    changed: list[tuple[str, File, str | None, PhotoMetadata]] = []
    for path in at:
        files = found.get(path, ())
        now = File(path, sum(file.size for file in files), _fingerprint(files))
        if files and known.get(path) != now:
            if (read := _read_sidecars(files, skip)) is not None:
                changed.append((path, now, *read))
        elif not files and path in known:
            changed.append((path, now, None, NOTHING_KNOWN))
    for start in range(0, len(changed), COMMIT_EVERY):
        with turn(), catalog.writing():
            for each in changed[start : start + COMMIT_EVERY]:
                catalog.put_sidecar(*each)


def _fingerprint(files: Iterable[File]) -> int:
    """Return a number of 64 bits that changes with the name, the size and the time of any of a picture's side-cars."""
    return int.from_bytes(hashlib.sha256(repr(files).encode()).digest()[:8], "big", signed=True)


def _read_sidecars(files: Iterable[File], skip: Log) -> tuple[str, PhotoMetadata] | None:
    """Read a picture's side-cars; return their joined captions, and what XMP says of the photograph.

    A damaged side-car is left out. None if a side-car cannot be opened now; then the stored caption stays, and the next
    update tries again.
    """
    captions, photo, whole = [], NOTHING_KNOWN, True
    for file in files:
        try:
            with open_file(file.path) as stream:
                if file.path.lower().endswith(".xmp"):
                    found = metadata.xmp_properties(stream.read(metadata.MAX_XMP_BYTES + 1), file.path)
                    captions.append(join_captions(metadata.xmp_captions(found)))
                    photo = photo.fill_unknown_from(metadata.xmp_metadata(found))
                else:
                    captions.append(sidecar_caption(stream.read(SIDECAR_BYTES + 1), file.path))
        except (OSError, AraCLIPError) as error:
            whole = whole and not isinstance(error, OSError)
            what = "metadata" if file.path.lower().endswith(".xmp") else "caption"
            why = getattr(error, "strerror", None) or str(error).removeprefix(f"{file.path}: ")
            skip(f"{file.path}: no {what} was read ({why})")
    return (join_captions(captions), photo) if whole else None

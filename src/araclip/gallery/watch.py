"""Watch folders, and update the gallery soon after a change in them.

The operating system reports changed paths, and only these are scanned. It may miss some (a full queue, a network drive
that another machine writes to), so all folders are walked periodically, and also after very many changes at once.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from threading import Event

from araclip.errors import GalleryLocked, InputError
from araclip.gallery.base import BaseGallery
from araclip.gallery.catalog.schema import GALLERY_FILE, is_gallery
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.results import Update

QUIET_MS = 200  # an update begins when nothing has changed for so many milliseconds
GATHER_MS = 1000  # the most ms that changes are gathered, so that copying a thousand files takes few updates
MAX_PATHS = 5_000  # with more changed paths at once, walk everything: the system's queue may have been full
FULL_WALK_S = 600  # seconds between two walks of all folders
WAKE_MS = 500  # ms between two checks of `stop`, and between two tries of a postponed update


@dataclass
class Due:
    """An update that is due: of the changed `paths`, or of all watched folders if `paths` is None.

    The consumer sets `postponed` if it cannot update now; then the update is repeated later, together with new changes.
    """

    paths: frozenset[str] | None = None
    postponed: bool = False


def changes(
    roots: Sequence[Path], *, stop: Event | None = None, walk: Event | None = None, full_walk_s: float = FULL_WALK_S
) -> Iterator[Due]:
    """Yield updates that are due, until `stop` is set or Ctrl-C.

    An update of all folders is due at first, every `full_walk_s` seconds, and when `walk` is set. In between, updates
    of the changed paths are due.

    Raises:
        InputError: the package watchfiles is missing.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise InputError("watching needs the package watchfiles. Run: pip install 'araclip[watch]'") from error
    walked = -math.inf  # time of the last full walk
    paths: set[str] = set()  # paths that have changed since they were last scanned
    # `watch` yields after WAKE_MS even if nothing has changed, so the first full walk need not wait for a change. It
    # begins when `watch` already notices changes, so no change is missed.
    for changed in watchfiles.watch(
        *roots, watch_filter=None, debounce=GATHER_MS, step=QUIET_MS, rust_timeout=WAKE_MS, yield_on_timeout=True,
        stop_event=stop, raise_interrupt=True,
    ):  # fmt: skip
        paths |= {path for _, path in changed if _may_concern_pictures(Path(path), roots)}
        requested = walk is not None and walk.is_set()
        everything = requested or time.monotonic() - walked > full_walk_s or len(paths) > MAX_PATHS
        if requested and walk:
            walk.clear()
        if everything or paths:
            due = Due(None if everything else frozenset(paths))
            yield due
            if not due.postponed:
                paths.clear()
                walked = time.monotonic() if everything else walked
            elif requested and walk:
                walk.set()


def _may_concern_pictures(path: Path, roots: Iterable[Path]) -> bool:
    """True if a change at a path may concern pictures: the path is not hidden, and is not a gallery's own file.

    Otherwise, with a gallery inside a watched folder, each update would cause another update, for ever.
    """
    below = [path.relative_to(root).parts for root in roots if path.is_relative_to(root)]
    if below and all(any(part.startswith(".") for part in parts) for parts in below):
        return False
    if not GALLERY_FILE.fullmatch(path.name):
        return True
    with suppress(OSError):  # a folder that this user may not read counts as no gallery
        return not is_gallery(path.parent)
    return True


def update_as_far_as_possible(
    gallery: BaseGallery,
    paths: Collection[str] | None,
    folders: Sequence[str | PathLike[str]],
    *,
    skip: Skip,
    progress: FilesProgress | None = None,
) -> Update:
    """Update the gallery with `paths`, or with all of `folders` if `paths` is None.

    If one of several folders is missing or empty (an unplugged drive), the other folders are updated, and `skip` is
    called with a line about the missing folder. InputError is raised if no folder can be updated.
    """
    progress = progress or (lambda done, found: None)
    try:
        if paths is not None:
            return gallery.update_at(paths, folders, skip=skip)
        return gallery.update(folders, progress=progress, skip=skip)
    except InputError:
        if len(folders) == 1:
            raise
    reports, faults = list[Update](), list[InputError]()
    for folder in folders:
        try:
            reports.append(gallery.update([folder], progress=progress, skip=skip))
        except InputError as error:
            faults.append(error)
    if not reports:
        raise faults[0]
    for fault in faults:
        skip(str(fault))
    return Update(
        added=sum(each.added for each in reports),
        unchanged=sum(each.unchanged for each in reports),
        removed=sum(each.removed for each in reports),
        skipped=[*(line for each in reports for line in each.skipped), *map(str, faults)],
        pictures=reports[-1].pictures,
        files=reports[-1].files,
        unread=dict(sum((Counter(each.unread) for each in reports), Counter[str]())),
    )


def watch(
    gallery: BaseGallery,
    folders: Iterable[str | PathLike[str]],
    *,
    updated: Callable[[Update], None],
    skip: Skip,
    stop: Event | None = None,
    full_walk_s: float = FULL_WALK_S,
) -> None:
    """Update the gallery with `folders` now and after every change, until `stop` is set or Ctrl-C.

    If a folder is suddenly empty or missing (an unplugged drive), `skip` is called, and the other folders are updated.
    If another process is writing the gallery, the update is tried again later.

    Args:
        updated: called with the first update, and with each later one that changed something.
        skip: called with one line for each file that cannot be used, and for a folder that cannot be updated now.
        full_walk_s: seconds between full walks.

    Raises:
        InputError: a folder does not exist, or the package watchfiles (extra `watch`) is missing.
        OSError: the gallery's disk is full or read-only.
    """
    roots, first = [checked_root(folder) for folder in folders], True
    for due in changes(roots, stop=stop, full_walk_s=full_walk_s):
        try:
            report = update_as_far_as_possible(gallery, due.paths, roots, skip=skip)
        except GalleryLocked:
            due.postponed = True
        except InputError as error:
            skip(str(error))
        else:
            if first or report.added or report.removed:
                updated(report)
            first = False

"""Watching folders: the gallery is updated soon after a change in them.

The operating system reports changed paths, and only those are scanned. It may miss some (a full queue, a network drive
that another machine writes to), so everything is walked periodically, and after very many changes at once.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from threading import Event
from typing import Protocol

from araclip.errors import GalleryLocked, InputError
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.ingest.update import Skip
from araclip.gallery.results import Update

QUIET_MS = 200  # an update begins after this time without a further change …
GATHER_MS = 1000  # … or after this one, so that copying a thousand files is not a thousand updates
MAX_PATHS = 5_000  # changed paths at once: the system's queue (16,384 on Linux) may have been full
FULL_WALK_S = 600  # between walks of everything
WAKE_MS = 500  # interval of checking `stop`, and of retrying a postponed update


class Updatable(Protocol):
    """The interface of a gallery that `watch` needs."""

    def update(self, folders: Iterable[str | PathLike[str]], *, skip: Skip) -> Update:
        """Synchronise with folders."""

    def update_at(self, paths: Iterable[str], folders: Iterable[str | PathLike[str]], *, skip: Skip) -> Update:
        """Synchronise with some paths in these folders."""


@dataclass
class Due:
    """An update that is due: of everything below the folders (None), or of `paths`.

    The consumer sets `postponed` if it cannot do it now; it is then repeated, with later changes.
    """

    paths: frozenset[str] | None = None
    postponed: bool = False


def changes(roots: Sequence[Path], *, stop: Event | None = None, full_walk_s: float = FULL_WALK_S) -> Iterator[Due]:
    """Due updates until `stop` is set or Ctrl-C: everything at first and every `full_walk_s` seconds, else changes.

    Raises:
        InputError: the package watchfiles (extra `watch`) is missing.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise InputError("Watching needs the package watchfiles. Run: pip install 'araclip[watch]'") from error
    walked = -math.inf  # time of the last full walk
    paths: set[str] = set()  # changed since they were scanned
    for changed in watchfiles.watch(  # yields at once on the first timeout, with the watch already active
        *roots, watch_filter=None, debounce=GATHER_MS, step=QUIET_MS, rust_timeout=WAKE_MS, yield_on_timeout=True,
        stop_event=stop, raise_interrupt=True,
    ):  # fmt: skip
        paths |= {path for _, path in changed}
        everything = time.monotonic() - walked > full_walk_s or len(paths) > MAX_PATHS
        if everything or paths:
            due = Due(None if everything else frozenset(paths))
            yield due
            if not due.postponed:
                paths.clear()
                walked = time.monotonic() if everything else walked


def watch(
    gallery: Updatable,
    folders: Iterable[str | PathLike[str]],
    *,
    updated: Callable[[Update], None],
    skip: Skip,
    stop: Event | None = None,
    full_walk_s: float = FULL_WALK_S,
) -> None:
    """Update the gallery with `folders` now and after every change, until `stop` is set or Ctrl-C.

    A folder that is suddenly empty (an unplugged drive) is reported through `skip`; while another process writes, the
    update is retried.

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
            if due.paths is None:
                report = gallery.update(roots, skip=skip)
            else:
                report = gallery.update_at(due.paths, roots, skip=skip)
        except GalleryLocked:
            due.postponed = True
        except InputError as error:
            skip(str(error))
        else:
            if first or report.added or report.removed:
                updated(report)
            first = False

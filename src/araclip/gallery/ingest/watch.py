"""Following folders: the gallery is brought in step soon after something in them changes.

The operating system says which paths changed, and only they are looked at. It may miss some (a full queue, a network
drive that another machine writes to), so all is walked now and then, and at once when very many came together.
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

QUIET_MS = 200  # a change is acted on when so long nothing followed it …
GATHER_MS = 1000  # … or after this, so that a copy of a thousand files is one update and not a thousand
MANY = 5_000  # changed paths at once: the system's queue (16,384 on Linux) may have been full
FULL_WALK_S = 600  # between walks of everything
WAKE_MS = 500  # how often to look at `stop`, and to try again what was postponed


class Updatable(Protocol):
    """What `watch` brings in step: a gallery."""

    def update(self, folders: Iterable[str | PathLike[str]], *, skip: Skip) -> Update:
        """Bring it in step with folders."""

    def update_at(self, paths: Iterable[str], folders: Iterable[str | PathLike[str]], *, skip: Skip) -> Update:
        """Bring it in step with what lies at some paths of these folders."""


@dataclass
class Due:
    """What is to be brought in step: everything below the folders (None), or what lies at `paths`.

    Whoever cannot do it now sets `postponed`; then it comes again, with what changed meanwhile.
    """

    paths: frozenset[str] | None = None
    postponed: bool = False


def changes(roots: Sequence[Path], *, stop: Event | None = None, full_walk_s: float = FULL_WALK_S) -> Iterator[Due]:
    """Everything, then what changes, until `stop` is set or Ctrl-C; every `full_walk_s` seconds everything again.

    Raises:
        InputError: the package watchfiles (extra `watch`) is missing.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise InputError("Watching needs the package watchfiles. Run: pip install 'araclip[watch]'") from error
    walked = -math.inf  # when everything was walked last
    paths: set[str] = set()  # that may have changed since they were looked at
    for changed in watchfiles.watch(  # the first time without a change: what happens from now on is seen
        *roots, watch_filter=None, debounce=GATHER_MS, step=QUIET_MS, rust_timeout=WAKE_MS, yield_on_timeout=True,
        stop_event=stop, raise_interrupt=True,
    ):  # fmt: skip
        paths |= {path for _, path in changed}
        everything = time.monotonic() - walked > full_walk_s or len(paths) > MANY
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
    """Bring the gallery in step with `folders` now and after every change, until `stop` is set or Ctrl-C.

    A folder that is suddenly empty (an unplugged drive) and another process that writes are no end: a line, or another
    try.

    Args:
        updated: called with each update that changed something, and with the first.
        skip: called with one line for each file that cannot be used, and for a folder that cannot be updated now.
        full_walk_s: after so many seconds everything is walked, whatever the system said.

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

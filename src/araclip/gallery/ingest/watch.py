"""Following folders: the gallery is brought in step soon after something in them changes.

The system says which paths changed, and only they are looked at. It may miss some (a full queue, a network drive that
another machine writes to), so all is walked now and then, and at once when very many came together.
"""

import math
import time
from collections.abc import Callable, Iterable
from os import PathLike
from threading import Event

from araclip.errors import GalleryLocked, InputError
from araclip.gallery.base import BaseGallery
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.ingest.update import Skip
from araclip.gallery.results import Update

QUIET_MS = 200  # a change is acted on when so long nothing followed it …
GATHER_MS = 1000  # … or after this, so that a copy of a thousand files is one update and not a thousand
MANY = 5_000  # changed paths at once: the system's queue (16,384 on Linux) may have been full
HONEST_S = 600  # between walks of everything
WAKE_MS = 500  # how often to look at `stop`, and to try again when another process was writing


def watch(
    gallery: BaseGallery,
    folders: Iterable[str | PathLike[str]],
    *,
    updated: Callable[[Update], None],
    skip: Skip,
    stop: Event | None = None,
    honest_s: float = HONEST_S,
) -> None:
    """Bring the gallery in step with `folders` now and after every change, until `stop` is set or Ctrl-C.

    A folder that is suddenly empty (an unplugged drive) and another process that writes are no end: a line, or another
    try.

    Args:
        updated: called with each update that changed something, and with the first.
        skip: called with one line for each file that cannot be used, and for a folder that cannot be updated now.
        honest_s: after so many seconds everything is walked, whatever the system said.

    Raises:
        InputError: a folder does not exist, or the package watchfiles (extra `watch`) is missing.
        OSError: the gallery's disk is full or read-only.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise InputError("Watching needs the package watchfiles. Run: pip install 'araclip[watch]'") from error
    roots = [checked_root(folder) for folder in folders]
    first, walked = True, -math.inf  # when everything was walked last
    paths: set[str] = set()  # that may have changed since
    changes = watchfiles.watch(
        *roots, watch_filter=None, debounce=GATHER_MS, step=QUIET_MS, rust_timeout=WAKE_MS, yield_on_timeout=True,
        stop_event=stop, raise_interrupt=True,
    )  # fmt: skip
    for changed in changes:  # the first time without a change: what happens from now on is seen
        paths |= {path for _, path in changed}
        everything = time.monotonic() - walked > honest_s or len(paths) > MANY
        if not (everything or paths):
            continue
        try:
            report = gallery.update(roots, skip=skip) if everything else gallery.update_at(paths, roots, skip=skip)
        except GalleryLocked:
            continue
        except InputError as error:
            skip(str(error))
            report = None
        paths.clear()
        if everything:
            walked = time.monotonic()
        if report and (first or report.added or report.removed):
            updated(report)
            first = False

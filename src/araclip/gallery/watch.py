"""Following folders: the gallery is brought in step soon after something in them changes."""

from collections.abc import Callable, Iterable
from os import PathLike
from threading import Event

from araclip.errors import GalleryLocked, InputError
from araclip.gallery.anygallery import AnyGallery
from araclip.gallery.results import Update
from araclip.gallery.scan import checked_root
from araclip.gallery.update import Skip

QUIET_MS = 200  # a change is acted on when so long nothing followed it …
GATHER_MS = 1000  # … or after this, so that a copy of a thousand files is one update and not a thousand
WAKE_MS = 500  # how often to look at `stop`, and to try again when another process was writing


def watch(
    gallery: AnyGallery,
    folders: Iterable[str | PathLike[str]],
    *,
    updated: Callable[[Update], None],
    skip: Skip,
    stop: Event | None = None,
) -> None:
    """Bring the gallery in step with `folders` now and after every change, until `stop` is set or Ctrl-C.

    A folder that is suddenly empty (an unplugged drive) and another process that writes are no end: a line, or another
    try.

    Args:
        updated: called with each update that changed something, and with the first.
        skip: called with one line for each file that cannot be used, and for a folder that cannot be updated now.

    Raises:
        InputError: a folder does not exist, or the package watchfiles (extra `watch`) is missing.
        OSError: the gallery's disk is full or read-only.
    """
    try:
        import watchfiles
    except ImportError as error:
        raise InputError("Watching needs the package watchfiles. Run: pip install 'araclip[watch]'") from error
    roots = [checked_root(folder) for folder in folders]
    first = due = True  # due: something may have changed since the last update
    changes = watchfiles.watch(
        *roots, watch_filter=None, debounce=GATHER_MS, step=QUIET_MS, rust_timeout=WAKE_MS, yield_on_timeout=True,
        stop_event=stop, raise_interrupt=True,
    )  # fmt: skip
    for changed in changes:  # the first time without a change: what happens from now on is seen
        if not (due or changed):
            continue
        try:
            report = gallery.update(roots, skip=skip)
        except GalleryLocked:
            due = True
            continue
        except InputError as error:
            skip(str(error))
            due = False
            continue
        if first or report.added or report.removed:
            updated(report)
        first = due = False

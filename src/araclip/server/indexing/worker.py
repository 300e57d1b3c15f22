"""The process that indexes folders for a server, at a low priority.

The server sends one question (`core.child_process`): {"paths"}, a list of changed paths, or null for a full update. The
process sends {"done", "found"} as progress (with --ocr, a second time for reading text), and {"skipped"} with a line to
log; then its answer: {"report"}, {"locked"}, {"empty", "unread"} or {"error", "cause"}. It takes turns with other
writers, as `araclip index` does.
"""

import argparse
import errno
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from araclip.core.child_process import Parent
from araclip.core.processes import lower_priority
from araclip.errors import (
    AraCLIPError,
    EmptyFolder,
    GalleryCorrupt,
    GalleryLocked,
    InputError,
    ModelError,
    WidthMismatch,
)
from araclip.gallery.catalog import writer_lock
from araclip.gallery.gallery import Gallery
from araclip.gallery.locations import Location, location_of
from araclip.gallery.open import encoder_of, open_gallery
from araclip.gallery.watch import update_as_far_as_possible
from araclip.models.encoder_base import usable_cores

# Why indexing has stopped: a word that clients translate for their users. The error's own message names paths, so it
# stays in the server's log: not everyone who may see pictures may know paths.
Cause = Literal["full", "denied", "missing", "damaged", "model", "killed", "other"]
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS)
PROGRESS_SECONDS = 0.5  # seconds between messages of progress
# The server and other programs come first. The lowest priority (19, or SCHED_IDLE) would get no time at all on a busy
# machine, and a process that is stopped while it holds the writer's lock makes all others wait.
NICENESS = 10


def main() -> None:
    """Update the gallery with the folders named on the command line."""
    parser = argparse.ArgumentParser()
    for name in ("gallery", "model"):
        parser.add_argument(name)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--patience", type=float, default=writer_lock.PATIENCE_S, help="Seconds to wait for a turn.")
    parser.add_argument("--ocr", action="store_true", help="Then read the text in pictures that look like text.")
    options = parser.parse_args()
    writer_lock.PATIENCE_S = options.patience
    lower_priority(NICENESS)
    server = Parent()
    server.answer({"ready": True})
    if not (question := server.question()):
        return
    threading.Thread(target=_end_with_server, daemon=True).start()
    try:
        report = _update_gallery(
            server, location_of(options.gallery), options.model, options.folders, question[0]["paths"], ocr=options.ocr
        )
        server.answer({"report": report})
    except GalleryLocked as error:
        server.answer({"locked": str(error)})
    except EmptyFolder as error:
        server.answer({"empty": str(error), "unread": error.unread})
        raise SystemExit(2) from None
    except (AraCLIPError, OSError) as error:
        server.answer({"error": str(error), "cause": cause_of(error, options.folders)})
        raise SystemExit(2) from None


def _update_gallery(
    server: Parent, place: Location, model: str, folders: list[str], paths: list[str] | None, *, ocr: bool
) -> dict[str, Any]:
    encoder = encoder_of(place, model or None, threads=max(1, usable_cores() // 2))
    reported = 0.0

    def progress(done: float, found: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > PROGRESS_SECONDS:
            reported = time.monotonic()
            server.tell({"done": int(done), "found": found})

    def skip(line: str) -> None:
        server.tell({"skipped": line})

    logging.getLogger("araclip").addHandler(_ServerLogHandler(server))
    # A missing gallery is not created here: the server has created it, so the drive it is on must have been removed.
    with open_gallery(place, model=encoder) as gallery:
        update = update_as_far_as_possible(gallery, paths, folders, progress=progress, skip=skip)
        if ocr and isinstance(gallery, Gallery):
            try:
                gallery.ocr(progress=progress, skip=skip)
            except InputError as error:  # OCR does not work now: the update is done, and the text is read later
                skip(str(error))
    return {**asdict(update), "skipped": len(update.skipped)}


class _ServerLogHandler(logging.Handler):
    def __init__(self, server: Parent) -> None:
        super().__init__(logging.WARNING)
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        self._server.tell({"skipped": record.getMessage()})


def _end_with_server() -> None:
    # sys.stdin.buffer.read() would hold the buffer's lock in this thread. Python needs that lock when it exits, and
    # would abort the process.
    while os.read(0, 4096):
        pass
    os._exit(0)  # committed work is kept; the next run repeats the rest


def cause_of(error: Exception, folders: Sequence[str]) -> Cause:
    """Return the cause of an error that ended the indexing of these folders.

    "full": the disk is full; "denied": a permission is missing; "missing": a folder is gone; "damaged": the gallery's
    file is damaged; "model": the model cannot be opened, or is not the gallery's; "other": anything else.
    """
    if isinstance(error, OSError) and error.errno in _FULL_ERRORS:
        return "full"
    if isinstance(error, OSError) and error.errno in _DENIED_ERRORS:
        return "denied"
    if isinstance(error, GalleryCorrupt):
        return "damaged"
    if isinstance(error, ModelError | WidthMismatch):
        return "model"
    return "other" if all(Path(folder).is_dir() for folder in folders) else "missing"


if __name__ == "__main__":
    main()

"""The process that indexes folders for a server, at the lowest priority.

The first line of its standard input is JSON: null for a full update, or a list of paths. Its standard output is one
JSON object a line: {"done", "found"}, {"skipped"}, and at the end {"report"} or {"error"}. It exits when its standard
input is closed, that is with its server. The server holds the gallery's lock.
"""

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from araclip.encoder import AraCLIP
from araclip.encoder_base import usable_cores
from araclip.errors import AraCLIPError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.gallery import Gallery
from araclip.model_folder import find

PROGRESS_SECONDS = 0.5  # between lines of progress


def main() -> None:
    """Update the gallery with the folders named on the command line."""
    parser = argparse.ArgumentParser()
    for name in ("gallery", "model"):
        parser.add_argument(name)
    parser.add_argument("folders", nargs="+")
    given = parser.parse_args()
    _lower_priority()
    paths = json.loads(sys.stdin.buffer.readline() or b"null")
    threading.Thread(target=_end_with_server, daemon=True).start()
    try:
        report(report=_update(Path(given.gallery), given.model, given.folders, paths))
    except (AraCLIPError, OSError) as error:
        report(error=str(error))
        raise SystemExit(2) from None


def _update(folder: Path, model: str, folders: list[str], paths: list[str] | None) -> dict[str, Any]:
    encoder = AraCLIP(find(model), threads=max(1, usable_cores() // 2))
    catalog = Catalog.create(folder, encoder.name, encoder.fingerprint, encoder.width)
    reported = 0.0

    def progress(done: int, found: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > PROGRESS_SECONDS:
            reported = time.monotonic()
            report(done=done, found=found)

    def skip(line: str) -> None:
        report(skipped=line)

    with Gallery(catalog, encoder, lock=False) as gallery:
        if paths is None:
            update = gallery.update(folders, progress=progress, skip=skip)
        else:
            update = gallery.update_at(paths, folders, skip=skip)
    return {**asdict(update), "skipped": len(update.skipped)}


def report(**values: Any) -> None:
    """Write one line of JSON for the server."""
    sys.stdout.buffer.write(json.dumps(values).encode() + b"\n")  # ASCII: a path need not be UTF-8
    sys.stdout.buffer.flush()


def _lower_priority() -> None:
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # not permitted everywhere
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _end_with_server() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # what is committed is kept; the rest is repeated


if __name__ == "__main__":
    main()

"""The process that indexes folders for a server, at the lowest priority: searches go first.

It writes one JSON object a line on its standard output: {"done", "found"}, {"skipped"}, and at the end {"report"} or
{"error"}. It ends when its standard input does, that is with its server. The server holds the gallery's lock for it.
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
from araclip.gallery.ingest.scan import checked_root
from araclip.gallery.ingest.update import update
from araclip.model_folder import find

EVERY_SECONDS = 0.5  # between two lines of progress


def main() -> None:
    """Index the folders of the command line into a gallery."""
    parser = argparse.ArgumentParser()
    for name in ("gallery", "model"):
        parser.add_argument(name)
    parser.add_argument("folders", nargs="+")
    given = parser.parse_args()
    _step_back()
    threading.Thread(target=_end_with_server, daemon=True).start()
    try:
        say(report=_index(Path(given.gallery), given.model, given.folders))
    except (AraCLIPError, OSError) as error:
        say(error=str(error))
        raise SystemExit(2) from None


def _index(gallery: Path, model: str, folders: list[str]) -> dict[str, Any]:
    encoder = AraCLIP(find(model), threads=max(1, usable_cores() // 2))
    config = encoder.config
    roots = [checked_root(folder) for folder in folders]
    catalog = Catalog.create(gallery, config.name, config.fingerprint, config.width)
    said = 0.0

    def progress(done: int, found: int) -> None:
        nonlocal said
        if time.monotonic() - said > EVERY_SECONDS:
            said = time.monotonic()
            say(done=done, found=found)

    with Gallery(catalog, encoder) as opened:
        report = update(catalog, encoder, roots, progress, lambda line: say(skipped=line))
        opened.settle()
    return {**asdict(report), "skipped": len(report.skipped)}


def say(**news: Any) -> None:
    """One line for the server."""
    sys.stdout.buffer.write(json.dumps(news).encode() + b"\n")  # escaped: a path need not be UTF-8
    sys.stdout.buffer.flush()


def _step_back() -> None:
    if hasattr(os, "nice"):
        os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # not everywhere allowed
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _end_with_server() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # what is committed is kept, and the rest is done again


if __name__ == "__main__":
    main()

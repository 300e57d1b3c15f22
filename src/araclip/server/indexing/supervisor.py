"""Indexing while serving: a process of its own does the work, the server tells how it goes on."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from araclip.display import shown
from araclip.errors import GalleryLocked
from araclip.gallery.ingest.watch import GATHER_MS, QUIET_MS, WAKE_MS
from araclip.server.events import Events
from araclip.server.local import LocalLibrary

log = logging.getLogger("araclip.server")
AGAIN_SECONDS = 5  # after another process was writing
LONGEST_LINE = 1 << 20


class Indexing:
    """Brings a gallery in step with folders, once or, following them, after every change."""

    def __init__(
        self, library: LocalLibrary, model: str, folders: Sequence[Path], events: Events, *, follow: bool,
        committed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.running = False
        self._command = [
            sys.executable, "-m", "araclip.server.indexing.worker", str(library.folder), model, *map(str, folders)
        ]  # fmt: skip
        self._folders = folders
        self._follow = follow
        self._writer_lock = library.writer_lock
        self._events = events
        self._committed = committed
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End the process; what it committed is kept."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            async for _ in self._occasions():
                await self._update()
        except Exception:  # the server goes on without
            log.exception("indexing ended")
            self._say("failed", message="indexing ended; see the server's log")

    async def _occasions(self) -> AsyncIterator[None]:
        """Now, and after every change if the folders are followed."""
        if not self._follow:
            yield
            return
        import watchfiles

        due = True
        async for changed in watchfiles.awatch(
            *self._folders, watch_filter=None, debounce=GATHER_MS, step=QUIET_MS, rust_timeout=WAKE_MS,
            yield_on_timeout=True, stop_event=self._stop,
        ):  # fmt: skip
            if due or changed:  # the first time without a change: what happens from now on is seen
                yield
            due = False

    async def _update(self) -> None:
        while True:
            try:
                with self._writer_lock.held():
                    self.running = True
                    await self._one_run()
                return
            except GalleryLocked as error:
                log.warning("%s", error)
                await asyncio.sleep(AGAIN_SECONDS)
            finally:
                self.running = False

    async def _one_run(self) -> None:
        self._say("running", 0, 0)
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE, env=_without_tokens()
        )
        assert process.stdout is not None
        last: dict[str, Any] = {}
        try:
            async for line in process.stdout:
                last = json.loads(line)
                if "found" in last:
                    self._say("running", last["done"], last["found"])
                    self._committed()
                elif "skipped" in last:
                    log.warning("%s", shown(last["skipped"]))
            await process.wait()
        finally:
            await _ended(process)
        self._committed()
        if "report" in last:
            report = last["report"]
            seen = report["added"] + report["unchanged"]
            self._say("done", seen, seen, f"{report['added']} new or changed, {report['removed']} gone")
            log.info("indexed: %s", report)
        else:
            reason = last.get("error", f"the indexing process ended with {process.returncode}")
            log.error("%s", shown(reason))
            self._say("failed", message="indexing failed; see the server's log")

    def _say(self, state: str, done: int = 0, found: int = 0, message: str = "") -> None:
        self._events.publish("indexing", {"state": state, "done": done, "found": found, "message": message})


def _without_tokens() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ARACLIP_TOKEN")}


async def _ended(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # it commits in groups; nothing breaks
        await process.wait()

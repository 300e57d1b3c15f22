"""Indexing while serving: a thread of the server starts worker processes and publishes their progress.

Folders of `--index` are indexed at once; a folder that the page only offers to index is indexed when a client asks.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from araclip.core.child_process import Child, ChildEnded, own_environment
from araclip.core.display import shown
from araclip.errors import InputError
from araclip.gallery import locations
from araclip.gallery.catalog import writer_lock
from araclip.gallery.ingest.scan import checked_root, unread_line
from araclip.gallery.locations import PASSWORD, Address
from araclip.gallery.watch import Due, changes
from araclip.models.devices import VARIABLE
from araclip.server.events import Events
from araclip.server.indexing.worker import Cause
from araclip.server.served_gallery import ServedGallery

log = logging.getLogger("araclip.server")
State = Literal["offered", "running", "done", "empty", "failed"]
START_SECONDS = 120.0  # seconds for the worker to import its libraries on a busy machine
RETRY_SECONDS = 5.0  # seconds until the next try, if another program kept the writer's lock too long


class Indexing:
    """Updates a gallery from folders, in worker processes: once or, with `follow`, also after every change.

    With `ocr`, each update is followed by reading the text in pictures, whose progress is published, too.
    `state` is "offered" before the first update, and "empty" after an update that found no pictures.
    """

    def __init__(
        self, gallery: ServedGallery, folders: Sequence[Path], events: Events, *, follow: bool,
        on_commit: Callable[[], None], device: str | None = None, ocr: bool = False,
    ) -> None:  # fmt: skip
        self.state: State = "offered"
        self.cause: Cause | None = None  # why indexing failed; None in other states
        self.unread: dict[str, int] = {}  # kind of file that cannot be read here → how many the last update met
        self._environment = own_environment() | ({VARIABLE: device} if device else {})
        if isinstance(gallery.location, Address) and gallery.location.password:
            # the database's password goes into the environment: other users could read it in a process's arguments
            self._environment[PASSWORD] = gallery.location.password
        self._options = ["--patience", str(writer_lock.PATIENCE_S), *(["--ocr"] if ocr else []), "--"]
        self.folders = folders
        self._gallery = gallery
        self._follow = follow
        self._events = events
        self._on_commit = on_commit
        self._stop, self._walk = threading.Event(), threading.Event()
        self._worker: Child | None = None
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """True while folders are being indexed."""
        return self.state == "running"

    def start(self) -> None:
        """Index the folders now. Does nothing while they are being indexed."""
        with self._starting:
            if self._stop.is_set() or (self._thread and self._thread.is_alive() and self.running):
                return
            if self._thread and self._thread.is_alive() and self._follow:
                self._walk.set()
                self.state = "running"
                return
            if self._thread:
                self._thread.join()  # wait for the end of an earlier thread, whose work is done (see `state`)
            self.state = "running"  # set now, so that the client's answer says "running"
            self._thread = threading.Thread(target=self._run, name="indexing", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Kill the worker and wait for the thread; what was committed is kept."""
        self._stop.set()
        if (worker := self._worker) is not None:
            worker.kill()  # killing is safe, because the worker writes in transactions
        with self._starting:
            if self._thread:
                self._thread.join()

    def _run(self) -> None:
        try:
            for due in self._due_updates():
                if self._stop.is_set():
                    return
                self._update(due)
        except Exception:  # log the error: the server must go on without indexing
            log.exception("indexing ended")
            self._announce("failed", message="indexing ended; see the server's log", cause="other")

    def _due_updates(self) -> Iterator[Due]:
        """Yield the updates of the gallery that are due.

        With `follow`, yield an update after each change of the folders. Otherwise yield one full update, and yield it
        again each time the caller has postponed it.
        """
        if self._follow:
            try:
                yield from changes([checked_root(folder) for folder in self.folders], stop=self._stop, walk=self._walk)
                return
            except InputError:  # a folder is missing: the full update below fails and names it
                pass
            # the folders cannot be watched, for example because there are too many
            except (OSError, RuntimeError) as error:
                log.warning("the folders cannot be followed, they are indexed once: %s", shown(str(error)))
                self._follow = False
        postponed = True
        while postponed:
            due = Due()
            yield due
            postponed = due.postponed

    def _update(self, due: Due) -> None:
        self._announce("running", 0, 0)
        model = self._gallery.model
        result = self._run_worker(due, getattr(model, "origin", ""))
        self._on_commit()
        if "report" in result:
            report = result["report"]
            total = report["added"] + report["unchanged"]
            state: State = "done" if report["pictures"] else "empty"
            message = f"{report['added']} new or changed, {report['removed']} gone"
            self._announce(state, total, total, message, report["unread"])
            if report["unread"]:
                log.warning("%s", unread_line(report["unread"]))
            log.info("indexed: %s", report)
            if due.paths is None:
                try:  # make this gallery the default for searches, as `araclip index` does
                    locations.make_default(self._gallery.location)
                except OSError as error:
                    log.warning("the gallery could not be made the default one: %s", shown(str(error)))
        elif "locked" in result or (result.get("cause") == "model" and model is not self._gallery.model):
            due.postponed = True  # another program writes, or has just re-embedded the gallery with another model
            log.warning("%s", shown(result.get("locked") or result["error"]))
        elif "empty" in result:
            log.warning("%s", shown(result["empty"]))
            self._announce("empty", unread=result["unread"])
        elif not self._stop.is_set():
            log.error("%s", shown(result["error"]))
            self._announce("failed", message="indexing failed; see the server's log", cause=result["cause"])
        if due.postponed:
            self._stop.wait(RETRY_SECONDS)

    def _run_worker(self, due: Due, model: str) -> dict[str, Any]:
        """Run the worker for an update; return its answer, or {} after `close`.

        Returns {"error", "cause"} if the worker died or could not be started. An update whose worker could not be
        started is postponed if the folders are followed; otherwise a client may ask for it again.
        """

        def progress(news: dict[str, Any]) -> None:
            if "found" in news:
                self._announce("running", news["done"], news["found"])
                self._on_commit()
            else:
                log.warning("%s", shown(news["skipped"]))

        places = [str(self._gallery.location), model, *map(str, self.folders)]
        try:
            with Child(
                "araclip.server.indexing.worker", *self._options, *places,
                seconds=START_SECONDS, environment=self._environment, stderr=None, apart=True,
            ) as self._worker:  # fmt: skip
                if self._stop.is_set():  # `close` was called while the process started: ask nothing
                    return {}
                return self._worker.ask({"paths": due.paths and sorted(due.paths)}, progress=progress)[0]
        except ChildEnded as error:
            # a signal ended the worker, mostly because the system was out of memory
            cause = "killed" if error.how.startswith("SIG") else "other"
            return {"error": f"the indexing process ended with {error.how or error}", "cause": cause}
        except OSError as error:  # memory is short; or, if the error is a TimeoutError, the machine is busy
            due.postponed = self._follow
            return {"error": f"the indexing process could not be started ({error})", "cause": "other"}
        finally:
            self._worker = None

    def _announce(
        self, state: State, done: int = 0, found: int = 0, message: str = "", unread: dict[str, int] | None = None,
        cause: Cause | None = None,
    ) -> None:  # fmt: skip
        self.state, self.cause, self.unread = state, cause, unread or {}
        about = {"state": state, "done": done, "found": found, "message": message}
        self._events.publish("indexing", about | {"unread": self.unread, "cause": cause})

"""The components of a server: gallery, encoder, decoding processes, threads."""

import asyncio
import base64
import binascii
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from araclip.core.messages import message
from araclip.core.paths import data_home
from araclip.errors import AraCLIPError, GalleryLocked, InputError, WidthMismatch
from araclip.gallery.catalog.connection import may_write
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.open import encoder_of
from araclip.gallery.search import Done, Steps, advance
from araclip.gallery.suggestions import Suggestions
from araclip.models.encoder_base import Encoder, pixel_vectors, text_vectors, usable_cores
from araclip.pictures.facts import Facts
from araclip.pictures.image_transform import transform_of
from araclip.server.archives import Archives
from araclip.server.batching import Batcher, TextVectorCache
from araclip.server.decoding.sandbox import Sandbox
from araclip.server.events import Events
from araclip.server.http.errors import Problem
from araclip.server.http.gates import Gate, Slots
from araclip.server.http.tokens import Keys
from araclip.server.indexing.supervisor import Indexing
from araclip.server.metrics import Metrics
from araclip.server.originals import MAX_SENT
from araclip.server.served_gallery import Refresher, ServedGallery, check_writable
from araclip.server.settings import Settings
from araclip.server.thumbnails import Thumbnails
from araclip.text.resources import interpreter

log = logging.getLogger("araclip.server")
T = TypeVar("T")
# Texts in a batch. Larger batches are not faster (docs/log/2026-11.md), and a text may have to wait for two batches.
TEXT_BATCH = 16
IMAGE_BATCH = 8
PIECE = 1 << 20  # characters of base64 decoded at a time; a multiple of 4


class Service:
    """Everything that the routes of one server share. `create_app` makes it; the application starts and closes it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = self._load_encoder(settings.model)
        if settings.folders or settings.uploads:
            check_writable(settings.gallery, settings.folders)
        self.interpreter = interpreter(settings.lexicon, data_home())
        self.suggestions = Suggestions()
        self.gallery = ServedGallery(settings.gallery, self.model, create=bool(settings.folders))
        self.archives = Archives(most_bytes=settings.max_archive)
        self.keys = Keys(settings.tokens, session_seconds=settings.session_seconds)
        self.metrics = Metrics()
        self.events = Events()
        self.thumbnails = Thumbnails(_make_cache_folder(settings), most_bytes=settings.thumbnails_bytes)
        self.searches = Gate(settings.max_searches)
        self.embeddings = Gate(settings.max_searches)
        self.started = int(time.time())
        self.sending = Gate(MAX_SENT)
        # originals are opened and hashed in threads of their own, as many at a time as searches
        self.opening = Slots(settings.search_threads, most=MAX_SENT, seconds=settings.wait_seconds)
        self.ready = False
        self.indexing: Indexing | None = None
        self._threads = ThreadPoolExecutor(settings.search_threads, "search")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._text_batcher: Batcher[str] = Batcher(
            lambda texts: text_vectors(self.model, texts), most=TEXT_BATCH, name="text"
        )
        self.texts = TextVectorCache(self._text_batcher)
        self.pixels: Batcher[NDArray[np.uint8]] = Batcher(
            lambda squares: pixel_vectors(self.model, np.stack(squares)), most=IMAGE_BATCH, name="image"
        )
        self._add_gauges()

    async def start(self) -> None:
        """Start the components that need an event loop.

        One text is encoded, so that the first query need not wait until ONNX Runtime has opened the model.
        """
        settings = self.settings
        self.events.start()
        self.sandbox = Sandbox(
            processes=settings.decoders,
            memory=settings.decode_memory,
            seconds=settings.decode_seconds,
            max_waiting=settings.max_pictures,
            wait_seconds=settings.wait_seconds,
        )
        self.refresher = Refresher(self.gallery, changed=self._on_change, failed=self._handle_failed_refresh)
        if settings.folders:
            self.indexing = Indexing(
                self.gallery, settings.folders, self.events, follow=settings.follows, device=settings.device,
                on_commit=self.refresher.wake, ocr=settings.ocr,
            )  # fmt: skip
        if self.indexing and settings.index:
            self.indexing.start()
        await self.texts.rows(["قطة"])
        # loads the word lists for Latin and Arabic script now, so that the first user does not wait 0.1 s for them
        for query in ("2otta", "قطه سودا"):
            await self.in_thread(partial(self.interpreter.interpret, query))
        await self.in_thread(self.gallery.overview)
        await self.in_thread(self._prepare_timeline)
        self.announce()
        self.ready = True

    @property
    def why_not_hide(self) -> tuple[str, str] | None:
        """Return in English and Arabic why this gallery's pictures cannot be hidden; None if they can."""
        if isinstance(self.settings.gallery, Path) and not may_write(self.settings.gallery / FILE_NAME):
            return "The gallery's folder cannot be written.", "مجلد المعرض لا يُكتب فيه."
        return None

    def drain(self) -> None:
        """Begin shutdown: report not ready, and end event streams."""
        self.ready = False
        self.events.close()

    async def close(self) -> None:
        """Stop all components."""
        self.drain()
        if self.indexing:
            await asyncio.to_thread(self.indexing.close)
        await asyncio.to_thread(self.refresher.stop)
        await self.sandbox.close()
        for pool in (self._writer, self._threads):
            pool.shutdown(wait=True, cancel_futures=True)
        self._text_batcher.close()
        self.pixels.close()
        self.thumbnails.close()
        self.gallery.close()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work in the thread pool, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def finish(self, steps: Steps[T], client: str) -> T:
        """Run steps in the thread pool; the texts that they ask for are encoded in a batch with those of others."""
        state = await self.in_thread(partial(advance, steps, None))
        while not isinstance(state, Done):
            vectors = await self.texts.rows(state, client)
            state = await self.in_thread(partial(advance, steps, vectors))
        return state.value

    async def picture_row(self, data: bytes, client: str) -> NDArray[np.float32]:
        """Decode and encode an untrusted picture; return the vector (D,)."""
        row, _ = await self.picture(data, client)
        return row

    async def picture(self, data: bytes, client: str) -> tuple[NDArray[np.float32], Facts]:
        """Decode and encode an untrusted picture; return the vector (D,) and what the picture's header says."""
        loaded = await self.sandbox.read(data, transform_of(self.model), self.settings.max_pixels, client)
        assert loaded.decoded is not None
        return await self.pixels.row(loaded.decoded.pixels, client), loaded.decoded.facts

    async def in_writer(self, work: Callable[[], T]) -> T:
        """Run a change of the gallery: one change at a time, and to its end even if the client disconnects.

        Raises:
            Problem: another process is writing the gallery.
        """
        try:
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, work))
        except GalleryLocked:
            raise Problem("busy-writing", headers={"Retry-After": "5"}) from None

    def announce(self) -> None:
        """Send the listeners of events the generation that searches now see."""
        snapshot = self.gallery.snapshot
        self.events.publish("generation", {"generation": snapshot.generation, "pictures": snapshot.shown})

    def _load_encoder(self, model: str | None) -> Encoder:
        """Load the model with this name; None loads the model that the gallery was made with."""
        threads = max(1, usable_cores() // 2)  # half of the cores, to leave some for other threads
        return encoder_of(self.settings.gallery, model, threads=threads, device=self.settings.device)

    def _handle_failed_refresh(self, error: Exception) -> None:
        """Log why the gallery was not refreshed; if it was re-embedded with another model, load and use that model."""
        log.error("%s", error)
        if not isinstance(error, WidthMismatch):
            return
        try:
            model = self._load_encoder(None)
            self.gallery.change_model(model)
        # If the new model cannot be loaded, because it may not be on this machine, the old model stays in use.
        except AraCLIPError as why:
            log.error("%s", why)
            return
        self.model = model
        self.texts.forget()
        log.warning("the gallery's vectors are those of %s now, and so are the queries'", model.label)
        if self.indexing and self.indexing.cause == "model":  # index again what failed because of the old model
            self.indexing.start()
        self._on_change()

    def _on_change(self) -> None:
        self.announce()
        self._prepare_timeline()

    def _prepare_timeline(self) -> None:
        """Compute the timeline now, so that the page's next visitor does not wait; not for a gallery in PostgreSQL."""
        if isinstance(self.settings.gallery, Path):
            self.gallery.timeline(Filters())

    def _add_gauges(self) -> None:
        numbers: tuple[tuple[str, str, Callable[[], float]], ...] = (
            ("pictures", "Pictures that can be found.", lambda: self.gallery.snapshot.shown),
            ("searches_inside", "Searches that run or wait.", lambda: self.searches.inside),
            ("embeddings_inside", "Requests for vectors that run or wait.", lambda: self.embeddings.inside),
            ("text_batches", "Batches of texts encoded.", lambda: self._text_batcher.batches),
            ("texts", "Texts encoded.", lambda: self._text_batcher.items),
            ("texts_remembered", "Texts whose vector was known.", lambda: self.texts.hits),
            ("pictures_encoded", "Pictures of queries encoded.", lambda: self.pixels.items),
            ("thumbnail_bytes", "Bytes of thumbnails kept.", lambda: self.thumbnails.size),
            ("decoder_restarts", "Decoding processes that were replaced.", lambda: self.sandbox.restarts),
            ("decodes_inside", "Pictures that are decoded or wait.", lambda: self.sandbox.inside),
            ("indexing", "1 while folders are indexed.", lambda: self.indexing is not None and self.indexing.running),
        )
        for name, about, value in numbers:
            self.metrics.gauge(name, about, value)


def decode_data_uri(data_uri: str, most: int) -> bytes:
    """Return the bytes of a picture in a base64 data URI.

    Raises:
        InputError: `data_uri` is no base64 data URI of a picture.
        Problem: the picture has more than `most` bytes.
    """
    head, comma, body = data_uri.partition(",")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise InputError(message("data URI"))
    if len(body) * 3 // 4 > most:
        raise Problem("too-large", limit=most)
    try:
        pieces = [
            base64.b64decode(body[start : start + PIECE], validate=True) for start in range(0, len(body), PIECE)
        ]  # in pieces: decoding holds the GIL, which the event loop needs, too
    except (binascii.Error, ValueError):
        raise InputError(message("base64")) from None
    return b"".join(pieces)


def _make_cache_folder(settings: Settings) -> Path:
    folder = settings.cache or settings.own_folder
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} cannot be written, so thumbnails cannot be stored there. Pass --cache DIR.")
    return folder

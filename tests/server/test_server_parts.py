"""Components of the server: batching, decoding processes, events, translations, snapshots, indexing."""

import asyncio
import errno
import io
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pictures
from araclip.core import atomic
from araclip.core.child_process import Child, receive, send
from araclip.core.messages import ARABIC as IN_ARABIC
from araclip.core.messages import ENGLISH, in_arabic, message, message_as_json, message_from_json, message_of
from araclip.errors import (
    AraCLIPError,
    GalleryCorrupt,
    ImageError,
    ImageTooLarge,
    InputError,
    UnreadableImage,
    UnsupportedFormat,
    WidthMismatch,
)
from araclip.gallery.catalog import writer_lock
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.gallery import Gallery
from araclip.gallery.query import combine, parse
from araclip.gallery.ranking import Page
from araclip.gallery.reference_queries import EVERYDAY
from araclip.gallery.relevance import RelevanceScale
from araclip.gallery.watch import Due
from araclip.models.encoder import AraCLIP
from araclip.pictures import plugins
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import open_image
from araclip.server import served_gallery as refreshing
from araclip.server.batching import Batcher, TextVectorCache
from araclip.server.decoding.sandbox import Sandbox
from araclip.server.events import MAX_QUEUED, Events
from araclip.server.http.errors import KINDS, Problem
from araclip.server.indexing import supervisor
from araclip.server.indexing.supervisor import Indexing
from araclip.server.indexing.worker import cause_of
from araclip.server.served_gallery import Refresher, ServedGallery, example_queries
from araclip.server.translations import validation_in_arabic
from ocr_program import LINES, Program, page
from serving import encoded, make_gallery, photo_album
from tiny import write_tiny_model

ARABIC = re.compile("[\u0621-\u064a]")


# ------------------------------------------------------------------ batching


def lengths(texts: Sequence[str]) -> np.ndarray:
    return np.array([[len(text)] for text in texts], np.float32)


def test_texts_that_arrive_meanwhile_are_encoded_together() -> None:
    seen: list[list[str]] = []
    release = threading.Event()

    def encode(texts: Sequence[str]) -> np.ndarray:
        seen.append(list(texts))
        release.wait(30)
        return lengths(texts)

    async def story() -> list[float]:
        batcher = Batcher(encode, most=4, name="test")
        first = asyncio.create_task(batcher.row("a"))
        while not seen:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher.row("b" * i)) for i in range(2, 8)]
        await asyncio.sleep(0)
        release.set()
        rows = [await task for task in (first, *others)]
        batcher.close()
        return [float(row[0]) for row in rows]

    assert asyncio.run(story()) == [1, 2, 3, 4, 5, 6, 7]  # each caller gets its own row
    assert [len(group) for group in seen] == [1, 4, 2]  # alone when idle, at most four together, then the rest


def test_an_encoders_error_reaches_all_who_wait_and_no_more() -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        if "bad" in texts:
            raise ValueError("no")
        return lengths(texts)

    async def story() -> tuple[list[object], float]:
        batcher = Batcher(encode, most=8, name="test")
        failed = await asyncio.gather(batcher.row("bad"), batcher.row("bad"), return_exceptions=True)
        fine = await batcher.row("good")
        batcher.close()
        return failed, float(fine[0])

    failed, fine = asyncio.run(story())
    assert [type(error) for error in failed] == [ValueError, ValueError]
    assert fine == 4


def test_a_disconnected_client_does_not_affect_the_others() -> None:
    async def story() -> float:
        batcher = Batcher(lengths, most=8, name="test")
        gone = asyncio.create_task(batcher.row("gone"))
        await asyncio.sleep(0)
        gone.cancel()
        row = await batcher.row("here!")
        batcher.close()
        return float(row[0])

    assert asyncio.run(story()) == 5


def test_a_text_is_not_encoded_again_and_memory_is_bounded() -> None:
    async def story() -> tuple[int, int]:
        batcher = Batcher(lengths, most=8, name="test")
        remembered = TextVectorCache(batcher, most=3)
        for text in ("a", "b", "a", "c", "d", "a", "b"):
            await remembered.rows([text])
        batcher.close()
        return batcher.items, remembered.hits

    assert asyncio.run(story()) == (5, 2)  # b was forgotten: a came again in between


# ------------------------------------------------------------------ decoding processes


def in_sandbox(story, **options):  # type: ignore[no-untyped-def]
    async def whole():  # type: ignore[no-untyped-def]
        box = Sandbox(**{"processes": 1, "memory": 1_000_000_000, "seconds": 60, "max_waiting": 8, **options})
        try:
            return await story(box)
        finally:
            await box.close()

    return asyncio.run(whole())


def test_hostile_pictures_are_error_each_and_process_continues(tmp_path: Path) -> None:
    hostile = {
        pictures.bomb(tmp_path / "bomb.png").read_bytes(): ImageTooLarge,
        pictures.truncated(tmp_path / "cut.jpg").read_bytes(): UnreadableImage,
        pictures.text_as_picture(tmp_path / "text.jpg").read_bytes(): UnsupportedFormat,
        b"": UnsupportedFormat,
    }

    async def story(box: Sandbox) -> int:
        for data, kind in hostile.items():
            with pytest.raises(kind):
                await box.thumbnail(data, 64)
            with pytest.raises(ImageError):
                await box.read(data, ImageTransform(16), 10_000_000)
        small, placeholder, width, height = await box.thumbnail(encoded(pictures.landscape((80, 40))), 64)
        assert (width, height) == (64, 32)
        assert len(small) > len(placeholder) > 0
        return box.restarts

    assert in_sandbox(story) == 0


def test_a_picture_above_its_memory_limit_affects_no_other(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.new("RGB", (8, 8)).save(whole, "BMP")
    large = bytearray(whole.getvalue())
    large[18:26] = struct.pack("<II", 12_000, 12_000)  # 576 MB once decoded

    async def story(box: Sandbox) -> None:
        with pytest.raises(ImageTooLarge):
            await box.thumbnail(bytes(large), 64)
        assert (await box.thumbnail(encoded(Image.new("RGB", (9, 9))), 64))[2:] == (9, 9)

    in_sandbox(story, memory=500_000_000)


def test_a_picture_that_takes_too_long_is_cancelled() -> None:
    slow = encoded(Image.new("RGB", (5_000, 5_000)), compress_level=1)

    async def story(box: Sandbox) -> int:
        await box.thumbnail(encoded(Image.new("RGB", (9, 9))), 64)  # the process has started
        box._seconds = 0.01
        with pytest.raises(ImageError, match=r"took more than|within the memory and time"):
            await box.thumbnail(slow, 64)
        box._seconds = 60
        assert (await box.thumbnail(encoded(Image.new("RGB", (9, 9))), 64))[2:] == (9, 9)
        return box.restarts

    assert in_sandbox(story) == 1


def test_decoding_process_that_is_killed_while_idle_is_replaced() -> None:
    async def story(box: Sandbox) -> None:
        small = encoded(Image.new("RGB", (9, 9)))
        await box.thumbnail(small, 64)
        (decoder,) = box._children.idle
        decoder._process.kill()
        decoder._process.wait()
        assert (await box.thumbnail(small, 64))[2:] == (9, 9)

    in_sandbox(story)


def test_a_decoding_process_sees_no_token_and_can_write_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARACLIP_TOKEN_READ", "s" * 32)

    async def story(box: Sandbox) -> tuple[bytes, str]:
        await box.thumbnail(encoded(Image.new("RGB", (9, 9))), 64)
        (decoder,) = box._children.idle
        about = Path(f"/proc/{decoder._process.pid}")
        return (about / "environ").read_bytes(), (about / "limits").read_text()

    if not Path("/proc/self/limits").exists():
        pytest.skip("limits are read from /proc")
    environment, limits = in_sandbox(story)
    assert b"ARACLIP_TOKEN" not in environment
    assert re.search(r"Max file size +0 +0", limits)
    tasks = re.search(r"Max processes +(\d+) +(\d+)", limits)
    assert tasks
    if not plugins.most_decoder_threads():  # decoders of HEIC and JPEG XL need some, on top of what this user runs
        assert tasks.groups() == ("0", "0")
    else:
        assert (
            int(tasks[2])
            <= sum(process.num_threads() for process in psutil.process_iter()) + 2 * plugins.most_decoder_threads()
        )
    assert re.search(r"Max address space +1000000000 +1000000000", limits)
    assert re.search(r"Max core file size +0 +0", limits)


def test_a_decoding_process_reads_what_the_gallery_would(tmp_path: Path, tiny_model: Path) -> None:
    from araclip.gallery.ingest.intake import read_source

    data = pictures.photograph(tmp_path / "p.jpg", (300, 200)).read_bytes()

    async def story(box: Sandbox):  # type: ignore[no-untyped-def]
        return await box.read(data, ImageTransform(16), 10_000_000)

    there, here = in_sandbox(story), read_source(data, set(), ImageTransform(16))
    assert (there.file, there.digest, there.stored_pixels) == (here.file, here.digest, here.stored_pixels)
    assert here.decoded is not None
    assert (there.decoded.facts, there.decoded.phash) == (here.decoded.facts, here.decoded.phash)
    assert np.array_equal(there.decoded.pixels, here.decoded.pixels)


# ------------------------------------------------------------------ events


def test_a_new_listener_gets_the_latest_event_of_each_kind() -> None:
    async def story() -> tuple[bytes, list[bytes]]:
        events = Events()
        events.start()
        for i in range(3):
            events.publish("indexing", {"done": i})
        events.publish("generation", {"pictures": 7, "name": "صورة"})
        await asyncio.sleep(0.01)
        stream = events.stream(60)
        first = await anext(stream)
        for i in range(MAX_QUEUED + 5):
            events.publish("indexing", {"done": 100 + i})
        await asyncio.sleep(0.01)
        events.close()
        return first, [message async for message in stream]

    first, rest = asyncio.run(story())
    assert b'event: indexing\ndata: {"done": 2}\n\n' in first
    assert "صورة".encode() in first
    assert b'"done": 1}' not in first
    assert rest[-1] == f'event: indexing\ndata: {{"done": {100 + MAX_QUEUED + 4}}}\n\n'.encode()


def test_a_stream_ends_by_itself_after_its_time() -> None:
    async def story() -> list[bytes]:
        events = Events()
        events.start()
        return [message async for message in events.stream(0.05)]

    assert asyncio.run(story())[0].startswith(b"retry:")


# ------------------------------------------------------------------ generations


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return photo_album(tmp_path / "album")


@pytest.fixture
def served(tmp_path: Path, tiny_model: Path, album: Path, model: AraCLIP) -> Iterator[ServedGallery]:
    """A gallery of the thirteen pictures of `album`, as a server has it open."""
    with closing(ServedGallery(make_gallery(tmp_path / "gallery", album, tiny_model), model)) as opened:
        yield opened


def search(served: ServedGallery, text: str) -> list[str]:
    query = parse(text)
    vector = combine(served.model.encode_text([text]), query)
    page = Page(20, 0, Filters())
    return [hit.path for hit in served.snapshot.search(vector, page, relevance=True)]


def test_a_server_sees_what_others_indexed_without_waiting(served: ServedGallery, album: Path) -> None:
    refreshed = threading.Event()
    refresher = Refresher(served, changed=refreshed.set, failed=lambda error: None)
    try:
        old = served.snapshot
        new = pictures.solid(album / "new.png", pictures.RED, (77, 77))
        with Gallery.open(served.location, model=served.model) as gallery:
            gallery.update([album])
        refresher.wake()
        assert refreshed.wait(60)
        assert len(served.snapshot.index) == len(old.index) + 1
        assert len(old.index) == 13  # a search that runs keeps what it began with
        assert str(new.resolve()) in search(served, "أحمر")
    finally:
        refresher.stop()


def test_threads_search_one_served_gallery_at_once(served: ServedGallery) -> None:
    expected, found = search(served, "أخضر"), []

    def many() -> None:
        found.extend(search(served, "أخضر") for _ in range(25))

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 200


def test_a_first_search_computes_nothing_that_every_query_needs(
    served: ServedGallery, album: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = RelevanceScale.spread

    def spread(scale: RelevanceScale, queries: np.ndarray) -> np.ndarray:
        assert len(queries) == 1, "reference queries are compared with the pictures while a query waits"
        return whole(scale, queries)

    def searched() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(RelevanceScale, "spread", spread)
            assert search(served, "أحمر")

    searched()
    pictures.solid(album / "new.png", (9, 200, 90))
    make_gallery(served.location, album, tiny_model)
    assert served.refresh()
    searched()


def test_a_gallery_of_another_model_is_searched_on_as_it_was(served: ServedGallery, tmp_path: Path) -> None:
    from araclip.gallery.ingest.reembed import reembed

    expected = search(served, "أحمر")
    other = write_tiny_model(tmp_path / "other", width=12, seed=1, name="other")
    assert reembed(served.location, AraCLIP(other, threads=1)) == 13
    with pytest.raises(WidthMismatch, match=r"other.*start the server again"):
        served.refresh()
    assert search(served, "أحمر") == expected


def test_suggestions_are_queries_that_gallery_has_pictures_for() -> None:
    everyday = np.eye(len(EVERYDAY), dtype=np.float32)
    row = EVERYDAY.index("قطة")
    assert example_queries(everyday, everyday[[row]])[0] == "قطة"
    assert example_queries(everyday, everyday[:0]) == ()


# ------------------------------------------------------------------ problems in two languages


@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_has_texts_in_both_languages(kind: str) -> None:
    fields = dict.fromkeys(re.findall(r"{(\w+)}", KINDS[kind].detail), "X")
    english, arabic = (Problem(kind, **fields).body(language) for language in ("en", "ar"))
    assert ARABIC.search(arabic["title"])
    assert not ARABIC.search(english["title"] + english["detail"])
    assert re.findall(r"{(\w+)}", KINDS[kind].detail) == re.findall(r"{(\w+)}", KINDS[kind].detail_ar)


QUERIES = (
    "", "+", "- 0.5:كلب", "«قطة", "قطة + ", "0.001:قطة", "./a.jpg", "قطة + كلب" * 20, "0.25:قطة - 0.5:قطة",
)  # fmt: skip
FILTERS = (
    ["captured=x"], ["nonsense"], ["captured=2023", "captured=2024"], ["where=x"], ["size=x"], ["format=PDF"],
    ["orientation=up"], ["captured=2024..2023"], ["size=5..1"],
)  # fmt: skip


def messages(tmp_path: Path, tiny_model: Path) -> list[str]:
    """The messages for every error that a client can cause."""
    said = []
    model = AraCLIP(tiny_model, threads=1)
    for text in QUERIES:
        with pytest.raises(AraCLIPError) as caught:
            query = parse(text)
            combine(np.stack([model.encode_text([term.value])[0] for term in query.terms]), query)
        said.append(message_of(caught.value))
    for wishes in FILTERS:
        with pytest.raises(AraCLIPError) as caught:
            Filters.read(wishes).condition()
        said.append(message_of(caught.value))
    for path in (
        pictures.bomb(tmp_path / "a.png"),
        pictures.bomb(tmp_path / "b.png", (14_000, 14_000)),
        pictures.truncated(tmp_path / "c.jpg"),
        pictures.text_as_picture(tmp_path / "d.jpg"),
        pictures.written(tmp_path / "e.jpg", b"\xff\xd8" + b"\xff\xfe\0\2" * 20_000),
        pictures.bomb(tmp_path / "f.png", (1, 149_000_000)),
    ):
        with path.open("rb") as stream, pytest.raises(AraCLIPError) as caught:
            open_image(stream, 32)
        said.append(message_of(caught.value))
    return said


def test_every_message_to_a_client_has_an_arabic_translation(tmp_path: Path, tiny_model: Path) -> None:
    for text in messages(tmp_path, tiny_model):
        arabic = in_arabic(text)
        assert arabic != text, text
        assert ARABIC.search(arabic)
        assert "مرشح" not in arabic  # the page says تصفية
        assert "{" not in arabic


@given(st.text())
def test_quoted_text_of_the_client_is_unchanged_in_a_translation(words: str) -> None:
    assert f"«{words}»" in in_arabic(message("query part", query=words))
    assert in_arabic(words) == words


def test_both_languages_have_the_same_messages_and_fields() -> None:
    assert list(ENGLISH) == list(IN_ARABIC)
    for key, arabic in IN_ARABIC.items():
        assert {*re.findall(r"{(\w+)", arabic)} <= {*re.findall(r"{(\w+)", ENGLISH[key])}, key
        assert ARABIC.search(arabic), key


@pytest.mark.parametrize(
    "about",
    [
        {"message": "plain"},
        {"message": "plain", "key": "no such message", "fields": {}},
        {"message": "plain", "key": "picture pixels", "fields": {"name": "a"}},
        {"message": "plain", "key": "picture seconds", "fields": {"name": "a", "seconds": "many"}},
        {"message": "plain", "key": [], "fields": {}},
        {"message": "plain", "key": "picture empty", "fields": "none"},
    ],
)
def test_what_a_process_says_is_a_message_only_if_it_is_one(about: dict[str, Any]) -> None:
    assert in_arabic(message_from_json(about)) == "plain"
    error = ImageTooLarge(message("picture seconds", name="صورة.png", seconds=30.0))
    assert ARABIC.search(in_arabic(message_from_json(json.loads(json.dumps(message_as_json(error))))))


def test_a_value_that_is_not_valid_is_explained_in_arabic() -> None:
    assert validation_in_arabic("greater_than_equal", {"ge": 1}) == "يجب ألا تقل القيمة عن 1"
    assert ARABIC.search(validation_in_arabic("never heard of", {}))


# ------------------------------------------------------------------ indexing


class PublishedStates(list[str]):
    """Stands in for `Events`: the states that were published."""

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        self.append(data["state"])


def indexed(served: ServedGallery, album: Path, **options: Any) -> PublishedStates:
    """Index until it is done or has failed."""
    states, ends = PublishedStates(), time.monotonic() + 120
    indexing = Indexing(served, [album], states, on_commit=lambda: None, **options)  # type: ignore[arg-type]
    indexing.start()
    while not {"done", "failed"} & set(states):
        assert time.monotonic() < ends
        time.sleep(0.02)
    indexing.close()
    return states


def test_indexing_process_looks_only_at_paths_that_changed(
    served: ServedGallery, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, missed = pictures.solid(album / "new.png", size=(77, 77)), pictures.solid(album / "missed.png", size=(78, 78))
    due = [Due(frozenset({str(new)}))]
    monkeypatch.setattr(supervisor, "changes", lambda roots, stop, walk: iter(due))
    assert indexed(served, album, follow=True)[-1] == "done"
    assert not due[0].postponed
    assert {str(new)} == {str(new), str(missed)} & served.store.files().keys()
    assert indexed(served, album, follow=False)[-1] == "done"
    assert str(missed) in served.store.files()


def test_an_update_is_kept_where_ocr_does_not_work(
    served: ServedGallery,
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = Program(tmp_path / "bin", "exit 127").path.parent
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    page(*LINES).save(album / "page.png")
    with caplog.at_level("WARNING", "araclip.server"):
        assert indexed(served, album, follow=False, ocr=True)[-1] == "done"
    assert "tesseract does not work" in caplog.text
    assert str(album / "page.png") in served.store.files()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "full"),
        (PermissionError(errno.EACCES, "Permission denied"), "denied"),
        (GalleryCorrupt("damaged"), "damaged"),
        (InputError("no such folder"), "missing"),
        (InputError("something else"), "other"),
    ],
)
def test_why_indexing_stopped_is_a_word_without_a_path(tmp_path: Path, error: Exception, cause: str) -> None:
    assert cause_of(error, [str(tmp_path / "gone" if cause == "missing" else tmp_path)]) == cause


def test_a_failure_of_the_indexing_process_tells_its_cause(
    served: ServedGallery, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, Any]] = []
    events = SimpleNamespace(publish=lambda kind, data: states.append(data))
    monkeypatch.setattr(ServedGallery, "model", SimpleNamespace(origin=str(tmp_path / "no model")))
    indexing = Indexing(served, [album], events, follow=False, on_commit=lambda: None)  # type: ignore[arg-type]
    indexing.start()
    while indexing.running:
        time.sleep(0.02)
    indexing.close()
    assert (indexing.state, indexing.cause, states[-1]["cause"]) == ("failed", "model", "model")
    assert str(tmp_path) not in json.dumps(states)


def test_indexing_waits_for_another_writer(
    served: ServedGallery, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(writer_lock, "PATIENCE_S", 0)
    new = pictures.solid(album / "new.png", size=(77, 77))
    tries: list[Due] = []

    def changes(roots: list[Path], stop: threading.Event, walk: threading.Event) -> Iterator[Due]:
        with atomic.single_writer(tmp_path / "gallery" / "lock"):
            tries.append(Due(frozenset({str(new)})))
            yield tries[0]
        tries.append(Due(frozenset({str(new)})))
        yield tries[1]

    monkeypatch.setattr(supervisor, "changes", changes)
    assert indexed(served, album, follow=True)[-1] == "done"
    assert [due.postponed for due in tries] == [True, False]
    assert str(new) in served.store.files()


@pytest.mark.parametrize("error", [TimeoutError("no answer in time"), OSError(errno.ENOMEM, "Cannot allocate memory")])
def test_a_worker_that_cannot_start_is_reported_and_retried(
    served: ServedGallery, album: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr(supervisor, "RETRY_SECONDS", 0.01)
    new = pictures.solid(album / "new.png", size=(77, 77))
    start, tries = supervisor.Child, [Due(frozenset({str(new)})), Due(frozenset({str(new)}))]
    errors = [error]

    def child(*arguments: Any, **options: Any) -> Child:
        if errors:
            raise errors.pop()
        return start(*arguments, **options)

    monkeypatch.setattr(supervisor, "Child", child)
    monkeypatch.setattr(supervisor, "changes", lambda roots, stop, walk: iter(tries))
    states, ends = PublishedStates(), time.monotonic() + 120
    indexing = Indexing(served, [album], states, follow=True, on_commit=lambda: None)  # type: ignore[arg-type]
    indexing.start()
    while "done" not in states:
        assert time.monotonic() < ends, states
        time.sleep(0.02)
    indexing.close()
    assert list(dict.fromkeys(states)) == ["running", "failed", "done"]
    assert [due.postponed for due in tries] == [True, False]
    assert str(new) in served.store.files()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("content", ["pictures", "nothing"])
def test_indexing_process_ends_by_itself_while_its_server_lives(content: str, tmp_path: Path, tiny_model: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    if content == "pictures":
        photo_album(album)
    Gallery.open(tmp_path / "gallery", model=tiny_model, create=True).close()  # as a server makes it
    command = [sys.executable, "-m", "araclip.server.indexing.worker", tmp_path / "gallery", tiny_model, album]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stderr is not None
        send(cast(BinaryIO, worker.stdin), {"paths": None})  # and stays open, as a server keeps it
        while message := receive(cast(BinaryIO, worker.stdout)):
            last = message[0]
        assert worker.wait(60) == (0 if content == "pictures" else 2)
        assert worker.stderr.read() == b""
    assert last["report"]["added"] == 14 if content == "pictures" else "no pictures in" in last["empty"]


def test_a_gallery_unreadable_for_hours_is_one_line_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, told = threading.Semaphore(0), list[str]()

    class Unreadable:
        def refresh(self) -> bool:
            tries.release()
            raise OSError("the disk is gone")

    monkeypatch.setattr(refreshing, "CHECK_SECONDS", 0.001)
    refresher = Refresher(Unreadable(), changed=lambda: None, failed=lambda error: told.append(str(error)))  # type: ignore[arg-type]
    for _ in range(5):
        assert tries.acquire(timeout=60)
    refresher.stop()
    assert told == ["the disk is gone"]

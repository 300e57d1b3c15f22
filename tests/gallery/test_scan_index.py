"""The scan index of many pictures: codes, changes beside them, filters, pages, ties, and damaged files."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pictures
from araclip import AraCLIP, Gallery
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import File, RecordedModel
from araclip.gallery.index import exact, index_file, rabitq, scan_index
from araclip.gallery.index.scan_index import ScanIndex

WIDTH = 32
TEXTS = np.eye(WIDTH, dtype=np.float32)[:20]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty pictures are many."""
    monkeypatch.setattr(scan_index, "EXACT_UP_TO", 30)
    monkeypatch.setattr(rabitq, "EXACT_UP_TO", 30)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.create(tmp_path / "g", RecordedModel("tiny", "f" * 12, WIDTH))
    yield opened
    opened.close()


def units(seed: int, count: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(0.3, 1, (count, WIDTH))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def put(catalog: Catalog, names: range | list[int], vectors: np.ndarray) -> list[int]:
    """Pictures named by numbers, in one commit; returns their ids. One that is there gets another vector."""
    with catalog.writing():
        ids = [catalog.add_content(b"%032d" % n, vector) for n, vector in zip(names, vectors, strict=True)]
        for n, content in zip(names, ids, strict=True):
            catalog.put_file(File(f"/pictures/{n}.jpg", 1, 1), content)
    return ids


def drop(catalog: Catalog, names: list[int]) -> None:
    with catalog.writing():
        catalog.remove_files([f"/pictures/{n}.jpg" for n in names])


def index_of(catalog: Catalog, before: ScanIndex | None = None, rebuild_after: int = 1000) -> ScanIndex:
    return ScanIndex.of(catalog, lambda: TEXTS, before, rebuild_after)


def brute(catalog: Catalog, query: np.ndarray, allowed: list[int] | None = None) -> list[tuple[int, float]]:
    """Every picture, by a plain product, best first, ties by id."""
    ids, vectors = catalog.vectors()
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    hits = [(int(i), float(s)) for i, s in zip(ids, scores, strict=True) if allowed is None or int(i) in allowed]
    return sorted(hits, key=lambda hit: (-round(hit[1], 6), hit[0]))


def test_an_exact_scan_finds_ties_in_order_and_no_damaged_vector() -> None:
    vectors = units(3, 60)
    vectors[[5, 9, 41]] = vectors[2]  # ties
    vectors[[7, 30]] = np.nan
    stored = vectors.astype(np.float16)
    index, query = exact.Exact(np.arange(100, 160), stored), vectors[2]
    for allowed in (None, np.arange(100, 160, 2), np.array([107, 130, 999]), np.array([], np.int64)):
        rows = [row for row in range(60) if allowed is None or row + 100 in allowed]
        scores = {row: float(stored[row].astype(np.float32) @ query) for row in rows if row not in (7, 30)}
        wanted = sorted(scores, key=lambda row: (-round(scores[row], 5), row))
        for k in (0, 1, 3, 4, 10, 58, 1000):
            ids, found = index.search(query, k, allowed)
            assert ids.tolist() == [100 + row for row in wanted[:k]]
            assert np.allclose(found, [scores[row] for row in wanted[:k]], atol=1e-5)
    assert np.array_equal(index.vectors, stored, equal_nan=True)


def same(found: tuple[list[int], list[float]], wanted: list[tuple[int, float]]) -> bool:
    """The same scores in order, and every id with its own score."""
    of = dict(wanted)
    return (
        len(found[0]) == len(wanted) == len(set(found[0]))
        and np.allclose(found[1], [score for _, score in wanted], atol=1e-5)
        and all(abs(of[content] - score) < 1e-5 for content, score in zip(*found, strict=True))
    )


def base_file(catalog: Catalog) -> Path:
    (path,) = catalog.folder.glob("scan-*.faiss")
    return path


# ------------------------------------------------------------------ what it finds


def test_many_pictures_get_codes_and_few_do_not(catalog: Catalog) -> None:
    put(catalog, range(30), units(0, 30))
    assert index_of(catalog).base is None
    put(catalog, range(30, 31), units(1, 1))
    index = index_of(catalog)
    assert index.base is not None and len(index) == 31
    assert same(index.search(TEXTS[0], 31), brute(catalog, TEXTS[0]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "change", "drop"]), st.lists(st.integers(0, 79), min_size=1, max_size=12)),
        max_size=5,
    ),
    st.integers(0, 99),
)
def test_an_index_brought_up_to_date_answers_as_one_made_anew(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int]]], seed: int
) -> None:
    catalog = Catalog.create(tmp_path_factory.mktemp("g"), RecordedModel("tiny", "f" * 12, WIDTH))
    ids = put(catalog, range(60), units(seed, 60))
    index = first = index_of(catalog)
    for at, (deed, drawn) in enumerate(steps):
        names = sorted(set(drawn))
        if deed == "drop":
            drop(catalog, names)
        else:
            ids += put(catalog, names, units(1000 + seed + at, len(names)))
        index = index_of(catalog, index)
        assert index.generation == catalog.generation
    some = sorted(set(ids[::3]))
    cold = index_of(catalog)
    for query in TEXTS[:3]:
        every = brute(catalog, query)
        for found in (index, cold, index_of(catalog, first)):
            assert len(found) == len(every)
            assert same(found.search(query, 200), every)
            assert same(found.search(query, 200, np.array(some)), brute(catalog, query, some))
    catalog.close()


@pytest.mark.parametrize("many", [28, 60], ids=["exact", "codes"])
def test_a_sample_is_drawn_whatever_pattern_of_pictures_is_left(catalog: Catalog, many: int) -> None:
    """As where every second file was an edited copy that was removed: relevance is computed from the sample."""
    ids = put(catalog, range(many), units(0, many))
    index = index_of(catalog)
    drop(catalog, [name for name, content in enumerate(ids) if content % 2 == 0])
    index = index_of(catalog, index)
    assert (index.base is None) == (many == 28) and len(index) == many // 2
    drawn = index.sample(many // 3)  # one in two
    assert many // 5 <= len(drawn) <= many // 3
    assert np.array_equal(drawn, index_of(catalog).sample(many // 3))


@pytest.mark.parametrize("allowed", [None, "half"])
def test_a_short_answer_begins_a_longer_one_whatever_the_depth(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, allowed: str | None
) -> None:
    monkeypatch.setattr(rabitq, "MIN_DEPTH", 40)  # so shallow that some of the best are missed
    monkeypatch.setattr(rabitq, "DEPTH_FACTOR", 0)
    ids = put(catalog, range(400), units(0, 400))
    index = index_of(catalog)
    assert index.base is not None and index.base.codes.depth == 40
    put(catalog, range(400, 410), units(3, 10))
    index = index_of(catalog, index)
    only = np.array(ids[::2]) if allowed else None
    for query in units(9, 8):
        whole = index.search(query, 500, only)
        assert sorted(whole[0]) == sorted(i for i, _ in brute(catalog, query, None if only is None else ids[::2]))
        for k in (1, 4, 5, 6, 20, 41, 399):
            assert index.search(query, k, only) == (whole[0][:k], whole[1][:k])


@pytest.mark.parametrize("rounded", [False, True])  # FAISS does so, on some processors
def test_pictures_alike_come_in_order_of_age(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, rounded: bool) -> None:
    scanned = rabitq._CodeScan.search

    def by_place(scan: Any, query: np.ndarray, k: int) -> Any:
        rows, estimates, sure = scanned(scan, query, k)
        estimates = estimates - np.float32(2e-7) * (rows % 3 == 0)
        order = np.argsort(-estimates, kind="stable")
        return rows[order], estimates[order], sure

    if rounded:
        monkeypatch.setattr(rabitq._CodeScan, "search", by_place)
    monkeypatch.setattr(rabitq, "MIN_DEPTH", 16)
    monkeypatch.setattr(rabitq, "DEPTH_FACTOR", 0)
    far = -TEXTS[:1] + 0.1 * units(0, 300)
    alike = np.repeat(units(5, 1), 120, axis=0)
    both = np.concatenate([far / np.linalg.norm(far, axis=1, keepdims=True), alike])[
        np.random.default_rng(0).permutation(420)
    ]
    ids = put(catalog, range(420), both)
    index = index_of(catalog)
    wanted = [content for content, vector in zip(ids, both, strict=True) if np.array_equal(vector, alike[0])]
    assert index.search(alike[0], 120)[0] == wanted
    assert index.search(alike[0], 2)[0] == wanted[:2]


def test_few_pictures_that_pass_a_filter_are_compared_exactly(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabitq, "MIN_DEPTH", 8)
    monkeypatch.setattr(rabitq, "DEPTH_FACTOR", 0)
    ids = put(catalog, range(500), units(0, 500))
    some = ids[::20]
    for query in units(4, 10):
        found = index_of(catalog).search(query, 10, np.array([*some, 10**9]))
        assert same(found, brute(catalog, query, some)[:10])


# ------------------------------------------------------------------ files and generations


def test_changes_are_compared_beside_codes_until_there_are_many(catalog: Catalog) -> None:
    put(catalog, range(100), units(0, 100))
    index = index_of(catalog)
    path = base_file(catalog)
    put(catalog, range(100, 110), units(1, 10))
    assert index_of(catalog, index, rebuild_after=10).file_generation == index.file_generation
    assert base_file(catalog) == path
    put(catalog, range(110, 111), units(2, 1))
    assert index_of(catalog, index, rebuild_after=10).file_generation == catalog.generation
    assert base_file(catalog) != path


def test_the_file_of_few_pictures_is_not_written_for_each_change(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_index, "EXACT_UP_TO", 1000)
    vectors, query = units(0, 310), units(9, 1)[0]

    def settled(before: ScanIndex | None) -> tuple[ScanIndex, str]:
        """What a writer does at its end; and the file that is there then."""
        index = index_of(catalog, before)
        index.save(catalog)
        catalog.history.forget_before(index.file_generation)
        return index, base_file(catalog).name

    put(catalog, range(300), vectors[:300])
    index, first = settled(None)
    for step, n in enumerate((300, 301, 302)):
        put(catalog, [n, step], vectors[[n, n - 1]])  # one comes, one is given another vector
        index, file = settled(index)
        assert file == first
    drop(catalog, [7])
    for before in (index, None):  # the writer's own index, and one that reads the file and what changed since
        assert same(index_of(catalog, before).search(query, 302), brute(catalog, query))
    put(catalog, range(303, 310), vectors[303:])
    index, file = settled(index)
    assert file != first
    assert same(index_of(catalog).search(query, 309), brute(catalog, query))
    (catalog.folder / file).unlink()
    assert same(index_of(catalog).search(query, 309), brute(catalog, query))


@pytest.mark.parametrize("later", [0, 3])
def test_a_long_log_of_changes_is_forgotten_and_goes_on(catalog: Catalog, later: int) -> None:
    put(catalog, range(2000), units(0, 2000))
    generation = catalog.generation
    put(catalog, range(2000, 2000 + later), units(1, later))
    catalog.history.forget_before(generation)
    assert catalog.rows("SELECT count(*) FROM changes") == [(later,)]
    put(catalog, [5000], units(2, 1))  # the triggers are there again
    changed = catalog.history.changed_since(generation)
    assert changed is not None and len(changed) == later + 1
    assert catalog.find_damage() == []


def test_a_restored_catalogue_is_not_answered_from_the_future(catalog: Catalog, tmp_path: Path) -> None:
    put(catalog, range(100), units(0, 100))
    index_of(catalog)
    catalog.checkpoint()
    backup = shutil.copytree(
        catalog.folder, tmp_path / "backup", ignore=shutil.ignore_patterns("scan-*", "*-wal", "*-shm")
    )
    put(catalog, range(100), units(1, 100))
    later = index_of(catalog, rebuild_after=50)
    catalog.close()
    for part in backup.iterdir():
        shutil.copy(part, catalog.folder)
    restored = Catalog.open(catalog.folder, RecordedModel("tiny", "f" * 12, WIDTH))
    put(restored, range(100, 103), units(2, 3))
    for before in (None, later):
        assert same(index_of(restored, before).search(TEXTS[1], 200), brute(restored, TEXTS[1]))
    restored.close()


@pytest.mark.parametrize("part", ["header", "ids", "codes", "cut", "empty"])
def test_a_file_that_fails_the_quick_check_is_rebuilt(catalog: Catalog, part: str) -> None:
    put(catalog, range(100), units(0, 100))
    wanted = index_of(catalog).search(TEXTS[0], 100)
    path = base_file(catalog)
    whole = path.read_bytes()
    vectors_end = index_file.HEADER + 100 * WIDTH * 2
    at = {"header": 40, "ids": vectors_end + 5, "codes": vectors_end + 800 + 900}.get(part)
    damaged = whole[: {"cut": len(whole) - 10, "empty": 0}.get(part, len(whole))]
    if at is not None:
        damaged = whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :]
    path.write_bytes(damaged)
    assert index_of(catalog).search(TEXTS[0], 100) == wanted
    assert list(scan_index.damaged_files(catalog)) == []


def test_damage_of_a_mapped_vector_is_verified_and_repaired(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_index, "EXACT_UP_TO", 2)
    monkeypatch.setattr(rabitq, "EXACT_UP_TO", 2)
    folder = tmp_path / "صور"
    for i, colour in enumerate((pictures.RED, pictures.GREEN, pictures.BLUE, (250, 250, 250))):
        pictures.solid(folder / f"{i}.png", colour)
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as gallery:
        gallery.update([folder])
        wanted = gallery.search("أحمر", 4)
        assert len(wanted) == 4
        assert gallery.stats().recall == 1.0  # measured: all four are candidates
        assert gallery.verify() == []
        (path,) = gallery.folder.glob("scan-*.faiss")
        with path.open("r+b") as file:
            file.seek(index_file.HEADER + 1)
            file.write(b"\0\0\0")
        (fault,) = gallery.verify()
        assert fault.repairable and fault.where == str(path) and "index" in fault.what
        gallery.repair()
        assert gallery.verify() == []
        assert gallery.search("أحمر", 4) == wanted


BUILDER = """
import sys
from pathlib import Path
import numpy as np
from araclip.gallery.index import rabitq, scan_index
from araclip.gallery.catalog.catalog import Catalog
scan_index.EXACT_UP_TO = rabitq.EXACT_UP_TO = 30
catalog = Catalog.open(Path(sys.argv[1]), None)
print("ready", flush=True)
scan_index.ScanIndex.of(catalog, lambda: np.eye(32, dtype=np.float32)[:20])
"""


def test_a_kill_while_codes_are_written_leaves_a_right_index(catalog: Catalog) -> None:
    put(catalog, range(3000), units(0, 3000))
    for trial in range(5):
        command = [sys.executable, "-c", BUILDER, str(catalog.folder)]
        environment = {**os.environ, "PYTHONPATH": str(Path(scan_index.__file__).parents[2])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.03 * trial)
            child.send_signal(signal.SIGKILL)
        for path in catalog.folder.glob("scan-*.faiss"):  # whole, or not there
            assert index_file.read(path) is not None
    assert same(index_of(catalog).search(TEXTS[0], 3000), brute(catalog, TEXTS[0]))


def test_folder_that_cannot_be_written_is_answered_without_file(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog, range(100), units(0, 100))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_file.atomic, "write", full)
    index = index_of(catalog)
    assert index.base is None
    assert same(index.search(TEXTS[0], 100), brute(catalog, TEXTS[0]))


def test_the_reported_recall_is_that_of_the_index(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scan_index.recall(catalog) == 1.0
    put(catalog, range(2000), units(0, 2000))
    assert scan_index.recall(catalog) is None
    monkeypatch.setattr(rabitq, "MIN_DEPTH", 30)
    monkeypatch.setattr(rabitq, "DEPTH_PERCENTILE", 80)
    monkeypatch.setattr(rabitq, "DEPTH_FACTOR", 1)
    monkeypatch.setattr(rabitq, "TRUSTED_PART", 1)
    index = index_of(catalog)
    found = [set(index.search(text, 10)[0]) & {i for i, _ in brute(catalog, text)[:10]} for text in TEXTS[1::2]]
    told = scan_index.recall(catalog)
    assert told is not None and 0.5 < told < 1
    assert told == pytest.approx(sum(map(len, found)) / 100, abs=0.011)  # one tie may fall either way

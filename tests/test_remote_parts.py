"""Pure parts of a remote gallery, over all inputs: rows and payloads, filters on Qdrant's engine, the mirror's undo."""

import json
import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.catalog.records import File
from araclip.picture_formats.kinds import FORMATS
from araclip.pictures.picture_facts import Facts

pytest.importorskip("qdrant_client")
from qdrant_client import models

from araclip.gallery.qdrant.conditions import INDEXES, condition_of
from araclip.gallery.qdrant.mirror import Mirror
from araclip.gallery.qdrant.payloads import payload_of, point_id, row_of
from araclip.gallery.remote.passing import passes
from araclip.gallery.remote.rows import FileEntry, Row, instant, mark, read_path, stored_path
from qdrant_engine import Engine

FOLDERS = ("/a", "/a/b", "/a/b2", "/ب", "/")
dates = st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda d: d.isoformat()[:19])
near_dates = st.sampled_from(
    ["2022-12-31T23:59:59", "2023-01-01T00:00:00", "2023-05-17T18:30:00", "2024-02-29T12:00:00"]
)
values = st.one_of(
    st.sampled_from(["x", "true", "5", "1.5", ""]), st.booleans(), st.integers(-9, 9), st.sampled_from([1.5, 5.0])
)
metadata = st.dictionaries(
    st.sampled_from(["k", "a.b", "files[]", "ن"]), values | st.lists(values, max_size=2), max_size=2
)
held = st.builds(
    lambda folder, name, size, about: FileEntry(File(f"{folder.rstrip('/')}/{name}.png", size, 7), about),
    st.sampled_from(FOLDERS), st.sampled_from("xyz"), st.integers(0, 4), metadata,
)  # fmt: skip
facts = st.builds(Facts, st.sampled_from(FORMATS), st.integers(1, 3), st.integers(1, 3), st.none() | near_dates)
rows = st.builds(
    lambda id_, added, facts, phash, files: Row(id_, id_.to_bytes(32, "big"), added, facts, phash, tuple(files)),
    st.integers(1, 1 << 40), near_dates, facts, st.integers(0, 2**64 - 1),
    st.lists(held, min_size=1, max_size=3, unique_by=lambda each: each.file.path),
)  # fmt: skip
ends = st.none() | st.sampled_from(["2022", "2023", "2023-01", "2023-05-17", "2023-05-17T18:30", "2024-02-29T12:00:00"])


@st.composite
def any_filters(draw: st.DrawFn) -> Filters:
    fields = {name: draw(ends) for name in ("captured_from", "captured_to", "added_from", "added_to")}
    try:
        return Filters(
            folder=draw(st.none() | st.sampled_from(FOLDERS)),
            min_size=draw(st.none() | st.integers(0, 4)),
            max_size=draw(st.none() | st.integers(0, 4)),
            formats=tuple(draw(st.sets(st.sampled_from(FORMATS), max_size=2))),
            orientation=draw(st.none() | st.sampled_from(["landscape", "portrait", "square"])),
            metadata=draw(
                st.dictionaries(
                    st.sampled_from(["k", "a.b", "ن"]), st.sampled_from(["x", "true", "5", "1.5", "5.0"]), max_size=1
                )
            ),
            **fields,
        )
    except InputError:  # ends that have changed places
        return Filters()


@given(
    st.lists(rows, min_size=5, max_size=30, unique_by=lambda row: row.id),
    st.lists(any_filters(), min_size=10, max_size=40),
)
@settings(max_examples=6)
def test_the_engine_lets_pass_what_the_filters_say(pictures: list[Row], asked: list[Filters]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder))
        engine.answer("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot", "datatype": "float16"}})
        for field, kind in INDEXES.items():
            engine.answer("PUT", "/collections/c/index", {"field_name": field, "field_schema": kind})
        points = [
            {"id": point_id(row.digest, 3), "vector": [1.0, 0.0, 0.0, 0.0], "payload": payload_of(row, 3)}
            for row in pictures
        ]
        if points:
            engine.answer("PUT", "/collections/c/points", {"points": points})
        for filters in asked:
            condition = condition_of(filters) or models.Filter()
            body = {"filter": condition.model_dump(mode="json", exclude_none=True), "limit": 99, "with_payload": True}
            answer = engine.answer("POST", "/collections/c/points/scroll", body)["points"]
            wanted = {row.id for row in pictures if any(passes(filters, row, each) for each in row.files)}
            assert {point["payload"]["order"] for point in answer} == wanted, filters
        engine.answer("DELETE", "/collections/c", {})


@given(rows, st.integers(0, 2**40))
def test_a_row_survives_its_payload(row: Row, since: int) -> None:
    payload = json.loads(json.dumps(payload_of(row, since)))
    assert row_of("id", payload) == replace(row, point="id")


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_any_path_survives_json(raw: bytes) -> None:
    path = os.fsdecode(b"/" + raw)
    stored = json.loads(json.dumps(stored_path(path)).encode())
    assert os.fsencode(read_path(stored)) == b"/" + raw


@given(st.floats(-1e9, 1e9).map(lambda number: round(number, 5)) | st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_written_as_the_local_catalogue_compares_them(number: float) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        (text,) = database.execute("SELECT CAST(? AS TEXT)", (number,)).fetchone()
    assert mark("k", number) == mark("k", text)


@given(dates, dates)
def test_dates_sort_as_their_numbers(one: str, other: str) -> None:
    assert (one < other) == (instant(one) < instant(other))
    assert instant(one[:7]) <= instant(one) <= instant(one[:7], "9")


moves = st.lists(st.tuples(st.integers(1, 5), st.sampled_from("abcdef"), st.booleans()), max_size=12)


@given(moves, moves)
def test_undo_leaves_the_mirror_as_it_was(
    first: list[tuple[int, str, bool]], second: list[tuple[int, str, bool]]
) -> None:
    mirror = Mirror([])

    def play(steps: list[tuple[int, str, bool]]) -> None:
        for content, path, dropped in steps:
            mirror.take_path(path)
            if not dropped:
                row = mirror.rows.get(content, Row(content, bytes([content]), "2023-01-01T00:00:00"))
                mirror.put(replace(row, files=(*row.files, FileEntry(File(path, 1, 1), {}))))
        mirror.drop_empty()

    play(first)
    mirror.begin()
    before = (dict(mirror.rows), dict(mirror.by_digest), dict(mirror.by_path))
    play(second)
    assert {path: row.id for row in mirror.rows.values() for path in (h.file.path for h in row.files)} == mirror.by_path
    mirror.undo()
    assert (mirror.rows, mirror.by_digest, mirror.by_path) == before


def test_two_versions_of_a_picture_have_ids_of_their_own_and_the_same_one_has_the_same() -> None:
    digest = bytes(32)
    assert point_id(digest, 1) == point_id(digest, 1) != point_id(digest, 2)
    assert np.unique([point_id(digest, i) for i in range(50)]).size == 50

"""JSON of strangers is measured before it is parsed: bytes, depth, nodes; and every fault is an error of ours."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from araclip.core import bounded_json
from araclip.errors import DataError, InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def nodes(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + nodes(inner) for inner in value.values())
    return 1 + sum(map(nodes, value)) if isinstance(value, list) else 1


@settings(max_examples=40, deadline=None)
@given(value=VALUES, ascii_only=st.booleans(), limit=st.integers(0, 6))
def test_what_is_within_its_limits_is_read(value: object, ascii_only: bool, limit: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert bounded_json.parse(text, "it") == value
    if depth(value) <= limit:
        assert bounded_json.parse(text, "it", max_depth=limit) == value
    else:
        with pytest.raises(InputError, match=rf"it: nested more than {limit} deep"):
            bounded_json.parse(text, "it", max_depth=limit)
    if nodes(value) > 2 * limit:
        with pytest.raises(InputError, match=rf"it: more than {limit} values and keys"):
            bounded_json.parse(text, "it", max_nodes=limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 50_000, "nested more than 64 deep"),
        (b"[" * 50_000 + b"]" * 50_000, "nested more than 64 deep"),
        (b'{"a":' * 40_000, "nested more than 64 deep"),
        (b"[" * 70 + b"]" * 1_000_000, "more brackets are closed than opened"),
        (b"{" + b'"0":1,' * 100_000 + b'"0":1}', "more than 100000 values and keys"),
        (b"[" + b'"\\\\",' * 200_001 + b"1]", "more than 100000 values and keys"),
        (b"[" + b"1," * 200_000 + b"1]", "more than 100000 values and keys"),
        (b"1" * 10_000, "not JSON"),
        (b'["' + b'\\"' * 400_000, "not JSON"),
        (b"", "not JSON"),
        (b'"\xff"', r"not UTF-8 \(byte 1\)"),
        (b"\xff\xfe[\0]\0", "not UTF-8"),
        (b'"' + b"x" * 2_000_000 + b'"', "more than 2000000 bytes"),
        (b'{"q": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\uDFff": 1}', "half of a surrogate pair"),
        (b"[]", r"must be an object"),
    ],
)
def test_hostile_text_is_refused_in_one_line_and_in_linear_time(text: bytes, message: str) -> None:
    began = time.process_time()
    with pytest.raises(InputError, match=rf"^body: .*{message}") as raised:
        bounded_json.parse(text, "body", max_bytes=2_000_000, max_nodes=100_000, kind=dict)
    assert "\n" not in str(raised.value)
    assert time.process_time() - began < 5


def test_texts_full_of_punctuation_are_no_nodes() -> None:
    assert bounded_json.parse('\ufeff["[,:{\\"", "\\ud83d\\ude00"]'.encode(), "it", max_nodes=5, max_depth=1) == [
        '[,:{"',
        "😀",
    ]
    assert bounded_json.parse(b'"\\udc80"', "it", lone_surrogates=True) == "\udc80"


def test_a_file_is_read_to_its_limit_and_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": 1}', encoding="utf-8")
    assert bounded_json.read(path, kind=dict) == {"a": 1}
    for limit, message in ((7, "more than 7 bytes"), (8, None)):
        if message:
            with pytest.raises(DataError, match=rf"config\.json: {message}"):
                bounded_json.read(path, max_bytes=limit, error=DataError)
        else:
            assert bounded_json.read(path, max_bytes=limit) == {"a": 1}
    with pytest.raises(InputError, match=r"nothing\.json: cannot be read \(No such file"):
        bounded_json.read(tmp_path / "nothing.json")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="not a regular file"):
            bounded_json.read(tmp_path / "pipe")
        with pytest.raises(InputError, match="not a regular file"):
            bounded_json.read(Path("/dev/zero"))

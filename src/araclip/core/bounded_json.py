"""Parse untrusted JSON (a request, a model folder, a data set) after checking its bytes, its depth and its nodes.

The standard library's parser builds whatever it is given: 39 MB of `{"0": 1, "1": 1, …` become 5 GB, and a hundred
thousand brackets end in RecursionError. The text is therefore measured first, in time linear in its length.
"""

import json
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

from araclip.core.files import open_regular
from araclip.errors import AraCLIPError, InputError, first_line

MAX_BYTES = 64_000_000  # limit: bytes of a JSON text; multilingual E5's tokenizer.json with 250,000 entries has 17 MB
MAX_DEPTH = 64  # levels of nesting; configurations have fewer than 10
MAX_NODES = 4_000_000  # limit: values and keys; E5's tokenizer.json has 750,000, each about 100 bytes when parsed

# Matches a JSON string. A string without a closing quote is matched to the end of the text.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_KINDS: dict[type, str] = {dict: "an object {…}", list: "a list […]", str: "a text"}
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - _STEP.keys())


def parse(
    data: bytes,
    name: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
    kind: type | None = None,
    lone_surrogates: bool = False,
    error: type[AraCLIPError] = InputError,
) -> Any:
    """Parse a JSON text in UTF-8 and return its value.

    Args:
        name: the name of the text in messages, such as a file, a line of a file, or "the request's body".
        max_nodes: the most values and keys together.
        kind: the type that the value must have, such as dict.
        lone_surrogates: accept lone surrogates, which stand in Python for the bytes of file names that are not UTF-8.

    Raises:
        `error`: the text is too long, too deep, has too many nodes or is not JSON, or the value has another type.
    """
    if len(data) > max_bytes:
        raise error(f"{name}: more than {max_bytes} bytes of JSON. Give less.")
    if fault := _exceeded_limit(data, max_depth, max_nodes):
        raise error(f"{name}: {fault}.")
    try:
        value = json.loads(data.decode("utf-8-sig"))
        if not lone_surrogates and _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise error(f"{name}: a text has half of a surrogate pair (\\ud800 to \\udfff), which is no letter.") from None
    except UnicodeDecodeError as fault_:
        raise error(f"{name}: not UTF-8 (byte {fault_.start}). Save it as JSON in UTF-8.") from None
    except (ValueError, RecursionError) as fault_:
        raise error(f"{name}: not JSON ({first_line(fault_)}).") from None
    if kind is not None and not isinstance(value, kind):
        raise error(f"{name}: the JSON must be {_KINDS.get(kind, kind.__name__)}.")
    return value


def read(
    path: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
    kind: type | None = None,
    error: type[AraCLIPError] = InputError,
) -> Any:
    """Parse a JSON file and return its value; arguments as in `parse`. At most `max_bytes` + 1 bytes are read.

    Raises:
        `error`: as in `parse`, or the file cannot be read, or is a pipe or a device.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read(max_bytes + 1)
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror}).") from None
    return parse(
        data, str(path), max_bytes=max_bytes, max_depth=max_depth, max_nodes=max_nodes, kind=kind, error=error
    )  # fmt: skip


def _exceeded_limit(data: bytes, max_depth: int, max_nodes: int) -> str | None:
    """Return what is wrong if a text exceeds `max_depth` or `max_nodes`; None otherwise.

    Cheap bounds by bytes.count are tried first; strings are removed only if these bounds do not decide.
    """
    too_many = f"more than {max_nodes} values and keys"
    # This count of quotes may be too low, never too high: a quote after an escaped backslash (\\") is not counted.
    unescaped_quotes = data.count(b'"') - data.count(b'\\"')
    if unescaped_quotes > 2 * max_nodes + 1:
        return too_many
    if _most_nodes(data) > max_nodes or _count_openings(data) > max_depth:
        data = _STRING.sub(b"", data)
    if _most_nodes(data) > max_nodes:
        return too_many
    if _count_openings(data) > max_depth:
        brackets = data.translate(None, _NO_BRACKETS)
        if len(brackets) > 2 * _count_openings(data):
            return "not JSON (more brackets are closed than opened)"
        if max(accumulate(map(_STEP.__getitem__, brackets))) > max_depth:
            return f"nested more than {max_depth} deep"
    return None


def _count_openings(data: bytes) -> int:
    return data.count(b"[") + data.count(b"{")


def _most_nodes(data: bytes) -> int:
    """Return the most values and keys that a text can have: all but the first follow a comma, a colon or a bracket."""
    return 1 + data.count(b",") + data.count(b":") + _count_openings(data)

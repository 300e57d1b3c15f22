"""TOML of strangers, bounded in bytes, depth, length of keys and size of numbers before anything is made of it.

`tomllib` recurses with each bracket, and takes time with the cube of a dotted key's length.
"""

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from araclip.platforms.files import open_to_read

MAX_BYTES = 500_000  # the longest recipe has 20,000
MAX_DEPTH = 32
MAX_PARTS = 32  # of a dotted key

_TOKEN = re.compile(
    r'''"""(?:[^\\"]|\\.|"{1,2}(?!"))*+"{3,5}'''
    r"|'''(?:[^']|'{1,2}(?!'))*+'{3,5}"
    r"""|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|\#[^\n]*+|[\[\]{}=,\n.]""",
    re.DOTALL,
)


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and the table of a TOML file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, no TOML, or more than the bounds allow.
    """
    with open(open_to_read(path), "rb") as stream:  # noqa: PTH123  (closes what was opened)
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("not a regular file")
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes of TOML")
    text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    return text, loads(text)


def loads(text: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        ValueError: it is no TOML, or more than the bounds allow.
    """
    depth = parts = 0
    for token in map(re.Match[str].group, _TOKEN.finditer(text)):
        if token == ".":
            parts += 1
        elif token in ("=", ",", "\n", "[", "]", "{", "}"):
            parts = 0
            depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH or parts > MAX_PARTS:
            raise ValueError(f"nested more than {MAX_DEPTH} deep, or a key of more than {MAX_PARTS} parts")
    table = tomllib.loads(text)
    _check(table)
    return table


def _check(value: Any, depth: int = 0) -> None:
    """Refuse values that JSON or the system cannot hold, and tables nested by dotted keys."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict | list):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(inner, depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    elif isinstance(value, float) and value != value:  # noqa: PLR0124  (NaN)
        raise ValueError("a number is nan")
    elif isinstance(value, str) and "\0" in value:
        raise ValueError("a text holds a NUL character")

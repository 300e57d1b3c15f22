"""Damages to files that strangers write: every field of a JSON file with values nobody expects, and broken bytes."""

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]
Damage = Callable[[Path], None]

DEEP: Any = json.loads("[" * 40 + "]" * 40)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 2**31, 10**12, 2**64, -(10**12), 1.5, 1e300, float("inf"), float("nan"), "", "x", "-1",
    "../../x", "/dev/zero", "a\0b", "\ud800", "\u202e", "x" * 100_000, [], {}, [1, 2, 3], [[]], [None], ["x"] * 3,
    {"x": 1}, {"model_type": "bert"}, [10**12] * 3, DEEP,
)  # fmt: skip
RAW: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 100_000, b"\x80\x04.",
    b"PK\x03\x04", b"1" * 100_000, b"\0" * 4096,
)  # fmt: skip


def places(content: Any, place: Place = ()) -> Iterator[Place]:
    """Where every value of a JSON file stands, the whole of it first."""
    yield place
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*place, key))


def changed(content: Any, place: Place, value: Any) -> Any:
    """A copy with another value in one place; an Ellipsis takes it out."""
    if not place:
        return None if value is ... else value
    made = copy.deepcopy(content)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return made


def json_damages(path: Path) -> list[tuple[str, Damage]]:
    """Name and deed of each damage to a JSON file, or to the first line of a .jsonl."""
    lines = path.suffix == ".jsonl"
    text = path.read_text("utf-8")
    content = json.loads(text.splitlines()[0] if lines else text)
    rest = "".join(text.splitlines(keepends=True)[1:]) if lines else ""
    found = []
    for place in places(content):
        for value in (..., *VALUES):
            name = (
                f"{path.name}: {'.'.join(map(str, place)) or 'whole'} = {'gone' if value is ... else repr(value)[:40]}"
            )
            found.append((name, _writes(json.dumps(changed(content, place, value)) + "\n" + rest)))
    return found


def byte_damages(path: Path) -> list[tuple[str, Damage]]:
    """Name and deed of each damage to a file of any kind."""
    whole = path.read_bytes()
    rng = random.Random(path.name)
    found: list[tuple[str, Damage]] = [(f"{path.name}: bytes {raw[:12]!r}", _writes(raw)) for raw in RAW]
    found += [
        (f"{path.name}: cut at {end}", _writes(whole[:end])) for end in {1, 8, 100, len(whole) // 2, len(whole) - 1}
    ]
    for _ in range(10):
        at = rng.randrange(len(whole))
        flipped = whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
        found.append((f"{path.name}: bit flipped in byte {at}", _writes(flipped)))
    return [*found, (f"{path.name}: gone", Path.unlink), (f"{path.name}: a folder", _folder),
            (f"{path.name}: a pipe", _pipe), (f"{path.name}: a link to nothing", _dangling),
            (f"{path.name}: /dev/zero", _zeros)]  # fmt: skip


def _writes(content: str | bytes) -> Damage:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return lambda path: _replaced(path, raw)


def _replaced(path: Path, raw: bytes) -> None:
    path.unlink()
    path.write_bytes(raw)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def _zeros(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")

"""ZIP archives without compression, written front to back. Pure.

Each file's checksum and size stand before its bytes (no data descriptors), and names are UTF-8 with flag 11 set: so
Windows Explorer, macOS, unzip and readers that stream all take it. Archives stay below 4 GB, and need no ZIP64.
The format: PKWARE's APPNOTE.TXT, 4.3.
"""

import re
import struct
import unicodedata
from dataclasses import dataclass

MAX_BYTES = 4_000_000_000
MAX_NAME = 180  # bytes of UTF-8, with its suffix; file systems take 255, and unpackers add a folder
UTF8 = 0x800
VERSION = 20
BY_UNIX = 3 << 8  # so that names are taken as UTF-8 and the file mode counts
MODE = 0o100644 << 16
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?")


@dataclass(frozen=True)
class Entry:
    """A file of an archive: its name, date (as in a catalogue, or empty), CRC-32, bytes, and where it begins."""

    name: str
    date: str
    crc: int
    size: int
    offset: int

    def head(self) -> bytes:
        """What stands before its bytes."""
        name = self.name.encode()
        fields = (VERSION, UTF8, 0, *_dos(self.date), self.crc, self.size, self.size, len(name), 0)
        return _LOCAL.pack(b"PK\x03\x04", *fields) + name

    def record(self) -> bytes:
        """Its entry in the directory at the end."""
        name = self.name.encode()
        fields = (BY_UNIX | VERSION, VERSION, UTF8, 0, *_dos(self.date), self.crc, self.size, self.size, len(name))
        return _CENTRAL.pack(b"PK\x01\x02", *fields, 0, 0, 0, 0, MODE, self.offset) + name


def directory(entries: list[Entry], offset: int) -> bytes:
    """The end of an archive whose files end at `offset`."""
    records = b"".join(entry.record() for entry in entries)
    count = len(entries)
    return records + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(records), offset, 0)


class Names:
    """Names of the files of one archive: such that every system can write them, and no two are the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        """A name like `name`, with a number where it is taken: Windows and macOS do not tell A from a."""
        stem, dot, suffix = _writable(name).rpartition(".")
        if not dot or len(suffix) > 10 or not stem:
            stem, dot, suffix = f"{stem}{dot}{suffix}", "", ""
        number, found = 1, _cut(stem, dot + suffix)
        while found.casefold() in self._taken:
            number += 1
            found = _cut(stem, f" ({number}){dot}{suffix}")
        self._taken.add(found.casefold())
        return found


def _writable(name: str) -> str:
    """A name without what Windows refuses, in composed form (NFC), as Linux and Windows store names."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = _FORBIDDEN.sub("_", text).strip().rstrip(". ") or "picture"
    return f"_{text}" if _DEVICES.fullmatch(text) else text


def _cut(stem: str, ending: str) -> str:
    room = MAX_NAME - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip() + ending


def _dos(date: str) -> tuple[int, int]:
    """Time and date as MS-DOS has them, from 1980 on, to two seconds."""
    found = _DATE.match(date)
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()) if found else (0,) * 6
    if not (1980 <= year <= 2107 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        return 0, 0x21  # 1980-01-01
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day

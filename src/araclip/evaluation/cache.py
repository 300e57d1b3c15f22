"""Results on disk: one file a protocol, `<id>.npz`, written atomically and never read for another protocol."""

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from araclip.core import atomic
from araclip.core.display import Log
from araclip.errors import first_line
from araclip.evaluation.results import Cost, Direction, Protocol

_STORED = {"found": np.uint32, "level": np.uint32, "clusters": np.uint32}  # half the bytes of what they are in memory


@dataclass(frozen=True)
class Measured:
    """The part of an `Evaluated` that costs time."""

    t2i: Direction
    i2t: Direction
    cost: Cost


def read(folder: Path, protocol: Protocol, log: Log) -> Measured | None:
    """The results stored for this protocol, or None; a damaged file is logged and not used."""
    path = folder / f"{protocol.id}.npz"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            about = json.loads(str(stored["about"]))
            if about["protocol"] != asdict(protocol):
                raise ValueError(f"it holds protocol {about['protocol']}")
            return Measured(_direction(stored, "t2i"), _direction(stored, "i2t"), Cost(**about["cost"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, MemoryError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        log(f"{path} is damaged ({first_line(error):.120}); its results are computed again.")
        return None


def write(folder: Path, protocol: Protocol, measured: Measured) -> None:
    """Store the results of this protocol without times, which hold for one run on one machine."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        f"{way}.{name}": array.astype(_STORED.get(name, array.dtype))
        for way in ("t2i", "i2t")
        for name, array in vars(getattr(measured, way)).items()
    }
    cost = replace(measured.cost, text_ms=None, image_ms=None)
    arrays["about"] = np.array(json.dumps({"protocol": asdict(protocol), "cost": asdict(cost)}))

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    atomic.write(folder / f"{protocol.id}.npz", fill)


def _direction(stored: Any, way: str) -> Direction:
    arrays = {field.name: stored[f"{way}.{field.name}"] for field in fields(Direction)}
    if len({len(array) for array in arrays.values()}) != 1:
        raise ValueError(f"{way} has parts of different lengths")
    return Direction(**{n: a.astype(np.int64) if n in _STORED else a for n, a in arrays.items()})

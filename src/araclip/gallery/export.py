"""A gallery as files for other programs: about.json, pictures.jsonl and vectors.npy."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip import atomic
from araclip.errors import InputError
from araclip.gallery.catalog.catalog import Catalog

EXPORTED = ("about.json", "pictures.jsonl", "vectors.npy")


def export(catalog: Catalog, folder: Path) -> int:
    """Write about.json, pictures.jsonl and vectors.npy into `folder`; returns the number of pictures. See `Gallery`."""
    with catalog.reading():
        ids, vectors = catalog.vectors()
        rows = catalog.rows(
            "SELECT content, path, metadata, size, hash, format, width, height, taken, added "
            "FROM files JOIN contents ON id = content ORDER BY content, path"
        )
    pictures: dict[int, dict[str, Any]] = {}
    for content, path, metadata, size, digest, *facts in rows:
        about = dict(zip(("format", "width", "height", "captured_at", "added"), facts, strict=True))
        picture = pictures.setdefault(content, {"sha256": digest.hex(), **about, "files": []})
        picture["files"].append({"path": os.fsdecode(path), "size": size, "metadata": json.loads(metadata)})
    about = {key: catalog.meta(key) for key in ("model", "fingerprint", "generation")}
    return write_export(folder, about, [pictures[content] for content in ids.tolist()], vectors)


def write_export(
    folder: Path, about: Mapping[str, str], pictures: Iterable[dict[str, Any]], vectors: NDArray[np.float16]
) -> int:
    """Write an export of pictures and their vectors (n, D); returns their number.

    Raises:
        InputError: the folder holds other files.
    """
    if folder.exists() and not (folder.is_dir() and {entry.name for entry in folder.iterdir()} <= set(EXPORTED)):
        raise InputError(f"{folder} holds other files than an export. Choose a new folder.")

    def fill(temporary: Path) -> None:
        np.save(temporary / "vectors.npy", vectors)
        with (temporary / "pictures.jsonl").open("w", encoding="utf-8") as lines:
            lines.writelines(map(_line, pictures))
        size = {"width": vectors.shape[1], "pictures": len(vectors)}
        written = json.dumps({**about, **size}, ensure_ascii=False, indent=1)
        (temporary / "about.json").write_text(written + "\n", encoding="utf-8")

    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(folder, fill)
    return len(vectors)


def _line(picture: dict[str, Any]) -> str:
    try:
        text = json.dumps(picture, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:  # a path that is not UTF-8: escaped, it survives json.loads
        text = json.dumps(picture)
    return text + "\n"

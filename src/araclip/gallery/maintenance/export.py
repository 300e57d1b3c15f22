"""Export a gallery as files for other programs: about.json, pictures.jsonl and vectors.npy."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core import atomic
from araclip.errors import InputError
from araclip.text.normalization import SURROGATES

EXPORTED = ("about.json", "pictures.jsonl", "vectors.npy")


def write_export(
    folder: Path, about: Mapping[str, str], pictures: Iterable[dict[str, Any]], vectors: NDArray[np.float16]
) -> int:
    """Write pictures and their vectors (n, D) into a folder; return the number of pictures.

    Raises:
        InputError: the folder holds files that are not an export.
    """
    if folder.exists() and not (folder.is_dir() and {entry.name for entry in folder.iterdir()} <= set(EXPORTED)):
        raise InputError(f"{folder} holds files that are not of an export. Choose a new folder.")

    def fill(temporary: Path) -> None:
        np.save(temporary / "vectors.npy", vectors)
        with (temporary / "pictures.jsonl").open("w", encoding="utf-8") as lines:
            for picture in pictures:
                line = json.dumps(picture, ensure_ascii=False)
                if SURROGATES.search(line):  # a path is not UTF-8: write escapes, which json.loads reads
                    line = json.dumps(picture)
                lines.write(line + "\n")
        size = {"width": vectors.shape[1], "pictures": len(vectors)}
        written = json.dumps({**about, **size}, ensure_ascii=False, indent=1)
        (temporary / "about.json").write_text(written + "\n", encoding="utf-8")

    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(folder, fill)
    return len(vectors)

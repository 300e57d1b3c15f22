"""Picture sets inside archives, WebDataset tars and Hugging Face datasets, unpacked once into a folder of our form."""

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from araclip import atomic
from araclip.errors import InputError, first_line
from araclip.evaluation.datasets import LISTING
from araclip.images import SUFFIXES

NO_DATASETS = "The package 'datasets' is not installed. Run pip install 'araclip[hub]'."
Rows = Iterable[tuple[bytes | None, str, Mapping[str, Any]]]  # picture, its name, the fields of its line


@dataclass(frozen=True)
class Hub:
    """A Hugging Face dataset: its id on the hub, or the folder of one saved by `save_to_disk`.

    Attributes:
        split: which of its splits. image: its picture column. config, revision: where it has several.
    """

    id: str
    split: str | None
    image: str = "image"
    config: str | None = None
    revision: str | None = None


def unpack_tars(tars: Sequence[Path], folder: Path) -> Path:
    """WebDataset shards → `folder/<fingerprint>` with captions.jsonl and images/, unless it is there already.

    Members whose names agree up to the first dot are a sample: a picture (.jpg, .png, …), .txt (the field "txt") and
    .json (an object whose fields become those of the line). A sample without picture is listed and counts as missing.

    Raises:
        InputError: a tar is missing or damaged, or a .json or .txt member cannot be read; it is named.
    """
    try:
        identity = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in tars]
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}). Check the path.") from None
    return _unpacked(folder, json.dumps(identity), lambda: _samples_of_tars(tars))


def unpack_hub(hub: Hub, folder: Path) -> Path:
    """A Hugging Face dataset → `folder/<fingerprint>` with captions.jsonl and images/, unless it is there already.

    Text columns become fields of the lines. Pictures are copied as they are stored, not encoded again.

    Raises:
        InputError: `datasets` is not installed, the hub cannot be reached, or there is no such set, split or column.
    """
    rows = _hub_rows(hub)
    if hub.image not in rows.column_names:
        raise InputError(
            f"{hub.id} has the columns {', '.join(rows.column_names)}, and no '{hub.image}'. Name its picture column."
        )
    return _unpacked(
        folder, f"{hub.id} {hub.split} {hub.image} {rows._fingerprint}", lambda: _samples_of_hub(rows, hub)
    )


def _unpacked(folder: Path, identity: str, rows: Callable[[], Rows]) -> Path:
    target = folder / hashlib.sha256(identity.encode()).hexdigest()[:12]
    if (target / LISTING).is_file():
        return target

    def fill(part: Path) -> None:
        (part / "images").mkdir()
        with (part / LISTING).open("w", encoding="utf-8", errors="replace") as listing:  # lone surrogates
            for number, (picture, name, fields) in enumerate(rows()):
                suffix = PurePosixPath(name).suffix.lower()
                image = f"images/{number:08}{suffix if suffix in SUFFIXES else ''}"  # never the archive's own path
                if picture is not None:
                    (part / image).write_bytes(picture)
                listing.write(json.dumps({**fields, "image": image}, ensure_ascii=False) + "\n")

    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(target, fill)
    return target


def _samples_of_tars(tars: Sequence[Path]) -> Rows:
    for path in tars:
        key, picture, picture_name = "", None, ""
        fields: dict[str, Any] = {}
        for member, content in _members(path):
            stem, _, suffix = PurePosixPath(member).name.partition(".")
            if not stem:  # ._00001.jpg, which a Mac's tar puts beside 00001.jpg
                continue
            sample = str(PurePosixPath(member).with_name(stem))
            if sample != key and key:
                yield picture, picture_name, {"key": key, **fields}
            if sample != key:
                key, picture, picture_name, fields = sample, None, "", {}
            if f".{suffix.lower()}" in SUFFIXES:
                picture, picture_name = content, member
            elif suffix.lower() in ("txt", "json"):
                fields |= _fields(f"{path}, {member}", suffix.lower(), content)
        if key:
            yield picture, picture_name, {"key": key, **fields}


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield member.name, file.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"{path} is no whole tar ({error}). Fetch it again.") from None


def _fields(where: str, suffix: str, content: bytes) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
        if suffix == "txt":
            return {"txt": text}
        row = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}. Expected {'JSON' if suffix == 'json' else 'text'} in UTF-8.") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: a {type(row).__name__}, expected an object.")
    return row


def _hub_rows(hub: Hub) -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError(NO_DATASETS) from None
    try:
        if Path(hub.id).is_dir():
            rows = _choose_split(hub, datasets.load_from_disk(hub.id))
        else:
            rows = datasets.load_dataset(hub.id, hub.config, split=hub.split, revision=hub.revision)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(
            f"{hub.id} (split {hub.split}) cannot be loaded: {first_line(error):.200}. Check id, split and network, "
            "or fetch it elsewhere and pass its path."
        ) from None
    if isinstance(rows.features.get(hub.image), datasets.Image):
        rows = rows.cast_column(hub.image, datasets.Image(decode=False))  # the bytes as they are
    return rows


def _choose_split(hub: Hub, saved: Any) -> Any:
    splits = list(saved) if isinstance(saved, dict) else []
    if hub.split in splits or (hub.split is None and not splits):
        return saved[hub.split] if splits else saved
    available = f"the splits {', '.join(splits)}" if splits else "no splits"
    raise InputError(f"{hub.id} has {available}, not split {hub.split}. Name one that it has.")


def _samples_of_hub(rows: Any, hub: Hub) -> Rows:
    for number, row in enumerate(rows, 1):
        fields = {column: value for column, value in row.items() if column != hub.image and _is_text(value)}
        yield *_picture(row[hub.image], f"{hub.id} row {number}"), fields


def _picture(value: Any, where: str) -> tuple[bytes | None, str]:
    """Content and name of a picture column's cell: {"bytes", "path"}, a path, or nothing."""
    cell = {"path": value} if isinstance(value, str) else value or {}
    if not isinstance(cell, dict):
        raise InputError(f"{where}: its picture is a {type(value).__name__}, expected bytes or a path.")
    content, name = cell.get("bytes"), cell.get("path") or ""
    if content is None and Path(name).is_file():
        content = Path(name).read_bytes()
    return content, name


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))

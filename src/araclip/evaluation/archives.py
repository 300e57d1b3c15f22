"""Unpacks picture sets from WebDataset tars and Hugging Face datasets into a folder with captions.jsonl, only once."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from araclip.core import atomic, bounded_json
from araclip.core.bounded_tar import MAX_MEMBER, read_members, split_sample_name
from araclip.errors import InputError, first_line
from araclip.evaluation.sets import LISTING, MAX_LINE, PictureFiles
from araclip.pictures.formats import SUFFIXES

NO_DATASETS = "The package 'datasets' is not installed. Run pip install 'araclip[hub]'."
# for each sample: the picture's bytes (None: no picture), its file name, and further fields for captions.jsonl
Rows = Iterable[tuple[bytes | None, str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Hub:
    """Which rows of a Hugging Face dataset to load, and the name of their picture column."""

    id: str  # id on the hub, or the folder of a dataset saved by `save_to_disk`
    split: str | None  # the split; None: all rows of a saved dataset that has no splits
    image: str = "image"  # name of the picture column
    config: str | None = None  # the set's configuration; None: the default one
    revision: str | None = None  # the repository's revision; None: the newest


def unpack_tars(tars: Sequence[Path], folder: Path) -> Path:
    """Unpack WebDataset shards to `folder/<fingerprint>` with captions.jsonl and images/, and return that folder.

    The fingerprint is a hash of the shards' paths, sizes and times; if its folder exists already, nothing is written.
    Consecutive members whose names agree up to the first dot form a sample: a picture (.jpg, .png, …), a .txt (becomes
    the field "txt") and a .json (its object's fields are copied). A sample without picture is listed and counts as
    missing.
    """
    try:
        identity = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in tars]
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}). Check the path.") from None
    return _unpack_once(folder, json.dumps(identity), lambda: _read_tar_samples(tars))


def unpack_hub(hub: Hub, folder: Path) -> Path:
    """Unpack a Hugging Face dataset to `folder/<fingerprint>` with captions.jsonl and images/, and return that folder.

    The fingerprint is a hash of the data set's id, split, picture column and content; if its folder exists already,
    nothing is written. Text columns become fields of the lines. Pictures are copied as stored, not encoded again.
    """
    rows = _load_hub_rows(hub)
    if hub.image not in rows.column_names:
        raise InputError(
            f"{hub.id} has the columns {', '.join(rows.column_names)}, and no '{hub.image}'. Name its picture column."
        )
    return _unpack_once(
        folder, f"{hub.id} {hub.split} {hub.image} {rows._fingerprint}", lambda: _read_hub_samples(rows, hub)
    )


def _unpack_once(folder: Path, identity: str, rows: Callable[[], Rows]) -> Path:
    target = folder / hashlib.sha256(identity.encode()).hexdigest()[:12]
    if (target / LISTING).is_file():
        return target

    def fill(part: Path) -> None:
        (part / "images").mkdir()
        with (part / LISTING).open("w", encoding="utf-8", errors="replace") as listing:  # writes ? for a lone surrogate
            for number, (picture, name, fields) in enumerate(rows()):
                suffix = PurePosixPath(name).suffix.lower()
                # the file is named by its number: the name in the archive is not trusted as a path
                image = f"images/{number:08}{suffix if suffix in SUFFIXES else ''}"
                if picture is not None:
                    (part / image).write_bytes(picture)
                listing.write(json.dumps({**fields, "image": image}, ensure_ascii=False) + "\n")

    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(target, fill)
    return target


def _read_tar_samples(tars: Sequence[Path]) -> Rows:
    for path in tars:
        key, picture, picture_name = "", None, ""
        fields: dict[str, Any] = {}
        texts = 0  # bytes of text that this sample has so far
        for member, content in read_members(path):
            sample, suffix = split_sample_name(member)
            if not sample:
                continue
            if sample != key and key:
                yield picture, picture_name, {"key": key, **fields}
            if sample != key:
                key, picture, picture_name, fields, texts = sample, None, "", {}, 0
            if f".{suffix.lower()}" in SUFFIXES:
                picture, picture_name = content, member
            elif suffix.lower() in ("txt", "json"):
                texts += len(content)
                fields |= _parse_fields(f"{path}, {member}", suffix.lower(), content, texts)
        if key:
            yield picture, picture_name, {"key": key, **fields}


def _parse_fields(where: str, suffix: str, content: bytes, texts: int) -> dict[str, Any]:
    """Return the fields that a text or JSON member of a tar adds to its sample's line of captions.jsonl.

    `texts` is the number of bytes of text in the sample so far, with this member; more than MAX_LINE, or a malformed
    `content`, is an InputError that begins with `where`.
    """
    if texts > MAX_LINE:
        raise InputError(
            f"{where}: {texts:,} bytes of text about one picture, at most {MAX_LINE:,} are read. Take it out of the "
            "archive."
        )
    try:
        text = content.decode("utf-8-sig")
        if suffix == "txt":
            return {"txt": text}
        row = bounded_json.parse(content, where, max_bytes=MAX_LINE, lone_surrogates=True)
    except (ValueError, InputError) as error:
        fault = str(error).removeprefix(f"{where}: ").rstrip(".")
        raise InputError(f"{where}: {fault}. Expected {'JSON' if suffix == 'json' else 'text'} in UTF-8.") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: a {type(row).__name__}, expected an object.")
    return row


def _load_hub_rows(hub: Hub) -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError(NO_DATASETS) from None
    try:
        if Path(hub.id).is_dir():
            rows = _choose_split(hub, datasets.load_from_disk(hub.id))
        else:
            rows = datasets.load_dataset(hub.id, hub.config, split=hub.split, revision=hub.revision)
    except InputError:
        raise
    except Exception as error:  # any exception: for a damaged set, `datasets` and pyarrow raise nearly anything
        raise InputError(
            f"{hub.id} (split {hub.split}) cannot be loaded: {first_line(error):.200}. Check id, split and network, "
            "or fetch it elsewhere and pass its path."
        ) from None
    if isinstance(rows.features.get(hub.image), datasets.Image):
        rows = rows.cast_column(hub.image, datasets.Image(decode=False))  # gives stored bytes, decodes nothing
    return rows


def _text_columns(rows: Any) -> list[str]:
    """Return the names of the columns that hold texts or lists of texts; others may hold files or addresses."""
    import datasets

    def is_text(feature: Any) -> bool:
        if isinstance(feature, datasets.Value):
            return str(feature.dtype) in ("string", "large_string", "null")
        inner = feature[0] if isinstance(feature, list) and len(feature) == 1 else getattr(feature, "feature", None)
        return isinstance(inner, datasets.Value) and is_text(inner)

    return [name for name, feature in rows.features.items() if is_text(feature)]


def _choose_split(hub: Hub, saved: Any) -> Any:
    splits = list(saved) if isinstance(saved, dict) else []
    if hub.split in splits or (hub.split is None and not splits):
        return saved[hub.split] if splits else saved
    if not splits:
        raise InputError(f"{hub.id} has no splits, so none is '{hub.split}'. Leave the split out.")
    rejected = f", not '{hub.split}'" if hub.split else ""
    raise InputError(f"{hub.id} has the splits {', '.join(splits)}{rejected}. Name one of them.")


def _read_hub_samples(rows: Any, hub: Hub) -> Rows:
    import datasets
    from huggingface_hub import constants

    texts = [name for name in _text_columns(rows) if name != hub.image]
    # A picture that the set stores as a path lies in the set's folder, or where `datasets` unpacked the set.
    caches = Path(datasets.config.HF_DATASETS_CACHE), Path(constants.HF_HUB_CACHE)
    places = (Path(hub.id),) if Path(hub.id).is_dir() else caches
    files = PictureFiles(*places, remedy="Save the set with its pictures inside, as `datasets` does by default.")
    for number, row in enumerate(_iterate_rows(rows.with_format(None).select_columns([*texts, hub.image]), hub), 1):
        fields = {}
        for column in texts:
            value = row[column]
            if isinstance(value, str) or (isinstance(value, list) and all(isinstance(text, str) for text in value)):
                fields[column] = value
        yield *_read_picture(row[hub.image], files, f"{hub.id} row {number}"), fields


def _iterate_rows(rows: Any, hub: Hub) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Hugging Face dataset; a row that `datasets` cannot read is an InputError."""
    try:
        yield from rows
    except InputError:
        raise
    except Exception as error:  # any exception: for a damaged file, pyarrow raises nearly anything
        raise InputError(f"{hub.id} cannot be read ({first_line(error):.200}). Fetch it again.") from None


def _read_picture(value: Any, files: PictureFiles, where: str) -> tuple[bytes | None, str]:
    """Return content and name of the picture in a cell, which holds {"bytes", "path"}, a path or nothing.

    The content is None if the cell is empty or its file does not exist. An unusable cell, or a file of more than
    MAX_MEMBER bytes, is an InputError that begins with `where`.
    """
    cell = {"path": value} if isinstance(value, str) else value or {}
    content, name = (cell.get("bytes"), cell.get("path") or "") if isinstance(cell, dict) else (value, "")
    if not isinstance(content, bytes | None) or not isinstance(name, str):
        raise InputError(f"{where}: its picture is a {type(value).__name__}, expected bytes or a path.")
    if content is None and name and (path := files.path(name, where)).is_file():
        if path.stat().st_size > MAX_MEMBER:
            raise InputError(f"{where}: {path} has {path.stat().st_size:,} bytes, at most {MAX_MEMBER:,} are read.")
        content = path.read_bytes()
    return content, name

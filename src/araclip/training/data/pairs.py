"""Parallel text on disk: rows of English and Arabic from .tsv, .tsv.xz, .jsonl or .parquet.

A row that cannot be read stops the run and is named by file and line: a skipped row would be a silent loss, and a row
of another split a silent leak.
"""

import hashlib
import json
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from araclip import bounded_json
from araclip.errors import DataError, first_line
from araclip.text.normalization import normalize

SUFFIXES = (".tsv", ".tsv.xz", ".jsonl", ".parquet")
MAX_LINE = 1_000_000  # bytes of a row: captions have some hundreds, whole articles some ten thousand
MAX_EXPANSION = 200  # xz shrinks parallel text fivefold
PARQUET_ROWS = 1024  # at a time
_ENGLISH = ("english", "en", "eng", "caption_en")
_ARABIC = ("arabic", "ar", "ara", "caption_ar")
_ARABIC_LETTER = re.compile("[\u0621-\u064a]")

Cells = Mapping[str, Any]  # by our names of the columns: english, arabic, source, license, split


@dataclass(frozen=True)
class Pair:
    """One row of parallel text, normalised; `source` is the file's name unless the row names its own."""

    english: str
    arabic: str
    source: str
    license: str = ""


def read_pairs(path: Path, split: str = "train", *, arabic_only: bool = False) -> Iterator[Pair]:
    """The rows of one split of one file, in the file's order.

    Columns: English and Arabic by name (`en`, `english`, `ar`, `arabic` …), in a .tsv without such names the first and
    the second; `source`, `license` and one whose name ends in `split` are optional. A file or a .jsonl row without
    split is "train". In a .tsv, cells after the last needed one may be missing, others may not. Both texts pass
    `araclip.normalize`; a row with an empty one is skipped.

    Args:
        split: rows of any other split are left out.
        arabic_only: no English is needed; pairs have an empty one where there is none.

    Raises:
        DataError: no such file or kind of file, no such columns, a malformed row (file, line and what was expected
            are named), or no row of this split. Raised while iterating.
    """
    kind = _suffix(path)
    name = path.name.removesuffix(kind)
    try:
        rows = {".tsv": _tsv, ".tsv.xz": _tsv, ".jsonl": _jsonl, ".parquet": _parquet}[kind](path, arabic_only)
        has_rows = False
        for where, row in rows:
            belongs = row.get("split", "train")
            if isinstance(belongs, str) and belongs != split:  # one that is no text is reported below
                continue
            pair = _pair(where, row, name, arabic_only)
            if pair.arabic and (pair.english or arabic_only):
                has_rows = True
                yield pair
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error):.200}). Check the path, or fetch the file again."
        ) from error
    if not has_rows:
        raise DataError(f"{path}: empty split, no row with text is '{split}'. Check the file and the split's name.")


def fingerprint(data: Iterable[Pair | Path]) -> str:
    """Sixteen hex digits that change with any pair, with any byte of a file, and with their order."""
    digest = hashlib.sha256()
    for item in data:
        if isinstance(item, Path):
            with item.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(hashlib.sha256(json.dumps(astuple(item)).encode()).digest())
    return digest.hexdigest()[:16]


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise DataError(f"{path}: unknown kind of file, known are {', '.join(SUFFIXES)}. Convert it to one of them.")


def _pair(where: str, row: Cells, name: str, arabic_only: bool) -> Pair:
    texts = {column: row.get(column) for column in ("english", "arabic")}
    if arabic_only and texts["english"] is None:
        texts["english"] = ""
    for column, text in texts.items():
        if not isinstance(text, str):
            _malformed(where, f"{column} is {_shown(text)}, expected text")
    for column in ("source", "license", "split"):
        if not isinstance(row.get(column, ""), str):
            _malformed(where, f"{column} is {_shown(row[column])}, expected text")
    return Pair(
        english=normalize(texts["english"] or ""),
        arabic=normalize(texts["arabic"] or ""),
        source=row.get("source") or name,
        license=row.get("license") or "",
    )


def _shown(value: Any) -> str:
    return "missing or null" if value is None else f"{value!r:.60}"


def _malformed(where: str, what: str) -> NoReturn:
    raise DataError(f"{where}: {what}. Correct it, or take it out.")


def _find_columns(names: Sequence[str]) -> dict[str, str]:
    """Our name → the file's name of each column; of several English or Arabic ones, the first in the lists above."""
    known = {"english": _ENGLISH, "arabic": _ARABIC, "source": ("source",), "license": ("license", "licence")}
    theirs = {name.strip().lower(): name for name in names}
    found = {
        ours: next((theirs[alias] for alias in aliases if alias in theirs), None) for ours, aliases in known.items()
    }
    found["split"] = next((name for name in names if name.strip().lower().endswith("split")), None)
    return {ours: name for ours, name in found.items() if name is not None}


def _columns(path: Path, names: Sequence[str], arabic_only: bool) -> dict[str, str]:
    found = _find_columns(names)
    missing = {"english", "arabic"} - {"english" if arabic_only else ""} - set(found)
    if missing:
        raise DataError(
            f"{path} has the columns {', '.join(names)}, and none for {' and '.join(sorted(missing))}. "
            f"Name them {_ENGLISH[0]} (or {_ENGLISH[1]}) and {_ARABIC[0]} (or {_ARABIC[1]})."
        )
    return found


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    # Bytes are cut at line feeds only, so that the number is the one an editor shows and a wrong byte has a line.
    left = _budget(path)
    with lzma.open(path) if path.name.endswith(".xz") else path.open("rb") as lines:
        for number in count(1):
            where = f"{path}, line {number}"
            if not (raw := lines.readline(MAX_LINE + 1)):
                return
            left -= len(raw)
            if len(raw) > MAX_LINE or left < 0:
                _too_large(where)
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                _malformed(where, f"byte {error.start + 1} is no UTF-8, expected text in UTF-8")
            yield where, line.rstrip("\r\n")


def _budget(path: Path) -> int:
    """Bytes of text that a file may hold when unpacked."""
    if not path.is_file():
        raise DataError(f"{path} cannot be read (no such file). Check the path, or fetch the file again.")
    return MAX_EXPANSION * path.stat().st_size + 100 * MAX_LINE


def _too_large(where: str) -> NoReturn:
    raise DataError(
        f"{where}: more than {MAX_LINE:,} bytes of text in a row, or more than {MAX_EXPANSION} times the file's size "
        "in all. It is no file of pairs of texts; nothing of it is used."
    )


def _tsv(path: Path, arabic_only: bool) -> Iterator[tuple[str, Cells]]:
    lines = _lines(path)
    where, first = next(lines, (f"{path}, line 1", ""))
    if not first or _ARABIC_LETTER.search(first):
        _malformed(where, f"{first!r:.60} is no header, expected column names such as 'en' and 'ar'")
    header = first.split("\t")
    if len(header) > 1 and not {"english", "arabic"} & set(_find_columns(header)):
        header[:2] = ["english", "arabic"]
    columns = _columns(path, header, arabic_only)
    positions = {ours: header.index(theirs) for ours, theirs in columns.items()}
    needed = 1 + max(positions[ours] for ours in ("english", "arabic", "split") if ours in positions)
    for where, line in lines:
        cells = line.split("\t") if len(header) > 1 else [line]  # a single column has no cells to tell apart
        if not needed <= len(cells) <= len(header):
            expected = f"{needed} to {len(header)}" if needed < len(header) else str(needed)
            _malformed(where, f"{len(cells)} cells, expected {expected} ({', '.join(header)})")
        yield where, {ours: cells[position] for ours, position in positions.items() if position < len(cells)}


def _jsonl(path: Path, arabic_only: bool) -> Iterator[tuple[str, Cells]]:
    for where, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = bounded_json.parse(line.encode(), where, error=DataError, lone_surrogates=True)
        except DataError as error:
            _malformed(where, f"no JSON ({str(error).removeprefix(f'{where}: ').rstrip('.')}), expected one object")
        if not isinstance(row, dict):
            _malformed(where, f"a {type(row).__name__}, expected an object")
        yield where, {ours: row[theirs] for ours, theirs in _find_columns(list(row)).items()}


def _parquet(path: Path, arabic_only: bool) -> Iterator[tuple[str, Cells]]:
    import pyarrow
    import pyarrow.parquet

    left, number = _budget(path), 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow.names, arabic_only)
            groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
            if any(group.total_byte_size > left for group in groups):  # unpacked; read before anything is
                _too_large(f"{path}, row 1")
            for batch in file.iter_batches(PARQUET_ROWS, columns=list(columns.values())):
                if batch.nbytes > PARQUET_ROWS * MAX_LINE or (left := left - batch.nbytes) < 0:
                    _too_large(f"{path}, row {number + 1}")
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", {ours: row[theirs] for ours, theirs in columns.items()}
    except (pyarrow.ArrowException, MemoryError, OverflowError) as error:
        raise DataError(f"{path} is no sound parquet file ({first_line(error):.200}). Fetch it again.") from error

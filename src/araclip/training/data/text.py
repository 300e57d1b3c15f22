"""Reads parallel text (pairs of English and Arabic) from files, and mixes files into batches in fixed shares.

A row that cannot be read is a DataError that names file and line: skipping the row would lose data silently, and
taking a row of another split would leak silently.
"""

import csv
import hashlib
import json
import lzma
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, NoReturn

from araclip.core import bounded_json
from araclip.core.bounded_parquet import TEXT_TYPES, parquet_file
from araclip.errors import DataError, InputError, first_line
from araclip.text.normalization import normalize
from araclip.training.data.limits import SLOTS, Chance, Positive, Rows, Template, has_slot
from araclip.training.data.noise import in_dialect, noisy, with_english
from araclip.training.data.sampling import InterleavedSampler

SUFFIXES = (".tsv", ".tsv.xz", ".jsonl", ".parquet")
MAX_LINE = 1_000_000  # limit of a row's bytes; captions have some hundreds, whole articles some ten thousand
MAX_EXPANSION = 200  # limit of unpacked bytes for each byte of a packed file; xz shrinks parallel text fivefold
PARQUET_ROWS = 1024  # number of rows of a parquet file that are read at once
_ENGLISH = ("english", "en", "eng", "caption_en")
_ARABIC = ("arabic", "ar", "ara", "caption_ar")
_ARABIC_LETTER = re.compile("[\u0621-\u064a]")

Cells = Mapping[str, Any]  # column → cell of a row; columns are english, arabic, source, license, split


@dataclass(frozen=True)
class Pair:
    """One row of parallel text, normalised; `source` is the file's name unless the row names a source."""

    english: str
    arabic: str
    source: str
    license: str = ""


def read_pairs(path: Path, split: str = "train", *, arabic_only: bool = False) -> Iterator[Pair]:
    """Yield the pairs of one split of a file, in the file's order.

    The English and the Arabic column are found by name (`en`, `english`, `ar`, `arabic` …); in a .tsv without such
    names they are the first and the second. Columns `source`, `license` and one whose name ends in `split` are
    optional. A file or a .jsonl row without a split counts as "train". In a .tsv, cells after the last needed one may
    be missing, and cells may be quoted as spreadsheets do. Both texts are normalised by `araclip.normalize`; a row with
    an empty text is skipped.

    Args:
        split: rows of any other split are left out.
        arabic_only: English is not needed; a pair without English has an empty text there.

    Raises:
        DataError: the file or a row cannot be read, or the split has no row with text.
    """
    kind = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    if kind is None:
        raise DataError(f"{path}: unknown kind of file, known are {', '.join(SUFFIXES)}. Convert it to one of them.")
    name = path.name.removesuffix(kind)
    try:
        rows = {".tsv": _tsv_rows, ".tsv.xz": _tsv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}[kind](
            path, arabic_only
        )
        has_rows = False
        for where, row in rows:
            belongs = row.get("split", "train")
            if isinstance(belongs, str) and belongs != split:  # `_checked_pair` refuses a split that is no text
                continue
            pair = _checked_pair(where, row, name, arabic_only)
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
    """Return sixteen hex digits: a hash of pairs of texts and of the contents of files, in the order of `data`."""
    digest = hashlib.sha256()
    for item in data:
        if isinstance(item, Path):
            with item.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(hashlib.sha256(json.dumps(astuple(item)).encode()).digest())
    return digest.hexdigest()[:16]


def _checked_pair(where: str, row: Cells, name: str, arabic_only: bool) -> Pair:
    texts = {column: row.get(column) for column in ("english", "arabic")}
    if arabic_only and texts["english"] is None:
        texts["english"] = ""
    for column, text in texts.items():
        if not isinstance(text, str):
            _raise_malformed(where, f"{column} is {_shortened(text)}, expected text")
    for column in ("source", "license", "split"):
        if not isinstance(row.get(column, ""), str):
            _raise_malformed(where, f"{column} is {_shortened(row[column])}, expected text")
    return Pair(
        english=normalize(texts["english"] or ""),
        arabic=normalize(texts["arabic"] or ""),
        source=row.get("source") or name,
        license=row.get("license") or "",
    )


def _shortened(value: Any) -> str:
    return "missing or null" if value is None else f"{value!r:.60}"


def _raise_malformed(where: str, what: str) -> NoReturn:
    raise DataError(f"{where}: {what}. Correct it, or take it out.")


def _find_columns(names: Sequence[str]) -> dict[str, str]:
    """Return a mapping from our name of a column, such as "english", to the file's name, for columns that the file has.

    If several of the file's columns have names for English, the name that comes first in `_ENGLISH` is taken; likewise
    for Arabic with `_ARABIC`.
    """
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


def _text_lines(path: Path) -> Iterator[tuple[str, str]]:
    # Bytes are split at line feeds only, so that an error names the line that an editor shows, even for a wrong byte.
    left = _most_text_bytes(path)
    with lzma.open(path) if path.name.endswith(".xz") else path.open("rb") as lines:
        for number in count(1):
            where = f"{path}, line {number}"
            if not (raw := lines.readline(MAX_LINE + 1)):
                return
            left -= len(raw)
            if len(raw) > MAX_LINE or left < 0:
                _raise_too_large(where)
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                _raise_malformed(where, f"byte {error.start + 1} is no UTF-8, expected text in UTF-8")
            yield where, line.rstrip("\r\n")


def _most_text_bytes(path: Path) -> int:
    """Return the limit of bytes that may be unpacked from a file, by its size; raise DataError if there is no file."""
    if not path.is_file():
        raise DataError(f"{path} cannot be read (no such file). Check the path, or fetch the file again.")
    return MAX_EXPANSION * path.stat().st_size + 100 * MAX_LINE


def _raise_too_large(where: str) -> NoReturn:
    raise DataError(
        f"{where}: more than {MAX_LINE:,} bytes of text in a row, or more than {MAX_EXPANSION} times the file's size "
        "in all. It is no file of pairs of texts; nothing of it is used."
    )


def _tsv_rows(path: Path, arabic_only: bool) -> Iterator[tuple[str, Cells]]:
    lines = _text_lines(path)
    where, first = next(lines, (f"{path}, line 1", ""))
    if not first or _ARABIC_LETTER.search(first):
        _raise_malformed(where, f"{first!r:.60} is no header, expected column names such as 'en' and 'ar'")
    header = _split_cells(first, first.count("\t") + 1)
    if len(header) > 1 and not {"english", "arabic"} & set(_find_columns(header)):
        header[:2] = ["english", "arabic"]
    columns = _columns(path, header, arabic_only)
    positions = {ours: header.index(theirs) for ours, theirs in columns.items()}
    needed = 1 + max(positions[ours] for ours in ("english", "arabic", "split") if ours in positions)
    for where, line in lines:
        if not line.strip():
            continue
        cells = _split_cells(line, len(header))
        if not needed <= len(cells) <= len(header):
            expected = f"{needed} to {len(header)}" if needed < len(header) else str(needed)
            _raise_malformed(where, f"{len(cells)} cells, expected {expected} ({', '.join(header)})")
        yield where, {ours: cells[position] for ours, position in positions.items() if position < len(cells)}


def _split_cells(line: str, columns: int) -> list[str]:
    """Split a line of a .tsv into cells; take the quotation marks off the cells that a spreadsheet has quoted.

    A spreadsheet writes "…" around a cell that holds a tab or a quotation mark, and doubles the marks inside. Other
    texts may also begin or end with a mark, so a tab belongs to a quoted cell only if the line has too many cells.
    """
    cells = line.split("\t") if columns > 1 else [line]  # in a file of one column, a tab is part of the text
    if len(cells) > columns:
        with suppress(csv.Error):
            quoted = next(csv.reader([line], delimiter="\t", strict=True))
            if len(quoted) <= columns:
                return quoted
    return [
        cell[1:-1].replace('""', '"')
        if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")
        else cell
        for cell in cells
    ]


def _jsonl_rows(path: Path, arabic_only: bool) -> Iterator[tuple[str, Cells]]:
    for where, line in _text_lines(path):
        if not line.strip():
            continue
        try:
            row = bounded_json.parse(line.encode(), where, error=DataError, lone_surrogates=True)
        except DataError as error:
            _raise_malformed(
                where, f"no JSON ({str(error).removeprefix(f'{where}: ').rstrip('.')}), expected one object"
            )
        if not isinstance(row, dict):
            _raise_malformed(where, f"a {type(row).__name__}, expected an object")
        yield where, {ours: row[theirs] for ours, theirs in _find_columns(list(row)).items()}


def _parquet_rows(path: Path, arabic_only: bool) -> Iterator[tuple[str, Cells]]:
    import pyarrow
    from pyarrow import compute, types

    def is_flat(kind: pyarrow.DataType) -> bool:
        return bool(types.is_dictionary(kind) or types.is_primitive(kind) or types.is_null(kind))

    left, number = _most_text_bytes(path), 0
    try:
        with parquet_file(str(path)) as file:
            columns = _columns(path, file.schema_arrow.names, arabic_only)
            kinds = {name: file.schema_arrow.field(name).type for name in columns.values()}
        # Text columns are read as dictionaries, so that each distinct text is decoded only once. Others of any length,
        # such as lists, are read row by row, because their rows are only measured once they are unpacked.
        texts = [name for name, kind in kinds.items() if str(kind) in TEXT_TYPES]
        flat = (name in texts or is_flat(kind) for name, kind in kinds.items())
        most_rows = PARQUET_ROWS if all(flat) else 1
        with parquet_file(str(path), texts=texts) as file:
            groups = map(file.metadata.row_group, range(file.num_row_groups))
            # a row group that unpacks to too much is refused before any row is read
            if any(group.total_byte_size > left for group in groups):
                _raise_too_large(f"{path}, row 1")
            for batch in file.iter_batches(most_rows, columns=list(columns.values())):
                for column in batch.columns:
                    size = column.nbytes
                    if pyarrow.types.is_dictionary(column.type):
                        size = compute.sum(compute.binary_length(column.dictionary).take(column.indices)).as_py() or 0
                    if size > most_rows * MAX_LINE or (left := left - size) < 0:
                        _raise_too_large(f"{path}, row {number + 1}")
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", {ours: row[theirs] for ours, theirs in columns.items()}
    except InputError as error:
        raise DataError(str(error)) from error


Direction = Literal["en-ar", "en-en", "ar-ar"]  # language of the teacher's text, then of the student's


@dataclass(frozen=True)
class Source:
    """One file of pairs, and how the mixture uses it.

    Attributes:
        path: a file that `read_pairs` reads; the rows of its split "train" are used.
        weight: the file's part of each batch, relative to the other sources' weights.
        rows: number of pairs that are used, evenly spread over the file; None: all.
        direction: "en-ar": the teacher reads English, the student Arabic. "en-en": both read English. "ar-ar": both
            read Arabic, for a teacher that knows Arabic; the file needs no English column.
        noise: the chance that an Arabic student text gets typing mistakes, see `noisy`.
        dialects: the chance that words of an Arabic student text are replaced by a dialect's, see `noise.in_dialect`.
        mixed: the chance that one word of an Arabic student text is replaced by its English translation.
        templates: for a file of short labels, a JSON file with a list of templates in the student's language: texts in
            which {} or {c} stands for the label. Half of the rows put the label into a template, half use the bare
            label, as queries do.
        teacher_template: with `templates`, the template into which every label is put for the teacher, because English
            CLIPs expect a text around a label. There is only one, so that each label costs one teacher vector. "{}"
            gives the bare label.
    """

    path: Path
    weight: Positive = 1.0
    rows: Rows | None = None
    direction: Direction = "en-ar"
    noise: Chance = 0.0
    dialects: Chance = 0.0
    mixed: Chance = 0.0
    templates: Path | None = None
    teacher_template: Template = "a photo of a {}."


@dataclass(frozen=True)
class Row:
    """One row of a batch: the student reads `text`, the teacher `english` (Arabic, if the teacher reads Arabic)."""

    text: str
    english: str
    source: str


class Mixture:
    """An endless stream of batches from several sources.

    Every 10,000 rows have the sources' shares, see `InterleavedSampler`. In an epoch of a source, each of its distinct
    pairs comes once; the order, the noise and the templates are drawn anew in every epoch.

    >>> mixture = Mixture([Source(Path("captions.tsv.xz"), weight=3, noise=0.3), Source(Path("names.tsv.xz"))], seed=1)
    >>> rows = mixture.batch(step=0, size=128)   # 96 captions, 32 names
    """

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        self.sources = tuple(sources)
        self.seed = seed
        self._pairs = [_distinct_pairs(source) for source in self.sources]
        self._sampler = InterleavedSampler(self.sizes, [source.weight for source in self.sources], seed)
        self._templates = [read_templates(s.templates) if s.templates else () for s in self.sources]

    def batch(self, step: int, size: int) -> list[Row]:
        """Return the rows of one step. The same seed, sources, step and size give the same rows."""
        return [self._row(slot) for slot in range(step * size, (step + 1) * size)]

    @property
    def sizes(self) -> list[int]:
        """The number of distinct pairs of each source, which is the number of rows in one epoch of the source."""
        return [len(pairs) for pairs in self._pairs]

    @property
    def about(self) -> list[str]:
        """A line for each source with the number of its distinct pairs."""
        return [
            f"{source.path.name} ({source.direction}): {size:,} rows"
            for source, size in zip(self.sources, self.sizes, strict=True)
        ]

    @property
    def shares(self) -> list[float]:
        """The share of each source in the stream, from 0 to 1; the shares add up to 1."""
        return self._sampler.shares

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits: a hash of all pairs that can be drawn; shares, noise and templates do not count."""
        return fingerprint(pair for pairs in self._pairs for pair in pairs)

    @property
    def templates_fingerprint(self) -> str:
        """Twelve hex digits: a hash of the templates."""
        return hashlib.sha256(repr(self._templates).encode()).hexdigest()[:12]

    def teacher_texts(self, rows: int | None = None) -> list[str]:
        """Return every distinct text that the teacher encodes: English, or Arabic from sources with direction "ar-ar".

        `rows`: only the texts of the stream's first `rows` rows; None: the texts of all pairs.
        """
        if rows is not None and rows < sum(self.sizes):
            return list(dict.fromkeys(self._row(slot).english for slot in range(rows)))
        return list(
            dict.fromkeys(
                self._teacher_text(source, pair)
                for source, pairs in zip(self.sources, self._pairs, strict=True)
                for pair in pairs
            )
        )

    def _row(self, slot: int) -> Row:
        which, index, earlier = self._sampler.draw(slot)
        source, pair = self.sources[which], self._pairs[which][index]
        rng = random.Random(f"{self.seed} {which} {earlier}")
        text = pair.english if source.direction == "en-en" else pair.arabic
        if self._templates[which] and rng.random() < 0.5:
            text = _fill_template(rng.choice(self._templates[which]), text)
        if source.direction != "en-en":
            for chance, change in ((source.dialects, in_dialect), (source.mixed, with_english), (source.noise, noisy)):
                if chance and rng.random() < chance:
                    text = change(text, rng)
        return Row(text, self._teacher_text(source, pair), pair.source)

    def _teacher_text(self, source: Source, pair: Pair) -> str:
        if source.direction == "ar-ar":
            return pair.arabic
        return _fill_template(source.teacher_template, pair.english) if source.templates else pair.english


def read_templates(path: Path) -> tuple[str, ...]:
    """Read templates from a JSON list of texts, each with one slot, {} or {c}; anything else is a DataError."""
    try:
        templates = bounded_json.read(path, error=DataError)
    except DataError as error:
        fault = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise DataError(f"{path} cannot be read as JSON ({fault}). Expected a list of texts with a slot.") from None
    if not isinstance(templates, list) or not templates:
        raise DataError(f"{path} holds no list of templates. Expected a list such as {['صورة {}']}.")
    for number, template in enumerate(templates, 1):
        if not isinstance(template, str) or not has_slot(template):
            raise DataError(f"{path}, template {number}: {template!r:.60}, expected a text with one {{}} or {{c}}.")
    return tuple(templates)


def _fill_template(template: str, label: str) -> str:
    for slot in SLOTS:
        template = template.replace(slot, label)
    return normalize(template)


def _distinct_pairs(source: Source) -> list[Pair]:
    # A pair that stands twice in a file (perhaps with another source or license) comes once in an epoch.
    read = read_pairs(source.path, arabic_only=source.direction == "ar-ar")
    pairs = list({(pair.english, pair.arabic): pair for pair in read}.values())
    if source.rows is None:
        return pairs
    if source.rows > len(pairs):
        raise DataError(f"{source.path} has {len(pairs)} distinct pairs, rows asks for {source.rows}. Ask for fewer.")
    return [pairs[i * len(pairs) // source.rows] for i in range(source.rows)]

"""Find the damaged rows of a catalogue, and recover all readable rows into a new catalogue.

SQLite refuses a page that does not match its checksum, although most of the page's rows may be intact. So recovery
reads a copy of the file without comparing checksums, and then finds out which of the rows are on damaged pages. These
rows are called doubtful: `repair` encodes doubtful pictures again, and the next update reads doubtful paths and texts
again. The schema in the file is not trusted: the layout of the tables is known, and an empty schema with this layout
replaces the schema of the copy before the copy is read.

The damaged file stays beside the new one as `catalog.sqlite.damaged`; that of an earlier repair gets a number. Nothing
is replaced before the new catalogue is complete, nor unless a second check, made while no other process writes, finds
damage again. A killed run leaves the damaged catalogue in place; if killed between
two renames, it leaves no catalogue, and opening the gallery then asks for a repair.
"""

import json
import os
import secrets
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from araclip.core import atomic
from araclip.core.display import counted
from araclip.errors import GalleryCorrupt, GalleryNotFound
from araclip.gallery.catalog import full_text, schema, seal
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.connection import Connection, is_damage, open_db, translate_errors
from araclip.gallery.catalog.records import STORED_PREFIX, identity_of, timestamp
from araclip.gallery.catalog.schema import DAMAGED_NAME, FILE_NAME, KEYS, is_gallery
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.models.encoder_base import Encoder

Key = int | bytes | str
Rows = dict[Key, dict[str, Any]]  # the rows of a table by their keys

_NEEDED = ("model", "fingerprint", "width")  # values of `meta` without which a gallery cannot be opened
_MOST_DEFINITIONS = 500  # limit: rows of the schema (tables, indexes, triggers) that are read
_HEADER_BYTES = 100  # a SQLite file begins with a header of this length, followed by the schema's first page
# Readable rows between damaged rows are found by halving ranges of keys. At most this number of ranges is read, about a
# second of work: ranges of paths could be halved without end.
_MOST_TRIES = 20_000
_AT_ONCE = 256  # rows whose pages are checked together
_KEY_TYPES: dict[str, type] = {"key": str, "id": int, "content": int, "path": bytes, "hash": bytes, "generation": str}
# Tables whose rows on damaged pages (doubtful rows) are dropped, because they can be made again.
_READ_AGAIN = ("texts", "sidecars", "sidecar_photos", "next_vectors")


def salvage(folder: Path, model: Encoder | None = None) -> list[str]:
    """Replace the damaged catalogue in `folder` by a new one with every readable row; return a line for each table.

    A catalogue that proves sound once no other process can write stays as it is; then no line is returned.

    Args:
        model: the gallery's model, if the user has named it. If the catalogue no longer says which model made its
            vectors, the new catalogue records this model, and `repair` encodes all pictures again.

    Raises:
        GalleryNotFound: there is no catalogue at all.
        GalleryCorrupt: nothing can be read, or the model cannot be read and was not named; the file stays as it is.
        GalleryLocked: another process is writing this gallery.
        OSError: the disk is full; the file stays as it is. The disk needs room for a copy and for the new catalogue.
    """
    path = folder / FILE_NAME
    if not is_gallery(folder):
        raise GalleryNotFound(f"no gallery at {folder}. Make one with `araclip index FOLDER`.")
    with writer_lock(folder):
        # if a killed repair has moved the damaged file aside, read it there
        source = path if path.is_file() else path.with_name(DAMAGED_NAME)
        if source == path and _is_sound(folder):
            return []
        tables, doubtful = _read_tables(source)
        meta = _choose_meta(source, tables, doubtful, model)
        lines = _remove_unusable_rows(tables, doubtful)

        def fill(temporary: Path) -> None:
            _write_catalogue(temporary, meta, tables, doubtful["contents"])
            # Delete the old seal first: a kill would leave it beside the new file.
            atomic.unlink(folder / seal.FILE_NAME)
            if source == path:
                _move_damaged_file(path)
            else:
                _remove_log(path)  # else SQLite would apply the old file's log to the new file

        atomic.write(path, fill, flush=False)  # no flush is needed: SQLite has already flushed the file
    return lines


def _is_sound(folder: Path) -> bool:
    with suppress(GalleryCorrupt), closing(Catalog.open(folder, None, checked=False)) as catalog:
        return not catalog.find_damage()
    return False


def damaged_keys(path: Path) -> Iterator[tuple[str, Key]]:
    """Yield table and key of each row on a damaged page; leave out tables that cannot be listed."""
    for table, key in KEYS.items():
        with suppress(apsw.Error, UnicodeDecodeError), closing(_open_unchecked(path)) as database:
            keys: list[Any] = [row[0] for row in database.execute(f"SELECT {key} FROM {table} ORDER BY 1").fetchall()]
            for each in _unreadable_keys(path, table, key, keys):
                yield table, each


# ------------------------------------------------------------------ reading


def _open_unchecked(path: Path) -> apsw.Connection:
    """Open a catalogue file for reading, without comparing checksums."""
    database = open_db(path, apsw.SQLITE_OPEN_READONLY)
    database.execute("PRAGMA checksum_verification = OFF")
    return database


def _read_tables(source: Path) -> tuple[dict[str, Rows], dict[str, set[Key]]]:
    """Read a catalogue file; return the rows of each table, and the keys of the rows on damaged pages."""
    writable = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    try:
        with translate_errors(source, writing=True), _temporary_file(source) as copy:
            with (
                closing(_open_unchecked(source)) as database,
                closing(open_db(copy, writable, checksums=False)) as target,
                target.backup("main", database, "main") as copying,
            ):
                copying.step()
            layout = schema.columns()
            _write_schema(copy, layout, _root_pages(copy, layout))
            tables = {table: _read_rows(copy, table, names) for table, names in layout.items()}
            keys = {
                table: set(_unreadable_keys(copy, table, KEYS[table], list(rows))) for table, rows in tables.items()
            }
            return tables, keys
    except GalleryCorrupt as error:
        raise _nothing_readable(source) from error


@contextmanager
def _temporary_file(source: Path) -> Iterator[Path]:
    """Yield a free path beside a catalogue, for a temporary file that is deleted at the end of the `with` block."""
    path = source.with_name(f".{source.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield path
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _nothing_readable(source: Path) -> GalleryCorrupt:
    """Return the error to raise if no picture of a catalogue can be read."""
    return GalleryCorrupt(
        f"{source}: not one picture can be read in it. The file stays as it is, and may be the only copy of what was "
        "added without a file. To begin anew, index into another gallery with --gallery."
    )


def _root_pages(copy: Path, layout: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Find, in the schema's readable rows, the number of the first page of each table in `layout` (table → columns).

    Damage may have hit a table's name, its definition, or the whole row. If no readable row names a table, its first
    page is taken from a new, empty catalogue, provided that all other tables begin at the same pages in both.
    """
    found: dict[str, int] = {}
    with closing(_open_unchecked(copy)) as database:
        database.execute("PRAGMA writable_schema = ON")  # keeps SQLite from stopping at errors in the schema's text
        for row in range(1, _MOST_DEFINITIONS):
            with suppress(apsw.Error, UnicodeDecodeError):
                rows: list[tuple[Any, ...]] = database.execute(
                    "SELECT CAST(name AS BLOB), CAST(sql AS BLOB), rootpage FROM sqlite_master WHERE rowid = ?", (row,)
                ).fetchall()
                for name, sql, page in rows:
                    table = _table_defined_in(name or b"", sql or b"", layout)
                    if table and isinstance(page, int):
                        found.setdefault(table, page)
    if found.keys() != layout.keys():
        with _temporary_file(copy) as path, closing(Connection(path, create=True)) as new:
            schema.create(new, {"generation": ""})
            usual: dict[str, int] = dict(new.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
        if all(usual.get(table) == page for table, page in found.items()):
            found = {table: usual[table] for table in layout}
    return found


def _write_schema(copy: Path, layout: Mapping[str, Sequence[str]], root_pages: Mapping[str, int]) -> None:
    """Replace the schema in a copy of a catalogue, whatever it is, by definitions of the tables in `layout`."""
    with _temporary_file(copy) as path:
        with (
            closing(_open_unchecked(copy)) as database,
            closing(open_db(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, checksums=False)) as empty,
        ):
            ((size,),) = database.execute("PRAGMA page_size")
            empty.reserve_bytes("main", database.reserve_bytes("main", -1))
            empty.execute(f"PRAGMA page_size = {size}; PRAGMA user_version = 1")
        first_page = path.read_bytes()
    with copy.open("r+b") as file:
        file.seek(_HEADER_BYTES)
        file.write(first_page[_HEADER_BYTES:])
    with closing(open_db(copy, apsw.SQLITE_OPEN_READWRITE)) as database:
        database.execute("PRAGMA checksum_verification = OFF; PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA writable_schema = ON")
        for table, page in root_pages.items():
            key, *others = layout[table]
            keyed = f"{key} INTEGER PRIMARY KEY" if _KEY_TYPES[key] is int else f"{key} PRIMARY KEY"
            without_rowid = "" if _KEY_TYPES[key] is int else " WITHOUT ROWID"
            sql = f"CREATE TABLE {table}({', '.join([keyed, *others])}){without_rowid}"
            database.execute("INSERT INTO sqlite_master VALUES ('table', ?, ?, ?, ?)", (table, table, page, sql))


def _table_defined_in(name: bytes, sql: bytes, layout: Mapping[str, Sequence[str]]) -> str | None:
    """Return which table of `layout` (table → columns) a row of SQLite's schema defines; None if it defines none.

    `name` and `sql` are columns of that row. As one of them may be damaged, one is enough: `name` is the table's name,
    or `sql` begins with CREATE TABLE and this name.
    """
    for table in layout:
        if name == table.encode() or sql.replace(b'"', b" ").split(b"(")[0].split() == [
            b"CREATE",
            b"TABLE",
            table.encode(),
        ]:
            return table
    return None


def _read_rows(path: Path, table: str, names: Sequence[str]) -> Rows:
    """Read all readable rows of a table, by their keys.

    Rows are read from the table's beginning to the first damage, then from its end backwards, then in between, by
    halving the range of keys between two damaged places again and again.
    """
    key, wanted, rows = KEYS[table], schema.columns()[table], Rows()
    kind_of_key = _KEY_TYPES[key]
    listed = ", ".join(  # read texts as bytes, because damaged text need not be UTF-8
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END, typeof({name})" for name in wanted
    )

    def read(condition: str = "", bounds: Sequence[Key] = (), order: str = "ASC") -> bool:
        """Read rows into `rows`; True if no damage stopped the reading."""
        try:
            found = database.execute(f"SELECT {listed} FROM {table} {condition} ORDER BY {key} {order}", bounds)
            for values in found:
                row = {
                    name: raw.decode("utf-8", "replace") if kind == "text" else raw
                    for name, raw, kind in zip(wanted, values[::2], values[1::2], strict=True)
                }
                if isinstance(row[key], kind_of_key):  # skip a key of another type: its page belongs to another table
                    rows[row[key]] = row
        except apsw.Error:
            return False
        return True

    with suppress(apsw.Error), closing(_open_unchecked(path)) as database:
        if not read():
            before: Any = max(rows, default=kind_of_key())  # type: ignore[type-var,unused-ignore]  # keys of one type
            read(order="DESC")
            after: Any = min((each for each in rows if each > before), default=None)
            parts = deque([] if after is None else [(before, after)])
            for _ in range(_MOST_TRIES):
                if not parts:
                    break
                first, last = parts.popleft()
                between = f"WHERE {key} >= ? AND {key} < ?"
                if not (read(between, (first, last)) or read(between, (first, last), "DESC")):
                    middle = _middle_key(first, last)
                    if middle not in (None, first, last):
                        parts += ((first, middle), (middle, last))
    return rows


def _middle_key(first: Key, last: Key) -> Key | None:
    """Return the key half way between two keys; None if there is none, as between texts in other letters than Latin.

    Where rows between two keys cannot be read, both halves are tried separately.
    """
    if isinstance(first, str) and isinstance(last, str):
        with suppress(UnicodeEncodeError):  # the order of Latin-1 texts is that of their bytes
            middle = _middle_key(first.encode("latin-1"), last.encode("latin-1"))
            return middle.decode("latin-1") if isinstance(middle, bytes) else None
    if isinstance(first, bytes) and isinstance(last, bytes):
        length = max(len(first), len(last)) + 1
        low, high = (int.from_bytes(each.ljust(length, b"\0")) for each in (first, last))
        return ((low + high) // 2).to_bytes(length)
    return (first + last) // 2 if isinstance(first, int) and isinstance(last, int) else None


def _unreadable_keys(path: Path, table: str, key: str, keys: Sequence[Key]) -> Iterator[Key]:
    """Yield the keys whose rows cannot be read when SQLite compares checksums."""
    ordered: list[Any] = sorted(keys)  # type: ignore[type-var,unused-ignore]  # all of one type
    with closing(open_db(path, apsw.SQLITE_OPEN_READONLY)) as database:

        def find(some: Sequence[Key]) -> Iterator[Key]:
            """Yield the keys in `some` (ascending) whose rows cannot be read, by halving `some` again and again."""
            try:
                for _ in database.execute(f"SELECT * FROM {table} WHERE {key} BETWEEN ? AND ?", (some[0], some[-1])):
                    pass
                return
            except UnicodeDecodeError:
                pass
            except apsw.Error as error:
                if not is_damage(error):
                    raise
            if len(some) == 1:
                yield some[0]
            else:
                yield from find(some[: len(some) // 2])
                yield from find(some[len(some) // 2 :])

        for start in range(0, len(ordered), _AT_ONCE):
            yield from find(ordered[start : start + _AT_ONCE])


# ------------------------------------------------------------------ the new catalogue


def _choose_meta(
    source: Path, tables: dict[str, Rows], doubtful: dict[str, set[Key]], model: Encoder | None
) -> dict[str, str]:
    """Choose the gallery's settings (the table `meta`) for the new catalogue; give it a new generation (token).

    Settings on damaged pages are dropped, except those without which no gallery can be opened. If the old catalogue no
    longer says its model and the caller names it, all pictures become `doubtful`, to be encoded again.

    Raises:
        GalleryCorrupt: the old catalogue does not say its model, and no picture can be read or `model` is None.
    """
    found = {
        str(key): row["value"]
        for key, row in tables["meta"].items()
        if isinstance(row["value"], str) and (key in (*_NEEDED, "birth") or key not in doubtful["meta"])
    }
    if not all(found.get(name) for name in _NEEDED) or not found["width"].isdecimal():
        if not tables["contents"]:
            raise _nothing_readable(source)
        if model is None:
            raise GalleryCorrupt(
                f"{source} does not say any more what model it is of. Name the model: `araclip repair --model NAME` "
                "saves what else can be read. The file stays as it is."
            )
        found |= {"model": model.name, "fingerprint": model.fingerprint, "width": str(model.width)}
        doubtful["contents"] |= tables["contents"].keys()
    return {"birth": secrets.token_hex(8)} | found | {"generation": secrets.token_hex(8), "repaired": timestamp()}


def _remove_unusable_rows(tables: dict[str, Rows], doubtful: dict[str, set[Key]]) -> list[str]:
    """Remove rows that refer to lost rows, and `doubtful` rows (of damaged pages) that can be made again.

    Return a line for each table.

    A picture without a file whose path was lost gets its path back, because that path follows from the picture's hash.
    """
    contents, files = tables["contents"], tables["files"]
    by_id = {identity_of(row["hash"]): key for key, row in contents.items() if isinstance(row["hash"], bytes)}
    identities = {content: identity for identity, content in by_id.items()}
    for path, row in list(files.items()):
        text = os.fsdecode(path)  # type: ignore[arg-type]
        # The path of a picture without a file (`picture:…`) contains the picture's hash. So a damaged path can be
        # restored from the picture, and a damaged reference to the picture from the path.
        if text.startswith(STORED_PREFIX):
            row["content"] = by_id.get(text.removeprefix(STORED_PREFIX), row["content"])
            if row["content"] in identities:
                row["path"] = os.fsencode(STORED_PREFIX + identities[row["content"]])
                files[row["path"]] = files.pop(path, row)
        elif path in doubtful["files"]:
            row["mtime_ns"] = -1  # a time that no file has, so that the next update reads the file again
        if row["content"] not in contents or not isinstance(row["size"], int) or not isinstance(row["mtime_ns"], int):
            del files[row["path"]]
        elif not _is_json(row["metadata"]):
            row["metadata"] = "{}"
    with_path = {row["content"] for row in files.values()}
    for identity, content in by_id.items():  # if the path of a picture without a file is lost, make it again
        if content in tables["kept"] and content not in with_path:
            path, size = os.fsencode(STORED_PREFIX + identity), len(tables["kept"][content]["picture"] or b"")
            files[path] = {"path": path, "size": size, "mtime_ns": 0, "content": content, "metadata": "{}"}
    for table in _READ_AGAIN:
        for key in doubtful[table]:
            tables[table].pop(key, None)
    # of a row of `photos` on a damaged page (a doubtful row), keep only whether the picture is hidden
    for key in doubtful["photos"] & tables["photos"].keys():
        hidden = tables["photos"][key]["hidden"]
        tables["photos"][key] = {"content": key, "hidden": int(hidden not in (0, None))}
    for row in tables["commits"].values():
        row["number"] = -1  # the log of changes, which begins anew, does not reach back to these commits
    for table in ("kept", "texts", "photos", "next_vectors"):
        tables[table] = {key: row for key, row in tables[table].items() if key in contents}
    tables["sidecars"] = {key: row for key, row in tables["sidecars"].items() if key in files}
    tables["sidecar_photos"] = {key: row for key, row in tables["sidecar_photos"].items() if key in tables["sidecars"]}
    lines = [
        f"{table}: {counted(len(rows), 'row')} saved."
        for table, rows in tables.items()
        if table not in ("meta", "next_vectors", "commits")
    ]
    if altered := len(doubtful["files"] & files.keys()):
        lines.append(f"{counted(altered, 'path')} stood on damaged pages; `araclip index` reads their files again.")
    return lines


def _is_json(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def _write_catalogue(path: Path, meta: dict[str, str], tables: dict[str, Rows], doubtful: set[Key]) -> None:
    """Write a new catalogue with all rows that SQLite accepts.

    The pictures with the ids `doubtful` are listed in it, so that `repair` encodes them again.
    """
    with closing(Connection(path, create=True)) as database:
        # No journal on the disk is needed: after a kill, the file stays an unused temporary file.
        database.execute("PRAGMA journal_mode = MEMORY")
        schema.create(database, meta)
        refused = set[Key]()
        with database.transaction():
            for table, rows in tables.items():
                for row in rows.values() if table != "meta" else ():
                    try:
                        marks = ", ".join("?" * len(row))
                        database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [*row.values()])
                    # leave out a damaged row: a value has a wrong type, or a key comes twice
                    except (apsw.ConstraintError, apsw.MismatchError):
                        refused.add(row[KEYS[table]])
            for content in doubtful & tables["contents"].keys() - refused:
                database.execute("INSERT INTO doubtful VALUES (?)", (content,))
            database.execute("DELETE FROM files WHERE content NOT IN (SELECT id FROM contents)")
            database.execute("INSERT OR IGNORE INTO unworded SELECT DISTINCT content FROM files")
            full_text.index_changed(database)
            database.execute(
                "UPDATE commits SET number = (SELECT ifnull(max(number), 0) FROM changes) WHERE number >= 0"
            )


def _move_damaged_file(path: Path) -> None:
    """Move the damaged catalogue to DAMAGED_NAME, where the next repair finds it if this repair is killed.

    An older file of that name is renamed to DAMAGED_NAME-2, or the next free number. The log of each file is linked
    under its new name before the file is moved, and its old name is removed afterwards: if the process is killed
    between, the log lies beside its file in either place.
    """
    usual, number = path.with_name(DAMAGED_NAME), 2
    while (free := path.with_name(f"{DAMAGED_NAME}-{number}")).exists():
        number += 1
    for file, aside in ((usual, free), (path, usual)):
        if not file.exists():
            continue
        log = file.with_name(f"{file.name}-wal")
        if log.is_file():
            atomic.step("set the log aside")
            second = aside.with_name(f"{aside.name}-wal")
            second.unlink(missing_ok=True)
            try:
                second.hardlink_to(log)
            except OSError:  # the file system has no hard links: rename the log instead
                log.replace(second)
        atomic.step("set aside")
        file.replace(aside)
        _remove_log(file)


def _remove_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        atomic.unlink(path.with_name(f"{path.name}{suffix}"))

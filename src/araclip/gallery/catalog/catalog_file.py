"""The catalogue's SQLite file: opening it, transactions, its seal, and the check for damage.

The state after a commit is called a generation, and named by a random token.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Self

from araclip.core import atomic
from araclip.errors import GalleryCorrupt, GalleryError, WidthMismatch
from araclip.gallery.catalog import connection, full_text, photos, schema, seal
from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.records import RecordedModel
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.catalog.store import Store
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.models.encoder_base import Encoder

# For `large_writes`: 200 MB of cache (negative: in kB), and 200 MB of log (in pages of 4 kB).
_LARGE_WRITES = {"cache_size": -200_000, "wal_autocheckpoint": 50_000}


class CatalogFile(Store):
    """A connection to the SQLite file of a gallery's catalogue. All changes are made inside `writing()`."""

    folder: Path

    def __init__(self, folder: Path, database: Connection) -> None:
        self.folder = folder.absolute()  # made absolute, so that the path stays valid if the working folder changes
        self.path = self.folder / FILE_NAME
        self.connection = database
        self._file = seal.file_id(self.path)

    @classmethod
    def create(cls, folder: Path, model: Encoder | RecordedModel) -> Self:
        """Open the catalogue in `folder`, creating it if there is none.

        A new catalogue records the model's name and fingerprint, and from where the model can be loaded.

        Raises:
            GalleryCorrupt, NewerGallery: the existing file cannot be used.
            WidthMismatch: the catalogue holds another model's vectors.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with closing(schema.connect(folder / FILE_NAME, create=True)) as database:
            # The token "birth" never changes, also in copies, so it tells which backups are of this catalogue; each
            # commit replaces the token "generation".
            tokens = {name: secrets.token_hex(8) for name in ("birth", "generation")}
            with connection.translate_errors(folder / FILE_NAME, writing=True):
                derived = {name: value for name, (value, _) in photos.DERIVED.items()}
                schema.create(database, RecordedModel.of(model).settings() | tokens | derived)
        return cls.open(folder, model)

    @classmethod
    def open(cls, folder: Path, model: Encoder | RecordedModel | None, *, checked: bool = True) -> Self:
        """Open an existing catalogue, of any model if `model` is None.

        Args:
            checked: False to open a catalogue with damaged rows, for repair.

        Raises:
            GalleryNotFound: there is no catalogue.
            GalleryCorrupt, NewerGallery: the file cannot be used. GalleryError: it is older than the first release.
            WidthMismatch: the catalogue holds another model's vectors.
        """
        path = folder / FILE_NAME
        catalog = cls._connect(folder)
        try:
            with catalog.translate_errors():
                schema.check_schema(catalog.connection, path)
                if checked:
                    catalog._check_seal()
                record = catalog.recorded
            if not (record.fingerprint and record.width):
                raise connection.damage_error(path, "it does not say what model it is of")
            if model is not None:
                record.check(model, catalog.folder)
        except BaseException:
            catalog.close()
            raise
        return catalog

    @classmethod
    def _connect(cls, folder: Path) -> Self:
        return cls(folder, schema.connect(folder / FILE_NAME))

    def _check_seal(self) -> None:
        """Compare the catalogue with its seal, a file that records the last commit (see `seal`).

        If the catalogue file is not in the state that the seal records, the whole file is checked.

        Raises:
            GalleryCorrupt: commits are lost, or the file is damaged.
        """
        sealed = seal.read(self.folder)
        if sealed and not self.has_commit(sealed.generation):
            self.check_current()
            raise GalleryCorrupt(
                f"{self.path} is not what the last run committed: its log {self.path.name}-wal was damaged or removed, "
                "or this is a copy made while a program was writing. Copy it again with `araclip backup`, or run "
                "`araclip repair`, then `araclip index` on your folders."
            )
        if not (sealed and sealed.file == seal.file_state(self.path)):
            self.check()

    def check(self) -> None:
        """Check the whole file; if it is sound, record its state in the seal, so that the next opening needs no check.

        Raises:
            GalleryCorrupt: the file is damaged.
        """
        if damages := self.find_damage():
            raise GalleryCorrupt(
                f"{self.path} is damaged: {damages[0]}. Run `araclip repair`, which recovers readable rows and encodes "
                "your pictures again where needed; they are not touched. If this is a copy made while a program was "
                "writing, copy it again with `araclip backup`."
            )
        if self.connection.may_write:
            seal.write(self.path, self.meta("generation"), known=True)

    def has_commit(self, generation: str) -> bool:
        """True if the history contains the commit with this token (`generation`)."""
        return bool(self.rows("SELECT 1 FROM commits WHERE generation = ?", (generation,)))

    def translate_errors(self) -> AbstractContextManager[None]:
        """Turn SQLite's errors into araclip's, in a `with` block that uses `connection`."""
        return connection.translate_errors(self.path)

    def close(self) -> None:
        """Close the connection. After the file's last connection, SQLite copies the write-ahead log into the file."""
        self.connection.close()

    # ------------------------------------------------------------------ transactions

    @contextmanager
    def turn(self, model: Encoder, patience: float | None = None) -> Iterator[None]:
        """Hold the folder's writer lock, for the length of a `with` block.

        Raises:
            GalleryLocked: other processes write for longer than `patience` seconds.
            WidthMismatch: the gallery was re-embedded with another model.
        """
        with writer_lock(self.folder, patience=patience):
            self.check_model(model)
            yield

    @contextmanager
    def writing(self, *, visible: bool = True) -> Iterator[None]:
        """Run a `with` block as one transaction, committed completely or not at all.

        Args:
            visible: True to give the catalogue a new generation, so that readers notice the change.

        Raises:
            OSError: the disk is full or read-only; earlier commits stay.
            GalleryError: the catalogue file was replaced since it was opened.
        """
        self.check_current()
        known = seal.is_known(self.path)
        with connection.translate_errors(self.path, writing=True):
            if not self.connection.may_write and connection.may_write(self.path):  # opened while the disk was full
                self.connection = schema.connect(self.path)
            with self.connection.transaction():
                self.connection.execute(schema.GONE)  # creates tables that older galleries of this schema lack
                yield
                full_text.index_changed(self.connection)
                generation = secrets.token_hex(8) if visible else self.meta("generation")
                if visible:
                    self.connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (generation,))
                atomic.step("commit")
            atomic.step("committed")
        seal.write(self.path, generation, known=known)

    @contextmanager
    def large_writes(self) -> Iterator[None]:
        """Make SQLite faster for many writes, in a `with` block: keep more pages in memory, and make fewer checkpoints.

        The SHA-256 hashes of new pictures change random pages of an index, and each checkpoint copies all these pages.
        """
        usual = {name: self.rows(f"PRAGMA {name}")[0][0] for name in _LARGE_WRITES}
        for name, value in _LARGE_WRITES.items():
            self.rows(f"PRAGMA {name} = {value}")
        try:
            yield
        finally:
            for name, value in usual.items():
                self.rows(f"PRAGMA {name} = {value}")

    def checkpoint(self, *, vacuum: bool = False) -> None:
        """Copy the write-ahead log into the catalogue, after a write.

        `vacuum`: True to rewrite the file first, without its free pages.
        """
        known = seal.is_known(self.path)
        with connection.translate_errors(self.path, writing=vacuum):
            if vacuum:
                self.connection.execute("VACUUM")
            self.connection.checkpoint()
        seal.write(self.path, self.meta("generation"), known=known)

    def copy_to(self, path: Path) -> None:
        """Copy the last commit into a new SQLite file, even while others write."""
        self.rows("SELECT 1")  # if this catalogue is closed, raise an error before a file is made
        with connection.translate_errors(path, writing=True):
            self.connection.copy_to(path)

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self.translate_errors(), self.connection.snapshot():
            yield

    @contextmanager
    def frozen(self) -> Iterator[Self]:
        """Yield a consistent view of the catalogue: a second connection inside one read transaction."""
        with closing(self._connect(self.folder)) as frozen, frozen.reading():
            _ = frozen.generation  # any SELECT will do: SQLite's read transaction begins only with its first SELECT
            yield frozen

    @property
    def generation(self) -> str:
        """A random token that each visible commit replaces; equal tokens mean equal content.

        It is not a counter, because a counter would repeat after the file is restored from a backup or recreated.
        """
        self.check_current()
        return self.meta("generation")

    @property
    def is_current(self) -> bool:
        """True if the file that this connection has open is still the gallery's catalogue."""
        try:
            return seal.file_id(self.path) == self._file
        except OSError:
            return False

    @property
    def stored_bytes(self) -> int:
        return self.path.stat().st_size

    def check_current(self) -> None:
        """Raise GalleryError if the file was replaced, because changes written to the old file would be lost."""
        if not self.is_current:
            raise GalleryError(
                f"gallery {self.folder} was replaced since it was opened: repaired, restored or deleted. Open it again."
            )

    def check_model(self, model: Encoder) -> None:
        """Raise WidthMismatch if the gallery was re-embedded with another model since it was opened."""
        if self.meta("fingerprint") != model.fingerprint:
            raise WidthMismatch(
                f"gallery {self.folder} has the vectors of {self.meta('model')} now, and was opened with {model.name}. "
                "Open it again, or start the server again."
            )

    # ------------------------------------------------------------------ running SQL for other modules

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.translate_errors():
            return self.connection.execute(sql, values)

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one SQL statement inside `writing()`; return the number of rows that it changed."""
        return self.connection.change(sql, values)

    # ------------------------------------------------------------------ settings

    def meta(self, key: str) -> str:
        return self._first_value("SELECT value FROM meta WHERE key = ?", key) or ""

    def put_meta(self, key: str, value: str) -> None:
        """Store a value of the `meta` table, inside `writing()`."""
        self.change("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    # ------------------------------------------------------------------ damage

    def damage_error(self, what: str) -> GalleryCorrupt:
        return connection.damage_error(self.path, what)

    def find_damage(self) -> list[str]:
        """Check the whole file with SQLite's own check; return a line for each fault.

        Faults are pages that do not match their checksums, rows missing in an index, and references to missing rows.
        The check has a connection of its own: on a connection that has read before, FTS5 compares its older state with
        what other processes have committed since, and calls a sound index damaged.
        """
        lines = []
        try:
            with self.frozen() as fresh:
                checked = fresh.connection.execute("PRAGMA integrity_check")
                lines += [f"SQLite reports: {line}" for (line,) in checked if line != "ok"]
                loose = fresh.connection.execute("PRAGMA foreign_key_check")
                lines += [f"a row of {table} refers to a missing picture" for table, *_ in loose]
        except GalleryCorrupt as error:
            if error.__cause__ is None:  # a repair was stopped half way: no damage of the file
                raise
            lines.append(connection.describe_damage(error.__cause__))
        return lines

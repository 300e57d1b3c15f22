"""Run SQL on a PostgreSQL server: connections, transactions, the writer's lock, and errors with a remedy."""

import os
import random
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pg8000.core import CoreConnection
from pg8000.dbapi import convert_paramstyle
from pg8000.exceptions import DatabaseError, InterfaceError

from araclip.core.system import notice_end
from araclip.errors import GalleryError, GalleryLocked, GalleryUnreachable
from araclip.gallery.locations import PASSWORD, Address

CONNECT_SECONDS = 10.0
TIMEOUT = 60.0  # seconds that a reader waits for a statement
PATIENCE = 60.0  # seconds to wait for another writer's commit
TRIES = 5  # tries of a statement, with pauses of 0.2, 0.4, 0.8 and 1.6 s between them: enough for a server's restart
PAUSE = 0.2
IDLE = 8  # idle connections that are kept open
LOCK = 0x617261  # the first of the two numbers that name araclip's advisory locks
# after these SQLSTATE codes (two characters: all codes of a class), a statement is tried again
_BUSY = ("08", "53300", "57P01", "57P02", "57P03", "40001", "40P01")
_FULL = "53100"  # SQLSTATE: the disk is full
_SERVER_READS_ONLY = "25006"  # SQLSTATE: the server is a replica, or set to read only
_LOGIN = ("28000", "28P01")
# What every connection sets, whatever a database or a user has set for other programs: pg8000 reads bytea in hex only,
# and JIT compilation takes longer than most of our statements. The extensions may be in any schema, so the schemas that
# hold them are added to the search path.
_SETTINGS = """SELECT
    set_config('search_path', concat_ws(', ', ?::text, string_agg(quote_ident(nspname), ', ')), false),
    set_config('client_encoding', 'UTF8', false), set_config('bytea_output', 'hex', false),
    set_config('jit', 'off', false)
    FROM pg_extension JOIN pg_namespace ON extnamespace = pg_namespace.oid WHERE extname IN ('vector', 'pg_trgm')"""
_jitter = random.Random()  # a generator of our own, since a caller may have seeded the module `random`


class Broken(Exception):
    """The connection failed, or the server cannot answer for the moment; worth another try."""


class Database:
    """One schema of a database, for any number of threads.

    For each statement, a thread takes a connection from a small pool. Inside `reading`, `locked` and `transaction` a
    thread keeps its connection, and a failed statement is not tried again.
    """

    def __init__(self, address: Address) -> None:
        self.name = str(address)
        self.schema = address.schema
        self._address = address
        self._idle: list[CoreConnection] = []
        self._thread = threading.local()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[list[Any]]:
        """Run an SQL statement, with `?` for each value; return its rows.

        Raises:
            GalleryUnreachable: the server does not answer (after several tries, if no transaction is open).
            GalleryError: the server refuses the statement; the message quotes its reason.
            OSError: the server's disk is full, or the server is read-only.
        """
        if held := getattr(self._thread, "connection", None):
            try:
                return self._run(held, sql, values)
            except Broken as error:
                raise self._unreachable_error(error) from None
        connection, found = self._run_on_free_connection((sql, values))
        self._give_back(connection)
        return found

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Run a `with` block as a read transaction: all statements inside see the same state."""
        if getattr(self._thread, "connection", None):
            yield
            return
        connection, _ = self._run_on_free_connection(("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ()))
        with self._use_connection(connection), self._commit_or_roll_back(connection):
            yield
        self._give_back(connection)

    @contextmanager
    def locked(self, patience: float = PATIENCE) -> Iterator[None]:
        """Be the only writer of this schema, for the length of a `with` block.

        If a process dies, the server frees its lock.

        Raises:
            GalleryLocked: another process is writing for longer than `patience` seconds.
            OSError: the server is a replica, or read-only (although it would grant the lock).
        """
        connection, ((reads_only,),) = self._run_on_free_connection(
            ("SET statement_timeout = 0", ()),  # no limit of seconds: building a graph takes minutes
            (f"SET lock_timeout = {int(patience * 1000)}", ()),
            ("SELECT pg_advisory_lock(?, hashtext(?))", (LOCK, self.schema)),
            ("SET lock_timeout = 0", ()),
            ("SHOW transaction_read_only", ()),
            timeout=None,
        )
        with self._use_connection(connection):
            if reads_only == "on":
                raise self._read_only_error()
            yield
        _close(connection)  # closing the connection frees the lock

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a `with` block as a transaction: all statements are committed, or none. Call this inside `locked`."""
        self.rows("BEGIN")
        with self._commit_or_roll_back(self._thread.connection):
            yield

    @contextmanager
    def close_on_error(self) -> Iterator[None]:
        """Close the idle connections if a `with` block raises."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the idle connections."""
        while connection := self._take_idle():
            _close(connection)

    @contextmanager
    def _commit_or_roll_back(self, connection: CoreConnection) -> Iterator[None]:
        """Commit the open transaction at the end of a `with` block; roll it back if the block raises."""
        try:
            yield
        except BaseException:
            with suppress(Broken, GalleryError, OSError):
                self._run(connection, "ROLLBACK")
            raise
        self.rows("COMMIT")

    @contextmanager
    def _use_connection(self, connection: CoreConnection) -> Iterator[None]:
        """Run this thread's statements on `connection` for the length of a `with` block.

        If the block raises, the connection is closed; if not, the caller closes it or gives it back.
        """
        self._thread.connection = connection
        try:
            yield
        except BaseException:
            _close(connection)
            raise
        finally:
            self._thread.connection = None

    def _run_on_free_connection(
        self, *statements: tuple[str, Sequence[Any]], timeout: float | None = TIMEOUT
    ) -> tuple[CoreConnection, list[list[Any]]]:
        """Run statements on an idle or new connection; return the connection, and the rows of the last statement.

        If the connection fails, all statements are tried again on another connection. With `timeout` None, a new
        connection is opened, on which statements may take long.
        """
        failure: Exception = Broken()
        for attempt in range(TRIES):
            connection = None
            try:
                connection = (timeout and self._take_idle()) or self._connect(timeout)
                found: list[list[Any]] = []
                for sql, values in statements:
                    found = self._run(connection, sql, values)
                return connection, found
            except Broken as error:
                failure = error
                self.close()  # close the idle connections, too, because they have probably failed as well
                _close(connection)
            except BaseException:
                _close(connection)
                raise
            if attempt + 1 < TRIES:
                time.sleep(PAUSE * 2**attempt * _jitter.uniform(0.75, 1.25))
        raise self._unreachable_error(failure)

    def _give_back(self, connection: CoreConnection) -> None:
        """Keep a connection for the next statement; close it if IDLE connections are kept already."""
        if len(self._idle) < IDLE:
            self._idle.append(connection)
        else:
            _close(connection)

    def _take_idle(self) -> CoreConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self, timeout: float | None) -> CoreConnection:
        address = self._address
        password = address.password or os.environ.get(PASSWORD) or None
        try:
            connection = CoreConnection(
                address.user, address.host, address.database, password=password, application_name="araclip",
                sock=_connect_socket(address, timeout), ssl_context=_ssl_context(address),
            )  # fmt: skip
        except DatabaseError as error:
            raise self._error_of_refusal(error) from None
        except (InterfaceError, OSError, struct.error) as error:
            raise Broken(_text_of_error(error)) from None
        try:
            connection.register_out_adapter(list, _array_text)
            self._run(connection, _SETTINGS, (f'"{self.schema}", public',))
        except BaseException:
            _close(connection)
            raise
        return connection

    def _run(self, connection: CoreConnection, sql: str, values: Sequence[Any] = ()) -> list[list[Any]]:
        statement, ordered = convert_paramstyle("qmark", sql, values)
        try:
            return connection.execute_unnamed(statement, vals=ordered).rows or []
        except DatabaseError as error:
            raise self._error_of_refusal(error) from None
        except (InterfaceError, OSError, struct.error) as error:
            late = next((each for each in (error, error.__cause__) if isinstance(each, TimeoutError)), None)
            if late:  # a statement that took too long is not tried again: the server may still be working on it
                raise self._unreachable_error(late) from None
            raise Broken(_text_of_error(error)) from None

    def _error_of_refusal(self, error: DatabaseError) -> Exception:
        """Return the error to raise for a statement that the server refused: `Broken` if another try may succeed."""
        about = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        code, words = str(about.get("C", "")), " ".join(str(about.get("M", error)).split())[:300]
        if code.startswith(_BUSY):
            return Broken(words)
        if code == "55P03":
            return GalleryLocked(
                f"{self.name} is being written by another process. Wait for it to end, then try again."
            )
        if code == _SERVER_READS_ONLY:
            return self._read_only_error()
        if code == _FULL:
            return OSError(f"{self.name}: the PostgreSQL server cannot write ({words}). Earlier commits are kept.")
        if code in _LOGIN:
            return GalleryError(
                f"{self.name}: the PostgreSQL server refuses the login ({words}). Put the password into ${PASSWORD}, "
                "or check user and database in the address."
            )
        return GalleryError(f"{self.name}: the PostgreSQL server refuses a statement ({code}): {words}")

    def _read_only_error(self) -> OSError:
        return OSError(
            f"{self.name}: this PostgreSQL server only answers searches: it is a replica, or read-only. Name the "
            "address of the primary server to change the gallery."
        )

    def _unreachable_error(self, error: Exception) -> GalleryUnreachable:
        return GalleryUnreachable(
            f"{self.name}: the PostgreSQL server does not answer ({error}). Check that it runs, the address and the "
            "network, then run the command again: what was committed is kept, and the rest is done anew."
        )


def _array_text(values: list[Any]) -> str:
    """Write an array as PostgreSQL reads it. Every member is in quotes; pg8000 itself would leave "null" unquoted."""
    return "{" + ",".join('"' + re.sub(r'(["\\])', r"\\\1", str(value)) + '"' for value in values) + "}"


def _ssl_context(address: Address) -> Any:
    """Return pg8000's argument `ssl_context` for an address.

    With "verify-full" the server's certificate is verified by the system's certificates.
    """
    if address.host.startswith("/") or address.ssl == "disable":
        return False
    if address.ssl == "verify-full":
        return ssl.create_default_context()
    return True if address.ssl == "require" else None


def _connect_socket(address: Address, timeout: float | None) -> socket.socket:
    """Connect a socket to the server; within a minute, the socket notices that the other machine is gone."""
    if address.host.startswith("/"):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.connect(f"{address.host}/.s.PGSQL.{address.port}")
        except OSError:
            made.close()
            raise
    else:
        made = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
        notice_end(made, idle=30, between=10, times=3)
    made.settimeout(timeout)
    return made


def _close(connection: CoreConnection | None) -> None:
    if connection is None:
        return
    stream = connection._sock  # pg8000 itself would leave this stream, and so the socket, open
    with suppress(InterfaceError, OSError, struct.error):
        connection.close()
    if stream:
        with suppress(OSError, ValueError):
            stream.close()


def _text_of_error(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__

"""Statements on a PostgreSQL server: connections, transactions, one writer's lock, and errors of ours."""

import os
import random
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
TIMEOUT = 60.0  # seconds for a statement of a reader
PATIENCE = 60.0  # seconds to wait for another writer's commit
TRIES = 5  # with pauses of about 0.2, 0.4, 0.8 and 1.6 seconds: enough for a restart of the server
PAUSE = 0.2
IDLE = 8  # connections kept open
LOCK = 0x617261  # the first of the two numbers of our advisory locks
_BUSY = ("08", "53300", "57P01", "57P02", "57P03", "40001", "40P01")  # SQLSTATEs (or classes) that pass
_FULL = "53100"  # the disk
_READS_ONLY = "25006"  # a replica, or set so
_LOGIN = ("28000", "28P01")
_jitter = random.Random()  # separate: callers may have seeded the module's generator


class Broken(Exception):
    """The connection failed, or the server said that it will soon be able to answer."""


class Database:
    """One schema of a database, for any number of threads; each takes a connection of a small pool for a statement.

    Inside `reading`, `locked` and `transaction` a thread keeps its connection, and nothing is tried again.
    """

    def __init__(self, address: Address) -> None:
        self.name = str(address)
        self.schema = address.schema
        self._address = address
        self._idle: list[CoreConnection] = []
        self._thread = threading.local()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[list[Any]]:
        """The rows of a statement, whose values are marked by `?`.

        Raises:
            GalleryUnreachable: no answer, after several tries where no transaction is open.
            GalleryError: the server refuses it; the message quotes it.
            OSError: the server's disk is full, or it is read-only.
        """
        if held := getattr(self._thread, "connection", None):
            try:
                return self._run(held, sql, values)
            except Broken as error:
                raise self._unreachable(error) from None
        connection, found = self._started((sql, values))
        self._give_back(connection)
        return found

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A read transaction: all statements inside see the same state."""
        if getattr(self._thread, "connection", None):
            yield
            return
        connection, _ = self._started(("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", ()))
        with self._kept(connection), self._ended(connection):
            yield
        self._give_back(connection)

    @contextmanager
    def locked(self, patience: float = PATIENCE) -> Iterator[None]:
        """Be the only writer of this schema. The server frees the lock of a process that dies.

        Raises:
            GalleryLocked: another process is writing for longer than `patience` seconds.
            OSError: the server is a replica, or read-only; it would give the lock all the same.
        """
        connection, ((reads_only,),) = self._started(
            (f"SET lock_timeout = {int(patience * 1000)}", ()),
            ("SELECT pg_advisory_lock(?, hashtext(?))", (LOCK, self.schema)),
            ("SET lock_timeout = 0", ()),
            ("SHOW transaction_read_only", ()),
            timeout=None,
        )
        with self._kept(connection):
            if reads_only == "on":
                raise self._reads_only()
            yield
        _close(connection)  # and free the lock

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside are committed, or none; inside `locked`."""
        self.rows("BEGIN")
        with self._ended(self._thread.connection):
            yield

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the connections if the block raises."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the idle connections."""
        while connection := self._taken():
            _close(connection)

    @contextmanager
    def _ended(self, connection: CoreConnection) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(Broken, GalleryError, OSError):
                self._run(connection, "ROLLBACK")
            raise
        self.rows("COMMIT")

    @contextmanager
    def _kept(self, connection: CoreConnection) -> Iterator[None]:
        """Run this thread's statements on a connection, which is closed if the block raises."""
        self._thread.connection = connection
        try:
            yield
        except BaseException:
            _close(connection)
            raise
        finally:
            self._thread.connection = None

    def _started(
        self, *statements: tuple[str, Sequence[Any]], timeout: float | None = TIMEOUT
    ) -> tuple[CoreConnection, list[list[Any]]]:
        """A connection after these statements, and the rows of the last; tried again on another where one fails.

        Without a time-out it is one of its own, on which statements may take long.
        """
        failure: Exception = Broken()
        for attempt in range(TRIES):
            connection = None
            try:
                connection = (timeout and self._taken()) or self._connect(timeout)
                found: list[list[Any]] = []
                for sql, values in statements:
                    found = self._run(connection, sql, values)
                return connection, found
            except Broken as error:
                failure = error
                self.close()  # the idle ones are of the same server
                _close(connection)
            except BaseException:
                _close(connection)
                raise
            if attempt + 1 < TRIES:
                time.sleep(PAUSE * 2**attempt * _jitter.uniform(0.75, 1.25))
        raise self._unreachable(failure)

    def _give_back(self, connection: CoreConnection) -> None:
        if len(self._idle) < IDLE:
            self._idle.append(connection)
        else:
            _close(connection)

    def _taken(self) -> CoreConnection | None:
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
                sock=_socket(address, timeout), ssl_context=_encryption(address),
            )  # fmt: skip
        except DatabaseError as error:
            raise self._refusal(error) from None
        except (InterfaceError, OSError, struct.error) as error:
            raise Broken(_words(error)) from None
        try:
            self._run(connection, "SELECT set_config('search_path', ?, false)", (f'"{self.schema}", public',))
            self._run(connection, "SET jit = off")  # it takes longer than most of our statements
        except BaseException:
            _close(connection)
            raise
        return connection

    def _run(self, connection: CoreConnection, sql: str, values: Sequence[Any] = ()) -> list[list[Any]]:
        statement, ordered = convert_paramstyle("qmark", sql, values)
        try:
            return connection.execute_unnamed(statement, vals=ordered).rows or []
        except DatabaseError as error:
            raise self._refusal(error) from None
        except (InterfaceError, OSError, struct.error) as error:
            late = next((each for each in (error, error.__cause__) if isinstance(each, TimeoutError)), None)
            if late:  # the server may still work on it: once is enough
                raise self._unreachable(late) from None
            raise Broken(_words(error)) from None

    def _refusal(self, error: DatabaseError) -> Exception:
        about = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        code, words = str(about.get("C", "")), " ".join(str(about.get("M", error)).split())[:300]
        if code.startswith(_BUSY):
            return Broken(words)
        if code == "55P03":
            return GalleryLocked(
                f"{self.name} is being written by another process. Wait for it to end, then try again."
            )
        if code == _READS_ONLY:
            return self._reads_only()
        if code == _FULL:
            return OSError(f"{self.name}: the PostgreSQL server cannot write ({words}). Earlier commits are kept.")
        if code in _LOGIN:
            return GalleryError(
                f"{self.name}: the PostgreSQL server refuses the login ({words}). Put the password into ${PASSWORD}, "
                "or check user and database in the address."
            )
        return GalleryError(f"{self.name}: the PostgreSQL server refuses a statement ({code}): {words}")

    def _reads_only(self) -> OSError:
        return OSError(
            f"{self.name}: this PostgreSQL server only answers searches: it is a replica, or read-only. Name the "
            "address of the primary server to change the gallery."
        )

    def _unreachable(self, error: Exception) -> GalleryUnreachable:
        return GalleryUnreachable(
            f"{self.name}: the PostgreSQL server does not answer ({error}). Check that it runs, the address and the "
            "network, then run the command again: what was committed is kept, and the rest is done anew."
        )


def _encryption(address: Address) -> Any:
    """What pg8000 takes for it; the system's certificates are read only where they are compared."""
    if address.host.startswith("/") or address.ssl == "disable":
        return False
    if address.ssl == "verify-full":
        return ssl.create_default_context()
    return True if address.ssl == "require" else None


def _socket(address: Address, timeout: float | None) -> socket.socket:
    """A connected socket, which notices within a minute that the other machine is gone."""
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
    stream = connection._sock  # pg8000 leaves it open, and with it the socket, as long as a traceback holds it
    with suppress(InterfaceError, OSError, struct.error):
        connection.close()
    if stream:
        with suppress(OSError, ValueError):
            stream.close()


def _words(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__

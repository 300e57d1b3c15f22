"""A real PostgreSQL server with pgvector for tests: a private one in a temporary folder, of a user that is not root.

    python tests/support/postgres_server.py          # serves until the end of its input; prints the address

`make test-postgres` installs Debian's packages where they are missing, and sets $ARACLIP_TEST_POSTGRES to `private`; an
address there names another server. Tests that need one are skipped where it is not set.
"""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path

import pytest

WANTED, PRIVATE = "ARACLIP_TEST_POSTGRES", "private"
SETTINGS = {
    "listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "40", "shared_buffers": "32MB",
    "password_encryption": "scram-sha-256",
}  # fmt: skip


PASSWORD = "p@ss/word:1"
needs_private = pytest.mark.skipif(os.environ.get(WANTED) != PRIVATE, reason="a server to kill: make test-postgres")
needs_server = pytest.mark.skipif(not os.environ.get(WANTED), reason="a PostgreSQL server: make test-postgres")


def programs() -> Path | None:
    """The newest release of the server here that has pgvector; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/lib/vector.so"), key=lambda path: int(path.parts[4]))
    return found[-1].parents[1] / "bin" if found else None


@cache
def private() -> "Server":
    """A server that lives as long as this process."""
    server = Server(Path(tempfile.mkdtemp(prefix="araclip-postgres-")))
    atexit.register(server.remove)
    server.create()
    server.start()
    return server


def shared() -> str:
    """The address of that server, or of the one that is named."""
    return private().address if (named := os.environ.get(WANTED, PRIVATE)) == PRIVATE else named


_schemas = count()


def new_address() -> str:
    """Where no gallery is yet."""
    address = shared()
    return f"{address}{'&' if '?' in address else '?'}schema=t{os.getpid()}_{next(_schemas)}"


class Server:
    """A server whose files are in a folder. PostgreSQL refuses to run as root, so root runs it as `nobody`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._user = {"user": "nobody"} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, "nobody")
        bin_ = programs()
        assert bin_ is not None, "no PostgreSQL with pgvector here: make test-postgres installs it"
        self._bin = bin_

    @property
    def address(self) -> str:
        """By its socket, without a password."""
        return f"postgresql://araclip@:{self.port}/postgres?host={self.folder}"

    def create(self) -> None:
        """Make its files; the superuser is `araclip`, whose password is PASSWORD."""
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        self.run("initdb", "-D", "data", "-U", "araclip", "--auth-local=trust", "--auth-host=scram-sha-256",
                  f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = SETTINGS | {"unix_socket_directories": str(self.folder), "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", "data", *options], cwd=self.folder, stdout=log, stderr=log,
                **self._user,
            )  # fmt: skip
        ends = time.monotonic() + 60
        ready = [str(self._bin / "pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends
            time.sleep(0.05)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop it; `at_once` as a crash would."""
        process = getattr(self, "_process", None)
        if process and process.poll() is None:
            process.send_signal(3 if at_once else 2)  # SIGQUIT, SIGINT
            process.wait(60)

    def replica(self) -> "Server":
        """Another server, started, which follows this one."""
        other = Server(Path(tempfile.mkdtemp(prefix="araclip-postgres-")))
        other.run("pg_basebackup", *self.where, "-D", "data", "--write-recovery-conf", "-c", "fast", "--no-sync")
        other.start()
        return other

    def leave(self) -> None:
        """Get no more of what the other server commits."""
        self.sql("ALTER SYSTEM SET primary_conninfo = ''")
        self.sql("SELECT pg_reload_conf()")
        while self.sql("SELECT 1 FROM pg_stat_wal_receiver"):
            time.sleep(0.02)

    def sql(self, statement: str) -> str:
        """Run a statement, as the superuser; returns what it says."""
        return self.run("psql", *self.where, "-d", "postgres", "-qAtc", statement).strip()

    def take_over(self) -> None:
        """Stop following; from now on this server can be written."""
        self.run("pg_ctl", "promote", "-D", "data")

    @property
    def where(self) -> tuple[str, ...]:
        """Options of its programs."""
        return "-h", str(self.folder), "-p", str(self.port), "-U", "araclip"

    def remove(self) -> None:
        """Stop it, and delete its files."""
        self.stop(at_once=True)
        shutil.rmtree(self.folder)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs; returns what that says."""
        ran = subprocess.run(
            [str(self._bin / program), *arguments], cwd=self.folder, check=False, capture_output=True, text=True,
            **self._user,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


if __name__ == "__main__":
    sys.stdout.write(f"{shared()}\n")
    sys.stdout.flush()
    sys.stdin.read()

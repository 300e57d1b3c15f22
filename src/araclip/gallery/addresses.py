"""The address of a gallery on a server: a schema in a PostgreSQL database."""

import os
import re
from dataclasses import dataclass, field
from getpass import getuser
from urllib.parse import parse_qsl, unquote, urlsplit

from araclip.errors import InputError

PASSWORD = "PGPASSWORD"  # libpq's own; not an argument: other users of the machine can read arguments
PORT = 5432
SCHEMA = "araclip"
SSL_MODES = ("prefer", "disable", "require", "verify-full")  # libpq's words
EXAMPLE = "Write postgresql://USER@HOST/DATABASE, and the password into $PGPASSWORD."
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # a protocol of two letters or more: C: is a drive
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_USER = re.compile(r"//[^/?#]*@")
_SECRET = re.compile(r"//.*@", re.DOTALL)  # of a password that is typed as it is, / or # and what follows too
_PASSWORD_OPTION = re.compile(r"(?<=password=)[^&]+", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """A schema in a PostgreSQL database: postgresql://user:password@host:5432/database?schema=araclip&sslmode=require.

    The password may stand in $PGPASSWORD instead. `host` may be a folder with the server's socket
    (postgresql:///database?host=/run/postgresql). `str` gives the address without any secret.
    """

    text: str
    user: str
    password: str | None = field(repr=False)
    host: str
    port: int
    database: str
    schema: str = SCHEMA
    ssl: str = SSL_MODES[0]

    @staticmethod
    def read(text: str) -> "Address":
        """Parse an address.

        Raises:
            InputError: not an address of PostgreSQL's, no host, no database, or a password that it cannot have.
        """
        shown = without_secret(text)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port or PORT
        except ValueError:  # brackets around what is no IPv6 address, or a port that is no number
            signs = " In a password, / ? # are written %2F %3F %23." if text.startswith("postgres") else ""
            raise InputError(f"'{shown}' has an invalid port or host.{signs} {EXAMPLE}") from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise InputError(
                f"'{shown}' is not the address of a gallery: on a server it is kept in PostgreSQL with pgvector. "
                f"{EXAMPLE}"
            )
        options = dict(parse_qsl(parts.query))
        database, schema = unquote(parts.path.strip("/")), options.pop("schema", SCHEMA)
        ssl, host = options.pop("sslmode", SSL_MODES[0]), options.pop("host", host)
        if "@" in parts.path + parts.fragment:  # the end of a password, of which the beginning looked like a port
            raise InputError(f"'{shown}' has a password with signs that an address cannot have. {EXAMPLE}")
        if not host or not database or "/" in database:
            raise InputError(f"'{shown}' names no host or no database. {EXAMPLE}")
        if options:
            unknown = next(iter(options))
            raise InputError(
                f"'{shown}' has an unknown option '{unknown}'; there are schema, sslmode and host. {EXAMPLE}"
            )
        if ssl not in SSL_MODES:
            raise InputError(f"sslmode is '{ssl}'; choose one of {', '.join(SSL_MODES)}.")
        if not _SCHEMA_NAME.fullmatch(schema):
            raise InputError(f"the schema '{schema}' has other characters than lower-case letters, digits and _.")
        user = unquote(parts.username or "") or os.environ.get("PGUSER") or _own_name()
        if not user:
            raise InputError(f"'{shown}' names no user, and this process runs under a number without a name. {EXAMPLE}")
        password = unquote(parts.password) if parts.password else None
        named = f"{unquote(parts.username)}@" if parts.username else ""
        public = _USER.sub(lambda _: f"//{named}", text.rstrip("/"), count=1)
        return Address(public, user, password, host, port, database, schema, ssl)

    @property
    def name(self) -> str:
        """Database and schema."""
        return f"{self.database}-{self.schema}"

    def __str__(self) -> str:
        return self.text


def without_secret(text: str) -> str:
    """An address as it was typed, without user, password and options, which may be a password too."""
    return _SECRET.sub("//", _PASSWORD_OPTION.sub("", text)).partition("?")[0]


def _own_name() -> str:
    """The name of this process's user; empty where the system has none, as in a container with a number for a user."""
    try:
        return getuser()
    except (KeyError, OSError, ImportError):  # of Python before 3.13; from then on; of Windows
        return ""

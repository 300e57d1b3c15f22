"""Addresses of galleries on servers: a collection of Qdrant's, a schema in a PostgreSQL database."""

import os
import re
from dataclasses import dataclass, field
from getpass import getuser
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from araclip.errors import InputError

KEY = "ARACLIP_QDRANT_API_KEY"  # environment variable, not an argument: other users of the machine can read arguments
PASSWORD = "PGPASSWORD"  # libpq's own
PORT, POSTGRES_PORT = 6333, 5432
SCHEMA = "araclip"
SSL_MODES = ("prefer", "disable", "require", "verify-full")  # libpq's words
EXAMPLE = f"Write postgresql://USER@HOST/DATABASE, qdrant://HOST:{PORT}/COLLECTION or https://HOST:{PORT}/COLLECTION."
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # a protocol of two letters or more: C: is a drive
_SCHEMES = {"qdrant": "http", "http": "http", "https": "https"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_USER = re.compile(r"//[^/?#]*@")
_SECRET = re.compile(r"//.*@", re.DOTALL)  # of a password that is typed as it is, / or # and what follows too
_PASSWORD_OPTION = re.compile(r"(?<=password=)[^&]+", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Where a gallery is on a server. `str` gives it without any secret."""

    text: str

    @staticmethod
    def read(text: str) -> "Address":
        """Parse an address: qdrant://, http(s):// or postgresql://.

        Raises:
            InputError: no host, no collection or database, or a password where none belongs.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError:  # brackets around what is no IPv6 address, or a port that is no number
            signs = " In a password, / ? # are written %2F %3F %23." if text.startswith("postgres") else ""
            raise InputError(f"'{without_secret(text)}' has an invalid port or host.{signs} {EXAMPLE}") from None
        if parts.scheme in ("postgresql", "postgres"):
            return _postgres(text, parts, host, port or POSTGRES_PORT)
        return _qdrant(text, parts, host, port or PORT)

    @property
    def name(self) -> str:
        """What it is called on the server."""
        raise NotImplementedError

    @property
    def engine(self) -> str:
        """The kind of server, for people."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class QdrantAddress(Address):
    """A collection on a Qdrant server: qdrant://host:6333/collection, or https://… for an encrypted connection."""

    server: str  # http(s)://host:port/prefix
    collection: str

    @property
    def name(self) -> str:
        """The collection."""
        return self.collection

    @property
    def engine(self) -> str:
        """For people."""
        return "Qdrant"


@dataclass(frozen=True)
class PostgresAddress(Address):
    """A schema in a PostgreSQL database: postgresql://user:password@host:5432/database?schema=araclip&sslmode=require.

    The password may stand in $PGPASSWORD instead. `host` may be a folder with the server's socket
    (postgresql:///database?host=/run/postgresql).
    """

    user: str
    password: str | None = field(repr=False)
    host: str
    port: int
    database: str
    schema: str = SCHEMA
    ssl: str = SSL_MODES[0]

    @property
    def name(self) -> str:
        """Database and schema."""
        return f"{self.database}-{self.schema}"

    @property
    def engine(self) -> str:
        """For people."""
        return "PostgreSQL"


def without_secret(text: str) -> str:
    """An address as it was typed, without user, password and options, which may be a password too."""
    return _SECRET.sub("//", _PASSWORD_OPTION.sub("", text)).partition("?")[0]


def _postgres(text: str, parts: SplitResult, host: str, port: int) -> PostgresAddress:
    example = "Write postgresql://USER@HOST/DATABASE, and the password into $PGPASSWORD."
    options = dict(parse_qsl(parts.query))
    database, schema = unquote(parts.path.strip("/")), options.pop("schema", SCHEMA)
    ssl, host = options.pop("sslmode", SSL_MODES[0]), options.pop("host", host)
    shown = without_secret(text)
    if "@" in parts.path + parts.fragment:  # the end of a password, of which the beginning looked like a port
        raise InputError(f"'{shown}' has a password with signs that an address cannot have. {example}")
    if not host or not database or "/" in database:
        raise InputError(f"'{shown}' names no host or no database. {example}")
    if options:
        raise InputError(
            f"'{shown}' has an unknown option '{next(iter(options))}'; there are schema, sslmode and host. {example}"
        )
    if ssl not in SSL_MODES:
        raise InputError(f"sslmode is '{ssl}'; choose one of {', '.join(SSL_MODES)}.")
    if not _SCHEMA_NAME.fullmatch(schema):
        raise InputError(f"the schema '{schema}' has other characters than lower-case letters, digits and _.")
    user = unquote(parts.username or "") or os.environ.get("PGUSER") or _own_name()
    if not user:
        raise InputError(f"'{shown}' names no user, and this process runs under a number without a name. {example}")
    password = unquote(parts.password) if parts.password else None
    named = f"{unquote(parts.username)}@" if parts.username else ""
    return PostgresAddress(
        _USER.sub(lambda _: f"//{named}", text.rstrip("/"), count=1),
        user,
        password,
        host,
        port,
        database,
        schema,
        ssl,
    )


def _own_name() -> str:
    """The name of this process's user; empty where the system has none, as in a container with a number for a user."""
    try:
        return getuser()
    except (KeyError, OSError, ImportError):  # of Python before 3.13; from then on; of Windows
        return ""


def _qdrant(text: str, parts: SplitResult, host: str, port: int) -> QdrantAddress:
    if parts.scheme not in _SCHEMES or not host:
        raise InputError(f"'{without_secret(text)}' is not the address of a gallery. {EXAMPLE}")
    if parts.username or parts.password or parts.query:
        raise InputError(f"an address must not hold a password. Put the API key into ${KEY}. {EXAMPLE}")
    *prefix, collection = parts.path.strip("/").split("/")
    if not _NAME.fullmatch(collection):
        raise InputError(
            f"'{without_secret(text)}' names no collection, or one whose name has other characters than letters, "
            f"digits, _, - and dots. {EXAMPLE}"
        )
    shown_host = f"[{host}]" if ":" in host else host
    server = "/".join([f"{_SCHEMES[parts.scheme]}://{shown_host}:{port}", *prefix])
    return QdrantAddress(text.rstrip("/"), server, collection)

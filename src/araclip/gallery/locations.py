"""Find galleries: parse folders and PostgreSQL addresses, and tell where the gallery of a picture folder is kept."""

import hashlib
import os
import re
from contextlib import closing
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from araclip.core import atomic
from araclip.core.files import as_stored
from araclip.core.paths import data_home, is_there, user_path
from araclip.errors import GalleryError, GalleryNotFound, InputError
from araclip.gallery.catalog.schema import is_gallery
from araclip.pictures.formats import SUFFIXES

# libpq's environment variable for a password, which other users of the machine could read if it were an argument
PASSWORD = "PGPASSWORD"
PORT = 5432
SCHEMA = "araclip"
SSL_MODES = ("prefer", "disable", "require", "verify-full")  # ways to use TLS, as libpq's sslmode names them
EXAMPLE = "Write postgresql://USER@HOST/DATABASE, and the password into $PGPASSWORD."
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters or more: C:// is a Windows drive, not a protocol
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_USER = re.compile(r"//[^/?#]*@")
_SECRET = re.compile(r"//.*@", re.DOTALL)  # greedy up to the last @, because an unescaped password may contain / and #
_PASSWORD_OPTION = re.compile(r"(?<=password=)[^&]+", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """The address of a gallery, which is one schema of a PostgreSQL database.

    For example postgresql://user:password@host:5432/database?schema=araclip&sslmode=require.

    If the address has no password, $PGPASSWORD is used. `host` may be a folder with the server's socket
    (postgresql:///database?host=/run/postgresql). `str` gives the address without the password.
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
            InputError: the address is invalid; the message says why, without the password.
        """
        shown = without_secret(text)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port or PORT
        except ValueError:  # raised for a wrong host (an open bracket …), and for a port that is no number up to 65535
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
        # A / or # in the password was not escaped, so that urlsplit took the end of the password for the path.
        if "@" in parts.path + parts.fragment:
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
        user = unquote(parts.username or "") or os.environ.get("PGUSER") or _login_name()
        if not user:
            raise InputError(f"'{shown}' names no user, and this process runs under a number without a name. {EXAMPLE}")
        password = unquote(parts.password) if parts.password else None
        named = f"{unquote(parts.username)}@" if parts.username else ""
        public = _USER.sub(lambda _: f"//{named}", text.rstrip("/"), count=1)
        return Address(public, user, password, host, port, database, schema, ssl)

    @property
    def name(self) -> str:
        """The names of database and schema, joined by a hyphen."""
        return f"{self.database}-{self.schema}"

    def __str__(self) -> str:
        return self.text


def without_secret(text: str) -> str:
    """Return a typed address without user, password and options (an option may be a password, too)."""
    return _SECRET.sub("//", _PASSWORD_OPTION.sub("", text)).partition("?")[0]


def _login_name() -> str:
    """Return the name of this process's user; "" if the system knows only its number, as in some containers."""
    try:
        return getuser()
    except (KeyError, OSError, ImportError):  # OSError since Python 3.13; before, KeyError or (Windows) ImportError
        return ""


_LATEST_FILE = "latest"


Location = Path | Address


def location_of(location: str | os.PathLike[str] | Address) -> Location:
    """Return the folder or the address that a user's `location` names; only this function tells the two apart.

    Raises:
        InputError: an invalid address, or neither text nor path.
    """
    if isinstance(location, Address):
        return location
    if isinstance(location, str) and URL.match(location):
        return Address.read(location)
    if isinstance(location, str | os.PathLike):
        return user_path(location)
    raise InputError(
        f"a gallery is named by a folder or an address, got {type(location).__name__}. Pass a path, or a text such as "
        "postgresql://USER@HOST/DATABASE."
    )


def reference_home() -> Path:
    """Return the folder that caches vectors for galleries in PostgreSQL; create it if missing.

    These are the vectors of the reference queries, with which relevance is calibrated.
    """
    home = data_home() / "background"
    home.mkdir(parents=True, exist_ok=True)
    return home


def gallery_of(folder: Path) -> Path:
    """Return the path at which the gallery of a picture folder is kept.

    The gallery's name is the folder's name, for people, and a hash of the folder's path, which makes it unique.
    """
    resolved = as_stored(folder.resolve())
    key = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:10]
    name = re.sub(r"[^\w.-]+", "_", os.fsencode(resolved.name).decode("utf-8", "replace"))[:40]
    return data_home() / "galleries" / f"{name}-{key}"


def make_default(gallery: Location) -> None:
    """Let searches use `gallery` by default; do nothing if it lies outside of `galleries` in AraCLIP's data folder."""
    home = data_home() / "galleries"
    if isinstance(gallery, Path) and gallery.parent == home:
        atomic.write_text(home / _LATEST_FILE, gallery.name)


def indexed_above(folder: Path) -> Path | None:
    """Return the nearest folder that has a gallery: `folder` itself or a folder above it; None if there is none."""
    resolved = folder.resolve()
    return next((above for above in (resolved, *resolved.parents) if is_gallery(gallery_of(above))), None)


def gallery_above(folder: Path) -> Path | None:
    """Return the gallery of a folder, or else of the nearest folder above it that has one; None if there is none."""
    above = indexed_above(folder)
    return above and gallery_of(above)


def latest_gallery() -> Path | None:
    """Return the gallery that `make_default` noted last; None if there is none, or it was deleted."""
    home = data_home() / "galleries"
    latest = home / _LATEST_FILE
    gallery = home / latest.read_text(encoding="utf-8", errors="replace") if is_there(latest) else None
    return gallery if gallery and is_gallery(gallery) else None


def gallery_here(folder: Path) -> Path:
    """Return the gallery of `folder`, else of the nearest folder above that has one, else the gallery indexed last.

    Raises:
        GalleryNotFound: nothing was indexed yet.
    """
    if gallery := gallery_above(folder) or latest_gallery():
        return gallery
    raise GalleryNotFound("no pictures are indexed yet. Index a folder first: `araclip index FOLDER`.")


MOST_ENTRIES = 20_000  # limit: folder entries that are examined to find a picture: less than a second on a disk


def is_unindexed(folder: Path) -> bool:
    """True if a folder is in no gallery with pictures: `gallery_above` finds none, or an empty one.

    A gallery that cannot be opened counts as a gallery with pictures; opening it later tells the user what is wrong.
    """
    # Imported late, because it imports numpy, and `araclip serve` must set environment variables before numpy is
    # imported.
    from araclip.gallery.catalog.catalog import Catalog

    gallery = gallery_above(folder)
    if gallery is None:
        return True
    try:
        with closing(Catalog.open(gallery, None)) as catalog:
            return catalog.counts()[0] == 0
    except (GalleryError, OSError):
        return False


def may_have_pictures(folder: Path, most: int = MOST_ENTRIES) -> bool:
    """True if the folder, or a folder below it, holds a file with a picture's suffix; hidden entries do not count.

    The search ends after `most` files and folders; then the answer is True as well, because there may be pictures.
    """
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(Path(name).suffix.lower() in SUFFIXES for name in names if not name.startswith(".")):
            return True
        most -= len(folders) + len(names)
        if most < 0:
            return True
    return False

"""Settings of a server, from the options of `araclip serve` or else from environment variables (ARACLIP_PORT, …)."""

import hashlib
import ipaddress
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from araclip.core.paths import data_home
from araclip.errors import InputError
from araclip.gallery import locations
from araclip.gallery.locations import Address, location_of
from araclip.pictures.ocr.engines import find_engine as find_ocr

MIN_TOKEN = 16  # lower limit: characters of a token; `openssl rand -hex 32` makes 64
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
MB = 1_000_000
MAX_ARCHIVE = 3_900 * MB  # a ZIP archive without extensions holds less than 4 GB


class Settings(BaseSettings):
    """All settings of a server. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="ARACLIP_", frozen=True, env_ignore_empty=True, extra="ignore")

    gallery: Path | Address  # an address such as postgresql://USER@HOST/DATABASE
    model: str | None = None  # by default the gallery's own model, and araclip-mini for a new gallery
    index: Annotated[tuple[Path, ...], NoDecode] = ()  # folders to index; in the environment separated by ":"
    offer: Path | None = None  # a folder without a gallery, which the page offers to index
    watch: bool | None = None  # follow changes in the folders to index; None: only if watchfiles is installed
    ocr: bool = False  # true: after indexing, OCR reads the gallery's pictures that seem to contain text
    cache: Path | None = None  # folder of the thumbnails; by default the gallery's, if it has one

    lexicon: Path | None = None  # file of a user's own words; by default lexicon.txt in the data folder

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    # further host names to answer to; in an environment variable they are separated by commas
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    behind_proxy: bool = False  # true: trust X-Forwarded-Proto and -For, which a proxy on this machine sets

    token_read: SecretStr | None = None
    token_write: SecretStr | None = None
    token_read_file: Path | None = None
    token_write_file: Path | None = None
    open_predict: bool = False  # answer Immich's calls without a token, which Immich cannot send
    session_seconds: int = Field(default=12 * 3600, ge=1)

    uploads: bool = False  # allow adding and removing pictures
    show_paths: bool | None = None  # include paths in responses; None: on loopback, unless behind a proxy

    max_k: int = Field(default=200, ge=1)
    max_text: int = Field(default=1000, ge=1)  # limit: characters of a query, or of a text to embed
    max_body: int = Field(default=40 * MB, ge=1)
    max_archive: int = Field(default=2_000 * MB, ge=1, le=MAX_ARCHIVE)  # limit: bytes of a ZIP archive's pictures
    max_upload: int = Field(default=25 * MB, ge=1)
    max_pixels: int = Field(default=50 * MB, ge=1)  # limit: pixels of an uploaded picture
    max_connections: int = Field(default=512, ge=1)
    header_seconds: float = Field(default=10, gt=0)
    body_seconds: float = Field(default=60, gt=0)
    idle_seconds: float = Field(default=15, ge=1)  # how long a connection stays open between two requests
    send_seconds: float = Field(default=60, gt=0)  # seconds to send one chunk of a response
    drain_seconds: float = Field(default=20, ge=1)
    events_seconds: float = Field(default=3600, gt=0)  # seconds after which an /events stream is ended
    device: str | None = None  # where the model runs, one of `araclip.models.devices`; by default the CPU
    decode_seconds: float = Field(default=10, gt=0)  # longest time to decode one picture
    decode_memory: int = Field(default=2_000 * MB, ge=500 * MB)
    decoders: int = Field(default=2, ge=1)
    search_threads: int = Field(default=4, ge=1)
    max_searches: int = Field(default=128, ge=1)  # limit: concurrent searches, waiting ones included
    max_pictures: int = Field(default=64, ge=1)  # limit: concurrent decoding jobs, waiting ones included
    max_request_pictures: int = Field(default=16, ge=1)  # limit: pictures in a request to /v1/embeddings
    wait_seconds: float = Field(default=30, gt=0)  # longest wait of a picture for decoding
    thumbnails_bytes: int = Field(default=512 * MB, ge=MB)

    @field_validator("gallery", mode="before")
    @classmethod
    def _parse_location(cls, value: Any) -> Any:
        return location_of(value)

    @field_validator("index", mode="before")
    @classmethod
    def _split_folders(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _choose_gallery(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("gallery"):
            return given
        folders = cls._split_folders(given.get("index", ())) or tuple(filter(None, (given.get("offer"),)))
        return {
            **given,
            "gallery": locations.gallery_of(Path(folders[0])) if folders else locations.gallery_here(Path.cwd()),
        }

    @model_validator(mode="after")
    def _check_safety(self) -> Self:
        tokens = self.tokens  # Tokens are checked also if the server listens on a loopback address only.
        if not self.is_local and not tokens:
            raise ValueError(
                f"{self.host} is reachable from other machines, and there is no token. Set ARACLIP_TOKEN_READ (and "
                "ARACLIP_TOKEN_WRITE for uploads), or stay on 127.0.0.1"
            )
        if self.uploads and tokens and "write" not in tokens:
            raise ValueError("uploads need a token with write access. Set ARACLIP_TOKEN_WRITE, or leave uploads off")
        if self.watch and not self.folders:
            raise ValueError("there is no folder to watch. Name one with --index")
        if self.ocr:
            if isinstance(self.gallery, Address):
                raise ValueError(f"the gallery {self.gallery} is on a server, which keeps no text read in pictures")
            if not self.folders:
                raise ValueError("there is no folder in whose pictures text could be read. Name one with --index")
            try:
                find_ocr()
            except InputError as error:
                raise ValueError(str(error).removesuffix(".")) from None
        if self.watch and not find_spec("watchfiles"):
            raise ValueError("watching folders needs the package watchfiles. Run: pip install 'araclip[watch]'")
        return self

    @classmethod
    def read(cls, **given: object) -> Self:
        """Make settings from `given`. A setting that is None or missing there is taken from the environment.

        A setting that is not in the environment either has its default.

        Raises:
            InputError: a setting is invalid or unsafe.
            GalleryNotFound: no gallery is named, and there is no default gallery.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        except ValidationError as error:
            fault = error.errors()[0]
            name = str(fault["loc"][0]) if fault["loc"] else ""
            where = f"{name} (ARACLIP_{name.upper()}): " if name else ""
            raise InputError(f"{where}{fault['msg'].removeprefix('Value error, ')}.") from None

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that the server may index: at once, or when a client asks for it."""
        return self.index or ((self.offer,) if self.offer else ())

    @property
    def follows(self) -> bool:
        """True if the gallery is updated when files in the folders change."""
        return bool(self.folders) and (find_spec("watchfiles") is not None if self.watch is None else self.watch)

    @property
    def tokens(self) -> dict[str, str]:
        """The configured tokens by their scope, "read" or "write". A token that is invalid raises ValueError."""
        found = {
            "read": _read_token("read", self.token_read, self.token_read_file),
            "write": _read_token("write", self.token_write, self.token_write_file),
        }
        return {scope: token for scope, token in found.items() if token is not None}

    @property
    def own_folder(self) -> Path:
        """The folder for derived files such as thumbnails.

        It is the gallery's folder; for a gallery in PostgreSQL, a folder in the data folder.
        """
        if isinstance(self.gallery, Path):
            return self.gallery
        key = hashlib.sha256(str(self.gallery).encode()).hexdigest()[:10]
        return data_home() / "served" / f"{self.gallery.name}-{key}"

    @property
    def is_local(self) -> bool:
        """True if only this machine can reach the address on which the server listens."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that are accepted, without a port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, host, *self.allowed_hosts))

    @property
    def paths_shown(self) -> bool:
        """True if responses may contain paths."""
        return self.is_local and not self.behind_proxy if self.show_paths is None else self.show_paths


def _read_token(scope: str, given: SecretStr | None, file: Path | None) -> str | None:
    """Return the token `given`, or else the token in `file`; None if both are None.

    Raises:
        ValueError: the file cannot be read, or the token is too short or has characters that a header cannot carry.
    """
    if given is not None:
        token = given.get_secret_value()
    elif file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ValueError(f"the token file {file} cannot be read ({error.strerror})") from None
    else:
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(
            f"the {scope} token has spaces or characters outside ASCII, which an Authorization header cannot carry. "
            "Make one: openssl rand -hex 32"
        )
    if len(token) < MIN_TOKEN:
        raise ValueError(
            f"the {scope} token has {len(token)} characters, it needs {MIN_TOKEN} or more. Make one: "
            "openssl rand -hex 32"
        )
    return token

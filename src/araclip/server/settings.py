"""What a server is told: by options of `araclip serve`, else by the environment (ARACLIP_PORT, ARACLIP_TOKEN_READ)."""

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from araclip.errors import InputError
from araclip.model_folder import DEFAULT_MODEL

SHORTEST_TOKEN = 16  # characters; `openssl rand -hex 32` makes 64
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
MB = 1_000_000


class Settings(BaseSettings):
    """Everything a server can be told. Sizes are bytes, times seconds."""

    model_config = SettingsConfigDict(env_prefix="ARACLIP_", frozen=True, env_ignore_empty=True, extra="ignore")

    gallery: Path
    model: str = DEFAULT_MODEL
    index: tuple[Path, ...] = Field(default=(), description="Folders to index while serving.")
    watch: bool = Field(default=False, description="Follow those folders.")
    cache: Path | None = Field(default=None, description="Where thumbnails are kept; by default in the gallery.")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = Field(default=(), description="Further names the server is reached by.")
    behind_proxy: bool = Field(default=False, description="Believe X-Forwarded-Proto and -For of a proxy here.")

    token_read: SecretStr | None = None
    token_write: SecretStr | None = None
    token_read_file: Path | None = None
    token_write_file: Path | None = None
    session_seconds: int = Field(default=12 * 3600, ge=1)

    uploads: bool = Field(default=False, description="Let pictures be added and forgotten over HTTP.")
    show_paths: bool | None = Field(default=None, description="Tell where files lie; by default on loopback only.")

    max_k: int = Field(default=200, ge=1)
    max_text: int = Field(default=1000, ge=1, description="Characters of a query, or of one text to embed.")
    max_body: int = Field(default=40 * MB, ge=1)
    max_upload: int = Field(default=25 * MB, ge=1)
    max_pixels: int = Field(default=50 * MB, ge=1, description="Of a picture that is sent.")
    max_connections: int = Field(default=512, ge=1)
    header_seconds: float = Field(default=10, gt=0)
    body_seconds: float = Field(default=60, gt=0)
    idle_seconds: float = Field(default=15, gt=0, description="How long a connection may wait for its next request.")
    send_seconds: float = Field(default=60, gt=0, description="How long a client may refuse to take what it asked for.")
    drain_seconds: float = Field(default=20, gt=0)
    events_seconds: float = Field(default=3600, gt=0, description="Length of one /events stream.")
    decode_seconds: float = Field(default=10, gt=0)
    decode_memory: int = Field(default=2_000 * MB, ge=500 * MB)
    decoders: int = Field(default=2, ge=1)
    search_threads: int = Field(default=4, ge=1)
    max_searches: int = Field(default=128, ge=1, description="Searches at once, those that wait counted.")
    max_pictures: int = Field(default=64, ge=1, description="Pictures sent or made small at once, waiting ones too.")
    thumbnails_bytes: int = Field(default=512 * MB, ge=MB)

    @field_validator("token_read", "token_write")
    @classmethod
    def _long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(f"a token needs at least {SHORTEST_TOKEN} characters; make one: openssl rand -hex 32")
        return token

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not self.is_local and not self.tokens:
            raise ValueError(
                f"{self.host} can be reached from outside, and there is no token. Set ARACLIP_TOKEN_READ (and "
                "ARACLIP_TOKEN_WRITE for uploads), or stay on 127.0.0.1"
            )
        if self.uploads and self.tokens and "write" not in self.tokens:
            raise ValueError("uploads need a token that may write. Set ARACLIP_TOKEN_WRITE, or leave uploads off")
        return self

    @classmethod
    def read(cls, **given: object) -> Self:
        """Settings from options (None: not given), then from the environment, then by default.

        Raises:
            InputError: something is missing, makes no sense, or is not safe.
        """
        options = {name: value for name, value in given.items() if value is not None}
        try:
            return cls(**options)  # type: ignore[arg-type]
        except ValidationError as error:
            fault = error.errors()[0]
            name = "_".join(str(part) for part in fault["loc"][:1])
            where = f"{name} (ARACLIP_{name.upper()}): " if name else ""
            raise InputError(f"{where}{fault['msg'].removeprefix('Value error, ')}.") from None

    @property
    def tokens(self) -> dict[str, str]:
        """The token of each scope that has one."""
        named = {
            "read": (self.token_read, self.token_read_file),
            "write": (self.token_write, self.token_write_file),
        }
        found = {scope: _token(token, file) for scope, (token, file) in named.items()}
        return {scope: token for scope, token in found.items() if token}

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the Host header, without a port, that are answered."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, own, *self.allowed_hosts))

    @property
    def paths_shown(self) -> bool:
        """Whether answers may say where files lie."""
        return self.is_local and not self.behind_proxy if self.show_paths is None else self.show_paths


def _token(token: SecretStr | None, file: Path | None) -> str | None:
    if token is not None:
        return token.get_secret_value()
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"the token file {file} cannot be read ({error.strerror})") from None
    if len(text) < SHORTEST_TOKEN:
        raise ValueError(f"the token in {file} needs at least {SHORTEST_TOKEN} characters: openssl rand -hex 32")
    return text

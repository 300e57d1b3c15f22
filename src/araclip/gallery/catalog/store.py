"""The interface of a gallery's store: a catalogue in a folder, or a schema on a server."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from araclip.gallery.catalog.embedded_pictures import EmbeddedPictures
from araclip.gallery.catalog.records import File, Overview, PictureRecord
from araclip.pictures.facts import Facts
from araclip.pictures.metadata import PhotoMetadata


class Store(Protocol):
    """`Catalog` and `PostgresCatalog`; documented in the former."""

    @property
    def folder(self) -> Path | str:
        """Its location, for messages."""

    @property
    def generation(self) -> str:
        """A token of the last commit: equal tokens, equal content."""

    def writing(self) -> AbstractContextManager[None]:
        """A transaction: all changes inside are committed, or none."""

    def files(self, at: str | None = None) -> dict[str, File]:
        """All files by path, or those at a path and below."""

    def drives(self) -> set[str]:
        """Mount points seen below indexed folders."""

    def remember_drives(self, drives: set[str]) -> None:
        """Store mount points."""

    def incomplete(self) -> set[str]:
        """Paths of pictures without facts or perceptual hash."""

    def counts(self) -> tuple[int, int]:
        """Number of files, and of pictures."""

    def digests(self) -> set[bytes]:
        """Hashes of all complete pictures."""

    def content(self, digest: bytes) -> int | None:
        """The id of the picture with this hash."""

    def content_of(self, path: str) -> int | None:
        """The id of the picture at a path."""

    def vector(self, content: int) -> NDArray[np.float32]:
        """The vector (D,) of a picture."""

    def metadata_of(self, path: str) -> dict[str, Any]:
        """The metadata stored with a path."""

    def stored_pixels(self, content: int) -> bytes | None:
        """The JPEG of a picture without a file."""

    def record(self, identity: str) -> PictureRecord | None:
        """A picture by its id (32 hex digits), with all its paths."""

    def overview(self) -> Overview:
        """Counts of the current generation."""

    def add_content(self, digest: bytes, vector: NDArray[np.float32]) -> int:
        """Store a picture; returns its id."""

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        """Store the facts and the perceptual hash of a picture."""

    def put_embedded(self, group: EmbeddedPictures) -> int:
        """Store pictures that were embedded elsewhere; what the store holds stays. Returns how many were new."""

    def put_file(self, file: File, content: int, metadata: Mapping[str, Any] | None = None) -> None:
        """Record that a path holds a picture."""

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        """The side-car captions that are stored, by path; all, or the one at a path."""

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata | None = None) -> None:
        """Store the side-car caption of a path and what else it says, or that there is no side-car."""

    def set_hidden(self, contents: Iterable[int], hide: bool) -> int:
        """Hide pictures from results, or show them again; returns how many have changed."""

    def store_pixels(self, content: int, picture: bytes) -> None:
        """Store the JPEG of a picture without a file."""

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove paths, and pictures without any path left."""

"""The interface of a gallery's store: a catalogue in a folder, or a schema on a server."""

from collections.abc import Callable, Iterable, Mapping
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
    """The methods that `Catalog` and `PostgresCatalog` have in common; `Catalog` documents them in full."""

    @property
    def folder(self) -> Path | str:
        """The gallery's location, for messages."""

    @property
    def generation(self) -> str:
        """A token of the last commit; equal tokens mean equal content."""

    def writing(self) -> AbstractContextManager[None]:
        """Run a `with` block as a transaction: all changes inside are committed, or none."""

    def files(self, at: str | None = None) -> dict[str, File]:
        """Return all files by path, or only those at a path and below it."""

    def drives(self) -> set[str]:
        """Return the mount points seen below indexed folders."""

    def remember_drives(self, drives: set[str]) -> None:
        """Store the mount points seen below indexed folders."""

    def derive(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        """Derive once what earlier releases did not, such as the places of coordinates; `turn` locks the store."""

    def incomplete(self) -> set[str]:
        """Return the paths of pictures that lack facts or perceptual hash."""

    def counts(self) -> tuple[int, int]:
        """Return the number of files, and of pictures."""

    def digests(self) -> set[bytes]:
        """Return the hashes of all complete pictures."""

    def content(self, digest: bytes) -> int | None:
        """Return the id of the picture with this hash; None if there is none."""

    def content_of(self, path: str) -> int | None:
        """Return the id of the picture at a path; None if the path is not indexed."""

    def vector(self, content: int) -> NDArray[np.float32]:
        """Return the vector (D,) of a picture."""

    def metadata_of(self, path: str) -> dict[str, Any]:
        """Return the metadata stored with a path."""

    def stored_pixels(self, content: int) -> bytes | None:
        """Return the JPEG of a picture without a file; None if there is none."""

    def record(self, identity: str) -> PictureRecord | None:
        """Return a picture by its id (32 hex digits), with all its paths; None if there is none."""

    def overview(self) -> Overview:
        """Count files, formats and folders in the current state of the gallery."""

    def add_content(self, digest: bytes, vector: NDArray[np.float32]) -> int:
        """Store a picture's vector; return the picture's id."""

    def put_facts(self, content: int, facts: Facts, phash: int) -> None:
        """Store the facts and the perceptual hash of a picture."""

    def put_embedded(self, group: EmbeddedPictures) -> int:
        """Store pictures that were embedded elsewhere, replacing nothing; return how many were new."""

    def put_file(self, file: File, content: int, metadata: Mapping[str, Any] | None = None) -> None:
        """Record that a path holds a picture."""

    def sidecars(self, at: str | None = None) -> dict[str, File]:
        """Return size and time of the stored side-car captions by path: all of them, or the one at a path."""

    def put_sidecar(self, path: str, file: File, caption: str | None, photo: PhotoMetadata | None = None) -> None:
        """Store the caption from a path's side-car and what else it says; None: there is no side-car."""

    def set_hidden(self, contents: Iterable[int], hide: bool) -> int:
        """Hide pictures from results, or show them again; return the number changed."""

    def store_pixels(self, content: int, picture: bytes) -> None:
        """Store the JPEG of a picture that has no file of its own, such as an upload."""

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove paths, and pictures that have no path left."""

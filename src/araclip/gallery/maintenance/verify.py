"""The checks of `verify`: they examine the catalogue, its vectors, index and stored pixels, and files on the disk."""

import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.files import openable
from araclip.errors import GalleryCorrupt, ImageError
from araclip.gallery.catalog.catalog import PARTS, Catalog
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.catalog.salvage import damaged_keys
from araclip.gallery.catalog.sql_store import JOINED
from araclip.gallery.catalog.store import Store
from araclip.gallery.index import scan_index
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.results import Fault
from araclip.models.vectors import UNIT_TOLERANCE
from araclip.pictures.images import open_file, open_image
from araclip.pictures.video import scenes
from araclip.pictures.video.scenes import digest_at, file_of


def are_unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Return a mask (n,): True for each of the vectors (n, D), stored in float16, whose length is 1; False for NaN."""
    exact = vectors.astype(np.float32)
    right: NDArray[np.bool_] = np.abs(np.sqrt(np.einsum("nd,nd->n", exact, exact)) - 1) <= 2 * UNIT_TOLERANCE
    return right


def bad_vectors(store: Store) -> list[int]:
    """Return the ids of the pictures whose vector has a wrong width, or is not of length 1."""
    if not isinstance(store, Catalog):  # only the length is checked, because PostgreSQL itself enforces the width
        ids, vectors = store.vectors()
        return [int(content) for content in ids[~are_unit(vectors)]]
    width, bad = int(store.meta("width")), []
    for content, raw in store.rows("SELECT id, vector FROM contents ORDER BY id"):
        if raw is None or len(raw) != 2 * width or not are_unit(np.frombuffer(raw, "<f2")[None]).all():
            bad.append(content)
    return bad


def stored_fault(path: str, pixels: bytes | None) -> Iterator[Fault]:
    """Yield a fault if the stored pixels of a picture without a file are damaged.

    Missing pixels (None) are no fault: a picture that came from shards of `araclip embed` has its file elsewhere.
    """
    try:
        if pixels is not None:
            open_image(io.BytesIO(pixels), 16, name=path)
    except ImageError:
        yield Fault(path, "its pixels are damaged", "It is still found; add the picture again to see it.")


def file_fault(stored: File, digest: bytes | None) -> Iterator[Fault]:
    """Yield the fault of a file on the disk, if it has one; if `digest` is given, compare the content as well.

    For a scene, its video is checked.
    """
    file = File(file_of(stored.path), stored.size, stored.mtime_ns)
    try:
        now = File.of(file.path, os.stat(openable(file.path)))  # noqa: PTH116  (names that are not UTF-8 stay text)
        if now != file:
            yield Fault(file.path, "changed since it was indexed", "Run `araclip index` on its folder.")
        elif digest is not None:
            with open_file(file.path) as stream:
                found = digest_at(stored.path, stream)
            if found != digest:
                what = "its content changed while size and time did not"
                yield Fault(file.path, what, "Restore it from a copy if it is damaged.")
    except FileNotFoundError:
        yield Fault(file.path, "is gone", "Run `araclip index` on its folder, or reconnect the drive.")
    except ImageError as error:
        yield Fault(file.path, "is no file any more", str(error))
    except OSError as error:
        yield Fault(file.path, f"cannot be read ({error.strerror or error})", "Check its permissions.")


def catalogue_faults(catalog: Catalog) -> Iterator[Fault]:
    """Yield the faults of a catalogue in a folder and of its index; reads the whole file and compares checksums."""
    remedy = "Run `araclip repair`, which recovers what can be read."
    if found := catalog.find_damage():  # look for the damaged rows only if there is damage, because that takes long
        with catalog.translate_errors():
            for table, key in damaged_keys(catalog.path):
                yield Fault(_name_of_row(catalog, key), f"its {PARTS[table]} is damaged", remedy, True)
        yield from (Fault(str(catalog.path), line, remedy, True) for line in found)
        return  # stop here, because further checks would read the damaged pages
    with catalog.frozen() as view:  # one state for all checks, although other processes may commit meanwhile
        for content in sorted({*bad_vectors(view), *doubtful(view)}):
            yield Fault(_name_of_row(view, content), "its vector is damaged", remedy, True)
        for index in scan_index.damaged_files(view):
            yield Fault(str(index), "the index is damaged", "Run `araclip repair`, which rebuilds it.", True)
        for (raw,) in view.rows("SELECT path FROM files WHERE NOT json_valid(metadata)"):
            yield Fault(os.fsdecode(raw), "its metadata is damaged", "Run `araclip repair`, which clears it.", True)


def doubtful(catalog: Catalog) -> list[int]:
    """Return the ids of pictures that a repair has read from damaged pages of the file, and not yet encoded again."""
    return [content for (content,) in catalog.rows("SELECT content FROM doubtful ORDER BY content")]


def _name_of_row(catalog: Catalog, key: object) -> str:
    """Return a path of the picture or file to which a damaged row belongs; else the catalogue's path and the key."""
    if isinstance(key, bytes):
        return os.fsdecode(key)
    try:
        paths = catalog.known_paths(key) if isinstance(key, int) else []
    except GalleryCorrupt:
        paths = []
    return paths[0] if paths else f"{catalog.path}, {f'picture {key}' if isinstance(key, int) else key}"


def file_faults(store: Store, contents: bool, progress: FilesProgress) -> Iterator[Fault]:
    """Yield faults of files, and of pixels stored for pictures without a file; `contents`: compare contents, too."""
    rows = store.rows(f"SELECT path, size, mtime_ns, hash, content FROM {JOINED} ORDER BY path")
    if contents:
        scenes.forget_hashes()
    reported: set[str] = set()
    for done, (raw, size, mtime, digest, content) in enumerate(rows, 1):
        path = os.fsdecode(raw)
        if path.startswith(STORED_PREFIX):
            yield from stored_fault(path, store.stored_pixels(content))
        else:
            stored = File(path, size, mtime)
            faults = list(file_fault(stored, digest if contents else None))
            if faults and (now := store.files(path).get(path)) != stored:  # indexed again or removed meanwhile
                faults = list(file_fault(now, None)) if now else []
            for fault in faults:
                if str(fault) not in reported:  # report a video's fault once, not for each scene
                    reported.add(str(fault))
                    yield fault
        progress(done, len(rows))

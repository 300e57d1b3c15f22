"""Upkeep of a gallery in a folder: statistics, duplicates, verification, repair, compaction."""

import hashlib
import io
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import Encoder
from araclip.errors import ImageError, InputError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.catalog.schema import FILE_NAME
from araclip.gallery.duplicates import groups, semantic_pairs
from araclip.gallery.index import scan_index
from araclip.gallery.index.exact import positions
from araclip.gallery.ingest.sources import DecodedPicture, decode_again
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.near_hashes import Hashes, is_near, near_pairs
from araclip.gallery.results import Fault, Group, Stats
from araclip.images import open_image

KINDS = ("exact", "near", "semantic")
_STORED_ALIKE = 0.98  # cosine of a picture and the JPEG that was stored of it
_OUT_OF_LENGTH = 0.02  # float16 rounding moves the length of a unit vector by less than 0.002

Ids = NDArray[np.int64]


def stats(catalog: Catalog) -> Stats:
    """Counts, sizes and ranges; see `Stats`."""
    files, pictures = catalog.counts()
    size, stored, first, last = catalog.rows(
        "SELECT (SELECT ifnull(sum(size), 0) FROM files), (SELECT count(*) FROM kept), min(added), max(added) "
        "FROM contents"
    )[0]
    return Stats(
        folder=str(catalog.folder),
        model=f"{catalog.meta('model')}@{catalog.meta('fingerprint')}",
        width=int(catalog.meta("width")),
        generation=catalog.generation,
        files=files,
        pictures=pictures,
        stored=stored,
        file_bytes=size,
        catalogue_bytes=(catalog.folder / FILE_NAME).stat().st_size,
        formats=catalog.formats(),
        captured_at=catalog.captured_at(),
        added=(first, last) if first else None,
        recall=scan_index.recall(catalog),
    )


def check_kinds(kinds: Collection[str]) -> None:
    """Refuse kinds of duplicates that there are not.

    Raises:
        InputError: one is unknown.
    """
    if unknown := set(kinds) - set(KINDS):
        raise InputError(f"no kind of duplicates '{min(unknown)}'. Choose among {', '.join(KINDS)}.")


def duplicates(catalog: Catalog, kinds: Collection[str]) -> list[Group]:
    """Groups of files that are the same, nearly the same, or of the same scene; see `Gallery.duplicates`."""
    check_kinds(kinds)
    rows = catalog.rows(
        "SELECT content, path, size, ifnull(width * height, 0) FROM files JOIN contents ON id = content "
        "WHERE substr(path, 1, ?) <> ? ORDER BY content, path",
        (len(STORED_PREFIX), STORED_PREFIX.encode()),
    )
    files: dict[int, list[tuple[str, int, int]]] = {}  # by picture: path, bytes, pixels
    for content, path, size, pixels in rows:
        if os.path.lexists(path):  # or the last copy would be called a spare one
            files.setdefault(content, []).append((os.fsdecode(path), size, pixels))

    return grouped(files, lambda: _hashes(catalog), catalog.vectors, kinds)


def _hashes(catalog: Catalog) -> tuple[Ids, Hashes]:
    rows = catalog.rows("SELECT id, ifnull(phash, 0) FROM contents WHERE id IN (SELECT content FROM files) ORDER BY id")
    known = np.array(rows, np.int64).reshape(-1, 2)
    return known[:, 0], known[:, 1].astype(np.uint64)  # SQLite's integers have a sign


def grouped(
    files: Mapping[int, list[tuple[str, int, int]]],
    hashes: Callable[[], tuple[Ids, Hashes]],
    vectors: Callable[[], tuple[Ids, NDArray[np.floating[Any]]]],
    kinds: Collection[str],
) -> list[Group]:
    """Groups among the files (path, bytes, pixels) of pictures.

    Args:
        hashes, vectors: what give ids (n,) in order with their perceptual hashes (n,), or with their vectors (n, D);
            called only if they matter. A picture that comes or goes between the calls is left out.
    """
    found = [_group("exact", several) for several in files.values() if len(several) > 1] if "exact" in kinds else []
    if {"near", "semantic"}.isdisjoint(kinds):
        return found
    there = np.array(sorted(files), np.int64)
    ids, phashes = hashes()
    ids, phashes = ids[here := positions(ids, there)], phashes[here]
    pairs: dict[str, Iterable[tuple[int, int]]] = {}
    if "near" in kinds:
        pairs["near"] = near_pairs(phashes)
    if "semantic" in kinds:
        seen, stored = vectors()
        rows_of = positions(ids, seen).tolist()
        alike = ((rows_of[a], rows_of[b]) for a, b in semantic_pairs(stored[positions(seen, ids)].astype(np.float32)))
        pairs["semantic"] = (
            (one, other) for one, other in alike if not is_near(int(phashes[one]), int(phashes[other]))
        )
    for kind, together in pairs.items():
        for rows in groups(len(ids), together):
            found.append(_group(kind, [files[int(ids[row])][0] for row in rows]))
    return found


def _group(kind: str, files: list[tuple[str, int, int]]) -> Group:
    best, *others = sorted(files, key=lambda file: (-file[2], -file[1], os.fsencode(file[0])))
    return Group(kind, (best[0], *(path for path, _, _ in others)), sum(size for _, size, _ in others))


def verify(catalog: Catalog, contents: bool, progress: FilesProgress) -> list[Fault]:
    """Everything that is wrong with a gallery: its catalogue, its vectors, its files.

    Args:
        contents: read every file too and compare its hash, which finds what changed without changing size or time.
    """
    return [*_catalogue_faults(catalog), *_file_faults(catalog, contents, progress)]


def _catalogue_faults(catalog: Catalog) -> Iterator[Fault]:
    place = str(catalog.folder / FILE_NAME)
    for (line,) in catalog.rows("PRAGMA integrity_check"):
        if line != "ok":
            yield Fault(place, f"SQLite says: {line}", "Run `araclip repair`, which saves what can be read.", True)
    for row in catalog.rows("PRAGMA foreign_key_check"):
        yield Fault(place, f"a row of {row[0]} speaks of a picture that is not there", "Run `araclip repair`.", True)
    for content in bad_vectors(catalog):
        paths = catalog.rows("SELECT path FROM files WHERE content = ? ORDER BY path", (content,))
        name = os.fsdecode(paths[0][0]) if paths else f"{place}, picture {content}"
        yield Fault(name, "its vector is damaged", "Run `araclip repair`, which encodes it again.", True)
    for path in scan_index.damaged(catalog):
        yield Fault(str(path), "the index is damaged", "Run `araclip repair`, which makes it anew.", True)
    for (raw,) in catalog.rows("SELECT path FROM files WHERE NOT json_valid(metadata)"):
        yield Fault(os.fsdecode(raw), "its metadata is damaged", "Run `araclip repair`, which clears it.", True)


def bad_vectors(catalog: Catalog) -> list[int]:
    """Ids of the pictures whose vector has the wrong width or length."""
    width = int(catalog.meta("width"))
    bad = []
    for content, raw in catalog.rows("SELECT id, vector FROM contents ORDER BY id"):
        if len(raw) == 2 * width and is_unit(np.frombuffer(raw, "<f2").astype(np.float32)):
            continue
        bad.append(content)
    return bad


def is_unit(vector: NDArray[np.float32]) -> bool:
    """Whether a stored vector has length 1 but for rounding; NaN has not."""
    return bool(abs(float(np.linalg.norm(vector)) - 1) <= _OUT_OF_LENGTH)


def _file_faults(catalog: Catalog, contents: bool, progress: FilesProgress) -> Iterator[Fault]:
    rows = catalog.rows(
        "SELECT path, size, mtime_ns, hash, content FROM files JOIN contents ON id = content ORDER BY path"
    )
    for done, (raw, size, mtime, digest, content) in enumerate(rows, 1):
        path = os.fsdecode(raw)
        if path.startswith(STORED_PREFIX):
            yield from stored_fault(path, catalog.stored_pixels(content))
        else:
            yield from file_fault(File(path, size, mtime), digest if contents else None)
        progress(done, len(rows))


def stored_fault(path: str, pixels: bytes | None) -> Iterator[Fault]:
    """What is wrong with the stored pixels of a picture without a file."""
    try:
        open_image(io.BytesIO(pixels or b""), 16, name=path)
    except ImageError:
        yield Fault(path, "its pixels are damaged", "It is still found; add the picture again to see it.")


def file_fault(file: File, digest: bytes | None) -> Iterator[Fault]:
    """What is wrong with a file on the disk; its content is compared too if `digest` is given."""
    try:
        now = File.of(file.path, os.stat(file.path))  # noqa: PTH116  (names that are not UTF-8 stay text)
        if now != file:
            yield Fault(file.path, "changed since it was indexed", "Run `araclip index` on its folder.")
        elif digest is not None and hashlib.sha256(_read(file.path)).digest() != digest:
            yield Fault(
                file.path, "its content changed while size and time did not", "Restore it from a copy if it is damaged."
            )
    except FileNotFoundError:
        yield Fault(file.path, "is gone", "Run `araclip index` on its folder, or plug the drive in.")
    except OSError as error:
        yield Fault(file.path, f"cannot be read ({error.strerror or error})", "Check its permissions.")


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123  (as above)
        return stream.read()


def repair(catalog: Catalog, model: Encoder, doubt: bool, progress: FilesProgress) -> list[str]:
    """Fix what `verify` calls repairable in a catalogue that can be read; returns one line for each action."""
    actions, bad = [], set(bad_vectors(catalog))
    every = [row[0] for row in catalog.rows("SELECT id FROM contents ORDER BY id")] if doubt else sorted(bad)
    for done, content in enumerate(every, 1):
        paths = [os.fsdecode(raw) for (raw,) in catalog.rows("SELECT path FROM files WHERE content = ?", (content,))]
        (digest,) = catalog.rows("SELECT hash FROM contents WHERE id = ?", (content,))[0]
        decoded = decode_again(paths, digest, partial(catalog.stored_pixels, content), model.image_size)
        with catalog.writing():
            if isinstance(decoded, str) and content in bad:
                catalog.remove_files(paths)
                actions.append(f"{', '.join(paths)}: forgotten, since it cannot be encoded again now.")
            elif isinstance(decoded, str):  # the next update reads the file, whatever its size and time
                catalog.change("UPDATE files SET mtime_ns = -1 WHERE content = ?", (content,))
            elif _encode_again(catalog, content, decoded, model, content in bad):
                actions.append(f"{paths[0]}: encoded again.")
        progress(done, len(every))
    with catalog.writing():
        if cleared := catalog.change("UPDATE files SET metadata = '{}' WHERE NOT json_valid(metadata)"):
            actions.append(f"{cleared} damaged metadata cleared.")
        catalog.change("DELETE FROM files WHERE content NOT IN (SELECT id FROM contents)")
        catalog.change(
            "INSERT OR IGNORE INTO loose SELECT id FROM contents WHERE id NOT IN (SELECT content FROM files)"
        )
        catalog.remove_files(())
    scan_index.drop_derived(catalog.folder)
    return actions


def _encode_again(catalog: Catalog, content: int, decoded: DecodedPicture, model: Encoder, bad: bool) -> bool:
    """Store what a picture looks like, if that is not what is stored; the stored JPEG is not quite the picture."""
    vector = model.encode_pixels(decoded.pixels[None])[0].astype("<f2")
    stored = np.zeros(len(vector)) if bad else catalog.vector(content)
    alike = float(stored @ vector.astype(np.float32)) >= _STORED_ALIKE if catalog.stored_pixels(content) else False
    if alike or (stored.astype("<f2") == vector).all():
        return False
    catalog.change("UPDATE contents SET vector = ? WHERE id = ?", (vector.tobytes(), content))
    catalog.put_facts(content, decoded.facts, decoded.phash)
    return True


def compact(catalog: Catalog) -> int:
    """Give space that removed pictures took back to the disk; returns how many bytes."""
    before = _size(catalog.folder)
    scan_index.drop_derived(catalog.folder)
    with catalog.writing(visible=False):
        pass  # breaks the seal, which VACUUM does not know
    catalog.rows("VACUUM")
    catalog.rest()
    return before - _size(catalog.folder)


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.iterdir() if entry.is_file())

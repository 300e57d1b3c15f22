"""Repair of a readable catalogue: damaged rows are derived again from the pictures, or removed until an update."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from araclip.display import counted
from araclip.encoder_base import Encoder, pixel_vectors
from araclip.errors import ImageError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import STORED_PREFIX, File
from araclip.gallery.index import scan_index
from araclip.gallery.ingest.sources import DecodedPicture, decode_again
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.maintenance.integrity import bad_vectors
from araclip.pictures.image_transform import transform_of
from araclip.pictures.images import open_file
from araclip.video.hashes import file_hash
from araclip.video.scene_paths import file_of, scene_digest, scene_of

_STORED_ALIKE = 0.98  # cosine of a picture and the JPEG that was stored of it


def repair(catalog: Catalog, model: Encoder, progress: FilesProgress) -> list[str]:
    """Fix every repairable fault of a catalogue whose structure is sound; returns one line for each action."""
    damaged: defaultdict[tuple[str, str], set[Any]] = defaultdict(set)
    for damage in catalog.damages():
        if damage.key is not None:
            damaged[damage.table, damage.column].add(damage.key)
    unreadable = {raw for (raw,) in catalog.rows("SELECT path FROM files WHERE NOT json_valid(metadata)")}
    actions: list[str] = []
    with catalog.writing():
        for raw in sorted(damaged["files", "crc"]):
            actions.append(_mend_path(catalog, raw))
        damaged_metadata = damaged["files", "metadata_crc"] | unreadable
        for raw in damaged_metadata:
            catalog.change("UPDATE files SET metadata = '{}' WHERE path = ?", (raw,))
        if damaged_metadata:
            entries = counted(len(damaged_metadata), "damaged metadata entry", "damaged metadata entries")
            actions.append(f"{entries} cleared.")
        for content in damaged["kept", "crc"]:
            catalog.change("UPDATE kept SET picture = picture WHERE content = ?", (content,))
            actions.append(f"picture {content}: its stored pixels were damaged; add it again to see it whole.")
        for content in damaged["next_vectors", "crc"]:
            catalog.change("DELETE FROM next_vectors WHERE content = ?", (content,))
        actions += _forget_texts(catalog, damaged) + _forget_photos(catalog, damaged)
        for content in damaged["contents", "vector_crc"]:
            _mend_hash(catalog, content)
        catalog.change(  # a stored picture whose path was damaged
            "INSERT INTO files (path, size, mtime_ns, content) "
            "SELECT CAST(? || lower(substr(hex(hash), 1, 32)) AS BLOB), length(picture), 0, content "
            "FROM kept JOIN contents ON id = content WHERE content NOT IN (SELECT content FROM files)",
            (STORED_PREFIX,),
        )
    # Rows that `salvage` took from a file without checksums; only a vector of the wrong length is known to be damaged.
    unknown = {content for (content,) in catalog.rows("SELECT id FROM contents WHERE vector_crc IS NULL")}
    bad = {*bad_vectors(catalog), *damaged["contents", "vector_crc"] - unknown, *damaged["contents", "facts_crc"]}
    actions += _encode_again(catalog, model, bad, unknown, progress)
    with catalog.writing():
        for table in ("files", "kept", "texts", "photos", "next_vectors"):
            catalog.change(f"DELETE FROM {table} WHERE content NOT IN (SELECT id FROM contents)")
        catalog.change(
            "INSERT OR IGNORE INTO loose SELECT id FROM contents WHERE id NOT IN (SELECT content FROM files)"
        )
        catalog.remove_files(())
    scan_index.drop_derived(catalog.folder)
    return actions


def _forget_texts(catalog: Catalog, damaged: Mapping[tuple[str, str], set[Any]]) -> list[str]:
    """Forget damaged captions and OCR texts; the next update, or the next OCR, reads them again."""
    captions, seen, beside = (
        damaged.get(part, set()) for part in (("texts", "caption_crc"), ("texts", "ocr_crc"), ("sidecars", "crc"))
    )
    for content in captions:
        catalog.change("DELETE FROM texts WHERE content = ?", (content,))
    for content in seen - captions:
        catalog.change("UPDATE texts SET ocr = NULL, ocr_by = NULL WHERE content = ?", (content,))
    for raw in beside:
        catalog.change("DELETE FROM sidecars WHERE path = ?", (raw,))
    count = len(captions | seen) + len(beside)
    return [f"{counted(count, 'damaged text')} forgotten; `araclip index` reads what is lost again."] if count else []


def _forget_photos(catalog: Catalog, damaged: Mapping[tuple[str, str], set[Any]]) -> list[str]:
    """Forget damaged metadata of photographs, which the next update reads again; a picture that was hidden stays so."""
    photos, beside = damaged.get(("photos", "photo_crc"), set()), damaged.get(("sidecar_photos", "crc"), set())
    for content in photos:
        catalog.change(
            "UPDATE photos SET embedded = NULL, camera = NULL, lens = NULL, latitude = NULL, longitude = NULL, "
            "place = NULL WHERE content = ?",
            (content,),
        )
    for content in damaged.get(("photos", "hidden_crc"), set()):
        catalog.change("UPDATE photos SET hidden = hidden <> 0 WHERE content = ?", (content,))
    for raw in beside:  # with its caption: the whole side-car is read again
        catalog.change("DELETE FROM sidecars WHERE path = ?", (raw,))
    count = len(photos) + len(beside)
    return [f"{count:,} damaged cameras and places forgotten; `araclip index` reads them again."] if count else []


def _mend_path(catalog: Catalog, raw: bytes) -> str:
    """Derive the row of a path from its file, or from the hash in the path of a stored picture; else remove it."""
    path = os.fsdecode(raw)
    if path.startswith(STORED_PREFIX):
        sql = "SELECT id FROM contents WHERE lower(substr(hex(hash), 1, 32)) = ?"
        found = catalog.rows(sql, (path.removeprefix(STORED_PREFIX),))
        if found:
            catalog.change("UPDATE files SET mtime_ns = 0, content = ? WHERE path = ?", (found[0][0], raw))
            return f"{path}: its damaged row was restored."
    elif (about := _file_and_hash(path)) and (content := catalog.content(about[1])) is not None:
        catalog.put_file(about[0], content)
        return f"{path}: its damaged row was restored."
    catalog.change("DELETE FROM files WHERE path = ?", (raw,))
    return f"{path}: a damaged row was removed; `araclip index` reads its file again."


def _mend_hash(catalog: Catalog, content: int) -> None:
    """Derive the hash of a damaged row from an unchanged file of the picture, if there is one."""
    rows = catalog.rows("SELECT path, size, mtime_ns FROM files WHERE content = ?", (content,))
    for raw, size, changed in rows:
        found = _file_and_hash(os.fsdecode(raw))
        if found and (found[0].size, found[0].mtime_ns) == (size, changed) and catalog.content(found[1]) is None:
            catalog.change("UPDATE contents SET hash = ? WHERE id = ?", (found[1], content))
            return


def _file_and_hash(path: str) -> tuple[File, bytes] | None:
    scene = scene_of(path)
    try:
        with open_file(file_of(path)) as stream:
            if scene:
                digest = scene_digest(file_hash(stream, scene.video), scene.time)
                return File.of(path, os.fstat(stream.fileno())), digest
            return File.of(path, os.fstat(stream.fileno())), hashlib.file_digest(stream, "sha256").digest()
    except (OSError, ValueError, ImageError):  # ValueError: a damaged path with a NUL
        return None


def _encode_again(
    catalog: Catalog, model: Encoder, bad: set[Any], unknown: set[int], progress: FilesProgress
) -> list[str]:
    """Encode damaged pictures again, and those that may be damaged."""
    actions = []
    every = [row[0] for row in catalog.rows("SELECT id FROM contents ORDER BY id")]
    every = [content for content in every if content in bad or content in unknown]
    for done, content in enumerate(every, 1):
        paths = [os.fsdecode(raw) for (raw,) in catalog.rows("SELECT path FROM files WHERE content = ?", (content,))]
        (digest,) = catalog.rows("SELECT hash FROM contents WHERE id = ?", (content,))[0]
        decoded = decode_again(paths, digest, partial(catalog.stored_pixels, content), transform_of(model))
        with catalog.writing():
            if isinstance(decoded, str) and content in bad:
                catalog.remove_files(paths)
                actions.append(f"{', '.join(paths)}: forgotten, since it cannot be encoded again now.")
            elif isinstance(decoded, str):  # makes the next update read the file again
                catalog.change("UPDATE contents SET vector = vector WHERE id = ?", (content,))
                catalog.change("UPDATE files SET mtime_ns = -1 WHERE content = ?", (content,))
            elif _renew(catalog, content, decoded, model, content in bad):
                actions.append(f"{paths[0]}: encoded again.")
        progress(done, len(every))
    return actions


def _renew(catalog: Catalog, content: int, decoded: DecodedPicture, model: Encoder, bad: bool) -> bool:
    """Store a new vector and facts, with their checksums; returns whether the stored vector was another one.

    The JPEG stored of a picture gives nearly the same vector as the picture, so that one is kept.
    """
    vector = pixel_vectors(model, decoded.pixels[None])[0].astype("<f2")
    same = False
    if not bad:
        ((raw,),) = catalog.rows("SELECT vector FROM contents WHERE id = ?", (content,))
        stored = np.frombuffer(raw, "<f2").astype(np.float32)
        alike = float(stored @ vector.astype(np.float32)) >= _STORED_ALIKE if catalog.stored_pixels(content) else False
        same = alike or raw == vector.tobytes()
        vector = stored.astype("<f2") if same else vector
    catalog.change("UPDATE contents SET vector = ? WHERE id = ?", (vector.tobytes(), content))
    if not same:
        catalog.put_facts(content, decoded.facts, decoded.phash)
    return not same

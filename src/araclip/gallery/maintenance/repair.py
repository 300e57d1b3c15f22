"""Repair a readable catalogue: encode pictures with damaged vectors again, or remove them until the next update."""

import os
from functools import partial

import numpy as np

from araclip.core.display import counted
from araclip.errors import ImageError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.store import Store
from araclip.gallery.index import scan_index
from araclip.gallery.ingest.intake import DecodedPicture, decode_again
from araclip.gallery.ingest.update import FilesProgress
from araclip.gallery.maintenance.verify import bad_vectors, doubtful
from araclip.models.encoder_base import Encoder, pixel_vectors
from araclip.pictures.image_transform import transform_of
from araclip.pictures.images import open_file
from araclip.pictures.video.scenes import digest_at, file_of

_STORED_ALIKE = 0.98  # least cosine between the vectors of a picture and of the smaller JPEG stored for it


def repair(catalog: Catalog, model: Encoder, progress: FilesProgress) -> list[str]:
    """Fix the repairable faults of a catalogue whose pages are sound.

    Return a line for each change to metadata or vectors. A picture with a damaged vector is encoded again, or removed
    if it cannot be read. Index files are deleted.
    """
    actions: list[str] = []
    with catalog.writing():
        if cleared := catalog.change("UPDATE files SET metadata = '{}' WHERE NOT json_valid(metadata)"):
            entries = counted(cleared, "damaged metadata entry", "damaged metadata entries")
            actions.append(f"{entries} cleared.")
    bad = set(bad_vectors(catalog))
    waiting = sorted({*bad, *doubtful(catalog)})
    for done, content in enumerate(waiting, 1):
        if content not in bad:
            with catalog.writing():
                _recompute_hash(catalog, content)
        actions += encode_again(catalog, model, content, bad=content in bad)
        progress(done, len(waiting))
    with catalog.writing():
        catalog.change(
            "INSERT OR IGNORE INTO loose SELECT id FROM contents WHERE id NOT IN (SELECT content FROM files)"
        )
        catalog.remove_files(())
    scan_index.delete_index_files(catalog.folder)
    return actions


def encode_again(store: Store, model: Encoder, content: int, *, bad: bool = True) -> list[str]:
    """Encode a picture again; return a line for the user if this changed anything.

    With `bad`, the vector is known to be wrong, and a picture that cannot be encoded now is forgotten. Without `bad`,
    the vector was only read from a damaged page of the file, and is kept if the picture cannot be encoded now.
    """
    paths = store.known_paths(content)
    ((digest,),) = store.rows("SELECT hash FROM contents WHERE id = ?", (content,))
    decoded = decode_again(paths, digest, partial(store.stored_pixels, content), transform_of(model))
    with store.writing():
        if isinstance(store, Catalog):
            store.change("DELETE FROM doubtful WHERE content = ?", (content,))
        if not isinstance(decoded, str):
            renewed = _store_new(store, content, digest, decoded, model, bad)
            return [f"{paths[0] if paths else f'picture {content}'}: encoded again."] if renewed else []
        if bad:
            store.remove_files(paths)
            return [f"{', '.join(paths)}: forgotten, since it cannot be encoded again now."]
        # a time that no file has, so that the next update reads the picture's files again
        store.rows("UPDATE files SET mtime_ns = -1 WHERE content = ?", (content,))
        return []


def _recompute_hash(catalog: Catalog, content: int) -> None:
    """Compute and store the SHA-256 hash of a picture again, from a file that is unchanged since it was indexed.

    Nothing changes if the picture has no such file, or if another picture has this hash.
    """
    for raw, size, changed in catalog.rows("SELECT path, size, mtime_ns FROM files WHERE content = ?", (content,)):
        path = os.fsdecode(raw)
        try:
            with open_file(file_of(path)) as stream:
                about = os.fstat(stream.fileno())
                if about.st_size != size or (changed >= 0 and about.st_mtime_ns != changed):
                    continue
                digest = digest_at(path, stream)
        except (OSError, ValueError, ImageError):  # ValueError: a damaged path contains a NUL
            continue
        if catalog.content(digest) is None:
            catalog.change("UPDATE contents SET hash = ? WHERE id = ?", (digest, content))
        return


def _store_new(store: Store, content: int, digest: bytes, decoded: DecodedPicture, model: Encoder, bad: bool) -> bool:
    """Store a picture's new vector and facts; return False if the stored vector is sound (not `bad`) and is kept.

    If the pixels come from the gallery's smaller JPEG, the new vector differs slightly: a nearly equal stored vector is
    kept.
    """
    vector = pixel_vectors(model, decoded.pixels[None])[0]
    if not bad:
        stored, rounded = store.vector(content), vector.astype(np.float16).astype(np.float32)
        alike = store.stored_pixels(content) is not None and float(stored @ rounded) >= _STORED_ALIKE
        if alike or (stored == rounded).all():
            return False
    store.add_content(digest, vector)
    store.put_facts(content, decoded.facts, decoded.phash)
    return True

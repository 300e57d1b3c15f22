"""Re-embed a gallery: encode its pictures with another model.

The new vectors are stored beside the old ones, which they replace in one transaction at the end. Until then, searches
with the old model continue. A run that was stopped or killed resumes.
"""

import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.core.display import counted
from araclip.errors import GalleryError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.store import Store
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.gallery.index.scan_index import delete_index_files
from araclip.gallery.ingest.intake import COMMIT_EVERY, DecodedPicture, decode_again, vectors_in_batches
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.models.encoder_base import Encoder, batches, pixel_vectors
from araclip.pictures.image_transform import transform_of
from araclip.pictures.images import map_ahead


def reembed(
    folder: Path,
    model: Encoder,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
) -> int:
    """Re-embed the gallery in `folder` with `model`; return the number of pictures encoded in this run.

    Args:
        forget_missing: remove pictures whose files are missing or changed, instead of refusing to switch.
        progress: called with (pictures done, pictures in all).
        skip: called with one line for each picture that cannot be encoded.

    Raises:
        GalleryNotFound, GalleryCorrupt, NewerGallery: the gallery does not exist, or cannot be used.
        GalleryError: pictures cannot be encoded now (an unplugged drive?). The new vectors are kept, and the gallery
            keeps using the old ones.
        GalleryLocked: another process is writing this gallery.
        OSError: the disk is full or read-only.
    """
    with closing(Catalog.open(folder, None)) as catalog, writer_lock(folder):
        before = catalog.meta("fingerprint")
        encoded = reembed_store(catalog, model, forget_missing=forget_missing, progress=progress, skip=skip)
        if catalog.meta("fingerprint") != before:
            delete_index_files(folder)
    return encoded


def reembed_store(
    store: Store,
    model: Encoder,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
) -> int:
    """Encode a gallery's pictures again with `model`, as `reembed` does; the caller holds the writer's lock."""
    record = store.recorded
    if record.fingerprint == model.fingerprint:
        store.next_vectors.drop()
        return 0
    store.remove_loose(nullcontext)
    waiting = store.next_vectors.missing(model)
    ((total,),) = store.rows("SELECT count(*) FROM contents")
    progress = progress or (lambda done, total: None)
    encoded = missing = 0
    group: list[tuple[int, NDArray[np.uint8]]] = []  # decoded pictures, by their ids

    def commit() -> None:
        nonlocal encoded
        vectors = [vector.astype("<f2") for vector in vectors_in_batches(model, [pixels for _, pixels in group])]
        if group:
            store.next_vectors.put(model, zip((content for content, _ in group), vectors, strict=True))
        encoded += len(group)
        group.clear()

    progress(total - len(waiting), total)
    # `closing` stops the threads that decode: after Ctrl-C they must not outlive the store
    with closing(map_ahead(partial(decode_known_picture, store, model=model), waiting, model.threads)) as ahead:
        for done, (content, decoded) in enumerate(ahead, total - len(waiting) + 1):
            if isinstance(decoded, str):
                missing += 1
                if skip:
                    skip(decoded)
            else:
                group.append((content, decoded.pixels))
            if len(group) == COMMIT_EVERY:
                commit()
            progress(done, total)
        commit()
    if missing and not forget_missing:
        raise GalleryError(
            f"{counted(missing, 'picture')} of {store.folder} cannot be encoded now, so it keeps the vectors "
            f"of {record.label}. Reconnect the drive or run `araclip index` with that model first, then try again (the "
            "new vectors are kept), or forget them with --forget-missing."
        )
    store.next_vectors.switch(model)
    return encoded


def decode_known_picture(store: Store, content: int, *, model: Encoder) -> DecodedPicture | str:
    """Decode a picture again, from an unchanged file or from the gallery's JPEG; or return why that fails."""
    ((digest,),) = store.rows("SELECT hash FROM contents WHERE id = ?", (content,))
    paths = store.known_paths(content)
    decoded = decode_again(paths, digest, lambda: store.stored_pixels(content), transform_of(model))
    if isinstance(decoded, str):
        return f"{paths[0] if paths else f'picture {content}'}: cannot be encoded again ({decoded})."
    return decoded


SAMPLE = 16  # pictures encoded to measure the time; a model that encodes three a second needs five seconds for them
MOST_SECONDS = 10.0


def seconds_to_encode(store: Store, model: Encoder) -> tuple[int, float]:
    """Return the number of pictures in a gallery, and an estimate of the seconds to decode and encode them all here.

    Up to SAMPLE pictures, evenly spread, are decoded and encoded, for MOST_SECONDS at most; if none can be read, noise
    is encoded instead.
    """
    ids = [row[0] for row in store.rows("SELECT id FROM contents ORDER BY id")]
    chosen = [ids[i] for i in sorted({len(ids) * k // SAMPLE for k in range(SAMPLE)})] if ids else []
    size = model.image_size
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    pixel_vectors(model, noise[:1])  # load the model before the clock starts
    begin, done = time.perf_counter(), 0
    with closing(map_ahead(partial(decode_known_picture, store, model=model), chosen, model.threads)) as ahead:
        # a picture that cannot be read now is left out of the estimate
        squares = (decoded.pixels for _, decoded in ahead if not isinstance(decoded, str))
        for batch in batches(squares, len(noise)):
            pixel_vectors(model, np.stack(batch))
            done += len(batch)
            if time.perf_counter() - begin > MOST_SECONDS:
                break
    if not done:
        begin = time.perf_counter()
        while done < SAMPLE and time.perf_counter() - begin < MOST_SECONDS:
            pixel_vectors(model, noise)
            done += len(noise)
    return len(ids), len(ids) * (time.perf_counter() - begin) / done

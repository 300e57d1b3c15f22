"""Re-embed a gallery: encode its pictures with another model.

The new vectors are stored beside the old ones, which they replace in one transaction at the end. Until then, searches
with the old model continue. A run that was stopped or killed resumes.
"""

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from araclip.core.display import counted
from araclip.errors import GalleryError
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.writer_lock import writer_lock
from araclip.gallery.index.scan_index import drop_derived
from araclip.gallery.ingest.intake import COMMIT_EVERY, ENCODE_BATCH, DecodedPicture, decode_again
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.recorded_model import RecordedModel
from araclip.models.encoder_base import Encoder, pixel_vectors
from araclip.pictures.image_transform import transform_of
from araclip.pictures.images import map_ahead

T = TypeVar("T")


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
    catalog = Catalog.open(folder, None)
    try:
        with writer_lock(folder):
            if catalog.meta("fingerprint") == model.fingerprint:
                if catalog.meta("next_fingerprint"):
                    _give_up(catalog)
                return 0
            _begin(catalog, model)
            encoded, missing = _encode(
                catalog, model, progress or (lambda done, total: None), skip or (lambda line: None)
            )
            if missing and not forget_missing:
                raise GalleryError(
                    f"{counted(missing, 'picture')} of {folder} cannot be encoded now, so it keeps the vectors of "
                    f"{catalog.meta('model')}@{catalog.meta('fingerprint')}. Reconnect the drive or run `araclip "
                    "index` with that model first, then try again (the new vectors are kept), or forget them with "
                    "--forget-missing."
                )
            _switch(catalog, model)
            drop_derived(folder)
            catalog.checkpoint()
            return encoded
    finally:
        catalog.close()


def _begin(catalog: Catalog, model: Encoder) -> None:
    """Keep the new vectors of an interrupted run with this model; delete those of a run with another model."""
    if catalog.meta("next_fingerprint") != model.fingerprint:
        with catalog.writing(visible=False):
            catalog.change("DELETE FROM next_vectors")
            catalog.put_meta("next_fingerprint", model.fingerprint)


def _give_up(catalog: Catalog) -> None:
    """Delete the new vectors of an interrupted run with another model, because the gallery keeps its own model."""
    with catalog.writing(visible=False):
        catalog.change("DELETE FROM next_vectors")
        catalog.change("DELETE FROM meta WHERE key = 'next_fingerprint'")
    catalog.checkpoint()


def _encode(catalog: Catalog, model: Encoder, progress: FilesProgress, skip: Skip) -> tuple[int, int]:
    """Fill the table next_vectors; return how many pictures were encoded, and how many cannot be encoded."""
    (total,) = catalog.rows("SELECT count(*) FROM contents")[0]
    waiting = [row[0] for row in catalog.rows(
        "SELECT id FROM contents WHERE id NOT IN (SELECT content FROM next_vectors) ORDER BY id"
    )]  # fmt: skip
    reencoder = Reencoder(model, total, progress, skip)
    with closing(
        reencoder.groups(waiting, lambda content: decoded_again(catalog, content, model), COMMIT_EVERY)
    ) as groups:
        for group in groups:
            with catalog.writing(visible=False):
                for row in ((content, vector.tobytes()) for content, vector in group):
                    catalog.change("INSERT INTO next_vectors (content, vector) VALUES (?, ?)", row)
    return reencoder.encoded, reencoder.missing


class Reencoder:
    """Encodes known pictures with another model; counts the pictures `encoded`, and `missing` ones, which cannot be."""

    def __init__(self, model: Encoder, total: int, progress: FilesProgress, skip: Skip) -> None:
        self.encoded = self.missing = 0
        self._model, self._total, self._progress, self._skip = model, total, progress, skip

    def groups(
        self, waiting: Sequence[T], decode: Callable[[T], DecodedPicture | str], size: int
    ) -> Generator[list[tuple[T, NDArray[np.float16]]], None, None]:
        """Yield groups of `size` pictures with their vectors (D,). A group is done when the next group is asked for.

        Callers must close the generator: its threads run `decode` ahead, and must not outlive the store after Ctrl-C.
        """
        with closing(self._decoded(waiting, decode)) as remaining:
            while group := list(islice(remaining, size)):
                vectors: list[NDArray[np.float16]] = []
                for start in range(0, len(group), ENCODE_BATCH):
                    pixels = np.stack([one.pixels for _, one in group[start : start + ENCODE_BATCH]])
                    vectors.extend(pixel_vectors(self._model, pixels).astype("<f2"))
                yield [(item, vector) for (item, _), vector in zip(group, vectors, strict=True)]
                self.encoded += len(group)

    def _decoded(
        self, waiting: Sequence[T], decode: Callable[[T], DecodedPicture | str]
    ) -> Generator[tuple[T, DecodedPicture], None, None]:
        done = self._total - len(waiting)
        self._progress(done, self._total)
        with closing(map_ahead(decode, waiting, self._model.threads)) as ahead:
            for item, decoded in ahead:
                if isinstance(decoded, str):
                    self.missing += 1
                    self._skip(decoded)
                else:
                    yield item, decoded
                done += 1
                self._progress(done, self._total)


def decoded_again(catalog: Catalog, content: int, model: Encoder) -> DecodedPicture | str:
    """Decode a picture again, from a file that still holds it or from its stored pixels; or return why that fails."""
    (digest,) = catalog.rows("SELECT hash FROM contents WHERE id = ?", (content,))[0]
    paths = [os.fsdecode(raw) for (raw,) in catalog.rows("SELECT path FROM files WHERE content = ?", (content,))]
    decoded = decode_again(paths, digest, lambda: catalog.stored_pixels(content), transform_of(model))
    if isinstance(decoded, str):
        return f"{paths[0] if paths else f'picture {content}'}: cannot be encoded again ({decoded})."
    return decoded


def _switch(catalog: Catalog, model: Encoder) -> None:
    with catalog.writing():
        missing = catalog.rows("SELECT path FROM files WHERE content NOT IN (SELECT content FROM next_vectors)")
        catalog.remove_files([os.fsdecode(raw) for (raw,) in missing])
        catalog.change("UPDATE contents SET vector = (SELECT vector FROM next_vectors WHERE content = contents.id)")
        identity = {"model": model.name, "fingerprint": model.fingerprint, "width": str(model.width)}
        for key, value in identity.items():
            catalog.change("UPDATE meta SET value = ? WHERE key = ?", (value, key))
        for key, value in RecordedModel.of(model).whereabouts().items():
            catalog.put_meta(key, value)
        catalog.change("DELETE FROM next_vectors")
        catalog.change("DELETE FROM meta WHERE key = 'next_fingerprint'")


SAMPLE = 16  # pictures to measure; a model that encodes three pictures a second needs five seconds for them
MOST_SECONDS = 10.0


def seconds_to_encode(folder: Path, model: Encoder) -> tuple[int, float]:
    """Return the number of pictures in a gallery, and an estimate of the seconds to decode and encode them all here.

    Up to SAMPLE pictures, evenly spread, are decoded and encoded, for MOST_SECONDS at most; if none can be read, noise
    is encoded instead.
    """
    with closing(Catalog.open(folder, None)) as catalog:
        ids = [row[0] for row in catalog.rows("SELECT id FROM contents ORDER BY id")]
        chosen = [ids[i] for i in sorted({len(ids) * k // SAMPLE for k in range(SAMPLE)})] if ids else []
        return len(ids), len(ids) * _seconds_each(catalog, chosen, model)


def seconds_to_encode_noise(model: Encoder) -> float:
    """Measure the seconds to encode one picture here, without decoding; for galleries whose files are elsewhere."""
    size = model.image_size
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    pixel_vectors(model, noise[:1])  # loads the model
    begin, done = time.perf_counter(), 0
    while done < SAMPLE and time.perf_counter() - begin < MOST_SECONDS:
        pixel_vectors(model, noise)
        done += len(noise)
    return (time.perf_counter() - begin) / done


def _seconds_each(catalog: Catalog, chosen: list[int], model: Encoder) -> float:
    size = model.image_size
    pixel_vectors(model, np.zeros((1, size, size, 3), np.uint8))  # loads the model, which a long run does only once
    begin, done, waiting = time.perf_counter(), 0, []
    with closing(map_ahead(lambda content: decoded_again(catalog, content, model), chosen, model.threads)) as ahead:
        for _, decoded in ahead:
            if isinstance(decoded, str):  # this picture cannot be read now
                continue
            waiting.append(decoded.pixels)
            if len(waiting) == min(ENCODE_BATCH, 4):
                pixel_vectors(model, np.stack(waiting))
                done += len(waiting)
                waiting.clear()
                if time.perf_counter() - begin > MOST_SECONDS:
                    break
    if waiting:
        pixel_vectors(model, np.stack(waiting))
        done += len(waiting)
    return (time.perf_counter() - begin) / done if done else seconds_to_encode_noise(model)

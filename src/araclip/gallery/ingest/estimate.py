"""How long re-embedding a gallery would take on this machine, measured on a few of its pictures."""

import time
from contextlib import closing
from pathlib import Path

import numpy as np

from araclip.encoder_base import Encoder, pixel_vectors
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.ingest.intake import ENCODE_BATCH
from araclip.gallery.ingest.reembed import decoded_again
from araclip.pictures.images import map_ahead

SAMPLE = 16  # pictures; with a model of three pictures a second they take five seconds
MOST_SECONDS = 10.0


def seconds_to_encode(folder: Path, model: Encoder) -> tuple[int, float]:
    """The number of pictures in a gallery, and the seconds that decoding and encoding them with `model` takes here.

    Up to SAMPLE pictures, evenly spread, are decoded and encoded, for MOST_SECONDS at most; where none can be read,
    noise is encoded instead.

    Raises:
        GalleryNotFound, GalleryCorrupt, NewerGallery: the gallery cannot be used.
        ModelError: the model cannot encode.
    """
    with closing(Catalog.open(folder, None)) as catalog:
        ids = [row[0] for row in catalog.rows("SELECT id FROM contents ORDER BY id")]
        chosen = [ids[i] for i in sorted({len(ids) * k // SAMPLE for k in range(SAMPLE)})] if ids else []
        return len(ids), len(ids) * _seconds_each(catalog, chosen, model)


def seconds_to_encode_noise(model: Encoder) -> float:
    """Seconds that encoding one picture takes here, decoding apart: for galleries whose files are elsewhere."""
    size = model.image_size
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    pixel_vectors(model, noise[:1])  # opens the graph
    begin, done = time.perf_counter(), 0
    while done < SAMPLE and time.perf_counter() - begin < MOST_SECONDS:
        pixel_vectors(model, noise)
        done += len(noise)
    return (time.perf_counter() - begin) / done


def _seconds_each(catalog: Catalog, chosen: list[int], model: Encoder) -> float:
    size = model.image_size
    pixel_vectors(model, np.zeros((1, size, size, 3), np.uint8))  # opens the graph, which a long run does once
    begin, done, waiting = time.perf_counter(), 0, []
    with closing(map_ahead(lambda content: decoded_again(catalog, content, model), chosen, model.threads)) as ahead:
        for _, decoded in ahead:
            if isinstance(decoded, str):  # missing now
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

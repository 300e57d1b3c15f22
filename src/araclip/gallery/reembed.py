"""Another model for a gallery: its vectors are made beside the old ones, then all switched in one transaction.

Until then every search with the old model goes on as before; a run that is stopped or killed goes on where it was.
"""

import os
from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from araclip import atomic
from araclip.encoder import AraCLIP
from araclip.errors import GalleryError, ImageError
from araclip.gallery.catalog import KEPT, Catalog, File
from araclip.gallery.intake import COMMIT_EVERY, ENCODE_BATCH, Look, load
from araclip.gallery.update import Progress, Skip
from araclip.gallery.upkeep import drop_derived
from araclip.images import map_ahead


def reembed(
    folder: Path,
    model: AraCLIP,
    *,
    forget_missing: bool = False,
    progress: Progress | None = None,
    skip: Skip | None = None,
) -> int:
    """Give the gallery in `folder` the vectors of `model`; returns how many pictures were encoded in this run.

    Args:
        forget_missing: forget pictures whose files are gone or changed, instead of refusing to switch.
        progress: called with (pictures done, pictures in all).
        skip: called with one line for each picture that cannot be encoded.

    Raises:
        GalleryNotFound, GalleryCorrupt, NewerGallery: there is none, or it cannot be used.
        GalleryError: pictures cannot be encoded now (an unplugged drive?); what was made is kept, nothing is switched.
        GalleryLocked: another process is writing this gallery.
        OSError: the disk is full or read-only.
    """
    catalog = Catalog.open(folder, None)
    try:
        with atomic.single_writer(folder / "lock"):
            if catalog.meta("fingerprint") == model.config.fingerprint:
                return 0
            _begin(catalog, model)
            made, missing = _encode(catalog, model, progress or (lambda done, total: None), skip or (lambda line: None))
            if missing and not forget_missing:
                raise GalleryError(
                    f"{missing:,} pictures of {folder} cannot be encoded now, so it keeps the vectors of "
                    f"{catalog.meta('model')}@{catalog.meta('fingerprint')}. Plug the drive in or run `araclip index` "
                    "with that model first, then try again (what was made is kept), or forget them with "
                    "--forget-missing."
                )
            _switch(catalog, model)
            drop_derived(folder)
            catalog.rest()
            return made
    finally:
        catalog.close()


def _begin(catalog: Catalog, model: AraCLIP) -> None:
    """Keep what an earlier run made with this very model; forget what one made with another."""
    if catalog.meta("next_fingerprint") != model.config.fingerprint:
        with catalog.writing(visible=False):
            catalog.change("DELETE FROM next_vectors")
            catalog.change("INSERT OR REPLACE INTO meta VALUES ('next_fingerprint', ?)", (model.config.fingerprint,))


def _encode(catalog: Catalog, model: AraCLIP, progress: Progress, skip: Skip) -> tuple[int, int]:
    """Fill next_vectors; returns how many pictures were encoded, and how many cannot be."""
    (total,) = catalog.rows("SELECT count(*) FROM contents")[0]
    waiting = [row[0] for row in catalog.rows(
        "SELECT id FROM contents WHERE id NOT IN (SELECT content FROM next_vectors) ORDER BY id"
    )]  # fmt: skip
    done = total - len(waiting)
    missing = 0

    def looks() -> Generator[tuple[int, Look], None, None]:
        nonlocal done, missing
        ahead = map_ahead(lambda content: _look(catalog, content, model), waiting, model.threads)
        with closing(ahead):
            for content, look in ahead:
                if isinstance(look, str):
                    missing += 1
                    skip(look)
                else:
                    yield content, look
                done += 1
                progress(done, total)

    progress(done, total)
    made = 0
    with closing(looks()) as remaining:  # no thread may read the catalogue that is closed after Ctrl-C
        while group := list(islice(remaining, COMMIT_EVERY)):
            rows = []
            for start in range(0, len(group), ENCODE_BATCH):
                batch = group[start : start + ENCODE_BATCH]
                vectors = model.encode_pixels(np.stack([look.pixels for _, look in batch]))
                rows += [
                    (content, vector.astype("<f2").tobytes())
                    for (content, _), vector in zip(batch, vectors, strict=True)
                ]
            with catalog.writing(visible=False):
                for row in rows:
                    catalog.change("INSERT OR REPLACE INTO next_vectors VALUES (?, ?)", row)
            made += len(rows)
    return made, missing


def _look(catalog: Catalog, content: int, model: AraCLIP) -> Look | str:
    """A picture decoded for the new model, from a file that still holds it or from its kept pixels; or why not."""
    (digest,) = catalog.rows("SELECT hash FROM contents WHERE id = ?", (content,))[0]
    paths = [os.fsdecode(raw) for (raw,) in catalog.rows("SELECT path FROM files WHERE content = ?", (content,))]
    reason = "its file changed since it was indexed"
    for path in sorted(paths, key=lambda path: path.startswith(KEPT)):  # the file is better than a JPEG of it
        try:
            kept = catalog.kept(content) if path.startswith(KEPT) else None
            loaded = load(kept or File(path, 0, 0), set(), model.config.image.size)
            if loaded.look and (kept or loaded.digest == digest):
                return loaded.look
        except (OSError, ImageError) as error:
            reason = str(error)
    return f"{paths[0] if paths else f'picture {content}'}: cannot be encoded again ({reason})."


def _switch(catalog: Catalog, model: AraCLIP) -> None:
    with catalog.writing():
        gone = catalog.rows("SELECT path FROM files WHERE content NOT IN (SELECT content FROM next_vectors)")
        catalog.remove_files([os.fsdecode(raw) for (raw,) in gone])
        catalog.change("UPDATE contents SET vector = (SELECT vector FROM next_vectors WHERE content = contents.id)")
        identity = {"model": model.config.name, "fingerprint": model.config.fingerprint, "width": str(model.width)}
        for key, value in identity.items():
            catalog.change("UPDATE meta SET value = ? WHERE key = ?", (value, key))
        catalog.change("DELETE FROM next_vectors")
        catalog.change("DELETE FROM meta WHERE key = 'next_fingerprint'")

"""Re-embedding a gallery in PostgreSQL: a second table of vectors is filled, then it takes the place of the first.

Until then searches with the old model continue; a run that was stopped or killed resumes, unless one with another model
comes before.
"""

from contextlib import closing

import numpy as np

from araclip.encoder import Encoder
from araclip.gallery.addresses import PostgresAddress
from araclip.gallery.ingest.intake import ENCODE_BATCH
from araclip.gallery.ingest.reembed import Reencoder
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.postgres.catalog import PostgresCatalog
from araclip.gallery.postgres.database import Database
from araclip.gallery.postgres.schema import NEXT_GENERATION, create_vectors, drop_vectors_but, vectors_of
from araclip.gallery.postgres.search import build_graph
from araclip.gallery.recorded_model import RecordedModel
from araclip.gallery.remote.maintenance import decode_row, missing_error
from araclip.pictures.image_transform import transform_of


def reembed(
    address: PostgresAddress,
    model: Encoder,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
) -> int:
    """Re-embed the gallery at `address` with `model`; returns the number of pictures encoded in this run.

    Args, errors: as for `gallery.ingest.reembed.reembed`, and GalleryUnreachable.
    """
    with closing(Database(address)) as database, database.locked():
        catalog = PostgresCatalog(database, None)
        before, old = catalog.recorded, catalog.vectors
        drop_vectors_but(database, old, vectors_of(model.fingerprint))
        if before.fingerprint == model.fingerprint:
            return 0
        new = create_vectors(database, model)
        done = {content for (content,) in database.rows(f"SELECT content FROM {new}")}
        rows = list(catalog.rows())
        waiting = [row for row in rows if row.id not in done]
        reencoder = Reencoder(model, len(rows), progress or (lambda *_: None), skip or (lambda _: None))
        transform = transform_of(model)
        with closing(
            reencoder.groups(waiting, lambda row: decode_row(catalog, row, transform), ENCODE_BATCH)
        ) as groups:
            for group in groups:
                with database.transaction():
                    for row, vector in group:
                        catalog.put_vector(new, row.id, vector.astype(np.float32))
        if reencoder.missing and not forget_missing:
            raise missing_error(reencoder.missing, database.name, before)
        build_graph(database, new)
        record = RecordedModel.of(model)
        with database.transaction():
            database.rows(f"DELETE FROM contents WHERE id NOT IN (SELECT content FROM {new})")
            database.rows(
                "UPDATE gallery SET model = ?, fingerprint = ?, width = ?, model_origin = ?, model_source = ?, "
                + NEXT_GENERATION,
                (record.name, record.fingerprint, record.width, record.origin, record.source),
            )
            database.rows(f"DROP TABLE {old}")
    return reencoder.encoded

"""Re-embedding a gallery on a server: a second collection is filled, then the alias is switched to it.

Until then searches with the old model continue; a run that was stopped or killed resumes.
"""

from contextlib import closing
from dataclasses import replace

import numpy as np
from qdrant_client import QdrantClient, models

from araclip.encoder import Encoder
from araclip.gallery.addresses import QdrantAddress
from araclip.gallery.ingest.intake import ENCODE_BATCH
from araclip.gallery.ingest.reembed import Reencoder
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.qdrant.catalog import QdrantCatalog
from araclip.gallery.qdrant.conditions import between
from araclip.gallery.qdrant.connection import Connection, connection_to, id_batches
from araclip.gallery.qdrant.lease import Lease
from araclip.gallery.qdrant.payloads import payload_of, point_id, row_of
from araclip.gallery.qdrant.state import ensure_collection, physical_name, point_alias
from araclip.gallery.remote.maintenance import decode_row, missing_error
from araclip.gallery.remote.rows import Row
from araclip.pictures.image_transform import transform_of


def reembed(
    address: str | QdrantAddress,
    model: Encoder,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
    client: QdrantClient | None = None,
) -> int:
    """Re-embed the gallery at `address` with `model`; returns the number of pictures encoded in this run.

    Args, errors: as for `gallery.ingest.reembed.reembed`, and GalleryUnreachable.
    """
    alias = connection_to(address, client)
    catalog = QdrantCatalog(alias, None)
    if catalog.recorded.fingerprint == model.fingerprint:
        return 0
    before = catalog.connection
    with Lease(before).held() as lease:
        target = ensure_collection(alias.of(physical_name(alias.collection, model.fingerprint)), model)
        rows = sorted(catalog.rows(), key=lambda row: row.id)
        _drop(target, rows)
        existing = _refreshed(target, rows)
        waiting = [row for row in rows if point_id(row.digest, 0) not in existing]
        reencoder = Reencoder(model, len(rows), progress or (lambda *_: None), skip or (lambda _: None))
        transform = transform_of(model)
        with closing(
            reencoder.groups(waiting, lambda row: decode_row(catalog, row, transform), ENCODE_BATCH)
        ) as groups:
            for group in groups:
                lease.check()
                target.upsert(
                    [
                        models.PointStruct(
                            id=point_id(row.digest, 0),
                            vector=vector.astype(np.float32).tolist(),
                            payload=payload_of(row, 0),
                        )
                        for row, vector in group
                    ]
                )
        if reencoder.missing and not forget_missing:
            raise missing_error(reencoder.missing, alias.name, catalog.recorded)
        _copy_pixels(before, target)
        lease.check()
        if before.collection == alias.collection:  # a collection without an alias: its name must become free for one
            before.call("delete_collection")
        point_alias(alias, target.collection)
        if before.collection != alias.collection:
            before.call("delete_collection")
    return reencoder.encoded


def _drop(target: Connection, rows: list[Row]) -> None:
    """Delete points that an earlier run wrote of pictures that have been removed since."""
    wanted = {point_id(row.digest, 0) for row in rows}
    made = target.scroll(models.Filter(must=[between("since", 0, None)]), payload=False)
    for ids in id_batches([str(point.id) for point in made if str(point.id) not in wanted]):
        target.delete(models.Filter(must=[models.HasIdCondition(has_id=ids)]))


def _refreshed(target: Connection, rows: list[Row]) -> set[str]:
    """Ids of the points that an earlier run wrote, after updating their payloads."""
    current = {point_id(row.digest, 0): row for row in rows}
    existing: set[str] = set()
    changed = []
    for point in target.scroll(models.Filter(must=[between("since", 0, None)]), vectors=True):
        id_ = str(point.id)
        existing.add(id_)
        if row_of(id_, point.payload or {}) != replace(current[id_], point=id_):
            vector = np.asarray(point.vector, np.float32).tolist()
            changed.append(models.PointStruct(id=id_, vector=vector, payload=payload_of(current[id_], 0)))
    target.upsert(changed)
    return existing


def _copy_pixels(source: Connection, target: Connection) -> None:
    """Copy the stored pixels of pictures without a file."""
    stored = models.Filter(must=[between("kept_since", 0, None)])
    blank = [0.0] * int(target.call("get_collection").config.params.vectors.size)
    for point in source.scroll(stored, page=16):
        target.upsert(
            [models.PointStruct(id=point.id, vector=blank, payload={**(point.payload or {}), "kept_since": 0})]
        )

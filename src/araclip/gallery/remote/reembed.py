"""Another model for a remote gallery: a collection of its own, filled beside the old one; then the name is switched.

Until then every search with the old model goes on; a run that is stopped or killed goes on where it was.
"""

from contextlib import closing
from dataclasses import replace

import numpy as np
from qdrant_client import QdrantClient, models

from araclip.encoder import Encoder
from araclip.errors import GalleryError
from araclip.gallery.ingest.intake import ENCODE_BATCH
from araclip.gallery.ingest.reembed import Again
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.gallery.locations import Address
from araclip.gallery.remote.catalog import RemoteCatalog
from araclip.gallery.remote.conditions import between
from araclip.gallery.remote.connection import Connection, connected, groups
from araclip.gallery.remote.lease import Lease
from araclip.gallery.remote.maintenance import decode_row
from araclip.gallery.remote.rows import Row, payload_of, point_id, row_of
from araclip.gallery.remote.state import fill_new, physical, point_alias


def reembed(
    address: str | Address,
    model: Encoder,
    *,
    forget_missing: bool = False,
    progress: FilesProgress | None = None,
    skip: Skip | None = None,
    client: QdrantClient | None = None,
) -> int:
    """Give the gallery at `address` the vectors of `model`; returns how many pictures were encoded in this run.

    Args, errors: as for `gallery.ingest.reembed.reembed`, and GalleryUnreachable.
    """
    named = connected(address, client)
    catalog = RemoteCatalog(named, None)
    if catalog.state().fingerprint == model.fingerprint:
        return 0
    before = catalog.connection
    with Lease(before).held() as lease:
        target = fill_new(named.of(physical(named.collection, model.fingerprint)), model)
        rows = sorted(catalog.rows(), key=lambda row: row.id)
        _drop(target, rows)
        there = _refreshed(target, rows)
        waiting = [row for row in rows if point_id(row.digest, 0) not in there]
        again = Again(model, len(rows), progress or (lambda *_: None), skip or (lambda _: None))
        size = model.image_size
        with closing(again.groups(waiting, lambda row: decode_row(catalog, row, size), ENCODE_BATCH)) as made:
            for group in made:
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
        if again.missing and not forget_missing:
            state = catalog.state()
            raise GalleryError(
                f"{again.missing:,} pictures of {named.name} cannot be encoded now, so it keeps the vectors of "
                f"{state.model}@{state.fingerprint}. Make their files reachable or run `araclip index` with that model "
                "first, then try again (what was made is kept), or forget them with --forget-missing."
            )
        _copy_pixels(before, target)
        lease.check()
        if before.collection == named.collection:  # no alias yet: the name must be free for one
            before.call("delete_collection")
        point_alias(named, target.collection)
        if before.collection != named.collection:
            before.call("delete_collection")
    return again.made


def _drop(target: Connection, rows: list[Row]) -> None:
    """Forget what an earlier run made of pictures that are not there any more."""
    wanted = {point_id(row.digest, 0) for row in rows}
    made = target.scroll(models.Filter(must=[between("since", 0, None)]), payload=False)
    for ids in groups([str(point.id) for point in made if str(point.id) not in wanted]):
        target.delete(models.Filter(must=[models.HasIdCondition(has_id=ids)]))


def _refreshed(target: Connection, rows: list[Row]) -> set[str]:
    """Ids of the pictures that an earlier run made; what their files are called now is written again."""
    now = {point_id(row.digest, 0): row for row in rows}
    there: set[str] = set()
    changed = []
    for point in target.scroll(models.Filter(must=[between("since", 0, None)]), vectors=True):
        id_ = str(point.id)
        there.add(id_)
        if row_of(id_, point.payload or {}) != replace(now[id_], point=id_):
            vector = np.asarray(point.vector, np.float32).tolist()
            changed.append(models.PointStruct(id=id_, vector=vector, payload=payload_of(now[id_], 0)))
    target.upsert(changed)
    return there


def _copy_pixels(source: Connection, target: Connection) -> None:
    """Pixels of pictures without a file."""
    stored = models.Filter(must=[between("kept_since", 0, None)])
    blank = [0.0] * int(target.call("get_collection").config.params.vectors.size)
    for point in source.scroll(stored, page=16):
        target.upsert(
            [models.PointStruct(id=point.id, vector=blank, payload={**(point.payload or {}), "kept_since": 0})]
        )

"""Counts of a generation by the server's payload indexes, without reading payloads."""

from qdrant_client import models

from araclip.gallery.catalog.records import Overview
from araclip.gallery.qdrant.conditions import visible
from araclip.gallery.qdrant.connection import Connection
from araclip.gallery.remote.rows import read_path

MAX_VALUES = 10_000  # different numbers of copies, or folders


def overview(connection: Connection, generation: int) -> Overview:
    """Counts of one generation of a collection."""
    condition = visible(generation)

    def counted(key: str) -> dict[str, int]:
        hits = connection.call("facet", key=key, facet_filter=condition, limit=MAX_VALUES, exact=True).hits
        return {str(hit.value): hit.count for hit in hits}

    ends = [_captured(connection, condition, direction) for direction in (models.Direction.ASC, models.Direction.DESC)]
    first, last = ends
    return Overview(
        files=sum(int(entry) * pictures for entry, pictures in counted("held").items()) + len(counted("files[].video")),
        formats=dict(sorted(counted("format").items(), key=lambda pair: (-pair[1], pair[0]))),
        folders={read_path(name): pictures for name, pictures in counted("files[].in").items()},
        captured_at=(first, last) if first and last else None,
    )


def _captured(connection: Connection, condition: models.Filter, direction: models.Direction) -> str | None:
    order = models.OrderBy(key="taken_at", direction=direction)
    points, _ = connection.call(
        "scroll", scroll_filter=condition, limit=1, order_by=order, with_payload=["taken"], with_vectors=False
    )
    return points[0].payload["taken"] if points else None

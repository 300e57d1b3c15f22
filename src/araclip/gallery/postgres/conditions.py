"""Filters as SQL on a row of `contents`, with their values. Pure."""

import math
import os
from typing import Any

from araclip.gallery.catalog.filters import ORIENTATIONS, Filters, below_any, roots_of
from araclip.gallery.catalog.matching import EARTH_M, is_glob, tokens
from araclip.gallery.postgres.lookups import below
from araclip.gallery.remote.rows import mark
from araclip.video.formats import FORMATS as VIDEO_FORMATS

Condition = tuple[str, tuple[Any, ...]]
_METRES = f"""2 * {EARTH_M} * asin(least(1, sqrt(sin(radians(latitude - ?) / 2) ^ 2
    + cos(radians(latitude)) * cos(radians(?)) * sin(radians(longitude - ?) / 2) ^ 2)))"""  # haversine


def condition_of(filters: Filters | None) -> Condition:
    """Pictures that have a path and pass all filters that are set; None: every picture that has a path."""
    if filters is None:
        return "shown", ()
    of_picture: list[Condition] = [("shown", ())]
    of_path: list[Condition] = []
    if filters.hidden is not None:
        of_picture.append(("hidden" if filters.hidden else "NOT hidden", ()))
    for name, column in (("captured", "taken"), ("added", "added")):
        if first := getattr(filters, f"{name}_from"):
            of_picture.append((f"{column} >= ?", (first,)))
        if last := getattr(filters, f"{name}_to"):  # "\x7f" sorts after every character of a longer date
            of_picture.append((f"{column} < ?", (last + "\x7f",)))
    for start, numbers in ((6, filters.months), (9, filters.days)):
        if numbers:
            of_picture.append((f"substr(taken, {start}, 2) = ANY(?)", ([f"{number:02}" for number in numbers],)))
    if filters.formats:
        of_picture.append(("format = ANY(?)", (list(filters.formats),)))
    if filters.orientation:
        of_picture.append((ORIENTATIONS[filters.orientation], ()))
    for name in ("camera", "lens", "place"):
        if (wanted := getattr(filters, name)) is not None:
            of_picture.append((f"{name}_words @> ?", (sorted(tokens(wanted)),)))
    if filters.near is not None:
        latitude, longitude, metres = filters.near
        degrees = math.degrees(metres / EARTH_M) * 1.000001 + 1e-9  # a little more than needed
        box = (latitude - degrees, latitude + degrees)
        of_picture.append(
            (f"latitude BETWEEN ? AND ? AND {_METRES} <= ?", (*box, latitude, latitude, longitude, metres))
        )
    if filters.kind:
        video = "format = ANY(?)" if filters.kind == "video" else "format <> ALL(?)"
        of_picture.append((video, (list(VIDEO_FORMATS),)))
    if filters.name is not None and not is_glob(filters.name):  # a glob is compared with what is found
        of_path.append(("name_words @> ?", (sorted(tokens(filters.name)),)))
    for roots in (filters.folder and roots_of(filters.folder), filters.below and [filters.below]):
        if roots:
            ends = [below(root.rstrip(os.sep) + os.sep) for root in roots]
            of_path.append(
                (" OR ".join(["path >= ? AND path < ?"] * len(ends)), tuple(end for two in ends for end in two))
            )
    if filters.folder_name is not None:
        of_path.append(below_any(filters.folder_name, "position(?::bytea IN path) > 0"))
    for sign, size in ((">=", filters.min_size), ("<=", filters.max_size)):
        if size is not None:
            of_path.append((f"size {sign} ?", (size,)))
    if filters.metadata:
        of_path.append(("marks @> ?", ([mark(key, value) for key, value in filters.metadata.items()],)))
    if of_path:
        sql, values = _all(of_path)
        of_picture.append((f"contents.id IN (SELECT content FROM files WHERE {sql})", values))
    return _all(of_picture)


def _all(parts: list[Condition]) -> Condition:
    return " AND ".join(f"({sql})" for sql, _ in parts), tuple(value for _, values in parts for value in values)

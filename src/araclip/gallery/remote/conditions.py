"""Filters as Qdrant conditions, and as a predicate on one path. Pure.

Conditions on a path (folder, size, metadata) must hold for one and the same path, so they are nested.
"""

from pathlib import PurePath

from qdrant_client import models

from araclip.gallery.catalog.filters import Filters, roots_of
from araclip.gallery.catalog.photo.matching import (
    distance,
    has_words,
    is_glob,
    name_at,
    name_matches,
    tokens,
)
from araclip.gallery.ingest.update import below
from araclip.gallery.remote.rows import STATE, FileEntry, Row, instant, mark, marks_of, orientation, stored_path
from araclip.photo_metadata.record import PhotoMetadata
from araclip.video.formats import FORMATS as VIDEO_FORMATS

INDEXES = {
    "since": "integer",
    "until": "integer",
    "order": "integer",
    "sha256": "keyword",
    "first": "keyword",
    "held": "integer",
    "format": "keyword",
    "orientation": "keyword",
    "taken_at": "integer",
    "added_at": "integer",
    "words": "keyword",
    "hidden": "integer",
    "location": "geo",
    "camera_words": "keyword",
    "lens_words": "keyword",
    "place_words": "keyword",
    "files[].name_words": "keyword",
    "files[].path": "keyword",
    "files[].video": "keyword",
    "files[].above": "keyword",
    "files[].names": "keyword",
    "files[].in": "keyword",
    "files[].marks": "keyword",
    "files[].size": "integer",
    "kept_since": "integer",
    "writer": "keyword",
    "expires": "float",
    "generation": "integer",
}  # fields of conditions → type of their payload index


PHOTOGRAPHY = range(1980, 2051)  # years whose months can be asked for; EXIF dates are those of digital cameras


def visible(generation: int) -> models.Filter:
    """Versions visible in a generation. Points that are not pictures have no `since`, and do not pass."""
    ended = between("until", None, generation)
    return models.Filter(must=[between("since", None, generation)], must_not=[ended])


def both(first: models.Filter, second: models.Filter | None) -> models.Filter:
    """Points that pass two filters."""
    return first if second is None else models.Filter(must=[first, second])


def state_where(*conditions: models.Condition) -> models.Filter:
    """The state's point, if it passes the conditions."""
    return models.Filter(must=[models.HasIdCondition(has_id=[STATE]), *conditions])


def equals(key: str, value: str | int) -> models.FieldCondition:
    """The condition that a field has this value."""
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def where(key: str, value: str | int) -> models.Filter:
    """Points with this value in a field."""
    return models.Filter(must=[equals(key, value)])


def between(key: str, least: float | None, most: float | None) -> models.FieldCondition:
    """The condition that a number lies between `least` and `most`, inclusive."""
    return models.FieldCondition(key=key, range=models.Range(gte=least, lte=most))


def condition_of(filters: Filters) -> models.Filter | None:
    """All filters that are set, as one; None if none is."""
    of_picture: list[models.Condition] = []
    of_path: list[models.Condition] = []
    for name, key in (("captured", "taken_at"), ("added", "added_at")):
        first, last = getattr(filters, f"{name}_from"), getattr(filters, f"{name}_to")
        if first or last:
            ends = (instant(first) if first else None, instant(last, "9") if last else None)
            of_picture.append(between(key, *ends))
    if filters.months or filters.days:
        months = [f"{year}-{month:02}" for year in PHOTOGRAPHY for month in filters.months or range(1, 13)]
        spans = [f"{month}-{day:02}" for month in months for day in filters.days] if filters.days else months
        of_picture.append(
            models.Filter(should=[between("taken_at", instant(span), instant(span, "9")) for span in spans])
        )
    if filters.formats:
        of_picture.append(models.FieldCondition(key="format", match=models.MatchAny(any=list(filters.formats))))
    if filters.orientation:
        of_picture.append(equals("orientation", filters.orientation))
    for name in ("camera", "lens", "place"):
        if (wanted := getattr(filters, name)) is not None:
            of_picture += [equals(f"{name}_words", word) for word in sorted(tokens(wanted))]
    if filters.near is not None:
        latitude, longitude, metres = filters.near
        around = models.GeoRadius(center=models.GeoPoint(lat=latitude, lon=longitude), radius=metres)
        of_picture.append(models.FieldCondition(key="location", geo_radius=around))
    if filters.name is not None and not is_glob(filters.name):  # for a glob, `nearest` looks at each picture found
        of_path += [equals("name_words", word) for word in sorted(tokens(filters.name))]
    if filters.kind:
        videos = models.FieldCondition(key="format", match=models.MatchAny(any=list(VIDEO_FORMATS)))
        of_picture.append(videos if filters.kind == "video" else models.Filter(must_not=[videos]))
    if filters.folder is not None:
        roots = [stored_path(root) for root in roots_of(filters.folder)]
        of_path.append(models.FieldCondition(key="above", match=models.MatchAny(any=roots)))
    if filters.below is not None:
        of_path.append(equals("above", stored_path(filters.below)))
    if filters.folder_name is not None:
        of_path.append(equals("names", stored_path(filters.folder_name)))
    if filters.min_size is not None or filters.max_size is not None:
        of_path.append(between("size", filters.min_size, filters.max_size))
    of_path += [equals("marks", mark(key, str(value))) for key, value in filters.metadata.items()]
    if of_path:
        nested = models.Nested(key="files", filter=models.Filter(must=of_path))
        of_picture.append(models.NestedCondition(nested=nested))
    return models.Filter(must=of_picture) if of_picture else None


def not_hidden_of(filters: Filters) -> models.Filter | None:
    """Pictures that are not hidden, or only those that are; None where it does not matter.

    Apart from `condition_of`: nearly all pictures pass, so that the server's graph can answer as without a filter.
    """
    if filters.hidden is None:
        return None
    return where("hidden", 1) if filters.hidden else models.Filter(must_not=[equals("hidden", 1)])


def passes(filters: Filters, row: Row, entry: FileEntry) -> bool:
    """Whether one path of a picture passes; equivalent to `condition_of` and `not_hidden_of` on the server."""
    facts, captured_at = row.facts, row.photo.captured_at
    if filters.hidden is not None and filters.hidden != row.hidden:
        return False
    if not _within(captured_at, filters.captured_from, filters.captured_to):
        return False
    for start, numbers in ((5, filters.months), (8, filters.days)):
        if numbers and (not captured_at or int(captured_at[start : start + 2] or 0) not in numbers):
            return False
    if not _within(row.added, filters.added_from, filters.added_to):
        return False
    if filters.formats and (not facts or facts.format not in filters.formats):
        return False
    if filters.orientation and (not facts or orientation(facts) != filters.orientation):
        return False
    for name in ("camera", "lens", "place"):
        if (wanted := getattr(filters, name)) is not None and not has_words(getattr(row.photo, name), wanted):
            return False
    if filters.near is not None and not _is_near(row.photo, filters.near):
        return False
    if filters.name is not None and not name_matches(name_at(entry.file.path, dict(entry.metadata)), filters.name):
        return False
    if filters.kind and (not facts or (facts.format in VIDEO_FORMATS) != (filters.kind == "video")):
        return False
    if filters.folder is not None and not any(below(entry.file.path, root) for root in roots_of(filters.folder)):
        return False
    if filters.below is not None and not below(entry.file.path, filters.below):
        return False
    if filters.folder_name is not None and filters.folder_name not in PurePath(entry.file.path).parent.parts:
        return False
    size = entry.file.size
    if size < (filters.min_size or 0) or (filters.max_size is not None and size > filters.max_size):
        return False
    marks = set(marks_of(entry.metadata))
    return all(mark(key, str(value)) in marks for key, value in filters.metadata.items())


def _is_near(photo: PhotoMetadata, near: tuple[float, float, float]) -> bool:
    if photo.latitude is None or photo.longitude is None:
        return False
    return distance(photo.latitude, photo.longitude, *near[:2]) <= near[2]


def _within(date: str | None, first: str | None, last: str | None) -> bool:
    if date is None:
        return first is None and last is None
    here = instant(date)
    return (first is None or here >= instant(first)) and (last is None or here <= instant(last, "9"))

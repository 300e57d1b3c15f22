"""Filters as Qdrant conditions. Pure.

Conditions on a path (folder, size, metadata) must hold for one and the same path, so they are nested.
"""

from qdrant_client import models

from araclip.gallery.catalog.filters import Filters, folder_names, roots_of
from araclip.gallery.catalog.matching import is_glob, tokens
from araclip.gallery.qdrant.payloads import STATE
from araclip.gallery.remote.rows import instant, mark, stored_path
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


PHOTOGRAPHY = range(1826, 2101)  # years whose months can be asked for: since the first photograph; scans have its date


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
        named = [stored_path(name) for name in folder_names(filters.folder_name)]
        of_path.append(models.FieldCondition(key="names", match=models.MatchAny(any=named)))
    if filters.min_size is not None or filters.max_size is not None:
        of_path.append(between("size", filters.min_size, filters.max_size))
    of_path += [equals("marks", mark(key, value)) for key, value in filters.metadata.items()]
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

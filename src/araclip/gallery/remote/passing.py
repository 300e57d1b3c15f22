"""Filters as a predicate on one path of a picture: the order of its paths, and what a server is not asked. Pure."""

import os
from pathlib import PurePath

from araclip.gallery.catalog.filters import Filters, folder_names, roots_of
from araclip.gallery.catalog.matching import distance, has_words, name_at, name_matches
from araclip.gallery.ingest.update import below
from araclip.gallery.remote.rows import FileEntry, Row, instant, mark, marks_of, orientation
from araclip.photo_metadata.record import PhotoMetadata
from araclip.video.formats import FORMATS as VIDEO_FORMATS


def paths_of(row: Row, filters: Filters) -> list[str]:
    """Paths of a picture: those that pass the filters, then the others, each sorted by bytes.

    Whether the files exist is not checked: they may be on another machine.
    """
    entries = sorted(row.files, key=lambda entry: (not passes(filters, row, entry), os.fsencode(entry.file.path)))
    return [each.file.path for each in entries]


def passes(filters: Filters, row: Row, entry: FileEntry) -> bool:
    """Whether one path of a picture passes; equivalent to the conditions that the server is asked with."""
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
    named = None if filters.folder_name is None else folder_names(filters.folder_name)
    if named is not None and not set(named) & set(PurePath(entry.file.path).parent.parts):
        return False
    size = entry.file.size
    if size < (filters.min_size or 0) or (filters.max_size is not None and size > filters.max_size):
        return False
    marks = set(marks_of(entry.metadata))
    return all(mark(key, value) in marks for key, value in filters.metadata.items())


def _is_near(photo: PhotoMetadata, near: tuple[float, float, float]) -> bool:
    if photo.latitude is None or photo.longitude is None:
        return False
    return distance(photo.latitude, photo.longitude, *near[:2]) <= near[2]


def _within(date: str | None, first: str | None, last: str | None) -> bool:
    if date is None:
        return first is None and last is None
    here = instant(date)
    return (first is None or here >= instant(first)) and (last is None or here <= instant(last, "9"))

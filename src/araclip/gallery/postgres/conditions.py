"""Filters in PostgreSQL: their SQL conditions, and the same conditions in Python for one path of a picture."""

from pathlib import PurePath

from araclip.gallery.catalog.filters import Filters, Part, all_of, any_of, folder_names, latitudes_near, possible_roots
from araclip.gallery.catalog.matching import is_glob, name_at, name_matches, tokens
from araclip.gallery.ingest.update import is_below
from araclip.gallery.postgres.schema import FileEntry, Row, mark, marks_of, pg_entry
from araclip.text.places import EARTH_M, wanted_tokens

# SQL: the distance in metres between a picture's position and a point, on a sphere
_METRES = f"""2 * {EARTH_M} * asin(least(1, sqrt(sin(radians(latitude - ?) / 2) ^ 2
    + cos(radians(latitude)) * cos(radians(?)) * sin(radians(longitude - ?) / 2) ^ 2)))"""


def condition_of(filters: Filters | None) -> Part:
    """Return an SQL condition, with its values, for pictures with a path that passes the filters (None: any path).

    A filter for file names that is a glob (IMG_20*) is left out of the condition.
    """
    if filters is None:
        return "shown", ()
    of_path, of_picture = filters.shared_conditions("position(?::bytea IN path) > 0")
    of_picture.append(("shown", ()))
    if filters.hidden is not None:
        of_picture.append(("hidden" if filters.hidden else "NOT hidden", ()))
    for start, numbers in ((6, filters.months), (9, filters.days)):
        if numbers:
            of_picture.append((f"substr(taken, {start}, 2) = ANY(?)", ([f"{number:02}" for number in numbers],)))
    for name in ("camera", "lens"):
        if (words := getattr(filters, name)) is not None:
            of_picture.append((f"{name}_words @> ?", (sorted(tokens(words)),)))
    if filters.place is not None:
        of_picture.append(any_of([("place_words @> ?", (sorted(each),)) for each in wanted_tokens(filters.place)]))
    if filters.near is not None:
        latitude, longitude, metres = filters.near
        between = latitudes_near(latitude, metres)
        of_picture.append(
            (f"latitude BETWEEN ? AND ? AND {_METRES} <= ?", (*between, latitude, latitude, longitude, metres))
        )
    if filters.name is not None and not is_glob(filters.name):  # a glob is compared in Python, after the query
        of_path.append(("name_words @> ?", (sorted(tokens(filters.name)),)))
    if filters.metadata:
        of_path.append(("marks @> ?", ([pg_entry(mark(key, value)) for key, value in filters.metadata.items()],)))
    if of_path:
        sql, values = all_of(of_path)
        of_picture.append((f"contents.id IN (SELECT content FROM files WHERE {sql})", values))
    return all_of(of_picture)


def paths_of(row: Row, filters: Filters) -> list[str]:
    """Return the paths of a picture: first the paths that pass the filters, then the others, both sorted by bytes.

    Whether the files exist is not checked, because they may be on another machine.
    """
    return [each.file.path for each in sorted(row.files, key=lambda entry: not path_passes(filters, entry))]


def path_passes(filters: Filters, entry: FileEntry) -> bool:
    """True if a file passes those filters that ask about the file: its name, folder, size and metadata."""
    path, size = entry.file.path, entry.file.size
    if filters.name is not None and not name_matches(name_at(path, dict(entry.metadata)), filters.name):
        return False
    if filters.folder is not None and not any(is_below(path, root) for root in possible_roots(filters.folder)):
        return False
    if filters.below is not None and not is_below(path, filters.below):
        return False
    if filters.folder_name is not None and not {*folder_names(filters.folder_name)} & {*PurePath(path).parent.parts}:
        return False
    if any(path_passes(Filters.inside(folder), entry) for folder in filters.outside):
        return False
    if size < (filters.min_size or 0) or (filters.max_size is not None and size > filters.max_size):
        return False
    marks = set(marks_of(entry.metadata))
    return all(mark(key, value) in marks for key, value in filters.metadata.items())

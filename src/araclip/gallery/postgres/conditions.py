"""Filters in PostgreSQL: their SQL condition, and the order of a picture's paths."""

from araclip.gallery.catalog.filters import Clause, Filters, all_of
from araclip.gallery.postgres.schema import Row


def condition_of(filters: Filters | None) -> Clause:
    """Return an SQL condition, with its values, for pictures with a path that passes the filters (None: any path).

    A filter for file names that is a glob (IMG_20*) is left out of the condition.
    """
    if filters is None:
        return "shown", ()
    of_path, of_picture = filters.conditions(postgres=True)
    of_picture.append(("shown", ()))
    if of_path:
        sql, values = all_of(of_path)
        of_picture.append((f"contents.id IN (SELECT content FROM files WHERE {sql})", values))
    return all_of(of_picture)


def any_file_passes(row: Row, filters: Filters) -> bool:
    """True if a file of the picture passes those filters that ask about files, also a glob."""
    return any(filters.pass_file(each.file, each.metadata) for each in row.files)


def paths_of(row: Row, filters: Filters) -> list[str]:
    """Return the paths of a picture: first the paths that pass the filters, then the others, both sorted by bytes.

    Whether the files exist is not checked, because they may be on another machine.
    """
    return [
        each.file.path
        for each in sorted(row.files, key=lambda entry: not filters.pass_file(entry.file, entry.metadata))
    ]

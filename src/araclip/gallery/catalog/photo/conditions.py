"""Filters on camera, lens, place and distance as SQL on a row of `contents`; its functions are those of `matching`."""

import math

from araclip.gallery.catalog.photo.matching import EARTH_M

Sql = tuple[str, tuple[str | float, ...]]


def with_words(column: str, wanted: str) -> Sql:
    """Pictures whose camera, lens or place has all these words.

    Of a million pictures there are a few hundred cameras: an index lists them, and each is compared once.
    """
    values = f"SELECT DISTINCT {column} FROM photos WHERE {column} IS NOT NULL"
    passing = f"SELECT {column} FROM ({values}) WHERE has_words({column}, ?)"
    return f"id IN (SELECT content FROM photos WHERE {column} IN ({passing}))", (wanted,)


def around(latitude: float, longitude: float, metres: float) -> Sql:
    """Pictures taken at most so far from a place; an index gives those between two latitudes."""
    degrees = math.degrees(metres / EARTH_M) * 1.000001 + 1e-9  # a little more than needed
    return (
        "id IN (SELECT content FROM photos WHERE latitude BETWEEN ? AND ? "
        "AND metres_between(latitude, longitude, ?, ?) <= ?)",
        (latitude - degrees, latitude + degrees, latitude, longitude, metres),
    )

"""Store when, where and with what photographs were taken, and which pictures are hidden.

The table `photos` has a row for each picture whose file was read for metadata, or that the user hid. `embedded` is what
the file itself says, as JSON (NULL: not read). Camera, lens, place and coordinates are the values that filters use:
from the file, completed from side-cars; the town, region and country at the coordinates are added to the place.
`hidden` is 1 if the user hid the picture.
If neither file nor side-car tells a date, `contents.taken` is the date in the file's name.
The table `sidecar_photos` holds what the XMP file beside a path says, as JSON.
"""

import os

from araclip.gallery.catalog.connection import Connection
from araclip.gallery.catalog.matching import date_in_names
from araclip.gallery.catalog.records import read_metadata
from araclip.pictures.metadata import NOTHING_KNOWN, PhotoMetadata

HIDDEN = "SELECT content FROM photos WHERE hidden <> 0"  # SQL for the ids of all hidden pictures


def embedded_row(photo: PhotoMetadata) -> tuple[str | float | None, ...]:
    """Return the values for a row of `photos` from the column `embedded` on, for a picture without XMP side-cars."""
    if photo == NOTHING_KNOWN:
        return "{}", None, None, None, None, None
    return photo.to_json(), photo.camera, photo.lens, photo.latitude, photo.longitude, photo.add_place_names().place


def has_sidecar_metadata(database: Connection, raw: bytes) -> bool:
    """True if a side-car of a path says something about the photograph."""
    return bool(database.execute("SELECT 1 FROM sidecar_photos WHERE path = ?", (raw,)))


def derive_facts(database: Connection, content: int) -> None:
    """Store a picture's date, camera, lens and place, from its file or else from its side-cars.

    A date that none of these tells is taken from the name of a file. The names of the town, region and country at
    the coordinates are added to the place.
    """
    rows = database.execute("SELECT embedded FROM photos WHERE content = ?", (content,))
    if not rows or rows[0][0] is None:
        return  # nothing to derive: the next update reads the picture's file for metadata
    photo = PhotoMetadata.from_json(rows[0][0])
    beside = database.execute(
        "SELECT about FROM sidecar_photos JOIN files ON files.path = sidecar_photos.path WHERE files.content = ? "
        "ORDER BY files.path",
        (content,),
    )
    for (about,) in beside:
        photo = photo.fill_unknown_from(PhotoMetadata.from_json(about))
    photo = photo.add_place_names()
    taken = photo.captured_at
    if taken is None:
        files = database.execute("SELECT path, metadata FROM files WHERE content = ? ORDER BY path", (content,))
        taken = date_in_names((os.fsdecode(raw), read_metadata(about)) for raw, about in files)
    values = (photo.camera, photo.lens, photo.latitude, photo.longitude, photo.place)
    database.execute(
        "UPDATE photos SET camera = ?, lens = ?, latitude = ?, longitude = ?, place = ? WHERE content = ? "
        "AND (camera IS NOT ? OR lens IS NOT ? OR latitude IS NOT ? OR longitude IS NOT ? OR place IS NOT ?)",
        (*values, content, *values),
    )
    database.execute("UPDATE contents SET taken = ? WHERE id = ? AND taken IS NOT ?", (taken, content, taken))


# Facts that earlier releases did not derive: key in the table `meta` → (the key's value once the facts are derived, SQL
# for the ids of pictures that may lack them). Increase the first key's value when `date_in_name` reads more names, and
# the second key's value when the names in text/data/places.txt.xz change.
DERIVED = {
    "dated_by_names": ("2", "SELECT id FROM contents WHERE taken IS NULL"),
    "placed_by_coordinates": ("1", "SELECT content FROM photos WHERE latitude IS NOT NULL"),
}

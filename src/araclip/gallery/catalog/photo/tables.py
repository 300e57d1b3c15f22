"""The tables of what is known about the taking of photographs.

`photos` has a row for each picture whose file was read for it. `embedded` is what the file itself says, as JSON (NULL:
not read yet, the next update reads it); camera, lens, place and coordinates are what counts, completed by what is known
beside the file; `hidden` is the user's mark. `sidecar_photos` holds what the XMP file beside a path says, as JSON. SQL
of a released step stays.
"""

STEP = """
    CREATE TABLE photos (content INTEGER PRIMARY KEY REFERENCES contents (id) ON DELETE CASCADE,
                         embedded TEXT, camera TEXT, lens TEXT, latitude REAL, longitude REAL, place TEXT,
                         hidden INTEGER NOT NULL DEFAULT 0, photo_crc INTEGER, hidden_crc INTEGER) STRICT;
    CREATE TABLE sidecar_photos (path BLOB PRIMARY KEY REFERENCES sidecars (path) ON DELETE CASCADE,
                                 about TEXT NOT NULL, crc INTEGER) STRICT, WITHOUT ROWID;
    CREATE INDEX photos_camera ON photos (camera) WHERE camera IS NOT NULL;
    CREATE INDEX photos_lens   ON photos (lens) WHERE lens IS NOT NULL;
    CREATE INDEX photos_place  ON photos (place) WHERE place IS NOT NULL;
    CREATE INDEX photos_where  ON photos (latitude, longitude) WHERE latitude IS NOT NULL;
    CREATE INDEX photos_hidden ON photos (content) WHERE hidden <> 0;
    CREATE INDEX photos_unread ON photos (content) WHERE embedded IS NULL;
"""

CRC_COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "photos": {
        "photo_crc": ("content", "embedded", "camera", "lens", "latitude", "longitude", "place"),
        "hidden_crc": ("content", "hidden"),
    },
    "sidecar_photos": {"crc": ("path", "about")},
}
HIDDEN = "SELECT content FROM photos WHERE hidden <> 0"  # ids
UNREAD = (  # a condition on a row of `contents`
    "(contents.id NOT IN (SELECT content FROM photos) OR "
    "contents.id IN (SELECT content FROM photos WHERE embedded IS NULL))"
)

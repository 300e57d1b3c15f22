"""Make the golden gallery of the present schema: a few tiny pictures and their catalogue, as a release leaves them.

python tests/golden/make_gallery.py SCHEMA_NUMBER     (from tests/; only once for each schema, before it changes)

It lies under tests/golden/gallery-SCHEMA and every later release must open it. Its paths begin with /golden; a test
moves them to where it has copied the pictures.
"""

import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pictures
from araclip import AraCLIP, Gallery
from catalog_file import edited
from tiny import write_tiny_model

here = Path(__file__).parent / f"gallery-{int(sys.argv[1])}"
for name, colour in (("أحمر.png", pictures.RED), ("green.png", pictures.GREEN), ("بحر.webp", pictures.BLUE)):
    pictures.solid(here / "pictures" / name, colour, (16, 12))
(here / "pictures" / "copy.png").write_bytes((here / "pictures" / "green.png").read_bytes())

model = AraCLIP.load(write_tiny_model(Path(tempfile.mkdtemp())), threads=1)
with Gallery.open(here, model=model, create=True) as gallery:
    gallery.update([here / "pictures"])
for left_over in (here / "lock", here / "lock.queue", here / "catalog.seal", *here.glob("scan-*")):
    left_over.unlink()
with closing(edited(here)) as database:
    for (path,) in database.execute("SELECT path FROM files").fetchall():
        moved = path.replace(bytes(here / "pictures"), b"/golden")
        database.execute("UPDATE files SET path = ? WHERE path = ?", (moved, path))
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("VACUUM")

"""The texts of a gallery's newest pictures: where its own words come from."""

from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.full_text.matching import WordIndex

MAX_PICTURES = 5_000


def newest_texts(catalog: Catalog) -> list[str]:
    """Names, metadata, captions and OCR texts of the MAX_PICTURES pictures that were added last."""
    rows = catalog.rows("SELECT id FROM contents ORDER BY id DESC LIMIT ?", (MAX_PICTURES,))
    documents = WordIndex(catalog).documents([content for (content,) in rows])
    return [text for document in documents.values() for texts in document.values() for text in texts]

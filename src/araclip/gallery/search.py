"""Searching a gallery: by a query of texts and pictures, and by a picture."""

import os
from abc import ABC
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder_base import Encoder, pixel_vectors, text_vectors
from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters, Where
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.sources import PictureSource, read_source, source_of
from araclip.gallery.query import Query, combine, parse, text_query
from araclip.gallery.ranking import Page
from araclip.gallery.reader import GalleryReader
from araclip.gallery.results import TEXT_WEIGHT, Hit
from araclip.image_transform import transform_of
from araclip.paths import text_path

StrPath = str | os.PathLike[str]


class SearchableGallery(ABC):
    """The searches of `Gallery` and `RemoteGallery`."""

    folder: Path | str  # the path, or the address on a server
    model: Encoder
    _catalog: Store
    _reader: GalleryReader

    def search(
        self,
        query: str | Query | PictureSource,
        k: int = 10,
        *,
        where: Where = None,
        threshold: float = 0.0,
        offset: int = 0,
        collapse: bool = False,
        files: bool = False,
        text_weight: float = TEXT_WEIGHT,
    ) -> list[Hit]:
        """The k best pictures for a query such as «قطة + سجادة حمراء - كلب», best first.

        Identical files count once; files missing on the disk are left out. Pages (`offset` 0, k, 2 k, …) neither
        overlap nor skip a picture.

        Args:
            query: a text (docs/queries.md), or a picture as path object, bytes, PIL picture or (H, W, 3) uint8 array.
            where: search only pictures that pass: Filters, or texts as `araclip search --where` takes them
                ("format=JPEG"). Recall does not suffer, however few pass.
            threshold: least relevance of a hit. 0.5 leaves out the weak hits, which are all of them for a query without
                meaning. Has no effect where relevance is unknown (a picture in the query, a gallery of a few pictures).
            offset: how many of the best hits to skip.
            collapse: of near-duplicates, return the best only.
            files: whether a term may name a file, as in «./sofa.jpg + لون أزرق»; leave it off for untrusted queries.
            text_weight: how much words in names, metadata, captions and OCR text count, 0 (not at all) to 10.

        Raises:
            InputError: the query is empty, malformed or of a wrong type, or a number or a filter is invalid.
            ImageError: a picture of the query cannot be used.
        """
        page = Page(k, offset, Filters.of(where, collapse=collapse), threshold)
        if not isinstance(query, str | Query):
            return self._reader.latest().search(self._picture_vector(query)[0], page, relevance=False)
        parsed = query if isinstance(query, Query) else parse(query, files=files)
        vector = combine(self._vectors(parsed), parsed)
        text = text_query(parsed, text_weight)
        return self._reader.latest().search(vector, page, relevance=parsed.of_texts, text=text)

    def similar(
        self, picture: PictureSource, k: int = 10, *, where: Where = None, offset: int = 0, collapse: bool = False
    ) -> list[Hit]:
        """The k pictures that look most like a picture (as for `search`, or a path as text, or `picture:…`).

        The picture itself is left out when the gallery has it. The hits' relevance is None: it is calibrated for texts
        only. Arguments and errors: as for `search`.
        """
        page = Page(k, offset, Filters.of(where, collapse=collapse))
        vector, content = self._picture_vector(picture)
        return self._reader.latest().search(vector, page, relevance=False, exclude=content)

    def _vectors(self, query: Query) -> NDArray[np.float32]:
        """The vectors of the query's terms, (n, D)."""
        texts = iter(text_vectors(self.model, [term.value for term in query.terms if term.kind == "text"]))
        rows = [next(texts) if term.kind == "text" else self._picture_vector(term.value)[0] for term in query.terms]
        return np.stack(rows)

    def _picture_vector(self, picture: PictureSource) -> tuple[NDArray[np.float32], int | None]:
        """The vector of a picture (D,), and its number if the gallery has it."""
        if isinstance(picture, str) and picture.startswith(STORED_PREFIX):
            content = self._content_of(picture)
            return self._catalog.vector(content), content
        loaded = read_source(source_of(picture), set(), transform_of(self.model))
        assert loaded.decoded is not None  # no hash is known here
        return pixel_vectors(self.model, loaded.decoded.pixels[None])[0], self._catalog.content(loaded.digest)

    def _content_of(self, path: StrPath) -> int:
        content = self._catalog.content_of(text_path(path))
        if content is None:
            raise InputError(f"{path} is not in the gallery {self.folder}. Pass the path of a hit.")
        return content

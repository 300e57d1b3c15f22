"""Searching a gallery: by a query of texts and pictures, and by a picture."""

import os
from abc import ABC
from collections.abc import Collection
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder_base import Encoder, pixel_vectors, text_vectors
from araclip.errors import InputError
from araclip.gallery.catalog.filters import Filters, Where
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import PictureSource, read_source, source_of
from araclip.gallery.queries.explanation import Explanation, texts_of_shares, word_shares
from araclip.gallery.queries.interpretation import InterpretedQuery, Part
from araclip.gallery.queries.query import Query, combine, parse
from araclip.gallery.ranking import Page
from araclip.gallery.reader import GalleryReader, Snapshot
from araclip.gallery.results import TEXT_WEIGHT, Hit
from araclip.gallery.understood import (
    Asked,
    Hits,
    Suggestions,
    has_relevance,
    search_understood,
    term_vectors,
    words_to_find,
)
from araclip.paths import text_path, user_path
from araclip.pictures.image_transform import transform_of
from araclip.text.interpretation import Interpreter
from araclip.text.resources import interpreter
from araclip.user_data import data_home
from araclip.video.scene_paths import scene_of, stored

FEW_FILES = 100_000  # of which the folders are listed at once
StrPath = str | os.PathLike[str]


class SearchableGallery(ABC):
    """The searches of `Gallery` and galleries on servers."""

    folder: Path | str  # the path, or the address on a server
    model: Encoder
    _catalog: Store
    _reader: GalleryReader
    _interpreter: Interpreter | None = None
    _folders: tuple[str, dict[bool, Collection[str]]] = ("", {})  # a generation, and `_folder_names` of it

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
        literal: bool = False,
        ignore: Collection[Part] = (),
    ) -> Hits:
        """The k best pictures for a query such as «قطة + سجادة حمراء - كلب», best first.

        Identical files count once; files missing on the disk are left out. Pages (`offset` 0, k, 2 k, …) neither
        overlap nor skip a picture.

        Args:
            query: a text (docs/queries.md), or a picture as path object, bytes, PIL picture or (H, W, 3) uint8 array.
            where: search only pictures that pass: Filters, or texts as `araclip search --where` takes them
                ("format=JPEG"). Recall does not suffer, however few pass.
            threshold: least relevance of a hit. 0.2 leaves out the weak hits, which are all of them for a query without
                meaning, 0.5 the fair ones too. Has no effect where relevance is unknown (a picture in the query, a
                gallery of a few pictures).
            offset: how many of the best hits to skip.
            collapse: of near-duplicates, return the best only.
            files: whether a term may name a file, as in «./sofa.jpg + لون أزرق»; leave it off for untrusted queries.
            text_weight: how much words in names, metadata, captions and OCR text count, 0 (not at all) to 10.
            literal: take the words as they are typed. Otherwise spelling, dialect, Arabizi, exclusions, dates and
                folders in words are understood; the hits' `interpretation` says how.
            ignore: parts of that which are taken literally: words, exclusions, date, folder.

        Raises:
            InputError: the query is empty, malformed or of a wrong type, or a number or a filter is invalid.
            ImageError: a picture of the query cannot be used.
        """
        page = Page(k, offset, Filters.of(where, collapse=collapse), threshold)
        snapshot = self._reader.latest()
        if not isinstance(query, str | Query):
            return Hits(snapshot.search(self._picture_vector(query)[0], page, relevance=False))
        parsed = query if isinstance(query, Query) else parse(query, files=files)
        read, terms = self._read(parsed, snapshot, page.filters, literal=literal, ignore=ignore)
        hits = search_understood(snapshot, read, terms, page, text_weight)
        return Hits(hits, self._suggestions.added(read, hits, self.interpreter, self._catalog))

    @cached_property
    def _suggestions(self) -> Suggestions:
        return Suggestions()

    def explain(
        self, query: str | Query, picture: StrPath, *, literal: bool = False, files: bool = False
    ) -> Explanation:
        """Why a query finds a picture: each word's share, its texts that match, and how the query was read.

        Args:
            picture: the path of a hit, `picture:…` too, or any picture file.
            literal, files: as for `search`.

        Raises:
            InputError: as of `search`. ImageError, OSError: the picture is not in the gallery and cannot be read.
        """
        parsed = query if isinstance(query, Query) else parse(query, files=files)
        snapshot = self._reader.latest()
        read, vectors = self._read(parsed, snapshot, Filters(), literal=literal)
        terms = read.own(vectors)
        path = stored(text_path(picture))
        content = self._catalog.content_of(path)
        if content is None:  # a file of another name, such as a relative path or a copy, may hold one of its pictures
            vector, content = self._picture_vector(user_path(path))
        else:
            vector = self._catalog.vector(content)
        query_vector = combine(terms, read.query)
        score = float(query_vector @ vector)
        scale = snapshot.scale if has_relevance(read) else None
        text = words_to_find(read, TEXT_WEIGHT)
        asked = texts_of_shares(read)
        vector_of = dict(zip(asked, text_vectors(self.model, asked), strict=True))
        matched, surely = snapshot.by_texts(content, text) if content is not None and text else ((), 0.0)
        return Explanation(
            path=path,
            score=score,
            relevance=max(scale.relevance(query_vector, read.query.words)(score), surely) if scale else None,
            words=word_shares(read, terms, vector, vector_of),
            matched=matched,
            interpretation=read.interpretation,
        )

    @property
    def interpreter(self) -> Interpreter:
        """What reads the words of queries: by default the package's lexicon with the user's (docs/queries.md)."""
        if self._interpreter is None:
            self._interpreter = interpreter(home=data_home())
        return self._interpreter

    @interpreter.setter
    def interpreter(self, value: Interpreter) -> None:
        """Read queries with another one, such as `araclip.text.resources.interpreter("my-words.txt")`."""
        self._interpreter = value

    def _read(
        self, query: Query, snapshot: Snapshot, filters: Filters, *, literal: bool, ignore: Collection[Part] = ()
    ) -> tuple[InterpretedQuery, NDArray[np.float32]]:
        """The query as it is searched, and the vectors of its terms and kinds: a date or a folder that no picture
        has, beside the caller's filters, is words."""
        asked = Asked(query, self.interpreter, self._folder_names, literal, ignore)
        read = asked.read()
        terms = self._vectors(read)
        if again := asked.read_again(snapshot, read, terms, filters):
            return again, self._vectors(again)
        return read, terms

    def _folder_names(self, explicit: bool) -> Collection[str]:
        """Names of the gallery's folders; of a large gallery only where the query says "folder"."""
        if not (explicit or isinstance(self.folder, Path)):
            return ()
        generation = self._catalog.generation
        if self._folders[0] != generation:
            self._folders = generation, {}
        known = self._folders[1]
        if explicit not in known:  # every path is read for them
            few = explicit or self._catalog.counts()[0] <= FEW_FILES
            known[explicit] = self._catalog.overview().folders if few else ()
        return known[explicit]

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

    def _vectors(self, read: InterpretedQuery) -> NDArray[np.float32]:
        """The vectors of the query's terms and kinds, (n + m, D); all texts are encoded at once."""
        return term_vectors(read, text_vectors(self.model, read.texts), lambda name: self._picture_vector(name)[0])

    def _picture_vector(self, picture: PictureSource) -> tuple[NDArray[np.float32], int | None]:
        """The vector of a picture (D,), and its number if the gallery has it."""
        if isinstance(picture, str) and (picture.startswith(STORED_PREFIX) or scene_of(picture)):
            content = self._content_of(picture)
            return self._catalog.vector(content), content
        loaded = read_source(source_of(picture), set(), transform_of(self.model))
        assert loaded.decoded is not None  # no hash is known here
        return pixel_vectors(self.model, loaded.decoded.pixels[None])[0], self._catalog.content(loaded.digest)

    def _content_of(self, path: StrPath) -> int:
        content = self._catalog.content_of(stored(text_path(path)))
        if content is None:
            raise InputError(f"{path} is not in the gallery {self.folder}. Pass the path of a hit.")
        return content

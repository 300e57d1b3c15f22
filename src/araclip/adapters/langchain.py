"""Lets LangChain use AraCLIP as its embeddings, so that its vector stores hold pictures and answer Arabic queries.

>>> from araclip import AraCLIP
>>> from araclip.adapters.langchain import AraCLIPEmbeddings
>>> embeddings = AraCLIPEmbeddings(AraCLIP.load())          # or a server: araclip.client.Client("http://…")
>>> store = InMemoryVectorStore(embeddings)
"""

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings

from araclip.adapters.readings import query_vector
from araclip.text.interpretation import Interpreter


class AraCLIPEmbeddings(Embeddings):  # type: ignore[misc,unused-ignore]
    """Embeds texts and pictures as vectors of unit length in one space.

    Args:
        encoder: an `araclip.models.encoder_base.Encoder`, or the client of a server.
        interpreter: corrects spelling, dialect words and Arabizi in queries before they are encoded, such as
            `araclip.text.resources.interpreter()` (docs/understanding.md). Documents are encoded as they are.
    """

    def __init__(self, encoder: Any, interpreter: Interpreter | None = None) -> None:
        self.encoder, self.interpreter = encoder, interpreter

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return _to_lists(self.encoder.encode_text(texts))

    def embed_query(self, text: str) -> list[float]:
        return query_vector(self.embed_documents, text, self.interpreter)

    def embed_images(self, pictures: Sequence[Any]) -> list[list[float]]:
        """Return a vector for each picture; a picture is a path, or another form that the encoder takes."""
        return _to_lists(self.encoder.encode_image(pictures))

    def embed_image(self, uris: Sequence[Any]) -> list[list[float]]:
        """Return a vector for each picture, given by its path. Stores such as Chroma use the keyword `uris`."""
        return self.embed_images(uris)


def _to_lists(rows: Iterable[Iterable[float]]) -> list[list[float]]:
    return [[float(value) for value in row] for row in rows]

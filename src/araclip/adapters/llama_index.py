"""Lets LlamaIndex use AraCLIP as its multi-modal embedding: texts and pictures of an index get vectors in one space.

>>> from araclip import AraCLIP
>>> from araclip.adapters.llama_index import AraCLIPEmbedding
>>> embedding = AraCLIPEmbedding(AraCLIP.load())            # or a server: araclip.client.Client("http://…")
"""

from io import BytesIO
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding

from araclip.adapters.readings import query_vector
from araclip.text.interpretation import Interpreter


class AraCLIPEmbedding(MultiModalEmbedding):  # type: ignore[misc,unused-ignore]
    """Embeds texts and pictures as unit vectors in one space, by an encoder of AraCLIP or the client of a server.

    `interpreter` corrects spelling and dialect words in queries before they are encoded (docs/understanding.md). Texts
    of the index are encoded as they are.
    """

    _encoder: Any = PrivateAttr()
    _interpreter: Interpreter | None = PrivateAttr(default=None)

    def __init__(self, encoder: Any, interpreter: Interpreter | None = None, **options: Any) -> None:
        super().__init__(model_name=getattr(encoder, "label", None) or "araclip", **options)
        self._encoder, self._interpreter = encoder, interpreter

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [[float(value) for value in row] for row in self._encoder.encode_text(texts)]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return query_vector(self._get_text_embeddings, query, self._interpreter)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_image_embeddings(self, img_file_paths: list[Any]) -> list[list[float]]:
        # LlamaIndex passes an ImageNode's picture as BytesIO, but the client of an araclip server takes bytes
        given = [each.getvalue() if isinstance(each, BytesIO) else each for each in img_file_paths]
        return [[float(value) for value in row] for row in self._encoder.encode_image(given)]

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._get_image_embeddings([img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._get_image_embedding(img_file_path)

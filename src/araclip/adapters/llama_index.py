"""AraCLIP as a LlamaIndex multi-modal embedding: texts and pictures of an index in one space.

>>> from araclip import AraCLIP
>>> from araclip.adapters.llama_index import AraCLIPEmbedding
>>> embedding = AraCLIPEmbedding(AraCLIP.load())            # or araclip.client.Client("http://…"): a server's
"""

from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding


class AraCLIPEmbedding(MultiModalEmbedding):  # type: ignore[misc,unused-ignore]
    """Texts and pictures as vectors of unit length in one space; `encoder` is an encoder or a server's client."""

    _encoder: Any = PrivateAttr()

    def __init__(self, encoder: Any, **options: Any) -> None:
        super().__init__(model_name=getattr(encoder, "label", "araclip"), **options)
        self._encoder = encoder

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [[float(value) for value in row] for row in self._encoder.encode_text(texts)]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embedding(text)

    def _get_image_embeddings(self, img_file_paths: list[Any]) -> list[list[float]]:
        return [[float(value) for value in row] for row in self._encoder.encode_image(img_file_paths)]

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._get_image_embeddings([img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._get_image_embedding(img_file_path)

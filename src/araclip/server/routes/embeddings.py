"""Vectors of texts and pictures, compatible with clients of OpenAI's embeddings API."""

import base64

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray

from araclip.encoder_base import batches
from araclip.errors import InputError
from araclip.server.routes.dependencies import READ, ServiceOf, problems
from araclip.server.schemas import Embedding, EmbeddingsAnswer, EmbeddingsRequest, Usage
from araclip.server.service import Service, decode_data_uri

router = APIRouter(tags=["embeddings"], dependencies=READ)
CHUNK = 16  # texts of a request in the queue at once, so that searches are not delayed


@router.post("/v1/embeddings", responses=problems(400, 401, 403, 413, 422, 429))
async def embeddings(service: ServiceOf, body: EmbeddingsRequest) -> EmbeddingsAnswer:
    """The unit vectors of texts, and of pictures given as data URIs, in one space."""
    inputs = [body.input] if isinstance(body.input, str) else body.input
    if body.dimensions not in (None, service.model.width):
        raise InputError(f"dimensions is {body.dimensions}; this model makes {service.model.width}-wide vectors only.")
    texts = [entry for entry in inputs if not entry.startswith("data:")]
    for text in texts:
        if len(text) > service.settings.max_text:
            raise InputError(f"a text has {len(text)} characters, the most is {service.settings.max_text}.")
    with service.searches.entered():
        text_rows = iter([row for chunk in batches(texts, CHUNK) for row in await service.texts.rows(chunk)])
        rows = [await _picture(service, entry) if entry.startswith("data:") else next(text_rows) for entry in inputs]
        tokens = await service.in_thread(lambda: sum(service.model.count_tokens(texts)))
    data = [Embedding(index=i, embedding=_written(row, body.encoding_format)) for i, row in enumerate(rows)]
    return EmbeddingsAnswer(
        data=data, model=service.model.label, usage=Usage(prompt_tokens=tokens, total_tokens=tokens)
    )


async def _picture(service: Service, data_uri: str) -> NDArray[np.float32]:
    data = decode_data_uri(data_uri, service.settings.max_upload)
    loaded = await service.sandbox.read(data, service.model.image_size, service.settings.max_pixels)
    assert loaded.decoded is not None
    return await service.pixels.row(loaded.decoded.pixels)


def _written(row: NDArray[np.float32], form: str) -> list[float] | str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode() if form == "base64" else row.tolist()

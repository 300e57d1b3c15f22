"""Vectors of texts and pictures, in the form of OpenAI's embeddings API, so that its clients work unchanged."""

import base64

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray

from araclip.encoder_base import batches
from araclip.errors import InputError
from araclip.server.routes.dependencies import READ, ServiceOf, problems
from araclip.server.schemas import Embedding, EmbeddingsAnswer, EmbeddingsRequest, Usage
from araclip.server.service import Service, picture_of

router = APIRouter(tags=["embeddings"], dependencies=READ)
CHUNK = 16  # texts a request has in the queue: searches get in between


@router.post("/v1/embeddings", responses=problems(400, 401, 403, 413, 422, 429))
async def embeddings(service: ServiceOf, asked: EmbeddingsRequest) -> EmbeddingsAnswer:
    """The unit vectors of texts, and of pictures given as data URIs, in one space."""
    inputs = [asked.input] if isinstance(asked.input, str) else asked.input
    if asked.dimensions not in (None, service.model.width):
        raise InputError(f"dimensions is {asked.dimensions}; this model makes {service.model.width}-wide vectors only.")
    texts = [entry for entry in inputs if not entry.startswith("data:")]
    for text in texts:
        if len(text) > service.settings.max_text:
            raise InputError(f"a text has {len(text)} characters, the most is {service.settings.max_text}.")
    with service.searches.entered():
        of_texts = iter([row for group in batches(texts, CHUNK) for row in await service.texts.rows(group)])
        rows = [await _picture(service, entry) if entry.startswith("data:") else next(of_texts) for entry in inputs]
        tokens = await service.in_thread(lambda: sum(service.model.count_tokens(texts)))
    data = [Embedding(index=i, embedding=_written(row, asked.encoding_format)) for i, row in enumerate(rows)]
    return EmbeddingsAnswer(
        data=data, model=service.model.label, usage=Usage(prompt_tokens=tokens, total_tokens=tokens)
    )


async def _picture(service: Service, data_uri: str) -> NDArray[np.float32]:
    data = picture_of(data_uri, service.settings.max_upload)
    loaded = await service.sandbox.read(data, service.model.image_size, service.settings.max_pixels)
    assert loaded.decoded is not None
    return await service.pixels.row(loaded.decoded.pixels)


def _written(row: NDArray[np.float32], form: str) -> list[float] | str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode() if form == "base64" else row.tolist()

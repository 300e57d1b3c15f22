"""Vectors of texts and pictures, compatible with clients of OpenAI's embeddings API."""

import base64
import json
from collections.abc import Iterator, Sequence

import numpy as np
from fastapi import APIRouter, Response
from numpy.typing import NDArray

from araclip.display import shown
from araclip.encoder import Encoder
from araclip.encoder_base import batches
from araclip.server.problem_details import Problem
from araclip.server.routes.dependencies import READ, ServiceOf, openai_errors
from araclip.server.schemas import Embedding, EmbeddingsAnswer, EmbeddingsRequest, Model, Models, Usage
from araclip.server.service import Service, decode_data_uri

router = APIRouter(tags=["embeddings"], dependencies=READ)
CHUNK = 16  # texts of a request in the queue at once, so that searches are not delayed
Rows = Sequence[NDArray[np.float32]]


@router.get("/v1/models", responses=openai_errors(401, 403))
async def models(service: ServiceOf) -> Models:
    """The models of this server: one."""
    return Models(data=[_model(service)])


@router.get("/v1/models/{identity:path}", responses=openai_errors(401, 403, 404))
async def model(service: ServiceOf, identity: str) -> Model:
    """The server's model, by its name with or without its fingerprint."""
    found = _model(service)
    if identity not in (found.id, service.model.name):
        raise Problem("no-model", id=shown(identity)[:200], known=found.id)
    return found


def _model(service: Service) -> Model:
    return Model(id=service.model.label, created=service.started)


@router.post("/v1/embeddings", response_model=EmbeddingsAnswer, responses=openai_errors(400, 401, 403, 413, 422, 429))
async def embeddings(service: ServiceOf, body: EmbeddingsRequest) -> Response:
    """The unit vectors of texts, and of pictures given as data URIs, in one space."""
    inputs = [body.input] if isinstance(body.input, str) else body.input
    width = _width(service.model, body.dimensions)
    texts = [entry for entry in inputs if not _is_picture(entry)]
    for text in texts:
        if len(text) > service.settings.max_text:
            raise _refused("input", f"a text has {len(text)} characters, the most is {service.settings.max_text}.")
    with service.searches.entered():
        text_rows = iter([row for chunk in batches(texts, CHUNK) for row in await service.texts.rows(chunk)])
        rows = [await _picture(service, entry) if _is_picture(entry) else next(text_rows) for entry in inputs]
        answer = await service.in_thread(lambda: _written(service.model, texts, rows, width, body.encoding_format))
    return Response(answer, media_type="application/json")


def _is_picture(entry: str) -> bool:
    return entry.startswith("data:")


def _width(model: Encoder, dimensions: int | None) -> int:
    """How many numbers of a vector are wanted; fewer than all only where the model was trained for that."""
    prefixes = sorted({*getattr(model, "matryoshka", ()), model.width})
    if dimensions is None or dimensions in prefixes:
        return dimensions or model.width
    if len(prefixes) == 1:
        raise _refused("dimensions", f"dimensions is {dimensions}; this model makes {model.width}-wide vectors only.")
    known = ", ".join(map(str, prefixes))
    raise _refused("dimensions", f"dimensions is {dimensions}; this model makes vectors of {known} numbers.")


def _refused(field: str, reason: str) -> Problem:
    return Problem("bad-query", where=field, reason=reason)


async def _picture(service: Service, data_uri: str) -> NDArray[np.float32]:
    data = await service.in_thread(lambda: decode_data_uri(data_uri, service.settings.max_upload))
    loaded = await service.sandbox.read(data, service.model.image_size, service.settings.max_pixels)
    assert loaded.decoded is not None
    return await service.pixels.row(loaded.decoded.pixels)


def _written(model: Encoder, texts: Sequence[str], rows: Rows, width: int, form: str | None) -> bytes:
    """The answer as JSON. For a thread, and one vector after the other, so that the event loop gets its turns."""
    counted = getattr(model, "count_tokens", None)  # models of others have no such method
    tokens = sum(counted(texts)) if counted else 0
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens).model_dump_json()
    data = ",".join(_entries(rows, width, form))
    return f'{{"object":"list","data":[{data}],"model":{json.dumps(model.label)},"usage":{usage}}}'.encode()


def _entries(rows: Rows, width: int, form: str | None) -> Iterator[str]:
    for index, row in enumerate(rows):
        vector = row if width == len(row) else row[:width] / np.linalg.norm(row[:width])  # a prefix has no unit length
        packed = base64.b64encode(vector.astype("<f4").tobytes()).decode() if form == "base64" else vector.tolist()
        yield Embedding(index=index, embedding=packed).model_dump_json()

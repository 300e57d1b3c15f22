"""Vectors of texts and pictures, compatible with clients of OpenAI's embeddings API."""

import base64
import json
import re
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request, Response
from numpy.typing import NDArray

from araclip.core.display import shown
from araclip.core.messages import message, message_of
from araclip.errors import ImageError, InputError
from araclip.models.encoder import Encoder
from araclip.models.encoder_base import batches
from araclip.server.http.errors import Problem
from araclip.server.routes.dependencies import READ, ClientOf, GuardedRoute, ServiceOf, openai_errors, while_connected
from araclip.server.schemas import Embedding, EmbeddingsAnswer, EmbeddingsRequest, Model, Models, Usage
from araclip.server.service import Service, decode_data_uri

router = APIRouter(route_class=GuardedRoute, tags=["embeddings"], dependencies=READ)
# matches a data URI, also one of a picture that is written wrongly, but not the text "data: a chart of sales, 2025"
DATA_URI = re.compile(r"data:(image/|[^\s,]*,)")
CHUNK = 16  # limit: texts of one request that are queued at once, so that searches need not wait
Rows = Sequence[NDArray[np.float32]]


@router.get("/v1/models", responses=openai_errors(401, 403))
async def models(service: ServiceOf) -> Models:
    """List the models of this server; there is exactly one."""
    return Models(data=[Model(id=service.model.label, created=service.started)])


@router.get("/v1/models/{identity:path}", responses=openai_errors(401, 403, 404))
async def model(service: ServiceOf, identity: str) -> Model:
    """Return the server's model if `identity` is its name, alone or followed by its fingerprint."""
    found = Model(id=service.model.label, created=service.started)
    if identity not in (found.id, service.model.name):
        raise Problem("no-model", id=shown(identity)[:200], known=found.id)
    return found


@router.post(
    "/v1/embeddings",
    response_model=EmbeddingsAnswer,
    responses=openai_errors(400, 401, 403, 408, 413, 415, 422, 429),
)
async def embeddings(service: ServiceOf, request: Request, client: ClientOf, body: EmbeddingsRequest) -> Response:
    """Encode texts, and pictures given as data URIs, into unit vectors of one space."""
    inputs = [body.input] if isinstance(body.input, str) else body.input
    width = _wanted_width(service.model, body.dimensions)
    texts = [entry for entry in inputs if not _is_picture(entry)]
    most = service.settings.max_text
    for index, entry in enumerate(inputs):
        if len(entry) > most and not _is_picture(entry):
            raise _bad_query(f"input.{index}", message("text letters", letters=len(entry), most=most))
    pictures, most = len(inputs) - len(texts), service.settings.max_request_pictures
    if pictures > most:
        raise _bad_query("input", message("pictures", pictures=pictures, most=most))

    async def answer() -> bytes:
        rows = await _encode_inputs(service, inputs, client)
        return await service.in_thread(lambda: _write_answer(service.model, texts, rows, width, body.encoding_format))

    with service.embeddings.entered(client):
        return Response(await while_connected(request, answer()), media_type="application/json")


async def _encode_inputs(service: Service, inputs: Sequence[str], client: str) -> Rows:
    """Return the vectors of `inputs` (texts, and pictures as data URIs), in order."""
    rows: dict[int, NDArray[np.float32]] = {}
    texts = [(index, entry) for index, entry in enumerate(inputs) if not _is_picture(entry)]
    for chunk in batches(texts, CHUNK):
        vectors = await service.texts.rows([text for _, text in chunk], client)
        rows.update(zip((index for index, _ in chunk), vectors, strict=True))
    for index, entry in enumerate(inputs):
        if _is_picture(entry):
            rows[index] = await _encode_picture(service, index, entry, client)
    return [rows[index] for index in range(len(inputs))]


async def _encode_picture(service: Service, index: int, data_uri: str, client: str) -> NDArray[np.float32]:
    try:
        data = await service.in_thread(lambda: decode_data_uri(data_uri, service.settings.max_upload))
        return await service.picture_row(data, client)
    except ImageError as error:
        raise Problem("bad-picture", where=f"input.{index}", reason=message_of(error)) from None
    except InputError as error:
        raise _bad_query(f"input.{index}", message_of(error)) from None


def _is_picture(entry: str) -> bool:
    return DATA_URI.match(entry) is not None


def _wanted_width(model: Encoder, dimensions: int | None) -> int:
    """Return how many numbers the vectors shall have: the model's width, or a shorter width that it was trained for.

    Raises:
        Problem: the model was not trained for `dimensions` (Matryoshka).
    """
    prefixes = sorted({*getattr(model, "matryoshka", ()), model.width})
    if dimensions is None or dimensions in prefixes:
        return dimensions or model.width
    if len(prefixes) == 1:
        raise _bad_query("dimensions", message("dimensions", given=dimensions, width=model.width))
    known = ", ".join(map(str, prefixes))
    raise _bad_query("dimensions", message("dimensions several", given=dimensions, known=known))


def _bad_query(field: str, reason: str) -> Problem:
    return Problem("bad-query", where=field, reason=reason)


def _write_answer(model: Encoder, texts: Sequence[str], rows: Rows, width: int, form: str | None) -> bytes:
    """Return the answer as JSON. It is written vector by vector, in a thread, so that the event loop can go on."""
    count_tokens = getattr(model, "count_tokens", None)  # only AraCLIP's own models can count tokens
    tokens = sum(count_tokens(texts)) if count_tokens else 0
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens).model_dump_json()
    entries = []
    for index, row in enumerate(rows):
        # a vector that is cut to its first `width` numbers is scaled to length 1 again
        vector = row if width == len(row) else row[:width] / np.linalg.norm(row[:width])
        numbers = base64.b64encode(vector.astype("<f4").tobytes()).decode() if form == "base64" else vector.tolist()
        entries.append(Embedding(index=index, embedding=numbers).model_dump_json())
    data = ",".join(entries)
    return f'{{"object":"list","data":[{data}],"model":{json.dumps(model.label)},"usage":{usage}}}'.encode()

"""The calls of an Immich server to its machine-learning service, so that it searches with this server's model.

Immich and OpenCloud send `POST /predict`, a form with `entries` (which task, which model) and `text` or `image`, and
take the vector as a JSON array in a string. Only the task "clip" has a model here, which takes the place of one that
Immich knows, see `immich_names`.
"""

import base64
import binascii
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import PlainTextResponse
from numpy.typing import NDArray

from araclip import bounded_json
from araclip.display import shown
from araclip.encoder import Encoder
from araclip.errors import InputError, WidthMismatch
from araclip.layouts.immich_names import IMMICH_WIDTHS, fitted, immich_name, stand_ins
from araclip.server.http.problem_details import Problem
from araclip.server.http.request_body import BeforeBody
from araclip.server.routes.clients import ClientOf, while_connected
from araclip.server.routes.dependencies import ONE_PICTURE, GuardedRoute, ServiceOf, problems, service_of
from araclip.server.routes.foreign_schemas import Prediction

SEARCH, TEXTUAL, VISUAL = "clip", "textual", "visual"  # a task, and its two types, as Immich names them
MAX_ENTRIES = 16_384  # bytes


class MayPredict(BeforeBody):
    """A dependency that asks for a token with the scope "read", unless the server's setting says that none is needed.

    Beside "Bearer TOKEN" it takes "Basic" with the token as password, which clients make of http://any:TOKEN@host.
    """

    def __call__(self, request: Request) -> None:
        """Check a request.

        Raises:
            Problem: "unauthorized".
        """
        service = service_of(request)
        if service.settings.open_predict:
            return
        scopes = service.keys.scopes_of(request) or service.keys.scopes_of_token(_password(request))
        if not scopes:
            raise Problem("unauthorized", headers={"WWW-Authenticate": 'Bearer realm="araclip"'})


router = APIRouter(route_class=GuardedRoute, tags=["immich"])


@router.get("/ping", response_class=PlainTextResponse)
async def ping() -> PlainTextResponse:
    """Whether the server is alive, as Immich asks."""
    return PlainTextResponse("pong")


@router.post(
    "/predict",
    dependencies=[Depends(MayPredict()), *ONE_PICTURE],
    responses=problems(400, 401, 404, 422, 429),
    response_model_exclude_none=True,
)
async def predict(
    service: ServiceOf,
    request: Request,
    client: ClientOf,
    entries: Annotated[str, Form(description='{"clip": {"textual" or "visual": {"modelName": …}}}')],
    text: Annotated[str | None, Form()] = None,
    image: Annotated[UploadFile | None, File()] = None,
) -> Prediction:
    """The vector of a text or a picture, for Immich and OpenCloud."""
    asked = _asked(entries)
    width = _width(service.model, asked.model)
    with service.embeddings.entered(client):
        if asked.kind == TEXTUAL:
            if text is None:
                raise _invalid("text", "a textual entry needs the field text")
            if len(text) > (most := service.settings.max_text):
                raise InputError(f"a text has {len(text)} characters, the most is {most}. Send its beginning.")
            (row,) = await while_connected(request, service.texts.rows([text], client))
            return Prediction(clip=_written(service.model, row, width))
        if image is None:
            raise _invalid("image", "a visual entry needs the file image")
        data = await image.read()
        if len(data) > (limit := service.settings.max_upload):
            raise Problem("too-large", limit=limit)
        row, facts = await while_connected(request, service.picture(data, client))
        return Prediction(clip=_written(service.model, row, width), imageHeight=facts.height, imageWidth=facts.width)


class _Asked(NamedTuple):
    kind: str
    model: str


def _asked(entries: str) -> _Asked:
    """What the form's `entries` ask for.

    Raises:
        Problem: they are not as Immich writes them, or ask for a task without a model here.
    """
    try:
        tasks = bounded_json.parse(entries.encode("utf-8", "replace"), "entries", max_bytes=MAX_ENTRIES, max_depth=6)
    except InputError as error:
        raise _invalid("entries", str(error).rstrip(".")) from None
    if not isinstance(tasks, dict) or not tasks:
        raise _invalid("entries", 'expected an object such as {"clip": {"textual": {"modelName": …}}}')
    if others := [task for task in tasks if task != SEARCH]:
        raise Problem("no-task", task=shown(str(others[0]))[:50])
    types: Any = tasks[SEARCH]
    if not isinstance(types, dict) or len(types) != 1 or next(iter(types)) not in (TEXTUAL, VISUAL):
        raise _invalid("entries.clip", "expected one of textual and visual")
    ((kind, entry),) = types.items()
    model = entry.get("modelName") if isinstance(entry, dict) else None
    if not isinstance(model, str) or not model:
        raise _invalid(f"entries.clip.{kind}", "expected an object with modelName")
    return _Asked(kind, model)


def _width(model: Encoder, name: str) -> int:
    """How many numbers a vector under this name has.

    Raises:
        Problem: the name is neither this server's model nor one whose place it can take.
    """
    if name in (model.name, model.label):
        return model.width
    widths = [*getattr(model, "matryoshka", ()), model.width]
    known = stand_ins(widths)
    width = IMMICH_WIDTHS.get(immich_name(name))
    if width is None or immich_name(name) not in known:
        of_immich = f"; of Immich's names it takes the place of {', '.join(known[:5])}" if known else ""
        raise Problem("no-model", id=shown(name)[:200], known=f"{model.label}, {model.width} wide{of_immich}")
    return width


def _written(model: Encoder, row: NDArray[np.float32], width: int) -> str:
    try:
        vector = fitted(row, width, getattr(model, "matryoshka", ()))
    except WidthMismatch as error:  # pragma: no cover  (refused by its name before)
        raise _invalid("entries", str(error)) from None
    return f"[{','.join(map(str, vector))}]"  # the shortest decimals that are these float32


def _password(request: Request) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _invalid(where: str, reason: str) -> Problem:
    return Problem("invalid", where=where, reason=shown(reason)[:300])

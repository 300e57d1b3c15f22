"""Answer an Immich server's calls to its machine-learning service, so that it searches with this server's model.

Immich and OpenCloud send `POST /predict`, a form with `entries` (which task, which model) and `text` or `image`, and
expect the vector as a JSON array in a string. Only the task "clip" is answered. Immich knows a fixed list of models and
the width of each; its settings must name one of them, and this server's model answers under that name. If the named
model's vectors are wider, zeros are appended to ours, which changes no cosine and no distance.

The names are from server/src/constants.ts and machine-learning/immich_ml/models/constants.py of
github.com/immich-app/immich, release 2; OpenCloud asks for one of these models, too.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import PlainTextResponse
from numpy.typing import NDArray

from araclip.core import bounded_json
from araclip.core.display import shown
from araclip.core.messages import message
from araclip.errors import InputError, WidthMismatch
from araclip.models.encoder import Encoder
from araclip.server.http.errors import Problem
from araclip.server.http.limits import BeforeBody
from araclip.server.http.tokens import unauthorized
from araclip.server.routes.dependencies import (
    ONE_PICTURE,
    ClientOf,
    GuardedRoute,
    ServiceOf,
    problems,
    read_upload,
    service_of,
    while_connected,
)
from araclip.server.schemas import Prediction

SEARCH, TEXTUAL, VISUAL = "clip", "textual", "visual"  # a task, and its two types, as Immich names them
MAX_ENTRIES = 16_384  # limit: bytes of the field `entries`
_NAMES_BY_WIDTH = {
    512: (
        "ViT-B-32__openai", "ViT-B-32__laion2b-s34b-b79k", "ViT-B-32__laion2b_e16", "ViT-B-32__laion400m_e31",
        "ViT-B-32__laion400m_e32", "ViT-B-16__openai", "ViT-B-16__laion400m_e31", "ViT-B-16__laion400m_e32",
        "RN101__openai", "RN101__yfcc15m", "XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k",
        "XLM-Roberta-Large-Vit-B-32",
    ),
    640: (
        "ViT-B-16-plus-240__laion400m_e31", "ViT-B-16-plus-240__laion400m_e32", "RN50x4__openai",
        "XLM-Roberta-Large-Vit-B-16Plus",
    ),
    768: (
        "ViT-B-16-SigLIP2__webli", "ViT-B-32-SigLIP2-256__webli", "ViT-B-16-SigLIP__webli",
        "ViT-B-16-SigLIP-256__webli", "ViT-B-16-SigLIP-384__webli", "ViT-B-16-SigLIP-512__webli",
        "ViT-B-16-SigLIP-i18n-256__webli", "ViT-L-14__openai", "ViT-L-14-336__openai", "ViT-L-14__laion400m_e31",
        "ViT-L-14__laion400m_e32", "ViT-L-14__laion2b-s32b-b82k", "ViT-L-14-quickgelu__dfn2b", "RN50x16__openai",
        "nllb-clip-base-siglip__v1", "nllb-clip-base-siglip__mrl", "LABSE-Vit-L-14", "XLM-Roberta-Large-Vit-L-14",
    ),
    1024: (
        "ViT-L-16-SigLIP2-256__webli", "ViT-L-16-SigLIP2-384__webli", "ViT-L-16-SigLIP2-512__webli",
        "ViT-L-16-SigLIP-256__webli", "ViT-L-16-SigLIP-384__webli", "ViT-H-14__laion2b-s32b-b79k",
        "ViT-H-14-quickgelu__dfn5b", "ViT-H-14-378-quickgelu__dfn5b", "ViT-g-14__laion2b-s12b-b42k", "RN50__openai",
        "RN50__yfcc15m", "RN50__cc12m", "RN50x64__openai", "XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k",
    ),
    1152: (
        "ViT-SO400M-16-SigLIP2-256__webli", "ViT-SO400M-16-SigLIP2-384__webli", "ViT-SO400M-16-SigLIP2-512__webli",
        "ViT-SO400M-14-SigLIP2__webli", "ViT-SO400M-14-SigLIP2-378__webli", "ViT-SO400M-14-SigLIP-384__webli",
        "nllb-clip-large-siglip__v1", "nllb-clip-large-siglip__mrl",
    ),
    1536: ("ViT-gopt-16-SigLIP2-256__webli", "ViT-gopt-16-SigLIP2-384__webli"),
}  # fmt: skip
IMMICH_WIDTHS = {name: width for width, names in _NAMES_BY_WIDTH.items() for name in names}


class MayPredict(BeforeBody):
    """A dependency that asks for a token with the scope "read", unless `open_predict` is set.

    Beside "Bearer TOKEN", it accepts "Basic" with the token as password, which clients send for http://any:TOKEN@host.
    """

    def __call__(self, request: Request) -> None:
        service = service_of(request)
        if service.settings.open_predict:
            return
        scopes = service.keys.scopes_of(request) or service.keys.scopes_of_token(_basic_password(request))
        if not scopes:
            raise unauthorized()


router = APIRouter(route_class=GuardedRoute, tags=["immich"])


@router.get("/ping", response_class=PlainTextResponse)
async def ping() -> PlainTextResponse:
    """Answer that the server is alive, in Immich's way."""
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
    """Return the vector of a text or a picture, for Immich and OpenCloud."""
    task = _parse_entries(entries)
    width = _expected_width(service.model, task.model)
    with service.embeddings.entered(client):
        if task.kind == TEXTUAL:
            if text is None:
                raise _invalid_field("text", "a textual entry needs the field text")
            if len(text) > (most := service.settings.max_text):
                raise InputError(message("text letters", letters=len(text), most=most))
            (row,) = await while_connected(request, service.texts.rows([text], client))
            return Prediction(clip=_to_json(service.model, row, width))
        if image is None:
            raise _invalid_field("image", "a visual entry needs the file image")
        data = await read_upload(service, image)
        row, facts = await while_connected(request, service.picture(data, client))
        return Prediction(clip=_to_json(service.model, row, width), imageHeight=facts.height, imageWidth=facts.width)


class _Task(NamedTuple):
    kind: str  # TEXTUAL or VISUAL
    model: str


def _parse_entries(entries: str) -> _Task:
    """Return what the form's field `entries` (JSON) asks for: text or picture, and the model; Problem if invalid."""
    try:
        tasks = bounded_json.parse(entries.encode("utf-8", "replace"), "entries", max_bytes=MAX_ENTRIES, max_depth=6)
    except InputError as error:
        raise _invalid_field("entries", str(error).rstrip(".")) from None
    if not isinstance(tasks, dict) or not tasks:
        raise _invalid_field("entries", 'expected an object such as {"clip": {"textual": {"modelName": …}}}')
    if other_tasks := [task for task in tasks if task != SEARCH]:
        raise Problem("no-task", task=shown(str(other_tasks[0]))[:50])
    types: Any = tasks[SEARCH]
    if not isinstance(types, dict) or len(types) != 1 or next(iter(types)) not in (TEXTUAL, VISUAL):
        raise _invalid_field("entries.clip", "expected one of textual and visual")
    ((kind, entry),) = types.items()
    model = entry.get("modelName") if isinstance(entry, dict) else None
    if not isinstance(model, str) or not model:
        raise _invalid_field(f"entries.clip.{kind}", "expected an object with modelName")
    return _Task(kind, model)


def _expected_width(model: Encoder, name: str) -> int:
    """Return how many numbers Immich expects of the model with this name.

    Raise a Problem if the server's own model cannot answer under this name.
    """
    if name in (model.name, model.label):
        return model.width
    widths = [*getattr(model, "matryoshka", ()), model.width]
    known = stand_ins(widths)
    width = IMMICH_WIDTHS.get(immich_name(name))
    if width is None or immich_name(name) not in known:
        stand_in_names = f"; of Immich's names it takes the place of {', '.join(known[:5])}" if known else ""
        raise Problem("no-model", id=shown(name)[:200], known=f"{model.label}, {model.width} wide{stand_in_names}")
    return width


def _to_json(model: Encoder, row: NDArray[np.float32], width: int) -> str:
    vector = fit_width(row, width, getattr(model, "matryoshka", ()))
    return f"[{','.join(map(str, vector))}]"  # str() writes as few digits as give the same float32 when read


def _basic_password(request: Request) -> str:
    """Return the password of a header "Authorization: Basic …"; "" if there is none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _invalid_field(where: str, reason: str) -> Problem:
    return Problem("invalid", where=where, reason=shown(reason)[:300])


# ------------------------------------------------------------------ names and widths


def immich_name(name: str) -> str:
    """Return the name as Immich's list writes it: without an owner, and with "__" for "::"."""
    return name.rpartition("/")[2].replace("::", "__")


def stand_ins(widths: Sequence[int]) -> list[str]:
    """Return Immich's model names under which a model with vectors of these widths can answer, the narrowest first."""
    return [name for name, width in IMMICH_WIDTHS.items() if width in widths or width >= max(widths)]


def fit_width(vector: NDArray[np.float32], width: int, prefixes: Sequence[int] = ()) -> NDArray[np.float32]:
    """Return a unit vector (D,) as a unit vector of `width` numbers: zeros are appended, or the first numbers kept.

    Args:
        prefixes: the shorter widths that the model was trained for (Matryoshka).

    Raises:
        WidthMismatch: `width` is shorter than the vector, and not one of `prefixes`.
    """
    if width >= len(vector):
        return np.pad(vector, (0, width - len(vector)))
    if width not in prefixes:
        raise WidthMismatch(
            f"the model makes {len(vector)}-wide vectors, {width}-wide ones are asked for, and its vectors cannot be "
            f"cut to that. Choose one of these names: {', '.join(stand_ins([*prefixes, len(vector)])[:5])}."
        )
    prefix = vector[:width]
    return prefix / np.linalg.norm(prefix)

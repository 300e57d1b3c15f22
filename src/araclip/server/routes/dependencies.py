"""What routes share: checks before a request's body is read, access to the `Service`, problems for OpenAPI."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response, UploadFile
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect

from araclip.core import bounded_json
from araclip.core.display import shown
from araclip.errors import InputError
from araclip.gallery.catalog.records import PictureRecord
from araclip.server.http.errors import MEDIA_TYPE, Problem
from araclip.server.http.limits import BeforeBody, limit_body
from araclip.server.http.tokens import RequiresScope
from araclip.server.schemas import OpenAIErrors, ProblemDetails
from araclip.server.service import Service
from araclip.server.settings import Settings

FORM_FIELDS = 64  # limit: fields of a form: enough for `where`, which may be given 20 times
FORM_FIELD_BYTES = 16_384
FORM_BYTES = (1 + FORM_FIELDS) * FORM_FIELD_BYTES  # limit: bytes of a form besides its uploaded file
JSON_DEPTH = 8
JSON_NODES = 100_000
NO_JSON = "المحتوى ليس JSON صحيحًا، أو فيه من القيم والمستويات أكثر مما يُقبل"
SMALL_JSON = 16_384  # a JSON body of more bytes is parsed in a thread
T = TypeVar("T")
CLIENT_CLOSED = 499  # nginx's status for a client that closed the connection


def service_of(request: Request) -> Service:
    """Return the `Service` (gallery, encoder, threads …) of the application that received a request."""
    service: Service = request.app.state.service
    return service


class LimitedBody(BeforeBody):
    """A dependency of routes: limits the request's body to `most(settings)` bytes."""

    def __init__(self, most: Callable[[Settings], int]) -> None:
        self._most = most

    def __call__(self, request: Request) -> None:
        limit_body(request, self._most(service_of(request).settings))


class GuardedRoute(APIRoute):
    """A route whose `BeforeBody` dependencies are called before the body is read; FastAPI would read the body first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        checks = [each.dependency for each in self.dependencies if isinstance(each.dependency, BeforeBody)]

        async def guarded(request: Request) -> Response:
            bounded = _BoundedRequest(request.scope, request.receive)
            for check in checks:
                check(bounded)
            if self.body_field is not None:
                _check_media_type(bounded)
            return await handle(bounded)

        return guarded


class _BoundedRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            data = await self.body()
            parse = partial(
                bounded_json.parse, data, "the request's body", max_depth=JSON_DEPTH, max_nodes=JSON_NODES,
                max_bytes=len(data),
            )  # fmt: skip
            try:
                self._json = parse() if len(data) <= SMALL_JSON else await asyncio.to_thread(parse)
            except InputError as error:
                raise Problem(
                    "invalid", where="body", reason=shown(str(error))[:300].rstrip("."), reason_ar=NO_JSON
                ) from None
        return self._json

    async def _get_form(self, **_: Any) -> FormData:
        return await super()._get_form(
            max_files=2, max_fields=FORM_FIELDS, max_part_size=FORM_FIELD_BYTES
        )  # two files may be sent, because the field `file` may come twice; then its last value counts


def _check_media_type(request: Request) -> None:
    """Refuse compressed bodies, URL-encoded forms (parsed without limits), and other charsets than UTF-8."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("media-type", expected="no Content-Encoding")
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == b"application/x-www-form-urlencoded":
        raise Problem("media-type", expected="Content-Type multipart/form-data or application/json")
    if options.get(b"charset", b"utf-8").lower() != b"utf-8":
        raise Problem("media-type", expected="the charset UTF-8")


def record_of(service: Service, identity: str) -> PictureRecord:
    """Return a picture by its id; raise a Problem if the gallery has no such picture. To be called in a thread."""
    record = service.gallery.store.record(identity)
    if record is None:
        raise Problem("no-picture", id=shown(identity))
    return record


async def read_upload(service: Service, file: UploadFile) -> bytes:
    """Return the bytes of an uploaded file; raise a Problem if there are more than the server takes."""
    data = await file.read()
    if len(data) > service.settings.max_upload:
        raise Problem("too-large", limit=service.settings.max_upload)
    return data


ServiceOf = Annotated[Service, Depends(service_of)]
READ = [Depends(RequiresScope("read"))]
WRITE = [Depends(RequiresScope("write"))]
ONE_PICTURE = [Depends(LimitedBody(lambda settings: settings.max_upload + FORM_BYTES))]
TOKEN_ONLY = [Depends(LimitedBody(lambda _: 2_000))]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for the problems with these statuses, which a route may answer with."""
    content = {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for the errors of a route below /v1/."""
    return {status: {"description": "Error", "model": OpenAIErrors} for status in statuses}


def _client_address(request: Request) -> str:
    return request.client.host if request.client else ""


ClientOf = Annotated[str, Depends(_client_address)]


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, which is cancelled if the client leaves. The request's body must have been read."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)

"""Build the server's ASGI application from the settings. Its OpenAPI description states the limits in the settings."""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from araclip import __version__
from araclip.core.display import shown
from araclip.core.messages import message_of
from araclip.errors import AraCLIPError, ImageError, InputError
from araclip.server import page
from araclip.server.http.errors import PREFIX, Problem, answer
from araclip.server.http.limits import BodyLimits, HeaderChecks, SecurityHeaders
from araclip.server.http.representations import Representations
from araclip.server.metrics import RequestMetrics
from araclip.server.routes import browsing, embeddings, immich, pictures, search, selection, status
from araclip.server.routes.dependencies import CLIENT_CLOSED, problems
from araclip.server.service import Service
from araclip.server.settings import Settings
from araclip.server.translations import validation_in_arabic

log = logging.getLogger("araclip.server")
# HTTP statuses of errors of all routes, and those that routes with a body have as well
STATUSES = (421, 429, 431, 500)
STATUSES_WITH_BODY = (400, 408, 413, 415)
OPENAI_ERROR = {
    "description": "Error",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIErrors"}}},
}


def create_app(settings: Settings) -> FastAPI:
    """Make the ASGI application that serves one gallery, for uvicorn or a test client."""
    service = Service(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="AraCLIP",
        version=__version__,
        description="Type Arabic, find pictures.",
        lifespan=lifespan,
        docs_url=None,  # no pages of documentation: FastAPI's load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.keys = service.keys
    rooms = (search, browsing, selection, pictures, embeddings, immich, status)
    routers = [*(room.router for room in rooms), page.router()]
    for router in routers:
        app.include_router(router)
    describe_limits(app, service)
    app.state.routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(AraCLIPError, _answer_own_error)
    app.add_exception_handler(OSError, _answer_own_error)  # the system's errors, such as a full disk
    app.add_exception_handler(ClientDisconnect, _answer_client_left)
    # A request passes the middleware in reverse order: the one added last handles it first.
    app.add_middleware(
        BodyLimits, max_body=settings.max_body, body_seconds=settings.body_seconds, send_seconds=settings.send_seconds
    )
    app.add_middleware(HeaderChecks, hosts=settings.hosts, addresses=not settings.is_local)
    app.add_middleware(Representations)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, metrics=service.metrics)
    return app


async def _answer_http_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return answer(error, request.scope)
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        problem = Problem("not-found")
    elif error.status_code == 405:
        allowed = ", ".join(_allowed_methods(request)) or (error.headers or {}).get("Allow", "GET, HEAD")
        problem = Problem("method", method=shown(request.method), headers={"Allow": allowed})
    else:
        problem = Problem("bad-request", reason=shown(str(error.detail)))
    return answer(problem, request.scope)


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes of a request's path; Starlette names only the methods of the first route."""
    routes: list[APIRoute] = request.app.state.routes
    matching = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    methods = {method for route in matching for method in route.methods or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])
    arabic = validation_in_arabic(fault["type"], fault.get("ctx", {}))
    reason = shown(fault["msg"])[:300]
    return answer(Problem("invalid", where=shown(where)[:200], reason=reason, reason_ar=arabic), request.scope)


async def _answer_own_error(request: Request, error: Exception) -> Response:
    if isinstance(error, ImageError):
        return answer(Problem("bad-picture", reason=message_of(error)), request.scope)
    if isinstance(error, InputError):
        return answer(Problem("bad-query", reason=message_of(error)), request.scope)
    log.error("%s", shown(str(error)))  # only logged, as it may name paths, which clients must not see
    return answer(Problem("gallery", headers={"Retry-After": "5"}), request.scope)


async def _answer_client_left(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED)  # the client has left; only the metrics count the status


# ------------------------------------------------------------------ OpenAPI


def describe_limits(app: FastAPI, service: Service) -> None:
    """Make `app.openapi()` state limits (of `k`, queries, dimensions) and every status that a route may answer."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _add_limits_and_errors(generate(), service)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_limits_and_errors(schema: dict[str, Any], service: Service) -> dict[str, Any]:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                _add_limit(parameter["name"], parameter["schema"], service)
                if parameter["name"] == "q":
                    # `q` is a parameter only of GET /search, where it may not be empty
                    parameter["schema"]["minLength"] = 1
            statuses = STATUSES + (STATUSES_WITH_BODY if "requestBody" in operation else ())
            errors = dict.fromkeys(statuses, OPENAI_ERROR) if path.startswith(PREFIX) else problems(*statuses)
            for code, response in errors.items():
                operation["responses"].setdefault(str(code), response)
    for name, model in schema["components"]["schemas"].items():
        if name in ("SearchRequest", "PictureSearch", "EmbeddingsRequest") or name.startswith("Body_"):
            for field, about in model["properties"].items():
                _add_limit(field, about, service)
    return schema


def _add_limit(name: str, field: dict[str, Any], service: Service) -> None:
    if name == "k":
        # setdefault: a route with another limit of `k` has stated that limit already
        field.setdefault("maximum", service.settings.max_k)
    elif name == "q":
        field["maxLength"] = service.settings.max_text
    elif name == "dimensions":
        widths = sorted({*getattr(service.model, "matryoshka", ()), service.model.width})
        field["anyOf"] = [{"type": "integer", "enum": widths}, {"type": "null"}]

"""The application: settings in, an ASGI app out."""

import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from araclip import __version__
from araclip.display import shown
from araclip.errors import AraCLIPError, ImageError, InputError
from araclip.server import page
from araclip.server.http.limits import CheckedHead, SafeHeaders
from araclip.server.http.problem_details import Problem, answered
from araclip.server.http.request_body import Bounded
from araclip.server.metrics import Measured
from araclip.server.openapi import describe
from araclip.server.routes import (
    browsing,
    embeddings,
    explain,
    immich,
    indexing,
    near,
    pictures,
    search,
    selection,
    status,
    suggestions,
)
from araclip.server.routes.clients import CLIENT_CLOSED
from araclip.server.service import Service
from araclip.server.settings import Settings
from araclip.server.translations import validation_in_arabic

log = logging.getLogger("araclip.server")


def create_app(settings: Settings) -> FastAPI:
    """A server for one gallery, for uvicorn or a test client.

    Raises:
        AraCLIPError: the gallery or the model cannot be used.
    """
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
        docs_url=None,  # their pages load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.keys = service.keys
    rooms = (
        search,
        browsing,
        selection,
        suggestions,
        explain,
        near,
        pictures,
        embeddings,
        immich,
        indexing,
        status,
    )
    routers = [*(room.router for room in rooms), page.router()]
    for router in routers:
        app.include_router(router)
    describe(app, service)
    app.state.routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(AraCLIPError, _own_error)
    app.add_exception_handler(OSError, _own_error)  # a full disk, an unreadable file
    app.add_exception_handler(ClientDisconnect, _client_left)
    # The last one added handles a request first.
    app.add_middleware(
        Bounded, max_body=settings.max_body, body_seconds=settings.body_seconds, send_seconds=settings.send_seconds
    )
    app.add_middleware(CheckedHead, hosts=settings.hosts, addresses=not settings.is_local)
    app.add_middleware(SafeHeaders)
    app.add_middleware(Measured, metrics=service.metrics)
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return answered(request, error)
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        problem = Problem("not-found")
    elif error.status_code == 405:
        allowed = ", ".join(_methods(request)) or (error.headers or {}).get("Allow", "GET, HEAD")
        problem = Problem("method", method=shown(request.method), headers={"Allow": allowed})
    else:
        problem = Problem("bad-request", reason=shown(str(error.detail)))
    return answered(request, problem)


def _methods(request: Request) -> list[str]:
    """The methods of all routes of a request's path; Starlette names those of the first one only."""
    routes: list[APIRoute] = request.app.state.routes
    matching = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in matching for method in route.methods or ()})


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])
    arabic = validation_in_arabic(fault["type"], fault.get("ctx", {}))
    reason = shown(fault["msg"])[:300]
    return answered(request, Problem("invalid", where=shown(where)[:200], reason=reason, reason_ar=arabic))


async def _own_error(request: Request, error: Exception) -> Response:
    if isinstance(error, ImageError):
        return answered(request, Problem("bad-picture", reason=shown(str(error))))
    if isinstance(error, InputError):
        return answered(request, Problem("bad-query", reason=shown(str(error))))
    log.error("%s", shown(str(error)))  # it may contain paths, which must not reach clients
    return answered(request, Problem("gallery", headers={"Retry-After": "5"}))


async def _client_left(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED)  # for the metrics

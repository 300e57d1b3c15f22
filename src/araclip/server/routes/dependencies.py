"""Dependencies of routes: the service of a request, and the scopes it needs."""

from typing import Annotated, Any

from fastapi import Depends, Request

from araclip.server.auth import require
from araclip.server.problem_details import MEDIA_TYPE
from araclip.server.schemas import OpenAIErrors, ProblemDetails
from araclip.server.service import Service


def service_of(request: Request) -> Service:
    """The service of the request's app."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]
READ = [Depends(require("read"))]
WRITE = [Depends(require("write"))]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for problems that a route may return."""
    content = {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for errors of a route below /v1/."""
    return {status: {"description": "Error", "model": OpenAIErrors} for status in statuses}

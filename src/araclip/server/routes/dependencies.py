"""What routes share: the service of a request, and the scopes they need."""

from typing import Annotated, Any

from fastapi import Depends, Request

from araclip.server.auth import require
from araclip.server.problem_details import MEDIA_TYPE
from araclip.server.schemas import ProblemDetails
from araclip.server.service import Service


def service_of(request: Request) -> Service:
    """The service of the app that got the request."""
    found: Service = request.app.state.service
    return found


ServiceOf = Annotated[Service, Depends(service_of)]
READ = [Depends(require("read"))]
WRITE = [Depends(require("write"))]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the problems a route may answer with."""
    content = {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}
    return {status: {"description": "Problem", "content": content} for status in statuses}

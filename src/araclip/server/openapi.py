"""The OpenAPI description: FastAPI's, with the limits of this server's settings and what any route may return."""

from typing import Any

from fastapi import FastAPI

from araclip.server.http.openai_errors import PREFIX
from araclip.server.routes.dependencies import problems
from araclip.server.service import Service

ANY_ROUTE = (421, 429, 431, 500)
WITH_BODY = (400, 408, 413, 415)
OPENAI_ERROR = {
    "description": "Error",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIErrors"}}},
}


def describe(app: FastAPI, service: Service) -> None:
    """Have `app.openapi()` describe what is enforced: `k`, the query's length, dimensions, every status."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generate(), service)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(schema: dict[str, Any], service: Service) -> dict[str, Any]:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                _bound(parameter["name"], parameter["schema"], service)
                if parameter["name"] == "q":
                    parameter["schema"]["minLength"] = 1  # in a body it may be empty, beside pictures
            statuses = ANY_ROUTE + (WITH_BODY if "requestBody" in operation else ())
            errors = dict.fromkeys(statuses, OPENAI_ERROR) if path.startswith(PREFIX) else problems(*statuses)
            for status, response in errors.items():
                operation["responses"].setdefault(str(status), response)
    for name, model in schema["components"]["schemas"].items():
        if name in ("SearchRequest", "EmbeddingsRequest") or name.startswith("Body_"):
            for field, about in model["properties"].items():
                _bound(field, about, service)
    return schema


def _bound(name: str, field: dict[str, Any], service: Service) -> None:
    if name == "k":
        field["maximum"] = service.settings.max_k
    elif name == "q":
        field["maxLength"] = service.settings.max_text
    elif name == "dimensions":
        widths = sorted({*getattr(service.model, "matryoshka", ()), service.model.width})
        field["anyOf"] = [{"type": "integer", "enum": widths}, {"type": "null"}]

"""Errors in OpenAI's shape, for the routes below /v1/ that its clients use. Pure."""

from typing import Any

PREFIX = "/v1/"
CODES = {"unauthorized": "invalid_api_key", "no-model": "model_not_found", "busy": "rate_limit_exceeded"}
SERVER_ERROR, TOO_MANY = 500, 429


def error_object(kind: str, status: int, message: str, param: str | None) -> dict[str, Any]:
    """{"error": {"message", "type", "param", "code"}}; `type` follows the status, `code` is a fixed word.

    Args:
        kind: a kind of problem, see `problem_details.KINDS`.
        param: the field of the request that is at fault, if it is one.
    """
    if status >= SERVER_ERROR:
        group = "server_error"
    else:
        group = "rate_limit_error" if status == TOO_MANY else "invalid_request_error"
    code = CODES.get(kind, kind.replace("-", "_"))
    return {"error": {"message": message, "type": group, "param": param, "code": code}}

"""Errors in the shape of Qlik Cloud's replies."""

import uuid
from collections.abc import Mapping
from typing import Any

_TITLES = {
    400: "Bad request.",
    401: "Unauthorized.",
    403: "Forbidden.",
    404: "Not found.",
    405: "Method not allowed.",
    409: "Conflict.",
    412: "Precondition failed.",
    421: "Misdirected request.",
    429: "API rate limit reached.",
    500: "Internal server error.",
    502: "Bad gateway.",
    503: "Service unavailable.",
    504: "Gateway timeout.",
}


class SandboxError(Exception):
    """A rejection that becomes an error reply.

    :param status: HTTP status.
    :param details: what is wrong, one sentence per fault found; each becomes an entry of ``errors``.
    :param headers: further headers of the reply.
    """

    def __init__(self, status: int, *details: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, *details)
        self.status = status
        self.details = details
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the reply."""
        return error_body(self.status, *self.details)


def error_body(status: int, *details: str) -> dict[str, Any]:
    """Build Qlik's error body with a new trace id.

    :param status: HTTP status, repeated in each entry as a string.
    :param details: each becomes an entry of ``errors``; without any, there is one entry with only a title.
    """
    common = {"code": f"HTTP-{status}", "title": _TITLES.get(status, "Error."), "status": str(status)}
    return {
        "errors": [{**common, "detail": detail} for detail in details] or [common],
        "traceId": uuid.uuid4().hex,
    }

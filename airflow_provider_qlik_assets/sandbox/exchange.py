"""A request that passed the gateway, and the answer to it."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

from airflow_provider_qlik_assets.sandbox.errors import SandboxError, error_body
from airflow_provider_qlik_assets.sandbox.identity import User

JSON = "application/json"


def dumps(value: Any) -> bytes:
    """Return JSON as UTF-8, unescaped as Qlik Cloud sends it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


@dataclass
class Exchange:
    """What handlers need from a request in addition to its path and query.

    :param raw: the body's bytes.
    :param content_type: as sent; empty if missing.
    :param authorization: the header as sent; empty if missing.
    :param user: the sender; ``None`` for token requests of unknown clients.
    """

    raw: bytes
    content_type: str
    authorization: str
    user: User | None = None

    @cached_property
    def _parsed(self) -> tuple[Any, str | None]:
        if not self.raw:
            return None, "body: is required"
        try:
            value = json.loads(self.raw.decode(), parse_constant=_refuse_constant)
            if b"\\u" in self.raw:
                dumps(value)
        except (ValueError, RecursionError) as invalid:
            return self.raw.decode(errors="replace"), f"body: is not JSON: {invalid}"
        return value, None

    @property
    def body(self) -> Any:
        """The parsed body, its text when it is not JSON, ``None`` without a body."""
        return self._parsed[0]

    def json(self) -> Any:
        """Return the parsed body.

        :raises SandboxError: 400 when it is missing, not JSON, or sent as another content type.
        """
        value, problem = self._parsed
        if problem is not None:
            raise SandboxError(400, problem)
        if self.content_type.partition(";")[0].strip().lower() != JSON:
            raise SandboxError(400, f"The content type must be {JSON}.")
        return value


@dataclass
class Reply:
    """A complete HTTP answer.

    :param headers: without ``content-length``.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: Any, headers: dict[str, str] | None = None) -> "Reply":
        """Build an answer with a JSON body."""
        return cls(status, dumps(value), {"content-type": JSON, **(headers or {})})

    @classmethod
    def error(cls, status: int, *details: str, headers: dict[str, str] | None = None) -> "Reply":
        """Build an error answer in Qlik's shape."""
        return cls.json(status, error_body(status, *details), headers)

    @property
    def has_body(self) -> bool:
        """Whether the status allows a body."""
        return self.status not in (204, 304)

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers as ASGI expects them, including ``content-length``."""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        if self.has_body:
            headers.append((b"content-length", str(len(self.body)).encode()))
        return headers

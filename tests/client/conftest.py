"""A sandbox tenant and clients of it whose waits take no time."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import OAuthClientSecret
from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.clients import Connect, client, clock, connect  # noqa: F401
from tests.wire import Wire


@pytest.fixture
def sandbox(qlik_sandbox: Sandbox) -> Sandbox:
    return qlik_sandbox


@pytest.fixture
def store_id(sandbox: Sandbox) -> str:
    return sandbox.add_store(id="store", name="Store")


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and (length is None or len(body) >= int(length[1]))


class TinyServer:
    """A server that answers each connection with what a function makes of the request's bytes.

    :param answer: returns the bytes to send, for the head and body of a request.
    :param wrap: turns an accepted socket into another one, such as one with TLS.
    """

    def __init__(
        self, answer: Callable[[bytes], bytes], wrap: Callable[[socket.socket], socket.socket] | None = None
    ) -> None:
        self.received: list[bytes] = []
        self._answer = answer
        self._wrap = wrap
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                with self._wrap(connection) if self._wrap else connection as wrapped:
                    request = b""
                    while not _is_whole(request) and (received := wrapped.recv(65536)):
                        request += received
                    self.received.append(request)
                    wrapped.sendall(self._answer(request))


@pytest.fixture
def serve() -> Iterator[Callable[..., TinyServer]]:
    """Start servers: ``serve(answer, wrap=None)``."""
    servers = []

    def start(*arguments: Any, **options: Any) -> TinyServer:
        servers.append(TinyServer(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def silent() -> Iterator[int]:
    """Port of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def reply() -> Callable[..., bytes]:
    """Make a whole HTTP answer: ``reply(body, status="200 OK", **headers)``."""

    def make(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{name}: {headers[name]}" for name in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    return make


@pytest.fixture
def tenant() -> Iterator[Callable[..., Wire]]:
    """Start servers: ``tenant(answer)``."""
    started: list[Wire] = []

    def start(answer: Callable[[int, str], Any]) -> Wire:
        started.append(Wire(answer))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def secret(sandbox: Sandbox) -> OAuthClientSecret:
    return OAuthClientSecret(sandbox.client_id, sandbox.client_secret)

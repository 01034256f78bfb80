"""A sandbox tenant and clients of it whose waits take no time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.wire import Wire

Connect = Callable[..., QlikCloudClient]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.waits.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(qlik_sandbox: Sandbox) -> Sandbox:
    return qlik_sandbox


@pytest.fixture
def connect(sandbox: Sandbox, clock: Clock) -> Iterator[Connect]:
    """Make clients: ``connect(base_url=sandbox.url, auth=<its API key>, **options)``."""
    clients = []

    def make(base_url: str | None = None, auth: Any = None, **options: Any) -> QlikCloudClient:
        options = {"rate_limit_store": MemoryStore(clock=clock), "sleep": clock.sleep, **options}
        client = QlikCloudClient(base_url or sandbox.url, auth or ApiKey(sandbox.api_key), **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Connect) -> QlikCloudClient:
    return connect()


@pytest.fixture
def store_id(sandbox: Sandbox) -> str:
    return sandbox.add_store(id="store", name="Store")


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
                    while b"\r\n\r\n" not in request and (received := wrapped.recv(65536)):
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

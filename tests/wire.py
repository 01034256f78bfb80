"""A server that answers with any bytes, and answers for it."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

MIB = 1024**2


class Wire:
    """A server that keeps connections open and answers the n-th request of all with ``answer(n, path)``.

    What it returns is sent as it is, piece by piece if it has some; a number among them is a pause.
    """

    def __init__(self, answer: Callable[[int, str], Any]) -> None:
        self.requests: list[tuple[int, str]] = []  # number of the connection, path
        self._answer = answer
        self._lock = threading.Lock()
        self._connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]  # noqa: UP031
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections += 1
            arguments = (self._connections, connection)
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, number: int, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(20)
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    more = connection.recv(65536)
                    if not more:
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                length = next(
                    (
                        int(line[15:])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length:")
                    ),
                    0,
                )
                while len(received) < length:
                    received += connection.recv(65536)
                received = received[length:]
                path = head.split(b" ")[1].decode()
                with self._lock:
                    self.requests.append((number, path))
                    count = len(self.requests)
                answer = self._answer(count, path)
                for piece in [answer] if isinstance(answer, bytes) else answer:
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    else:
                        time.sleep(piece)


def answer(body: Any, status: str = "200 OK", **headers: str) -> bytes:
    """Return an answer after which the connection stays open."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


@functools.cache
def bomb(mib: int) -> bytes:
    """Return gzip that unpacks to some MiB of zeros; nearly a thousandth of it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(mib)), packer.flush()])

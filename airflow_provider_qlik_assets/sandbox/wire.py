"""Answers that break HTTP, written past the server to the connection itself."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_qlik_assets.sandbox.exchange import Reply

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STATE_KEY = "sandbox_transport"


class TransportProtocol(H11Protocol):
    """uvicorn's protocol, which also gives its transport to the application in ``scope["state"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport for the requests of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _STATE_KEY: transport}


class Wire:
    """The connection of one request, to be used instead of ASGI's ``send``.

    Every method leaves the connection closed and returns when uvicorn knows it, so that uvicorn expects no
    answer from the application any more.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._transport: asyncio.Transport = scope["state"][_STATE_KEY]
        self._receive = receive

    async def drop(self) -> None:
        """Close the connection without an answer (FIN)."""
        self._transport.close()
        await self._closed()

    async def reset(self) -> None:
        """Reset the connection without an answer (RST)."""
        connection: socket.socket = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        await self._closed()

    async def truncate(self, answer: Reply) -> None:
        """Promise the whole body, send half of it and close."""
        half = answer.body[: len(answer.body) // 2]
        self._transport.write(_head(answer) + half)
        await self.drop()

    async def drip(self, answer: Reply, part: str, seconds: float) -> None:
        """Send the head or the body byte by byte and close."""
        head, body = _head(answer), answer.body
        if part == "body":
            self._transport.write(head)
        for byte in head if part == "head" else body:
            if self._transport.is_closing():
                break
            self._transport.write(bytes([byte]))
            await asyncio.sleep(seconds)
        if part == "head":
            self._transport.write(body)
        await self.drop()

    async def _closed(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _head(answer: Reply) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"content-length: {len(answer.body)}"] if answer.has_body else []
    lines += ["connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")

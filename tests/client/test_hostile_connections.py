"""A hostile tenant, or whoever answers in its place: connections, and whom an answer can reach."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    QlikConnectionError,
    QlikNotFoundError,
    QlikResponseError,
    QlikServerError,
    RetryPolicy,
)
from tests.clients import Connect
from tests.wire import MIB, answer, bomb

ONCE = RetryPolicy(max_retries=0)


@pytest.mark.parametrize("begin", [b"2;", b"2\r\n{}\r\n0\r\nX: "], ids=["length of a chunk", "trailer"])
def test_a_line_that_does_not_end_is_not_kept(tenant: Any, connect: Connect, begin: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = []

    def pieces() -> Iterator[bytes]:
        yield head + begin
        for number in range(100):
            sent.append(number)
            yield b"x" * MIB
        yield b"\r\n{}\r\n0\r\n\r\n"

    server = tenant(lambda count, path: pieces())

    with pytest.raises(QlikConnectionError, match="the connection broke") as caught:
        connect(server.url, retry=ONCE).me()

    assert caught.value.request_sent
    assert len(sent) < 50


def test_a_slow_answer_in_pieces_does_not_outlive_the_deadline(tenant: Any, connect: Connect) -> None:
    packed = bomb(4)
    pieces: list[bytes | float] = [
        answer(b"", **{"Content-Encoding": "gzip", "Content-Length": str(len(packed))})
    ]
    for byte in packed:
        pieces += [bytes([byte]), 0.01]
    server = tenant(lambda count, path: pieces)
    started = time.monotonic()

    with pytest.raises(QlikConnectionError, match=r"the answer was not complete within 0\.6 s"):
        connect(server.url, timeout=(0.2, 0.4), retry=ONCE).me()

    assert time.monotonic() - started < 15  # the whole answer takes longer


@pytest.mark.parametrize(
    "status", ["101 Switching Protocols", "102 Processing", "103 Early Hints", "199 Odd"]
)
def test_the_answer_after_an_interim_one_is_nobody_elses(tenant: Any, connect: Connect, status: str) -> None:
    late = [f"HTTP/1.1 {status}\r\n\r\n".encode(), 0.3, answer({"id": "late"})]
    server = tenant(lambda count, path: late if count == 1 else answer({"id": "right"}))
    client = connect(server.url, retry=ONCE)

    with pytest.raises(QlikConnectionError, match=f"interim answer {status[:3]}") as caught:
        client.me()
    assert caught.value.request_sent
    assert client.me() == {"id": "right"}
    time.sleep(0.4)
    assert client.me() == {"id": "right"}
    assert len({number for number, _ in server.requests}) == 2


def test_continue_is_waited_through(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: b"HTTP/1.1 100 Continue\r\n\r\n" + answer({"id": "me"}))

    assert connect(server.url, retry=ONCE).me() == {"id": "me"}


@pytest.mark.parametrize(
    "odd",
    [
        answer(b"<html>", **{"Content-Type": "text/html"}),
        answer(b"{"),
        answer(b"no JSON", "500 Oops"),
        answer([1]),
        answer(b"", "304 Not Modified"),
        answer(b"{}", **{"Content-Encoding": "br"}),
        answer(b"x" * (9 * MIB)),
        answer(b"x" * 100_000, "500 Oops"),
        answer(b"{}", **{"Content-Encoding": "gzip"}),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=[
        "html", "cut", "error text", "no user", "304", "encoding", "long", "long error", "no gzip",
        "no chunk", "two lengths", "204 with a body",
    ],
)  # fmt: skip
def test_after_an_unexpected_answer_the_connection_is_not_used_again(
    tenant: Any, connect: Connect, odd: bytes
) -> None:
    server = tenant(lambda count, path: odd if count == 1 else answer({"id": "me"}))
    client = connect(server.url, retry=ONCE)

    with contextlib.suppress(QlikResponseError, QlikServerError, QlikConnectionError):
        client.me()
    assert client.me() == {"id": "me"}

    assert [number for number, _ in server.requests] == [1, 2]


def test_after_expected_answers_it_is(tenant: Any, connect: Connect) -> None:
    answers = [
        answer({"id": "me"}),
        answer({"errors": [{"code": "HTTP-404"}]}, "404 Not Found"),
        answer(b"", "404 Not Found"),
        answer({"id": "me"}),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        answer({"id": "me"}),
    ]
    server = tenant(lambda count, path: answers[count - 1])
    client = connect(server.url, retry=ONCE)

    client.me()
    for _ in range(2):
        with pytest.raises(QlikNotFoundError):
            client.me()
    client.me()
    client.delete_data_assets(["a"])
    client.me()

    assert {number for number, _ in server.requests} == {1}


@pytest.mark.parametrize("status", ["300 Choices", "304 Not Modified", "302 Found"])
def test_only_2xx_is_success(tenant: Any, connect: Connect, status: str) -> None:
    server = tenant(lambda count, path: answer(b"", status))

    with pytest.raises(QlikResponseError, match=f"answered {status[:3]}") as caught:
        connect(server.url, retry=ONCE).delete_data_assets(["a"])

    assert caught.value.http_status == int(status[:3])

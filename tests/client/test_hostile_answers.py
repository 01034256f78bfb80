"""A hostile tenant, or whoever answers in its place: what an answer can cost, and whom it can reach."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    QlikBadRequestError,
    QlikCloudClient,
    QlikConnectionError,
    QlikNotFoundError,
    QlikResponseError,
    QlikServerError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.tokens import AccessToken

ONCE = RetryPolicy(max_retries=0)
MIB = 1024**2

Connect = Callable[..., QlikCloudClient]
Reply = Callable[..., bytes]
Serve = Callable[..., Any]


class Wire:
    """A server that keeps connections open and answers the n-th request of all with ``answer(n, path)``.

    What it returns is sent as it is; a list is sent piece by piece, a number in it is a pause in seconds.
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
                for piece in answer if isinstance(answer, list) else [answer]:
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


@functools.cache
def bomb(mib: int) -> bytes:
    """Return gzip that unpacks to some MiB of zeros; nearly a thousandth of it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(mib)), packer.flush()])


# --- what an answer can cost -----------------------------------------------------------------------------

CLIENT = """
import resource, sys, time
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, QlikCloudError, RetryPolicy
from airflow_provider_qlik_assets.client.rate_limit_stores.memory import MemoryStore
client = QlikCloudClient(
    sys.argv[1], ApiKey("key"), rate_limit_store=MemoryStore(), retry=RetryPolicy(max_retries=0)
)
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    client.me()
except QlikCloudError as error:
    print(type(error).__name__, str(error)[:300].replace("\\n", " "))
else:
    print("answered")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(time.process_time() - start)
"""


def cost(url: str) -> tuple[str, float, float]:
    """Return how a client in its own process fared, the MiB of memory and the CPU seconds that it took."""
    command = [sys.executable, "-c", CLIENT, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    outcome, kib, seconds = done.stdout.splitlines()
    return outcome, int(kib) / 1024, float(seconds)


def nested_gzip() -> bytes:
    return gzip.compress(gzip.compress(bomb(512)))


def many_errors() -> bytes:
    return gzip.compress(b'{"errors": [' + b"{}," * 3_000_000 + b"{}]}")


@pytest.mark.parametrize(
    ("body", "status", "headers", "outcome"),
    [
        (lambda: bomb(512), "200 OK", {"Content-Encoding": "gzip"}, "QlikResponseError"),
        (nested_gzip, "200 OK", {"Content-Encoding": "gzip, gzip, gzip"}, "QlikResponseError"),
        (lambda: bomb(512), "500 Oops", {"Content-Encoding": "gzip"}, "QlikServerError"),
        (nested_gzip, "404 Not Found", {"Content-Encoding": "gzip, gzip, gzip"}, "QlikNotFoundError"),
        (lambda: b"[" * (8 * MIB), "200 OK", {}, "QlikResponseError"),
        (lambda: b'{"a":' * MIB, "200 OK", {}, "QlikResponseError"),
        (lambda: b'"' + b'\\"' * (4 * MIB - 2), "200 OK", {}, "QlikResponseError"),
        (lambda: b"[" * 60_000, "400 Bad Request", {}, "QlikBadRequestError"),
        (many_errors, "500 Oops", {"Content-Encoding": "gzip"}, "QlikServerError"),
        (lambda: b"[" + b"{}," * 2_500_000 + b"{}]", "200 OK", {}, "QlikResponseError"),
        (lambda: b'{"a": [' + b"[1]," * 2_000_000 + b"1]}", "200 OK", {}, "QlikResponseError"),
    ],
    ids=[
        "gzip", "nested gzip", "error gzip", "nested error gzip", "deep arrays", "deep objects",
        "endless text", "deep error", "many errors", "many objects", "many arrays",
    ],
)  # fmt: skip
@pytest.mark.slow
def test_no_answer_costs_much_memory_or_time(
    tenant: Any, body: Callable[[], bytes], status: str, headers: dict[str, str], outcome: str
) -> None:
    content = body()
    server = tenant(lambda count, path: answer(content, status, **headers))

    result, mib, seconds = cost(server.url)

    assert result.startswith(outcome)
    assert mib < 100
    assert seconds < 5


def test_an_answer_as_large_as_a_page_may_be_is_read(tenant: Any, connect: Connect) -> None:
    document = {"id": "me", "note": "x" * (8 * MIB - 100)}
    packed = gzip.compress(json.dumps(document).encode())
    server = tenant(
        lambda count, path: answer(document) if count == 1 else answer(packed, **{"Content-Encoding": "gzip"})
    )
    client = connect(server.url, retry=ONCE)

    assert client.me() == document
    assert client.me() == document


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_beyond_the_limit_is_refused(tenant: Any, connect: Connect, chunked: bool) -> None:
    body = b'"' + b"x" * (8 * MIB) + b'"'
    whole = answer(body)
    if chunked:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        whole = head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    server = tenant(lambda count, path: whole)

    with pytest.raises(QlikResponseError, match="answered with more than 8 MiB; refused"):
        connect(server.url, retry=ONCE).me()


def test_an_error_body_beyond_the_limit_leaves_the_error_what_it_is(tenant: Any, connect: Connect) -> None:
    body = json.dumps({"errors": [{"code": "X", "title": "y" * 100_000}]}).encode()
    server = tenant(lambda count, path: answer(body, "503 Service Unavailable"))

    with pytest.raises(QlikServerError) as caught:
        connect(server.url, retry=ONCE).me()

    assert caught.value.http_status == 503
    assert "the answer was not Qlik's JSON" in str(caught.value)


def test_ten_entries_of_an_error_are_kept(tenant: Any, connect: Connect) -> None:
    entries = [{"code": f"HTTP-{number}", "title": "Bad"} for number in range(500)]
    server = tenant(lambda count, path: answer({"errors": entries}, "400 Bad Request"))

    with pytest.raises(QlikBadRequestError) as caught:
        connect(server.url, retry=ONCE).me()

    assert [detail.code for detail in caught.value.errors] == [f"HTTP-{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("br", b"\x0b\x02\x80{}\x03"),
        ("deflate", zlib.compress(b"{}")),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
    ],
    ids=["br", "deflate", "zstd", "gzip twice"],
)
def test_an_encoding_that_was_not_asked_for_is_refused(
    tenant: Any, connect: Connect, encoding: str, packed: bytes
) -> None:
    server = tenant(lambda count, path: answer(packed, **{"Content-Encoding": encoding}))

    with pytest.raises(QlikResponseError, match=f"encoded as '{encoding}', which was not asked for"):
        connect(server.url, retry=ONCE).me()


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "identity", ""])
def test_an_encoding_that_was_asked_for_is_read(tenant: Any, connect: Connect, encoding: str) -> None:
    body = gzip.compress(b'{"id": "me"}') if "gzip" in encoding.lower() else b'{"id": "me"}'
    server = tenant(lambda count, path: answer(body, **{"Content-Encoding": encoding}))

    assert connect(server.url, retry=ONCE).me() == {"id": "me"}


def test_only_gzip_is_asked_for(sandbox: Any, client: QlikCloudClient) -> None:
    client.me()

    assert sandbox.journal.requests()[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b'{"id": "me"}')[:-9], gzip.compress(b"{}") + b"more", gzip.compress(b"{}") * 2, b"{}"],
    ids=["cut", "more", "two", "none"],
)
def test_gzip_that_is_not_whole_is_a_broken_answer(tenant: Any, connect: Connect, body: bytes) -> None:
    server = tenant(lambda count, path: answer(body, **{"Content-Encoding": "gzip"}))

    with pytest.raises(QlikConnectionError, match="the connection broke") as caught:
        connect(server.url, retry=ONCE).me()

    assert caught.value.request_sent


@pytest.mark.parametrize(("depth", "accepted"), [(100, True), (101, False)])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_json_may_be_nested_100_deep(
    tenant: Any, connect: Connect, depth: int, accepted: bool, brackets: str
) -> None:
    opening = "[" if brackets == "[]" else '{"a\\"[": '
    text = '{"text": "[[[[{{{{\\\\", "deep": ' + opening * (depth - 1) + "1" + brackets[1] * (depth - 1) + "}"
    server = tenant(lambda count, path: answer(text.encode()))
    client = connect(server.url, retry=ONCE)

    if accepted:
        assert client.me()["text"] == "[[[[{{{{\\"
    else:
        with pytest.raises(QlikResponseError, match="where JSON was expected"):
            client.me()


@pytest.mark.parametrize(("count", "accepted"), [(249_000, True), (251_000, False)])
@pytest.mark.parametrize("value", [b"1", b'",[{:"', b'"\\\\\\",,"'])
def test_json_may_hold_250_000_values(
    tenant: Any, connect: Connect, count: int, accepted: bool, value: bytes
) -> None:
    body = b'{"many": [' + b",".join([value] * count) + b"]}"
    server = tenant(lambda number, path: answer(body))
    client = connect(server.url, retry=ONCE)

    if accepted:
        assert len(client.me()["many"]) == count
    else:
        with pytest.raises(QlikResponseError, match="where JSON was expected"):
            client.me()


def test_of_many_wrong_tags_one_is_told(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: answer({"id": "a", "tags": [1] * 100}))

    with pytest.raises(QlikResponseError) as caught:
        connect(server.url, retry=ONCE).get_data_asset("a")

    assert "tags.0: input should be a valid string" in str(caught.value)
    assert "more" not in str(caught.value)


def test_a_slow_answer_in_pieces_does_not_outlive_the_deadline(tenant: Any, connect: Connect) -> None:
    packed = bomb(4)
    pieces = [answer(b"", **{"Content-Encoding": "gzip", "Content-Length": str(len(packed))})]
    for byte in packed:
        pieces += [bytes([byte]), 0.01]
    server = tenant(lambda count, path: pieces)
    started = time.monotonic()

    with pytest.raises(QlikConnectionError, match=r"the answer was not complete within 0\.6 s"):
        connect(server.url, timeout=(0.2, 0.4), retry=ONCE).me()

    assert time.monotonic() - started < 3


# --- pages -----------------------------------------------------------------------------------------------


def page(items: list[dict[str, Any]], *, pages: int, total: int) -> bytes:
    return answer({"data": items, "page": 0, "limit": 100, "pages": pages, "total": total, "links": {}})


def number_of(path: str) -> int:
    return int(path.partition("page=")[2].partition("&")[0])


@pytest.mark.parametrize("sort", [None, ["-lastModifiedTime"]])
@pytest.mark.parametrize("total", [1, 10**20])
def test_a_number_of_pages_that_cannot_be_is_not_obeyed(
    tenant: Any, connect: Connect, sort: Any, total: int
) -> None:
    server = tenant(
        lambda count, path: page([{"id": "a"}] if number_of(path) == 0 else [], pages=10**18, total=total)
    )

    with contextlib.suppress(QlikResponseError) if total > 1 else contextlib.nullcontext():
        assert [asset.id for asset in connect(server.url).list_data_assets(sort=sort)] == ["a"]

    assert len(server.requests) <= 20


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5_000, b'"many"', b"{}", b"null"])
def test_a_number_of_pages_that_is_none_is_a_clear_error(
    tenant: Any, connect: Connect, number: bytes
) -> None:
    server = tenant(lambda count, path: answer(b'{"data": [], "total": 0, "pages": %b}' % number))

    with pytest.raises(QlikResponseError):
        list(connect(server.url, retry=ONCE).list_data_assets())


@pytest.mark.parametrize(("count", "accepted"), [(100, True), (101, False)])
def test_a_page_holds_no_more_than_was_asked_for(
    tenant: Any, connect: Connect, count: int, accepted: bool
) -> None:
    items = [{"id": f"a{number}"} for number in range(count)]
    server = tenant(lambda number, path: page(items, pages=1, total=count))
    client = connect(server.url, retry=ONCE)

    if accepted:
        assert len(client.read_page().items) == 100
    else:
        with pytest.raises(QlikResponseError, match="101 data assets where 100 were asked for"):
            client.read_page()


@pytest.mark.parametrize(
    "retry_after",
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        "9" * 60_000,
    ],
    ids=["year", "zone", "seconds"],
)
def test_a_retry_after_that_is_no_time_is_ignored(tenant: Any, connect: Connect, retry_after: str) -> None:
    server = tenant(
        lambda count, path: (
            answer({}, "503 Service Unavailable", Retry_After=retry_after)
            if count == 1
            else answer({"id": "me"})
        )
    )

    assert connect(server.url).me() == {"id": "me"}


@pytest.mark.parametrize("sort", [None, ["-lastModifiedTime"]])
def test_the_same_page_for_ever_ends(tenant: Any, connect: Connect, sort: Any) -> None:
    items = [{"id": f"a{number}"} for number in range(100)]
    server = tenant(lambda count, path: page(items, pages=10**18, total=10**20))

    with pytest.raises(QlikResponseError, match="pages"):
        list(connect(server.url).list_data_assets(sort=sort))

    assert len(server.requests) <= 30


# --- whom an answer can reach ----------------------------------------------------------------------------


def test_an_asset_that_was_not_asked_for_is_an_error(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: answer({"id": "b", "technicalName": "other", "version": 1}))
    client = connect(server.url, retry=ONCE)

    for read in (
        lambda: client.get_data_asset("a"),
        lambda: client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}]),
        lambda: client.update_data_asset("a", {"technicalName": "t", "appType": "x", "version": 1}),
    ):
        with pytest.raises(QlikResponseError, match="is not the data asset that was asked for"):
            read()

    assert [number for number, _ in server.requests] == [1, 2, 3]  # no connection was used again


def test_a_document_without_an_id_is_not_the_asset_that_was_asked_for(tenant: Any, connect: Connect) -> None:
    server = tenant(lambda count, path: answer({"technicalName": "other", "version": 1}))
    client = connect(server.url, retry=ONCE)

    for read in (
        lambda: client.get_data_asset("a"),
        lambda: client.existing_ids(["a"]),
        lambda: client.patch_data_asset("a", [{"op": "add", "path": "/name", "value": "x"}]),
        lambda: client.update_data_asset("a", {"technicalName": "t", "appType": "x", "version": 1}),
    ):
        with pytest.raises(QlikResponseError, match="without an id, which is not the data asset"):
            read()


@pytest.mark.parametrize("number", [b"1e9999", b"-1e9999", b"NaN", b"-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(tenant: Any, connect: Connect, number: bytes) -> None:
    server = tenant(lambda count, path: answer(b'{"id": "a", "properties": {"rows": %b}}' % number))

    with pytest.raises(QlikResponseError, match="where JSON was expected"):
        connect(server.url, retry=ONCE).get_data_asset("a")


def test_every_number_and_text_of_an_answer_fits_into_an_xcom(tenant: Any, connect: Connect) -> None:
    properties = b"""{
        "most": 18446744073709551615, "more": 18446744073709551616, "least": -9223372036854775808,
        "less": -9223372036854775809, "text": ["a\\ud800b", "\\ud83d\\ude00"], "\\uDC00": "name"
    }"""
    server = tenant(lambda count, path: answer(b'{"id": "a", "properties": %b}' % properties))

    found = connect(server.url, retry=ONCE).get_data_asset("a").to_json()["properties"]

    assert found == {
        "most": 2**64 - 1,
        "more": float(2**64),
        "least": -(2**63),
        "less": float(-(2**63) - 1),
        "text": ["a\ufffdb", "\U0001f600"],
        "\ufffd": "name",
    }
    assert [type(found[name]) for name in ("most", "more", "least", "less")] == [int, float, int, float]


@pytest.mark.parametrize(("length", "accepted"), [(15, False), (16, True), (16_384, True), (16_385, False)])
def test_a_token_is_as_long_as_tokens_are(length: int, accepted: bool) -> None:
    reply = {"access_token": "t" * length, "expires_in": 60}

    if accepted:
        assert len(AccessToken.from_reply(reply, requested_at=0.0).value) == length
    else:
        with pytest.raises(QlikResponseError, match="without an access token"):
            AccessToken.from_reply(reply, requested_at=0.0)


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

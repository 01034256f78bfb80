"""A hostile tenant, or whoever answers in its place: what the bytes of an answer can cost."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    QlikBadRequestError,
    QlikCloudClient,
    QlikConnectionError,
    QlikResponseError,
    QlikServerError,
    RetryPolicy,
)
from tests.clients import Connect
from tests.wire import MIB, answer, bomb

ONCE = RetryPolicy(max_retries=0)


CLIENT = """
import resource, sys, time
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, QlikCloudError, RetryPolicy
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
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

    with pytest.raises(QlikResponseError, match="answered with more than 8 MiB; the answer was rejected"):
        connect(server.url, retry=ONCE).me()


def test_an_error_body_beyond_the_limit_leaves_the_error_what_it_is(tenant: Any, connect: Connect) -> None:
    body = json.dumps({"errors": [{"code": "X", "title": "y" * 100_000}]}).encode()
    server = tenant(lambda count, path: answer(body, "503 Service Unavailable"))

    with pytest.raises(QlikServerError) as caught:
        connect(server.url, retry=ONCE).me()

    assert caught.value.http_status == 503
    assert "the answer is not JSON from Qlik Cloud" in str(caught.value)


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

    with pytest.raises(QlikResponseError, match=f"with the encoding '{encoding}', which was not requested"):
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
        with pytest.raises(QlikResponseError, match="it is nested more than 100 deep"):
            client.me()

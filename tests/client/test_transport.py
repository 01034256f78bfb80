"""Requests and their answers on the wire: redirects, broken answers, time-outs, headers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets import __version__
from airflow_provider_qlik_assets.client import (
    QlikCloudClient,
    QlikConnectionError,
    QlikResponseError,
    QlikValidationError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.connections import AnswerDeadline
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Connect

ONCE = RetryPolicy(max_retries=0)
ME = b'{"id": "me"}'

Reply = Callable[..., bytes]
Serve = Callable[..., Any]


# --- redirects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("base", ["", "{url}"])
def test_a_redirect_of_a_read_within_the_tenant_is_followed(
    sandbox: Sandbox, client: QlikCloudClient, status: int, base: str
) -> None:
    sandbox.add_asset(id="a1", technicalName="orders")
    location = base.format(url=sandbox.url) + "/api/v1/data-assets/a1?projections=id"
    sandbox.add_fault(Fault(kind="redirect", status=status, location=location))

    assert client.get_data_asset("a1").id == "a1"
    assert [entry.query for entry in sandbox.journal.requests()] == [{}, {"projections": "id"}]
    assert all(entry.user for entry in sandbox.journal.requests())


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_is_followed_with_the_body(
    sandbox: Sandbox, client: QlikCloudClient, status: int
) -> None:
    sandbox.add_asset(id="a1", technicalName="orders")
    location = "/api/v1/data-assets/a1"
    sandbox.add_fault(Fault(kind="redirect", status=status, location=location))

    client.patch_data_asset("a1", [{"op": "add", "path": "/name", "value": "Orders"}])

    assert sandbox.assets["a1"]["name"] == "Orders"


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_turn_a_write_into_a_read_is_refused(
    sandbox: Sandbox, client: QlikCloudClient, status: int
) -> None:
    sandbox.add_fault(Fault(kind="redirect", status=status, location="/api/v1/data-assets/a2"))

    with pytest.raises(QlikResponseError, match=f"was redirected with status {status}, which would turn it"):
        client.delete_data_assets(["a1"])

    assert len(sandbox.journal) == 1


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("location", ["{other}/api/v1/data-assets/a1", "//127.0.0.1:{port}/", "ftp://x/"])
def test_nothing_is_sent_to_another_host(
    *, sandbox: Sandbox, client: QlikCloudClient, serve: Serve, reply: Reply, status: int, location: str
) -> None:
    other = serve(lambda request: reply(ME))
    location = location.format(other=other.url, port=other.port)
    sandbox.add_fault(Fault(kind="redirect", status=status, location=location))

    with pytest.raises(QlikResponseError, match="was redirected to another host") as caught:
        client.get_data_asset("a1")

    assert "the credentials were not sent there" in str(caught.value)
    assert other.received == []


@pytest.mark.parametrize(
    "location",
    ["http://[::1", "http://127.0.0.1:port/", "\xff\xfe", "http://" + "x" * 5_000, "http://\u00e9"],
    ids=["bracket", "port", "bytes", "long", "letter"],
)
def test_a_redirect_to_nowhere_is_a_clear_error(
    sandbox: Sandbox, client: QlikCloudClient, location: str
) -> None:
    sandbox.add_fault(Fault(kind="redirect", times=None, location=location))

    with pytest.raises(QlikResponseError, match="was redirected") as caught:
        client.get_data_asset("a1")

    assert len(str(caught.value)) < 500


def test_a_circle_of_redirects_ends(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="redirect", times=None, location="/api/v1/data-assets/a1"))

    with pytest.raises(QlikResponseError, match="was redirected in a loop"):
        client.get_data_asset("a1")

    assert len(sandbox.journal) == 4


def test_a_redirect_without_a_target_is_no_answer(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=304, body=""))

    with pytest.raises(QlikResponseError, match="answered 304, which is neither a success nor an error"):
        client.get_data_asset("a1")


# --- answers that are not what they should be ------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "html"}, "answered 200 with text/html instead of JSON: '<!DOCTYPE html>"),
        ({"kind": "html"}, "HTML usually means a wrong host: check that the host is the tenant's own."),
        ({"kind": "content_type"}, "answered 200 with text/plain instead of JSON: "),
        ({"kind": "content_type"}, "A proxy or gateway may have changed the answer."),
        ({"kind": "status", "status": 200, "body": [1]}, "answered with JSON that is not a data asset"),
        (
            {"kind": "status", "status": 200, "body": {"id": 5}},
            "not a data asset: id: input should be a valid",
        ),
        ({"kind": "status", "status": 204}, "answered with JSON that is not a data asset"),
        ({"kind": "oversize"}, "answered with more than 8 MiB; the answer was rejected"),
    ],
)
def test_an_unexpected_answer_is_named_and_not_repeated(
    sandbox: Sandbox, client: QlikCloudClient, fault: Any, message: str
) -> None:
    sandbox.add_asset(id="a1", technicalName="orders")
    sandbox.add_fault(Fault(**fault))

    with pytest.raises(QlikResponseError) as caught:
        client.get_data_asset("a1")

    assert message in str(caught.value)
    assert len(sandbox.journal) == 1


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/problem+json", ""])
def test_any_content_type_of_json_will_do(
    connect: Connect, serve: Serve, reply: Reply, content_type: str
) -> None:
    server = serve(lambda request: reply(ME, **{"Content-Type": content_type}))

    assert connect(server.url).me() == {"id": "me"}


@pytest.mark.parametrize("body", [b'{"id": "m', b"\xff\xfe\x00", b"<html>", b"{'id': 1}"])
def test_json_that_cannot_be_read_is_asked_for_again(
    connect: Connect, serve: Serve, reply: Reply, body: bytes
) -> None:
    answers = iter([body, ME])
    server = serve(lambda request: reply(next(answers)))

    assert connect(server.url).me() == {"id": "me"}


def test_json_that_can_never_be_read_is_a_clear_error(connect: Connect, serve: Serve, reply: Reply) -> None:
    server = serve(lambda request: reply(b'{"id": '))

    with pytest.raises(QlikResponseError, match=r"instead of JSON: '\{\"id\":'"):
        connect(server.url).me()

    assert len(server.received) == 6


@pytest.mark.parametrize("body", [b"[]", b"null", b'"me"', b""])
def test_a_user_that_is_none_is_a_clear_error(
    connect: Connect, serve: Serve, reply: Reply, body: bytes
) -> None:
    server = serve(lambda request: reply(body))

    with pytest.raises(QlikResponseError, match="is not a user"):
        connect(server.url).me()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "no HTTP", "truncated", "no chunk", "no gzip", "long header"],
)
def test_a_broken_answer_is_a_connection_error(connect: Connect, serve: Serve, answer: bytes) -> None:
    server = serve(lambda request: answer)

    with pytest.raises(QlikConnectionError, match=r"GET .*/users/me: the connection broke \(") as caught:
        connect(server.url, retry=ONCE).me()

    assert caught.value.request_sent
    assert "Try again" in str(caught.value)


@pytest.mark.parametrize("kind", ["drop", "reset", "truncate"])
def test_a_broken_connection_of_a_read_is_tried_again(
    sandbox: Sandbox, client: QlikCloudClient, kind: Any
) -> None:
    sandbox.add_fault(Fault(kind=kind, times=2))

    assert client.me()["id"] == "user-full-access"


def test_an_idle_connection_that_was_closed_is_replaced(sandbox: Sandbox, client: QlikCloudClient) -> None:
    client.me()
    sandbox.stop()
    sandbox.start()

    assert client.me()["id"] == "user-full-access"


# --- time-outs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["head", "body"])
@pytest.mark.parametrize("keep_alive", [False, True])
def test_a_slow_drip_does_not_hold_a_caller(
    sandbox: Sandbox, connect: Connect, part: Any, keep_alive: bool
) -> None:
    client = connect(timeout=(0.2, 0.4), retry=ONCE)
    if keep_alive:
        client.me()
    sandbox.add_fault(Fault(kind="drip", part=part, seconds=0.05))
    started = time.monotonic()

    with pytest.raises(QlikConnectionError, match=r"the answer was not complete within 0\.6 s") as caught:
        client.me()

    assert 0.5 < time.monotonic() - started < 10
    assert caught.value.request_sent


def test_no_answer_within_the_read_timeout(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.add_fault(Fault(kind="delay", seconds=30.0))
    started = time.monotonic()

    with pytest.raises(QlikConnectionError, match=r"no answer within 0\.2 s"):
        connect(timeout=(5.0, 0.2), retry=ONCE).me()

    assert time.monotonic() - started < 10


def test_no_connection_within_the_connect_timeout(connect: Connect) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        try:
            for each in waiting:  # they fill the queue of connections that nobody accepts
                each.setblocking(False)
                each.connect_ex(full.getsockname())
            with pytest.raises(QlikConnectionError, match=r"no connection within 0\.3 s") as caught:
                connect("http://127.0.0.1:%d" % full.getsockname()[1], timeout=(0.3, 5.0), retry=ONCE).me()  # noqa: UP031
        finally:
            for each in waiting:
                each.close()

    assert not caught.value.request_sent
    assert "Nothing was sent" in str(caught.value)


def test_a_host_that_does_not_listen_is_a_clear_error(connect: Connect, clock: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(QlikConnectionError, match=r"no connection \(.*refused.*Check the host") as caught:
        connect(f"http://127.0.0.1:{port}").create_data_asset({"technicalName": "a", "appType": "b"})

    assert not caught.value.request_sent
    assert len(clock.waits) == 5


def test_a_host_that_does_not_exist_is_a_clear_error(connect: Connect) -> None:
    with pytest.raises(QlikConnectionError, match="no connection") as caught:
        connect("https://tenant.invalid", retry=ONCE).me()

    assert not caught.value.request_sent


def test_a_write_without_an_answer_says_so(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.add_fault(Fault(kind="drop"))

    with pytest.raises(QlikConnectionError, match="The change may or may not have been made") as caught:
        connect(retry=ONCE).delete_data_assets(["a1"])

    assert caught.value.request_sent


def test_a_socket_that_is_opened_after_the_deadline_is_shut_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, AnswerDeadline(60) as deadline:
        deadline.expire()
        deadline.guard(ours)
        theirs.settimeout(5)

        assert theirs.recv(1) == b""


# --- what is sent ----------------------------------------------------------------------------------------


def test_the_headers_that_are_sent(sandbox: Sandbox, connect: Connect) -> None:
    connect(user_agent="apache-airflow/3").me()

    headers = sandbox.journal.requests()[0].headers
    assert headers["user-agent"].startswith(f"airflow-provider-qlik-assets/{__version__} python/")
    assert headers["user-agent"].endswith(" apache-airflow/3")
    assert headers["accept"] == "application/json"
    assert "cookie" not in headers


def test_cookies_are_not_kept(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, headers={"Set-Cookie": "session=1; Path=/"}))

    client.me()
    client.me()

    assert ["cookie" in entry.headers for entry in sandbox.journal.requests()] == [False] * 3


def test_netrc_is_ignored(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    assert connect().me()["id"] == "user-full-access"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_body_that_is_no_json_is_not_sent(sandbox: Sandbox, client: QlikCloudClient, number: float) -> None:
    with pytest.raises(QlikValidationError, match="properties contains NaN or infinity, which are not JSON"):
        client.create_data_asset({"technicalName": "a", "appType": "b", "properties": {"x": [number]}})

    assert len(sandbox.journal) == 0

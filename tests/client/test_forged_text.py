"""Whatever a host answers, its text cannot forge a log: over raw HTTP, through every call of the client."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    OAuthClientSecret,
    QlikCloudClient,
    QlikCloudError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.errors import QlikPartialFailureError, one_line, shorten
from airflow_provider_qlik_assets.client.log import get_logger
from tests.forged import FORGED, FORGED_JSON, LONG, LONGEST, check_error, check_message, check_records

Reply = Callable[..., bytes]

ERROR = {"code": FORGED_JSON, "title": FORGED_JSON, "detail": FORGED_JSON * 50, "status": FORGED_JSON}
NEW = {"technicalName": "a", "appType": "x", "dataStoreInfo": {"id": "s"}}
ASSET = {"id": "a", "version": 1, **NEW}
# Header values end with a line break, so that they can hold all but that.
HEADER = FORGED.replace("\n", "").replace("\r", "").encode("utf-8").decode("latin-1")


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


def _error(status: int) -> Callable[[Reply], bytes]:
    document = body({"errors": [ERROR] * 12, "traceId": FORGED_JSON})
    return lambda reply: reply(document, f"{status} Error")


ANSWERS: dict[str, Callable[[Reply], bytes]] = {
    **{
        f"error {status}": _error(status)
        for status in (400, 401, 403, 404, 409, 418, 429, 500, 503)
    },
    "long error": lambda reply: reply(body({"errors": [{"title": LONG}], "traceId": LONG})[:60_000], "400 x"),
    "text": lambda reply: reply(LONG.encode(), "500 Error", **{"Content-Type": "text/plain"}),
    "html": lambda reply: reply(f"<html>{LONG}".encode(), **{"Content-Type": "text/html"}),
    "content type": lambda reply: reply(b"x", **{"Content-Type": HEADER * 20}),
    "content encoding": lambda reply: reply(b"x", **{"Content-Encoding": HEADER * 20}),
    "retry after": lambda reply: reply(b"", "429 x", **{"Retry-After": HEADER}),
    "redirect to a host": lambda reply: reply(b"", "302 x", Location=f"http://{HEADER}/x"),
    "redirect to nowhere": lambda reply: reply(b"", "302 x", Location=f"http://[{HEADER}"),
    "status line": lambda reply: reply(b"", f"500 {HEADER}"),
    "broken status line": lambda _: f"HTTP/1.1 {HEADER}\r\n\r\n".encode("latin-1"),
    "no status line": lambda _: f"{HEADER * 100}\r\n\r\n".encode("latin-1"),
    "many headers": lambda _: (
        b"HTTP/1.1 200 OK\r\nnone\r\n" + (b"y: " + b"z" * 60_000 + b"\r\n") * 90 + b"\r\n{}"
    ),
    "negative chunk": lambda reply: reply(b"-5\r\nabc\r\n0\r\n\r\n", **{"Transfer-Encoding": "chunked"}),
    "interim answer": lambda reply: reply(b"", f"199 {HEADER}"),
    "broken header": lambda _: (
        f"HTTP/1.1 200 OK\r\n{HEADER}\r\nContent-Length: {HEADER}\r\n\r\n".encode("latin-1")
    ),
    "another id": lambda reply: reply(body({**ASSET, "id": LONG[:5000] + "\ud800"})),
    "wrong field": lambda reply: reply(body({**ASSET, "version": FORGED_JSON, "tags": [{FORGED_JSON: 1}]})),
    "wrong shape": lambda reply: reply(body({"data": [{FORGED_JSON: 1}, FORGED_JSON], "pages": FORGED_JSON})),
    "wrong instant": lambda reply: reply(body({**ASSET, "dataFreshness": FORGED_JSON})),
}  # fmt: skip

CALLS: dict[str, Callable[[QlikCloudClient], Any]] = {
    "get": lambda client: client.get_data_asset("a"),
    "list": lambda client: list(client.list_data_assets(["s"])),
    "create": lambda client: client.create_data_asset(NEW),
    "delete": lambda client: client.delete_data_assets(["a"]),
    "me": lambda client: client.me(),
}


@pytest.fixture
def tenant(serve: Any, reply: Reply, request: pytest.FixtureRequest) -> Any:
    """A server that gives one of the answers to everything."""
    return serve(lambda _: ANSWERS[request.param](reply))


@pytest.mark.parametrize("tenant", ANSWERS, indirect=True)
@pytest.mark.parametrize("call", CALLS)
def test_no_answer_forges_a_message(
    tenant: Any, connect: Any, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    client = connect(tenant.url, retry=RetryPolicy(max_retries=1, max_retry_wait=5))
    with caplog.at_level(logging.INFO):
        try:
            CALLS[call](client)
        except QlikCloudError as error:
            check_error(error)
    check_records(caplog.records)
    assert tenant.received


@pytest.mark.parametrize("tenant", ANSWERS, indirect=True)
def test_no_answer_to_a_token_request_forges_a_message(
    tenant: Any, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    auth = OAuthClientSecret("client", "secret-of-the-client")
    client = connect(tenant.url, auth, retry=RetryPolicy(max_retries=1, max_retry_wait=5))
    with caplog.at_level(logging.INFO), pytest.raises(QlikCloudError) as raised:
        client.me()
    check_error(raised.value)
    check_records(caplog.records)


@pytest.mark.parametrize("status", ["407", "403", "200"])
def test_no_answer_of_a_proxy_forges_a_traceback(serve: Any, connect: Any, status: str) -> None:
    proxy = serve(lambda _: f"HTTP/1.1 {status} {HEADER}\r\nX: y\r\n\r\n".encode("latin-1"))
    client = connect("https://t.example", proxies={"https": proxy.url}, retry=RetryPolicy(max_retries=0))
    with pytest.raises(QlikCloudError) as raised:
        list(client.list_data_assets(["s"], sort=["-name"]))
    check_error(raised.value)
    assert "sort=-name" not in "".join(traceback.format_exception(raised.value))


def test_what_is_shown_of_text() -> None:
    shown = shorten(FORGED_JSON, 1000)
    assert shown.startswith(
        r"orders [forged] ERROR - all is lost [forged] [forged] [forged] [forged] [forged]\x1b[31m"
    )
    assert r"\x07\x9b31m\x7f\u202egpj\u202c\u2066a\u2069\u200b\ufeff\U000e0041\x00\ud800" in shown
    assert shorten("Größe 数据 🚢 a\tb") == "Größe 数据 🚢 a b"
    assert len(shorten(LONG)) == 300


@pytest.mark.parametrize("text", [LONG, FORGED_JSON * 5000, "\x1b" * 15_000, "x" * LONGEST, "x" * 10**6])
def test_a_message_keeps_its_start_and_its_end(text: str) -> None:
    shown = one_line(f"Start {text} end: do this.")
    check_message(shown)
    assert shown.startswith("Start ")
    assert shown.endswith(" end: do this.")


def test_the_message_of_many_failures_is_bounded() -> None:
    failures = {f"{number}{LONG}": QlikCloudError(LONG) for number in range(500)}
    error = QlikPartialFailureError(failures, total=500)
    error.add_progress(FORGED)
    check_error(error)


@pytest.mark.parametrize("mark", ["::group::", "::endgroup::", "##[group]", "##[endgroup]", "::Group::"])
def test_no_text_folds_the_log(caplog: pytest.LogCaptureFixture, mark: str) -> None:
    with caplog.at_level(logging.INFO):
        get_logger("airflow_provider_qlik_assets.client.a_test").info("%s", f"a{mark}b")
    assert mark not in caplog.text + shorten(mark) + str(QlikCloudError(mark))


def test_a_log_escapes_texts_paths_and_errors(caplog: pytest.LogCaptureFixture) -> None:
    logger = get_logger("airflow_provider_qlik_assets.client.a_test")
    with caplog.at_level(logging.INFO):
        logger.info("%s, %s and %r: %d, %.1f", FORGED_JSON, ValueError(FORGED), FORGED, 3, 0.5)
    check_records(caplog.records)
    assert caplog.messages[0].endswith(": 3, 0.5")


def test_a_log_keeps_the_spaces_between_the_parts_of_a_line(caplog: pytest.LogCaptureFixture) -> None:
    logger = get_logger("airflow_provider_qlik_assets.client.a_test")
    with caplog.at_level(logging.INFO):
        logger.info("%s%s, 1 not.", "1 of 2 stamped", " (1 updated)")
    assert caplog.messages == ["1 of 2 stamped (1 updated), 1 not."]


def test_what_urllib3_logs_of_requests_of_others_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("theirs")
    except ValueError:
        logging.getLogger("urllib3.connection").warning("%s", "a\nb" * 1000, exc_info=True)
    assert caplog.messages == ["a\nb" * 1000]
    assert "ValueError: theirs" in caplog.text

"""Whatever a host answers, no secret is shown: over raw HTTP, in errors, tracebacks, logs and reprs."""

from __future__ import annotations

import html
import itertools
import json
import logging
import pickle
import re
import time
import traceback
from collections.abc import Callable
from html.entities import html5
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from airflow_provider_qlik_assets.client import (
    ApiKey,
    OAuthClientSecret,
    QlikApiError,
    QlikCloudError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.transport import Answer, Request

Reply = Callable[..., bytes]

API_KEY = "api-key-1234567890"
CLIENT_SECRET = 'client/secret "1234567890"+\\<&> ü'
TOKEN = "token-eyJhbGciOi.1234567890"
LONG_TOKEN = "eyJhbGciOi" + "".join(f"{number:05}x" for number in range(300))
ONCE = RetryPolicy(max_retries=0)
HTML = {"Content-Type": "text/html"}
JSON_TOKEN = json.dumps({"access_token": TOKEN, "token_type": "Bearer"}).encode()

_HTML_NAMES = {ord(value): f"&{name}" for name, value in html5.items() if len(value) == 1 and name[-1] == ";"}


def _as_numbers(form: str) -> Callable[[str], str]:
    return lambda text: re.sub(r"\W", lambda found: form % ord(found[0]), text)


# What a gateway makes of a text of the request that it shows.
WRITTEN: dict[str, Callable[[str], str]] = {
    "raw": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in Unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "URL": lambda text: quote(text, safe=""),
    "URL in lower case": lambda text: quote(text, safe="").replace("%2F", "%2f"),
    "form": quote_plus,
    "HTML": html.escape,
    **{
        f"{name} as numbers": _as_numbers(form)
        for name, form in {"JSON": r"\u%04x", "HTML": "&#%d;", "hexadecimal HTML": "&#x%02X;"}.items()
    },
    "HTML as names": lambda text: text.translate(_HTML_NAMES),
}


def shown_by(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    """Return all that a reader of the logs sees of an error, and what it carries to other processes."""
    carried = pickle.loads(pickle.dumps(error))
    records = [f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records]
    tracebacks = traceback.format_exception(error)
    return "\n".join(
        [str(error), repr(error), repr(vars(carried)), repr(carried.args), *tracebacks, *records]
    )


def check(shown: str, *secrets: str) -> None:
    for secret in secrets:
        # Any part that is long enough to be of use.
        found = [part for part in (secret[:12], secret[-10:]) if part in shown]
        assert not found, shown


def echoes(reply: Reply, text: str) -> dict[str, bytes]:
    """Return answers that hold a text wherever the client may quote one."""
    page = {"data": [{"id": "a", "version": text, "tags": [text]}], "pages": 1, "total": 1}
    error = {"errors": [{"code": text, "title": text, "detail": {"seen": text}}], "traceId": text}
    latin = text.encode("utf-8").decode("latin-1")
    return {
        "html": reply(f"<pre>{text}".encode(), "403 x", **HTML),
        "cut where it is shown": reply((f"{'x' * 110}{text}" * 50).encode(), "403 x", **HTML),
        "cut after many": reply((text * 500).encode(), "403 x", **HTML),
        "cut where the search ends": reply(text.encode() * (70_000 // max(1, len(text))), "403 x", **HTML),
        "errors": reply(json.dumps(error).encode(), "400 x"),
        "errors to repeat": reply(json.dumps(error).encode(), "503 x"),
        "status of success": reply(f"<pre>{text}".encode(), **HTML),
        "garbled": reply(f'{{"a": "{text}'.encode()),
        "page": reply(json.dumps(page).encode()),
        "pages": reply(json.dumps({"data": [], "pages": text, "total": 1}).encode()),
        "content type": reply(b"x", **{"Content-Type": f"a/{latin}"}),
        "encoding": reply(b"x", **{"Content-Encoding": latin}),
        "redirect": reply(b"", "302 x", Location=f"/login/{latin}?token={latin}#{latin}"),
        "redirect to nowhere": reply(b"", "302 x", Location=f"http://[{latin}"),
        "redirect to a host": reply(b"", "302 x", Location=f"http://{latin}.example/{latin}"),
        "status line": f"HTTP/1.1 {latin}\r\n\r\n".encode("latin-1"),
        "no status line": f"{latin}\r\n\r\n".encode("latin-1"),
        "length": reply(b"x", **{"Content-Length": latin}),
        "no header": f"HTTP/1.1 403 x\r\n{latin}\r\nX: y\r\n\r\n".encode("latin-1"),
    }


ECHOES = list(echoes(lambda *_, **__: b"", ""))


@pytest.mark.parametrize("place", ECHOES)
def test_an_api_key_that_an_answer_repeats_is_not_shown(
    serve: Any, reply: Reply, connect: Any, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    server = serve(lambda _: echoes(reply, API_KEY)[place])
    client = connect(server.url, ApiKey(API_KEY), retry=RetryPolicy(max_retries=1))
    with caplog.at_level(logging.DEBUG), pytest.raises(QlikCloudError) as raised:
        list(client.list_data_assets(["s"]))
    check(shown_by(raised.value, caplog), API_KEY)
    assert f"Authorization: Bearer {API_KEY}".encode() in server.received[0]


@pytest.mark.parametrize(
    "case", list(itertools.product(["html", "errors", "garbled"], WRITTEN)), ids="-".join
)
def test_a_client_secret_that_an_answer_repeats_is_not_shown(
    serve: Any, reply: Reply, connect: Any, caplog: pytest.LogCaptureFixture, case: tuple[str, str]
) -> None:
    place, written = case
    text = WRITTEN[written](CLIENT_SECRET)
    token = reply(JSON_TOKEN)
    server = serve(lambda head: token if b"/oauth/token" in head else echoes(reply, text)[place])
    client = connect(server.url, OAuthClientSecret("client", CLIENT_SECRET), retry=ONCE)
    with caplog.at_level(logging.DEBUG), pytest.raises(QlikCloudError) as raised:
        client.me()
    check(shown_by(raised.value, caplog), CLIENT_SECRET, text)


@pytest.mark.parametrize("given", [TOKEN, LONG_TOKEN], ids=["short", "long"])
@pytest.mark.parametrize("place", ECHOES)
def test_an_access_token_that_an_answer_repeats_is_not_shown(
    *, serve: Any, reply: Reply, connect: Any, caplog: pytest.LogCaptureFixture, place: str, given: str
) -> None:
    token = reply(json.dumps({"access_token": given, "token_type": "Bearer"}).encode())
    server = serve(lambda head: token if b"/oauth/token" in head else echoes(reply, given)[place])
    client = connect(server.url, OAuthClientSecret("client", CLIENT_SECRET), retry=ONCE)
    with caplog.at_level(logging.DEBUG), pytest.raises(QlikCloudError) as raised:
        list(client.list_data_assets(["s"]))
    shown = shown_by(raised.value, caplog)
    check(shown, given, CLIENT_SECRET)
    assert not re.search(r"\d{5}x\d{5}x", shown)  # nor a part from the middle


def test_looking_for_secrets_takes_no_time(serve: Any, reply: Reply, connect: Any) -> None:
    """Nor does it to prepare for a token of signs that everybody escapes otherwise."""
    secret, odd = "/client-secret-1", "+/" * 8192
    token = reply(json.dumps({"access_token": odd, "token_type": "Bearer"}).encode())
    echo = reply(b"\\" * 60_000 + b"client secret", "403 x", **HTML)
    server = serve(lambda head: token if b"/oauth/token" in head else echo)
    began = time.process_time()
    with pytest.raises(QlikCloudError):
        connect(server.url, OAuthClientSecret("client", secret), retry=ONCE).me()
    assert time.process_time() - began < 2


TOKEN_ANSWERS: dict[str, Callable[[Reply], bytes]] = {
    "text": lambda reply: reply(JSON_TOKEN, **{"Content-Type": "text/plain"}),
    "cut": lambda reply: reply(JSON_TOKEN[:-5]),
    "form": lambda reply: reply(f"access_token={TOKEN}".encode(), **{"Content-Type": "application/x-form"}),
    "error": lambda reply: reply(JSON_TOKEN, "500 x", **HTML),
    "text error": lambda reply: reply(f"token {TOKEN}".encode(), "403 x", **HTML),
    "error of its own": lambda reply: reply(
        json.dumps({"errors": [{"code": TOKEN, "title": TOKEN, "detail": TOKEN}], "traceId": TOKEN}).encode(),
        "400 x",
    ),
    "no status line": lambda reply: f'{{"access_token": "{TOKEN}"}}\r\n\r\n'.encode(),
    "other place": lambda reply: reply(json.dumps({"token": TOKEN}).encode()),
    "redirect": lambda reply: reply(b"", "307 x", Location=f"http://[{TOKEN}"),
    "redirect to a path": lambda reply: reply(b"", "302 x", Location=f"/{TOKEN}?access_token={TOKEN}"),
    "redirect with its method": lambda reply: reply(b"", "307 x", Location=f"/{TOKEN}?access_token={TOKEN}"),
    "content type": lambda reply: reply(b"x", **{"Content-Type": TOKEN}),
    "encoding": lambda reply: reply(b"x", **{"Content-Encoding": TOKEN}),
}  # fmt: skip


@pytest.mark.parametrize("case", TOKEN_ANSWERS)
def test_an_answer_to_a_token_request_is_never_quoted(
    serve: Any, reply: Reply, connect: Any, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    server = serve(lambda _: TOKEN_ANSWERS[case](reply))
    client = connect(server.url, OAuthClientSecret("client", CLIENT_SECRET), retry=ONCE)
    with caplog.at_level(logging.DEBUG), pytest.raises(QlikCloudError) as raised:
        client.me()
    check(shown_by(raised.value, caplog), TOKEN)
    assert "/oauth/token" in str(raised.value)


def test_a_path_that_a_token_request_was_redirected_to_is_shown_for_other_requests(
    serve: Any, reply: Reply, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place = "/api/v1/data-assets"
    server = serve(lambda _: reply(b"", "307 x", Location=place))
    other = serve(lambda _: reply(b"{}", "404 x"))
    with caplog.at_level(logging.DEBUG), pytest.raises(QlikCloudError):
        connect(server.url, OAuthClientSecret("client", CLIENT_SECRET), retry=ONCE).me()
    assert f"POST {place}" not in caplog.text

    with pytest.raises(QlikCloudError, match=f"GET {other.url}{place}/a answered 404"):
        connect(other.url, ApiKey("an-api-key-of-another-tenant"), retry=ONCE).get_data_asset("a")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"errors": [{"code": "OAUTH-7", "title": "x"}], "traceId": "0f" * 16}, "Unauthorized: OAUTH-7."),
        ({"error": "invalid_client", "error_description": "x"}, "Unauthorized: invalid_client."),
    ],
)  # fmt: skip
def test_a_refused_token_request_shows_the_code(
    serve: Any, reply: Reply, connect: Any, body: dict[str, Any], shown: str
) -> None:
    server = serve(lambda _: reply(json.dumps(body).encode(), "401 x"))
    client = connect(server.url, OAuthClientSecret("client", CLIENT_SECRET), retry=ONCE)
    with pytest.raises(QlikApiError) as raised:
        client.me()
    assert shown in str(raised.value)
    assert raised.value.from_qlik
    assert raised.value.trace_id == body.get("traceId")


def test_a_url_that_is_shown_after_a_redirect_has_no_query(serve: Any, reply: Reply, connect: Any) -> None:
    redirect = reply(b"", "302 x", Location="/login?token=of-somebody#fragment-of-somebody")
    server = serve(lambda head: reply(b"{}", "404 x") if b"/login" in head else redirect)
    with pytest.raises(QlikApiError, match=r"GET http://127\.0\.0\.1:\d+/login answered 404") as raised:
        connect(server.url, retry=ONCE).me()
    assert "of-somebody" not in repr(vars(raised.value))
    assert b"GET /login?token=of-somebody " in server.received[1]


def test_requests_and_answers_show_no_content() -> None:
    request = Request("POST", "/oauth/token", params={"a": TOKEN}, body={"client_secret": CLIENT_SECRET})
    assert repr(request).startswith("Request(method='POST', path='/oauth/token'")
    check(repr(request) + repr(Answer(200, {"access_token": TOKEN}, repeated=False)), TOKEN, CLIENT_SECRET)

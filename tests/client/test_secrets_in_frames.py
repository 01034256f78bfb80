"""Whatever fails, nothing that a tool records of it holds a secret: messages, variables of frames, reprs."""

from __future__ import annotations

import gzip
import json

import pytest
import requests

from airflow_provider_qlik_assets.client import QlikCloudError, RetryPolicy
from tests.client.known_secrets import (
    API_KEY,
    CLIENT_SECRET,
    CREDENTIALS,
    GOOD_TOKEN,
    NOTHING_LEFT,
    PROXY_PASSWORD,
    PROXY_USER,
    TOKEN,
    Answer,
    Reply,
    Serve,
    check,
    credentials,
    errors,
    flat,
    token_of,
)
from tests.clients import Connect
from tests.revealed import revealed_by, secrets_in

HTML = {"Content-Type": "text/html"}


def test_a_variable_with_a_secret_would_be_found(serve: Serve, reply: Reply) -> None:
    server = serve(lambda request: b"")
    with pytest.raises(requests.ConnectionError) as raised:
        requests.post(server.url, data={"a": CLIENT_SECRET}, headers={"Authorization": f"Bearer {API_KEY}"})
    assert secrets_in(revealed_by(raised.value), API_KEY, CLIENT_SECRET) == [API_KEY, CLIENT_SECRET]


# --- what a server answers -------------------------------------------------------------------------------


ANSWERS: dict[str, Answer] = {
    "none": lambda reply, request: b"",
    "not HTTP": lambda reply, request: b"* OK IMAP " + flat(request).encode("latin-1") + b"\r\n\r\n",
    "half a head": lambda reply, request: b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": lambda reply, request: reply(b'{"a": "' + request, **{"Content-Length": "99999"}),
    "broken gzip": lambda reply, request: reply(
        gzip.compress(request)[:-12], **{"Content-Encoding": "gzip"}
    ),
    "interim": lambda reply, request: reply(b"", "103 x"),
    **{str(status): errors(status) for status in (400, 401, 403, 404, 409, 418, 500, 503)},
    "429": errors(429, **{"Retry-After": "60"}),
    "echo as HTML": lambda reply, request: reply(b"<pre>" + request, "403 x", **HTML),
    "echo as success": lambda reply, request: reply(b"<pre>" + request, **HTML),
    "echo as bad JSON": lambda reply, request: reply(b'{"a": "' + request),
    "echo as type": lambda reply, request: reply(b"x", **{"Content-Type": f"text/{flat(request)}"}),
    "echo as encoding": lambda reply, request: reply(b"x", **{"Content-Encoding": flat(request)}),
    "echo as status": lambda reply, request: f"HTTP/1.1 499 {flat(request)}\r\n\r\n".encode("latin-1"),
    "echo as place": lambda reply, request: reply(b"", "302 x", Location=f"http://b/?{flat(request)}"),
    "echo as bad place": lambda reply, request: reply(b"", "302 x", Location=f"http://[{flat(request)}"),
    "redirect": lambda reply, request: reply(b"", "302 x"),
    "redirect in a loop": lambda reply, request: reply(b"", "307 x", Location=f"/x?{flat(request)}"),
    "not JSON": lambda reply, request: reply(b"hello " + request, **{"Content-Type": "text/plain"}),
    "another shape": lambda reply, request: reply(json.dumps([[request.decode("latin-1")]]).encode()),
}  # fmt: skip
TOKEN_ANSWERS: dict[str, Answer] = {
    "no token": lambda reply, request: reply(json.dumps({"token": TOKEN}).encode()),
    "an object": token_of({"value": TOKEN}),
    "a list": token_of([TOKEN]),
    "a number": token_of(5),
    "null": token_of(None),
    "empty": token_of(""),
    "spaces": token_of(f"{TOKEN} {TOKEN}"),
    "line break": token_of(f"{TOKEN}\n"),
    "not ASCII": token_of(f"{TOKEN}ü"),
    "short": token_of("short"),
    "long": token_of(TOKEN * 1000),
    "as text": lambda reply, request: reply(TOKEN.encode(), **{"Content-Type": "text/plain"}),
    "cut": lambda reply, request: reply(f'{{"access_token": "{TOKEN}"'.encode()),
    "error with a token": lambda reply, request: reply(f'{{"access_token": "{TOKEN}"}}'.encode(), "400 x"),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
def test_a_failed_request_reveals_nothing(
    *, serve: Serve, reply: Reply, connect: Connect, kind: str, answer: str, write: bool
) -> None:
    def respond(request: bytes) -> bytes:
        return (GOOD_TOKEN if b" /oauth/token" in request else ANSWERS[answer])(reply, request)

    server = serve(respond)
    client = connect(server.url, credentials(kind), retry=RetryPolicy(max_retries=1, max_retry_wait=5.0))
    with pytest.raises(QlikCloudError) as raised:
        client.create_data_asset({"technicalName": "a", "appType": "b"}) if write else client.me()
    check(raised.value, *server.received)


@pytest.mark.parametrize("answer", [*ANSWERS, *TOKEN_ANSWERS])
@pytest.mark.parametrize("kind", CREDENTIALS[1:])
@pytest.mark.parametrize("renewal", [False, True], ids=["first", "renewal"])
def test_a_failed_token_request_reveals_nothing(
    *, serve: Serve, reply: Reply, connect: Connect, kind: str, answer: str, renewal: bool
) -> None:
    good = [GOOD_TOKEN] if renewal else []

    def respond(request: bytes) -> bytes:
        if b" /oauth/token" in request:
            return (good.pop() if good else {**ANSWERS, **TOKEN_ANSWERS}[answer])(reply, request)
        return errors(401)(reply, request)

    server = serve(respond)
    client = connect(server.url, credentials(kind), retry=RetryPolicy(max_retries=1, max_retry_wait=5.0))
    with pytest.raises(QlikCloudError) as raised:
        client.me()
    check(raised.value, *server.received)
    assert server.received[-1].startswith(b"POST ")


# --- the way there ---------------------------------------------------------------------------------------


# Python leaves a socket open that is shut down at the beginning of TLS.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:1",
        "https://127.0.0.1:1",
        "https://tenant.invalid",
        "http://silent",
        "https://silent",
        "plain",
    ],
)
def test_a_tenant_that_cannot_be_reached_reveals_nothing(
    *, serve: Serve, reply: Reply, connect: Connect, silent: int, kind: str, base_url: str
) -> None:
    url = base_url.replace("//silent", f"//127.0.0.1:{silent}")
    if url == "plain":
        url = f"https://127.0.0.1:{serve(lambda request: reply()).port}"
    client = connect(url, credentials(kind), timeout=(0.2, 0.2), retry=NOTHING_LEFT)
    with pytest.raises(QlikCloudError) as raised:
        client.me()
    check(raised.value)


PROXY_ANSWERS: dict[str, Answer | None] = {
    "refused": None,
    "407": lambda reply, request: reply(status="407 Proxy Authentication Required"),
    "407 with all": lambda reply, request: reply(status=f"407 {flat(request)} {PROXY_PASSWORD}"),
    "403 with its password": lambda reply, request: reply(status=f"403 not with {PROXY_PASSWORD}"),
    "403 with all": lambda reply, request: reply(status=f"403 {flat(request)} {PROXY_PASSWORD}"),
    "none": lambda reply, request: b"",
    "no TLS": lambda reply, request: b"HTTP/1.1 200 OK\r\n\r\nhello",
}


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("answer", PROXY_ANSWERS)
def test_a_proxy_that_fails_reveals_nothing(
    *, serve: Serve, reply: Reply, connect: Connect, kind: str, scheme: str, answer: str
) -> None:
    respond = PROXY_ANSWERS[answer]
    port = 1 if respond is None else serve(lambda request: respond(reply, request)).port
    proxies = {"https": f"{scheme}://{PROXY_USER}@127.0.0.1:{port}"}
    client = connect(
        "https://t.example", credentials(kind), proxies=proxies, timeout=(0.3, 0.3), retry=NOTHING_LEFT
    )
    del proxies
    with pytest.raises(QlikCloudError) as raised:
        client.me()
    check(raised.value)


def test_an_error_is_chained_to_what_its_caller_handles(connect: Connect) -> None:
    """Its variables stay, because they are not the client's."""

    def divide(number: int) -> float:
        return number / 0

    client = connect()
    client.stop()
    try:
        divide(5)
    except ZeroDivisionError:
        with pytest.raises(QlikCloudError) as raised:
            client.me()
    outer = raised.value.__context__
    assert isinstance(outer, ZeroDivisionError)
    assert outer.__traceback__ is not None
    assert outer.__traceback__.tb_next is not None
    assert outer.__traceback__.tb_next.tb_frame.f_locals["number"] == 5

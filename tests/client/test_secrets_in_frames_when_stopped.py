"""Requests that end early, at any point: nothing that a tool records of the error holds a secret."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import QlikCloudError, RetryPolicy
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimits
from airflow_provider_qlik_assets.client.stopping import StopFlag
from tests.client.known_secrets import (
    CREDENTIALS,
    GOOD_TOKEN,
    PROXY_USER,
    Interrupted,
    Reply,
    Serve,
    check,
    credentials,
    errors,
    interrupted_after,
)
from tests.clients import Connect
from tests.revealed import revealed_by


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_stop_reveals_nothing(serve: Serve, reply: Reply, connect: Connect, kind: str) -> None:
    flag = StopFlag()

    def respond(request: bytes) -> bytes:
        flag.set()
        return (GOOD_TOKEN if b" /oauth/token" in request else errors(503))(reply, request)

    server = serve(respond)
    client = connect(server.url, credentials(kind), stop_flag=flag)
    for _ in range(2):
        with pytest.raises(QlikCloudError) as raised:
            client.me()
        check(raised.value, *server.received)


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_wait_that_is_too_long_reveals_nothing(
    serve: Serve, reply: Reply, connect: Connect, kind: str
) -> None:
    good = [kind != "API key"]

    def respond(request: bytes) -> bytes:
        if b" /oauth/token" in request and good.pop():
            good.append(False)
            return GOOD_TOKEN(reply, request)
        return errors(401)(reply, request)

    server = serve(respond)
    limits = RateLimits(tier1_limit=1, tier2_limit=1)
    client = connect(server.url, credentials(kind), rate_limits=limits, max_rate_limit_wait=0.0)
    for _ in range(2):
        with pytest.raises(QlikCloudError) as raised:
            client.me()
        check(raised.value, *server.received)


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("reached", ["tenant", "proxy", "SOCKS proxy"])
# PySocks leaves its socket open.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socks:pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_during_a_first_request_reveals_nothing(
    connect: Connect, silent: int, kind: str, reached: str
) -> None:
    schemes = {"proxy": "http", "SOCKS proxy": "socks5"}
    url = f"http://127.0.0.1:{silent}" if reached == "tenant" else "https://t.example"
    client = connect(
        url,
        credentials(kind),
        proxies={"https": f"{schemes.get(reached, 'http')}://{PROXY_USER}@127.0.0.1:{silent}"},
    )
    with pytest.raises(Interrupted) as raised, interrupted_after(0.2):
        client.me()
    check(raised.value)
    assert "transport.py" in revealed_by(raised.value)  # one still sees where it was


class StackRecorder(logging.Handler):
    """Attach to each log line the frames of the client with their variables, as error collectors can."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        frames = traceback.walk_stack(sys._getframe())
        ours = (pair for pair in frames if "/airflow_provider_qlik_assets/" in pair[0].f_code.co_filename)
        self.frames += traceback.StackSummary.extract(ours, capture_locals=True).format()


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_stack_that_is_attached_to_a_log_line_of_the_client_reveals_nothing(
    serve: Serve, reply: Reply, connect: Connect, kind: str
) -> None:
    tokens = iter((errors(503), GOOD_TOKEN, errors(503), errors(503)))

    def respond(request: bytes) -> bytes:
        if b" /oauth/token" in request:
            return next(tokens)(reply, request)
        return errors(503 if kind == "API key" else 401)(reply, request)

    server = serve(respond)
    recorder = StackRecorder()
    logger = logging.getLogger("airflow_provider_qlik_assets.client.transport")
    logger.addHandler(recorder)
    try:
        with pytest.raises(QlikCloudError):
            connect(server.url, credentials(kind), retry=RetryPolicy(max_retries=1)).me()
    finally:
        logger.removeHandler(recorder)
    assert recorder.frames
    check(RuntimeError("".join(recorder.frames)), *server.received)


def interrupt(*_: Any) -> None:
    raise Interrupted


@pytest.mark.parametrize("kind", CREDENTIALS[1:])
def test_an_interrupt_at_a_new_token_reveals_nothing(
    serve: Serve, reply: Reply, connect: Connect, kind: str
) -> None:
    server = serve(lambda request: GOOD_TOKEN(reply, request))
    with pytest.raises(Interrupted) as raised:
        connect(server.url, credentials(kind, on_new_token=interrupt)).me()
    check(raised.value, *server.received)


@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("where", ["request", "renewal", "retry"])
def test_an_interrupt_anywhere_reveals_nothing(
    *, serve: Serve, reply: Reply, connect: Connect, kind: str, where: str
) -> None:
    tokens = 0

    def respond(request: bytes) -> bytes:
        nonlocal tokens
        if b" /oauth/token" in request:
            tokens += 1
            if tokens == 1:
                return GOOD_TOKEN(reply, request)
        elif where != "request":
            return errors(503 if where == "retry" else 401)(reply, request)
        signal.raise_signal(signal.SIGALRM)
        return b""

    server = serve(respond)
    client = connect(server.url, credentials(kind), **({"sleep": interrupt} if where == "retry" else {}))
    expected = QlikCloudError if (where, kind) == ("renewal", "API key") else Interrupted
    with pytest.raises(expected) as raised, interrupted_after(10):
        client.me()
    check(raised.value, *server.received)

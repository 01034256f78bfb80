"""Secrets of all kinds, what fails with them, and the check that an error reveals none of them."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from airflow_provider_qlik_assets.client import ApiKey, OAuthClientSecret, OAuthPrivateKey, RetryPolicy
from tests.revealed import revealed_by, secrets_in

Serve = Callable[..., Any]
Reply = Callable[..., bytes]
Answer = Callable[[Reply, bytes], bytes]

API_KEY = "api-key-1234567890"
CLIENT_SECRET = 'client/secret "1234567890"+\\<&> ü'
TOKEN = "token-eyJhbGciOi.1234567890"
PROXY_PASSWORD = "proxy/pass+1234"
REDIS_PASSWORD = "redis-pass-1234"
PROXY_USER = f"user:{PROXY_PASSWORD.replace('/', '%2F').replace('+', '%2B')}"
PASSWORDS = (PROXY_PASSWORD, f"user:{PROXY_PASSWORD}", REDIS_PASSWORD)
CREDENTIALS = ("API key", "client secret", "private key")
NOTHING_LEFT = RetryPolicy(max_retries=0, max_retry_wait=0.0)


@functools.cache
def pem(kind: str = "usable") -> str:
    make: dict[str, Callable[[], Any]] = {
        "usable": lambda: rsa.generate_private_key(65537, 2048),
        "short": lambda: rsa.generate_private_key(65537, 1024),
        "other": ed25519.Ed25519PrivateKey.generate,
        "encrypted": lambda: rsa.generate_private_key(65537, 2048),
    }
    key = make[kind]()
    encryption = BestAvailableEncryption(b"passphrase") if kind == "encrypted" else NoEncryption()
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode())


def credentials(kind: str, **options: Any) -> Any:
    if kind == "API key":
        return ApiKey(API_KEY)
    if kind == "client secret":
        return OAuthClientSecret("client", CLIENT_SECRET, **options)
    return OAuthPrivateKey("client", pem(), "kid", **options)


def lines_of(text: str) -> list[str]:
    """Return the lines of a key, each of which is a secret."""
    return [line for line in text.splitlines() if len(line) > 15 and not line.startswith("-----")]


def check(error: BaseException, *received: bytes, more: tuple[str, ...] = ()) -> None:
    sent = b"".join(received).decode("latin-1")
    assertions = re.findall(r'"client_assertion": "([^"]+)"', sent)
    secrets = [API_KEY, CLIENT_SECRET, TOKEN, *PASSWORDS, *lines_of(pem()), *assertions, *more]
    shown = revealed_by(error)
    found = secrets_in(shown, *secrets)
    assert not found, shown


def token_of(value: Any) -> Answer:
    return lambda reply, request: reply(json.dumps({"access_token": value}).encode())


def errors(status: int, **headers: str) -> Answer:
    """Return a failure whose body repeats the whole request."""

    def answer(reply: Reply, request: bytes) -> bytes:
        said = request.decode("latin-1")
        error = {"code": "X-1", "title": said, "detail": said, "meta": {"seen": said}}
        return reply(json.dumps({"errors": [error], "traceId": said}).encode(), f"{status} x", **headers)

    return answer


GOOD_TOKEN = token_of(TOKEN)


def flat(request: bytes) -> str:
    return " ".join(request.decode("latin-1").split())


class Interrupted(BaseException):
    """Raised by a signal at any point, as Airflow does at the time-out of a task."""


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def interrupt(*_: Any) -> None:
        raise Interrupted("task time-out")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

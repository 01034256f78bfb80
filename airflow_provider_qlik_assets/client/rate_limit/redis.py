"""Quotas shared by any number of hosts, in Redis.

The rules of :mod:`.ledger` run as a script inside Redis, which uses only the clock of Redis.
"""

from __future__ import annotations

import math
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from airflow_provider_qlik_assets.client.error_frames import clears_variables
from airflow_provider_qlik_assets.client.host_state import StateUnavailableError
from airflow_provider_qlik_assets.client.rate_limit.ledger import (
    GRACES_PER_WINDOW,
    MAX_QUEUE,
    PAUSES_PER_WINDOW,
    RECOVERY_WINDOWS,
    Decision,
    Quota,
)

_PREFIX = "airflow-provider-qlik-assets:"
TIMEOUT_SECONDS = 2.0
_CONSTANTS = (
    f"local MAX_QUEUE, PAUSES_PER_WINDOW, GRACES_PER_WINDOW, RECOVERY_WINDOWS = "
    f"{MAX_QUEUE}, {PAUSES_PER_WINDOW}, {GRACES_PER_WINDOW}, {RECOVERY_WINDOWS}\n"
)


_NO_REDIS = "the server that answers is not Redis"
_REASONS: dict[type[Exception], str] = {
    redis.exceptions.AuthenticationError: "it rejects the credentials, or requires some",
    redis.exceptions.AuthorizationError: "the user is not allowed to do this",
    redis.exceptions.NoPermissionError: "the user is not allowed to run scripts or to use these keys",
    redis.exceptions.BusyLoadingError: "it is still loading its data",
    redis.exceptions.ReadOnlyError: "it is a read-only replica",
    redis.exceptions.TimeoutError: f"no answer within {TIMEOUT_SECONDS:g} s; it may not be Redis",
    redis.exceptions.InvalidResponse: _NO_REDIS,
}


class RedisStore:
    """Keeps each ledger in three keys of a Redis server, which expire when they are no longer needed.

    :param url: ``redis://`` or ``rediss://`` URL.
    """

    script = _CONSTANTS + Path(__file__).with_name("ledger.lua").read_text("utf-8")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self._address = f"{parts.scheme}://{host}:{parts.port or 6379}{parts.path}"
        client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # A pooled connection may be stale. A script that runs twice takes one grant too many, which is
            # harmless.
            retry=Retry(NoBackoff(), 1),
        )
        self._run = client.register_script(self.script)

    def __str__(self) -> str:
        return self._address

    def ask(self, key: str, quota: Quota, ticket: int, max_wait: float) -> Decision:
        """See :meth:`.Ledger.ask`."""
        reply = self._call(key, quota, "ask", ticket, max_wait)
        try:
            numbers = list(map(float, reply if isinstance(reply, list) else ()))
            granted, given, delay, pause, penalized = numbers
            if not all(map(math.isfinite, numbers)):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise StateUnavailableError(self._address, _NO_REDIS) from None
        return Decision(bool(granted), int(given), delay, pause, bool(penalized))

    def renew(self, key: str, quota: Quota, age: float) -> bool:
        """See :meth:`.Ledger.renew`."""
        reply = self._call(key, quota, "renew", age)
        if reply not in (0, 1):
            raise StateUnavailableError(self._address, _NO_REDIS)
        return bool(reply)

    def leave(self, key: str, quota: Quota, ticket: int) -> None:
        """See :meth:`.Ledger.leave`."""
        self._call(key, quota, "leave", ticket)

    def penalize(self, key: str, quota: Quota, retry_after: float) -> None:
        """See :meth:`.Ledger.penalize`."""
        self._call(key, quota, "penalize", retry_after)

    def start_slowly(self, key: str, quota: Quota) -> None:
        """See :meth:`.Ledger.start_slowly`."""
        self._call(key, quota, "start_slowly")

    @clears_variables
    def _call(self, key: str, quota: Quota, operation: str, *arguments: float) -> Any:
        keys = [f"{_PREFIX}{{{key}}}:{part}" for part in ("header", "times", "queue")]
        try:
            return self._run(keys, [operation, quota.permits, repr(quota.window), *arguments])
        except (redis.RedisError, OSError) as error:
            raise StateUnavailableError(self._address, _reason(error)) from None
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError):
            # What redis-py raises for a reply that Redis would never send.
            raise StateUnavailableError(self._address, _NO_REDIS) from None


def _reason(error: Exception) -> str:
    """Return why Redis cannot be used, without the text of the error, which may quote what was sent."""
    kind = type(error).__name__
    for known, reason in _REASONS.items():
        if isinstance(error, known):
            return f"{reason} ({kind})"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"the TLS connection failed: {cause.reason or type(cause).__name__} ({kind})"
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ConnectionResetError):
            return f"no connection: {cause.strerror} ({kind})"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, redis.ConnectionError):
        return f"the server closes the connection; it may not be Redis, or may expect TLS ({kind})"
    return kind

"""OAuth access tokens, shared by the threads and processes of one user on one host.

Requesting a token uses the write quota, and tokens are limited, so a short-lived task process reuses the
token of another one. Only its owner can read the file. Its name is a digest of tenant, client, secret and
scope, so that a token is never shared between different credentials. A process that gets a new token removes
expired ones, including those of credentials that are no longer used.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from airflow_provider_qlik_assets.client.errors import QlikResponseError, QlikValidationError
from airflow_provider_qlik_assets.client.host_state import (
    StateUnavailableError,
    default_state_directory,
    locked,
    read_private,
    remove_orphans,
    replace_private,
)
from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.sent_secrets import LONGEST_SECRET

logger = get_logger(__name__)

# Qlik Cloud's tokens are valid for six hours; one that silently expires earlier is renewed on a 401.
_DEFAULT_LIFETIME_SECONDS = 6 * 3600.0
# A shorter one would be masked wherever the same text occurs in a log.
_TOKEN_LENGTHS = range(16, LONGEST_SECRET + 1)
_LONGEST_LEEWAY_SECONDS = 60.0
# If another process takes longer to get a token, each process gets its own.
_RENEWAL_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True)
class AccessToken:
    """An access token.

    :param value: the token itself.
    :param renew_at: Unix time after which a new token should be used.
    """

    value: str = field(repr=False)
    renew_at: float

    @classmethod
    def from_reply(cls, reply: Any, *, requested_at: float) -> AccessToken:
        """Return the token of a reply of ``/oauth/token``.

        :param reply: the JSON body; the lifetime may be in ``expires_in``, ``expires_at``, both or neither.
        :param requested_at: Unix time of the request.
        :raises QlikResponseError: if it contains no token.
        """
        value = reply.get("access_token") if isinstance(reply, Mapping) else None
        if not is_bearer_token(value) or len(value) not in _TOKEN_LENGTHS:
            raise QlikResponseError("POST /oauth/token answered without an access token.", http_status=200)
        lifetime = reply.get("expires_in")
        if not _is_number(lifetime):
            try:
                lifetime = parse_instant(reply["expires_at"]).timestamp() - requested_at
            except (KeyError, QlikValidationError):
                lifetime = _DEFAULT_LIFETIME_SECONDS
        if (
            not lifetime > 0
        ):  # the clocks differ, or the reply is wrong: a token that was just issued is valid
            lifetime = _DEFAULT_LIFETIME_SECONDS
        lifetime = min(lifetime, _DEFAULT_LIFETIME_SECONDS)
        return cls(value, requested_at + lifetime - min(_LONGEST_LEEWAY_SECONDS, 0.1 * lifetime))


class TokenCache:
    """Provide the current token; renew it when due, one renewal at a time.

    :param name: digest that identifies the credentials and their purpose.
    :param request_token: requests a token from Qlik Cloud.
    :param on_new_token: called with each new token before it is used, to mask it in logs.
    :param directory: directory of the shared tokens; defaults to the user's state directory.
    :param clock: returns Unix time.
    """

    def __init__(
        self,
        name: str,
        request_token: Callable[[], Any],
        *,
        on_new_token: Callable[[str], None] | None = None,
        directory: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._request_token = request_token
        self._on_new_token = on_new_token
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._token: AccessToken | None = None

    def get(self, *, refused: str | None = None) -> str:
        """Return a token that is valid for a while.

        :param refused: a token that was rejected and must not be returned again.
        """
        token = self._token
        if token is None or not self._usable(token, refused):
            with self._lock:
                token = self._token
                if token is None or not self._usable(token, refused):
                    token = self._shared_token(refused)
                    if self._on_new_token is not None:
                        self._on_new_token(token.value)
                    self._token = token
        return token.value

    def _usable(self, token: AccessToken, refused: str | None) -> bool:
        return token.value != refused and self._clock() < token.renew_at

    def _shared_token(self, refused: str | None) -> AccessToken:
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(self._renewing())
                token = _load(path)
            except StateUnavailableError as error:
                logger.warning("OAuth tokens are not shared with other processes: %s.", error)
                path, token = None, None
            if token is None or not self._usable(token, refused):
                requested_at = self._clock()
                token = AccessToken.from_reply(self._request_token(), requested_at=requested_at)
                if path is not None:
                    with contextlib.suppress(StateUnavailableError):
                        replace_private(path, json.dumps(asdict(token)).encode())
                    self._tidy(path.parent)
            return token

    @contextlib.contextmanager
    def _renewing(self) -> Iterator[Path]:
        """Exclude other processes of this host; yield the path of the shared token."""
        directory = self._directory or default_state_directory()
        with locked(directory / f"token-{self._name}.lock", timeout=_RENEWAL_TIMEOUT_SECONDS):
            yield directory / f"token-{self._name}.json"

    def _tidy(self, directory: Path) -> None:
        """Remove expired tokens, and the files that killed processes left behind."""
        remove_orphans(directory)
        with contextlib.suppress(OSError):
            for path in directory.glob("token-*.json"):
                lock = path.with_suffix(".lock")
                # If the lock is held, a process is renewing the token; it may be this one.
                with contextlib.suppress(OSError), locked(lock, timeout=0.0):
                    token = _load(path)
                    if token is None or self._clock() >= token.renew_at + _LONGEST_LEEWAY_SECONDS:
                        path.unlink(missing_ok=True)
                        lock.unlink(missing_ok=True)


def _load(path: Path) -> AccessToken | None:
    """Return the token in a file, or ``None`` if none can be read."""
    try:
        token = AccessToken(**json.loads(read_private(path) or b"{}"))
    except (ValueError, TypeError):
        return None
    return token if is_bearer_token(token.value) and _is_number(token.renew_at) else None


def is_bearer_token(value: Any) -> TypeGuard[str]:
    """Return whether a value can be sent as ``Authorization: Bearer``."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and value.split() == [value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf

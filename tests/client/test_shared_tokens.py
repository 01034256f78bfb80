"""Access tokens: shared, renewed and private."""

from __future__ import annotations

import contextlib
import dataclasses
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    OAuthClientSecret,
    QlikAuthenticationError,
    QlikBadRequestError,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Connect

TOKEN = "/oauth/token"


def token_requests(sandbox: Sandbox) -> int:
    return len(sandbox.journal.requests("POST", TOKEN))


def test_clients_share_a_token(sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret) -> None:
    for _ in range(3):
        connect(auth=secret).me()

    assert token_requests(sandbox) == 1


def test_the_shared_token_is_private(
    connect: Connect, secret: OAuthClientSecret, state_directory: Path
) -> None:
    connect(auth=secret).me()

    files = list(state_directory.glob("*/token-*"))
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 2
    assert not any(secret.client_secret in f"{file.name} {file.read_text()}" for file in files)


def test_threads_share_a_token(sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret) -> None:
    client = connect(auth=secret)
    threads = [threading.Thread(target=client.me) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert token_requests(sandbox) == 1


@pytest.mark.parametrize(
    "other",
    [{"scope": "admin"}, {"client_secret": "other"}, {"client_id": "other"}],
    ids=str,
)
def test_a_token_is_not_given_to_other_credentials(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret, other: dict[str, str]
) -> None:
    connect(auth=secret).me()
    before = token_requests(sandbox)

    with contextlib.suppress(QlikAuthenticationError, QlikBadRequestError):
        connect(auth=dataclasses.replace(secret, **other)).me()  # type: ignore[arg-type]

    assert token_requests(sandbox) == before + 1


def test_each_token_is_told_before_it_is_used(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret
) -> None:
    told: list[str] = []
    for _ in range(2):
        connect(auth=dataclasses.replace(secret, on_new_token=told.append)).me()

    assert len(told) == 2
    assert len(set(told)) == 1


@pytest.mark.parametrize("expiry", ["expires_in", "expires_at", "both", "neither"])
def test_a_token_is_renewed_when_it_has_expired(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret, expiry: Any
) -> None:
    sandbox.settings.token_expiry = expiry
    client = connect(auth=secret)
    client.me()
    sandbox.revoke_tokens()

    client.me()

    assert token_requests(sandbox) == 2
    assert [entry.status for entry in sandbox.journal.requests("GET")] == [200, 401, 200]


def test_a_token_is_renewed_before_it_expires(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret
) -> None:
    sandbox.settings.token_lifetime_seconds = 1.0
    client = connect(auth=secret)
    client.me()
    threading.Event().wait(0.95)

    client.me()

    assert token_requests(sandbox) == 2
    assert [entry.status for entry in sandbox.journal.requests("GET")] == [200, 200]


def test_a_401_is_renewed_once_for_all(sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret) -> None:
    clients = [connect(auth=secret) for _ in range(3)]
    for client in clients:
        client.me()
    sandbox.revoke_tokens()

    for client in clients:
        client.me()

    assert token_requests(sandbox) == 2


def test_a_second_401_is_raised(sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret) -> None:
    sandbox.add_fault(Fault(kind="revoke_token", path="/api", times=2))

    with pytest.raises(QlikAuthenticationError):
        connect(auth=secret).me()

    assert len(sandbox.journal.requests("GET")) == 2


def test_a_write_is_repeated_after_a_401(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret
) -> None:
    client = connect(auth=secret)
    client.me()
    sandbox.revoke_tokens()

    client.create_data_asset({"technicalName": "a", "appType": "b"})

    assert len(sandbox.assets) == 1


@pytest.mark.parametrize("fault", ["drop", "reset", "truncate"])
def test_a_token_request_that_was_lost_is_repeated(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret, fault: Any
) -> None:
    sandbox.add_fault(Fault(kind=fault, path=TOKEN, when="after"))

    assert connect(auth=secret).me()["id"] == "user-oauth-client"

"""What the connection test says of the store that shares the rate limit."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.sandbox import Sandbox

SetConnection = Callable[..., str]


@pytest.fixture
def redis_with_password() -> Iterator[int]:
    """Port of a Redis server that asks for the password ``right-password``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "right-password"]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
        server.kill()


def said_of_store(sandbox: Sandbox, set_connection: SetConnection, **store: Any) -> tuple[bool, str]:
    extra = {"rate_limit_store": "airflow-connection:store"}
    set_connection("store", conn_type="redis", host="127.0.0.1", **store)
    conn_id = set_connection(host=sandbox.url, password=sandbox.api_key, extra=extra)
    started = time.monotonic()
    succeeded, message = QlikCloudHook(conn_id).test_connection()
    assert time.monotonic() - started < 15
    assert message.startswith(f"Connected to {sandbox.url} as ")
    return succeeded, message


def test_a_shared_store_that_works_is_no_matter(
    qlik_sandbox: Sandbox, set_connection: SetConnection, redis_with_password: int
) -> None:
    succeeded, message = said_of_store(
        qlik_sandbox, set_connection, port=redis_with_password, password="right-password"
    )

    assert succeeded
    assert "not shared" not in message


@pytest.mark.parametrize("password", [None, "wrong-password"])
def test_a_store_that_refuses_the_password_is_said(
    qlik_sandbox: Sandbox, set_connection: SetConnection, redis_with_password: int, password: str | None
) -> None:
    succeeded, message = said_of_store(
        qlik_sandbox, set_connection, port=redis_with_password, password=password
    )

    assert not succeeded
    assert f", but the rate limit is not shared: redis://127.0.0.1:{redis_with_password}/0 " in message
    assert "it rejects the credentials, or requires some" in message
    assert "wrong-password" not in message


def test_a_store_that_cannot_be_reached_is_said(qlik_sandbox: Sandbox, set_connection: SetConnection) -> None:
    succeeded, message = said_of_store(qlik_sandbox, set_connection, port=1, password="wrong-password")

    assert not succeeded
    assert "no connection: Connection refused" in message


def test_a_store_that_is_no_redis_is_said(
    qlik_sandbox: Sandbox, set_connection: SetConnection, answering: Callable[..., str]
) -> None:
    port = int(answering(404, b"", {}).rpartition(":")[2])
    succeeded, message = said_of_store(qlik_sandbox, set_connection, port=port)

    assert not succeeded
    assert "it may not be Redis" in message


def test_a_store_that_does_not_answer_is_said_in_time(
    qlik_sandbox: Sandbox, set_connection: SetConnection
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        succeeded, message = said_of_store(qlik_sandbox, set_connection, port=silent.getsockname()[1])

    assert not succeeded
    assert "no answer within 2 s" in message


def test_a_directory_that_cannot_be_used_is_said(
    qlik_sandbox: Sandbox, set_connection: SetConnection
) -> None:
    extra = {"rate_limit_store": "file:///proc/no-such-directory"}
    conn_id = set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra=extra)

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "but the rate limit is not shared: /proc/no-such-directory" in message


def test_store_and_tenant_may_both_be_wrong(
    answering: Callable[..., str], set_connection: SetConnection
) -> None:
    url = answering(404, b"", {})
    conn_id = set_connection(
        host=url, password="key-123456", extra={"rate_limit_store": "redis://127.0.0.1:1/0"}
    )

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert f"{url} is not a Qlik Cloud tenant" in message
    assert "Also, the rate limit is not shared: redis://127.0.0.1:1/0" in message


def test_a_password_in_the_extra_is_refused(qlik_sandbox: Sandbox, set_connection: SetConnection) -> None:
    """Airflow's API shows the extra to all who may read connections."""
    extra = {"rate_limit_store": "redis://:redis-pass-1@127.0.0.1:1/0"}
    conn_id = set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra=extra)

    succeeded, message = QlikCloudHook(conn_id).test_connection()

    assert not succeeded
    assert "airflow-connection:" in message
    assert "redis-pass-1" not in message
    assert qlik_sandbox.journal.requests() == []


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("airflow_db")
@pytest.mark.slow
def test_the_command_of_airflow_shows_what_to_fix(
    qlik_sandbox: Sandbox, set_connection: SetConnection
) -> None:
    conn_id = set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key)
    command = [sys.executable, "-m", "airflow", "connections", "test", conn_id]
    environment = {
        **os.environ,
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__QLIK_CLOUD__RATE_LIMIT_STORE": "redis://:redis-pass-1@127.0.0.1:1/0",
    }
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=150)
    shown = " ".join(run.stdout.split())

    assert "Connection failed!" in shown, run.stdout + run.stderr
    assert f"Connected to {qlik_sandbox.url}" in shown
    assert "but the rate limit is not shared: redis://127.0.0.1:1/0 cannot be used" in shown
    assert not any(secret in run.stdout + run.stderr for secret in ("redis-pass-1", qlik_sandbox.api_key))

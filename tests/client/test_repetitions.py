"""What is sent again after which wait, and what comes of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    QlikCloudClient,
    QlikRateLimitError,
    QlikServerError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Connect


def test_retry_after_is_waited_for(sandbox: Sandbox, client: QlikCloudClient, clock: Any) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, headers={"Retry-After": "30"}))

    client.me()

    assert len(clock.waits) == 1
    assert 30 <= clock.waits[0] <= 31


def test_a_gateway_page_is_an_error_that_heals(sandbox: Sandbox, client: QlikCloudClient, clock: Any) -> None:
    sandbox.add_fault(Fault(kind="html", status=502, times=3))

    client.me()

    assert [0 <= wait <= longest for wait, longest in zip(clock.waits, (1, 2, 4), strict=True)] == [True] * 3


def test_each_wait_is_logged(
    sandbox: Sandbox, client: QlikCloudClient, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.add_fault(Fault(kind="html", status=504))

    with caplog.at_level(logging.WARNING):
        client.me()

    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith("GET /api/v1/users/me: status 504; attempt 2 follows in ")


def test_a_persistent_failure_ends_in_its_error(
    sandbox: Sandbox, client: QlikCloudClient, clock: Any
) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, times=None))

    with pytest.raises(QlikServerError):
        client.me()

    assert len(sandbox.journal) == 6
    assert sum(clock.waits) <= 31


def test_429_is_waited_for_by_all_who_share_the_limit(
    sandbox: Sandbox, client: QlikCloudClient, clock: Any
) -> None:
    sandbox.add_fault(Fault(kind="status", status=429, headers={"Retry-After": "20"}))
    started = clock.now

    client.me()

    assert 20 <= clock.now - started < 25


def test_waits_for_the_limit_use_up_no_repetitions(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=429, times=7, headers={"Retry-After": "1"}))
    sandbox.add_fault(Fault(kind="status", status=503, times=5))

    assert client.me()["id"] == "user-full-access"


def test_a_wait_beyond_the_cap_raises_and_says_how_long(
    sandbox: Sandbox, connect: Connect, clock: Any
) -> None:
    sandbox.add_fault(Fault(kind="status", status=429, headers={"Retry-After": "3600"}))

    with pytest.raises(QlikRateLimitError) as caught:
        connect(retry=RetryPolicy(max_retry_wait=60)).me()

    assert caught.value.retry_after == 3600
    assert clock.waits == []


def test_persistent_429_ends_in_its_error(sandbox: Sandbox, connect: Connect, clock: Any) -> None:
    sandbox.add_fault(Fault(kind="status", status=429, times=None))
    started = clock.now

    with pytest.raises(QlikRateLimitError):
        connect(retry=RetryPolicy(max_retry_wait=60)).me()

    assert clock.now - started < 120


def test_a_wait_for_the_limit_that_is_not_allowed_raises(
    sandbox: Sandbox, connect: Connect, clock: Any
) -> None:
    client = connect(max_rate_limit_wait=5)
    sandbox.add_fault(Fault(kind="status", status=429, headers={"Retry-After": "20"}))

    with pytest.raises(QlikRateLimitError, match=r"The request was not sent: .* is not allowed"):
        client.me()

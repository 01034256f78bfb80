"""A client that is stopped sends nothing more and waits for nothing more."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_qlik_assets.client import (
    QlikCloudClient,
    QlikRateLimitError,
    QlikStoppedError,
    RateLimits,
)
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.client.stopping import StopFlag
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Connect


def stopped_soon(client: QlikCloudClient) -> None:
    threading.Timer(0.3, client.stop).start()


def test_nothing_is_sent_any_more(sandbox: Sandbox, connect: Connect) -> None:
    client = connect()
    client.stop()

    with pytest.raises(QlikStoppedError, match=r"^The work was stopped: GET .*/me was not sent\.$"):
        client.me()
    with client.with_options(user_agent="mine/1") as copy, pytest.raises(QlikStoppedError):
        copy.me()

    assert not sandbox.journal.requests()


def test_a_copy_with_a_flag_of_its_own_stops_alone(sandbox: Sandbox, connect: Connect) -> None:
    client = connect()
    with client.with_options(stop_flag=StopFlag(client.stop_flag)) as copy:
        copy.stop()
        with pytest.raises(QlikStoppedError):
            copy.me()

    assert client.me()


def test_a_stopped_client_stops_the_copies_with_a_flag_of_their_own(connect: Connect) -> None:
    client = connect()
    with client.with_options(stop_flag=StopFlag(client.stop_flag)) as copy:
        client.stop()
        with pytest.raises(QlikStoppedError):
            copy.me()


def test_a_wait_for_the_quota_ends(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(rate_limit_store=MemoryStore(), sleep=time.sleep, rate_limits=RateLimits(tier1_limit=1))
    client.me()
    stopped_soon(client)
    begin = time.monotonic()

    with pytest.raises(QlikStoppedError):
        client.me()

    assert time.monotonic() - begin < 10
    assert len(sandbox.journal.requests()) == 1


def test_who_is_stopped_leaves_the_queue(connect: Connect) -> None:
    limits = RateLimits(tier1_limit=1, window=60)
    client = connect(rate_limit_store=MemoryStore(), sleep=time.sleep, rate_limits=limits)
    client.me()
    with client.with_options(stop_flag=StopFlag()) as waiting:
        stopped_soon(waiting)
        with pytest.raises(QlikStoppedError):
            waiting.me()

    with (
        client.with_options(max_rate_limit_wait=0) as hasty,
        pytest.raises(QlikRateLimitError) as raised,
    ):
        hasty.me()
    assert (raised.value.retry_after or 0) < 61


def test_a_wait_for_a_repetition_ends(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, headers={"Retry-After": "300"}, times=None))
    client = connect(sleep=time.sleep)

    def stop_after_the_first() -> None:
        while not sandbox.journal.requests():
            time.sleep(0.01)
        client.stop()

    threading.Thread(target=stop_after_the_first, daemon=True).start()
    with pytest.raises(QlikStoppedError):
        client.me()

    assert len(sandbox.journal.requests()) == 1


def test_a_pause_ends(connect: Connect) -> None:
    client = connect(sleep=time.sleep)
    stopped_soon(client)

    with pytest.raises(QlikStoppedError):
        client.sleep(300)

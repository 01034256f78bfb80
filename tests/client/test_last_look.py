"""Deletions that look once more when they may be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    ApiKey,
    OAuthClientSecret,
    QlikCloudClient,
    QlikNotFoundError,
    QlikPermissionError,
    QlikRateLimitError,
    QlikServerError,
    QlikStoppedError,
    RateLimits,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.verdicts import outcome_is_unknown
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Clock, Connect


@pytest.fixture(autouse=True)
def assets(sandbox: Sandbox) -> None:
    for key in "abc":
        sandbox.add_asset(id=key, technicalName=key)


class Look:
    """A last look that notes its calls and lets go what it is told to keep."""

    def __init__(self, keep: str = "", then: Callable[[], Any] = lambda: None) -> None:
        self.calls: list[tuple[list[str], int]] = []
        self._keep = keep
        self._then = then

    def __call__(self, ids: list[str], unanswered: int) -> list[str]:
        self.calls.append((ids, unanswered))
        self._then()
        return [key for key in ids if key not in self._keep]


def deletions(sandbox: Sandbox) -> list[list[str]]:
    return [entry.body["ids"] for entry in sandbox.journal.requests("DELETE")]


def test_only_what_the_look_leaves_is_deleted(sandbox: Sandbox, client: QlikCloudClient) -> None:
    look = Look(keep="b")

    client.delete_data_assets(["a", "b", "c"], look)

    assert deletions(sandbox) == [["a", "c"]]
    assert look.calls == [(["a", "b", "c"], False)]


def test_if_nothing_is_left_nothing_is_sent(sandbox: Sandbox, client: QlikCloudClient) -> None:
    client.delete_data_assets(["a"], Look(keep="a"))

    assert len(sandbox.journal) == 0


def test_with_oauth_the_token_is_there_before_the_look(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret
) -> None:
    client = connect(auth=secret)
    tokens: list[int] = []

    client.delete_data_assets(
        ["a", "b"], Look("b", lambda: tokens.append(len(sandbox.journal.requests("POST"))))
    )

    assert tokens == [1]
    assert deletions(sandbox) == [["a"]]


@pytest.mark.parametrize(
    ("fault", "repeated"),
    [
        (Fault(kind="status", status=503, method="DELETE"), True),
        (Fault(kind="drop", method="DELETE"), True),
        (Fault(kind="status", status=429, method="DELETE", headers={"Retry-After": "1"}), False),
    ],
    ids=["503", "drop", "429"],
)
def test_each_attempt_looks_and_knows_whether_an_earlier_one_may_have_been_carried_out(
    sandbox: Sandbox, client: QlikCloudClient, fault: Fault, repeated: bool
) -> None:
    sandbox.add_fault(fault)
    look = Look()

    client.delete_data_assets(["a"], look)

    assert look.calls == [(["a"], False), (["a"], repeated)]


def test_the_look_comes_after_the_wait_for_the_quota(
    sandbox: Sandbox, connect: Connect, clock: Clock
) -> None:
    client = connect(rate_limits=RateLimits(tier2_limit=1, window=60))
    client.delete_data_assets(["a"])
    moments: list[float] = []

    client.delete_data_assets(["b"], Look(then=lambda: moments.append(clock.now)))

    assert moments == [pytest.approx(1060.6)]


def test_an_error_of_the_look_is_raised(sandbox: Sandbox, client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError):
        client.delete_data_assets(["a"], Look(then=lambda: client.get_data_asset("nowhere")))

    assert deletions(sandbox) == []


def test_an_error_of_a_later_look_does_not_hide_that_it_may_have_been_deleted(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, method="DELETE", when="after"))
    sandbox.add_fault(Fault(kind="status", status=403, method="GET", times=None))
    look = Look(then=lambda: len(look.calls) > 1 and client.get_data_asset("a"))

    with pytest.raises(QlikPermissionError, match="The change may or may not have been made") as raised:
        client.delete_data_assets(["a"], look)

    assert outcome_is_unknown(raised.value)


def test_a_wait_of_a_later_attempt_that_is_not_allowed_does_not_hide_it_either(
    sandbox: Sandbox, connect: Connect
) -> None:
    client = connect(rate_limits=RateLimits(tier2_limit=1, window=600), max_rate_limit_wait=60)
    sandbox.add_fault(Fault(kind="status", status=503, method="DELETE", when="after"))

    with pytest.raises(QlikServerError, match="The change may or may not have been made") as raised:
        client.delete_data_assets(["a"], Look())

    assert isinstance(raised.value.__cause__, QlikRateLimitError)


def test_who_is_stopped_while_it_looks_sends_nothing(sandbox: Sandbox, client: QlikCloudClient) -> None:
    with pytest.raises(QlikStoppedError):
        client.delete_data_assets(["a"], Look(then=client.stop))

    assert deletions(sandbox) == []


def test_looks_that_take_long_never_exceed_the_quota(sandbox: Sandbox) -> None:
    """The tenant counts what arrives; with a 429 the retry rule would raise."""
    sandbox.settings.tier2_limit = 2
    sandbox.settings.window_seconds = 1.0
    keys = [sandbox.add_asset(technicalName=f"t{number}")["id"] for number in range(6)]
    client = QlikCloudClient(
        sandbox.url,
        ApiKey(sandbox.api_key),
        rate_limits=RateLimits(tier2_limit=2, window=1.0),
        rate_limit_store="memory:",
        retry=RetryPolicy(max_retry_wait=0),
    )
    looks = iter([0.3, 0.0] * 20)
    lock = threading.Lock()

    def look(ids: list[str], unanswered: int) -> list[str]:
        with lock:
            seconds = next(looks)
        time.sleep(seconds)
        return ids

    threads = [threading.Thread(target=client.delete_data_assets, args=([key], look)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()

    assert sorted(key for (key,) in deletions(sandbox)) == sorted(keys)
    assert [entry.status for entry in sandbox.journal.requests("DELETE")] == [204] * 6

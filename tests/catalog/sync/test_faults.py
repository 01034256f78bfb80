"""Sync while requests fail: what is left, what is reported, and when no new work starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import Sync, sync_data_assets
from airflow_provider_qlik_assets.catalog.bulk import WORKERS
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import (
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikCloudClient,
    QlikCloudError,
    QlikPartialFailureError,
    QlikRateLimitError,
    QlikServerError,
    RateLimits,
)
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

Connect = Callable[..., QlikCloudClient]


def wishes(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"technicalName": f"table_{index:03}", "appType": "airflow", "name": "n", **fields}
        for index in range(number)
    ]


def names(sandbox: Sandbox) -> list[str]:
    return sorted(asset["technicalName"] for asset in sandbox.assets.values())


def all_names(number: int) -> list[str]:
    return [entry["technicalName"] for entry in wishes(number)]


@pytest.fixture(autouse=True)
def duplicates_are_possible(sandbox: Sandbox) -> None:
    """The tenant that hides no mistake of a client."""
    sandbox.settings.duplicate_technical_name = "allowed"


# --- outcomes that are unknown ---------------------------------------------------------------------------

LOST_ANSWERS: list[dict[str, Any]] = [
    {"kind": "drop"},
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 200},
]


@pytest.mark.parametrize("fault", LOST_ANSWERS, ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize("times", [1, 3])
def test_creates_whose_answers_are_lost_are_not_doubled(
    sandbox: Sandbox, client: QlikCloudClient, fault: dict[str, Any], times: int
) -> None:
    sandbox.add_fault(Fault(method="POST", when="after", times=times, **fault))

    results = sync_data_assets(client, "store", wishes(12))

    assert names(sandbox) == all_names(12)
    assert [result.action for result in results] == ["created"] * 12


@pytest.mark.parametrize(
    "fault", [fault for fault in LOST_ANSWERS[:-1] if fault["kind"] != "truncate"],
    ids=lambda fault: "-".join(map(str, fault.values())),
)  # fmt: skip
def test_creates_that_were_not_done_are_done_in_the_end(
    sandbox: Sandbox, client: QlikCloudClient, fault: dict[str, Any]
) -> None:
    sandbox.add_fault(Fault(method="POST", when="before", times=3, **fault))

    sync_data_assets(client, "store", wishes(12))

    assert names(sandbox) == all_names(12)


@pytest.mark.parametrize("when", ["before", "after"])
def test_updates_whose_answers_are_lost_are_settled(
    sandbox: Sandbox, client: QlikCloudClient, when: Any
) -> None:
    sync_data_assets(client, "store", wishes(12))
    sandbox.add_fault(Fault(kind="drop", method="PATCH", when=when, times=5))

    results = sync_data_assets(client, "store", wishes(12, name="new"))

    assert [result.action for result in results] == ["updated"] * 12
    assert {asset["name"] for asset in sandbox.assets.values()} == {"new"}
    assert {asset["version"] for asset in sandbox.assets.values()} == {1}


def test_a_create_that_always_fails_is_given_up(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=500, method="POST", times=None))

    with pytest.raises(QlikPartialFailureError, match="1 of 1 data assets failed") as raised:
        sync_data_assets(client, "store", wishes(1))

    assert isinstance(raised.value.failures["table_000"], QlikServerError)
    assert len(sandbox.journal.requests("POST")) == 3


def test_a_create_that_is_refused_and_not_there_is_given_up(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.add_fault(Fault(kind="status", status=409, method="POST", times=None))

    with pytest.raises(QlikPartialFailureError, match=r"1 of 1 data assets failed.*409"):
        sync_data_assets(client, "store", wishes(1))

    assert sandbox.assets == {}


# --- some fail -------------------------------------------------------------------------------------------


def test_one_that_fails_does_not_stop_the_rest(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=400, method="POST", skip=3, times=2))

    with pytest.raises(QlikPartialFailureError, match="2 of 20 data assets failed") as raised:
        sync_data_assets(client, "store", wishes(20))

    failed = raised.value.failures
    assert sorted([*names(sandbox), *failed]) == all_names(20)
    assert {type(error) for error in failed.values()} == {QlikBadRequestError}
    for name in failed:
        assert f"{name}: " in str(raised.value)


def test_running_again_does_what_is_left(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=403, method="POST", times=5))
    with pytest.raises(QlikPartialFailureError):
        sync_data_assets(client, "store", wishes(20))
    sandbox.journal.clear()

    results = sync_data_assets(client, "store", wishes(20))

    assert sorted(result.action for result in results) == ["created"] * 5 + ["unchanged"] * 15
    assert len(sandbox.journal.requests("POST")) == 5


def test_nothing_is_deleted_if_something_failed(sandbox: Sandbox, client: QlikCloudClient) -> None:
    """What is to be deleted may be the old name of what could not be created."""
    sync_data_assets(client, "store", wishes(20))
    sandbox.add_fault(Fault(kind="status", status=400, method="POST"))
    renamed = [*wishes(19), {"technicalName": "renamed", "appType": "airflow"}]

    with pytest.raises(QlikPartialFailureError):
        sync_data_assets(client, "store", renamed, delete_unlisted=True)

    assert names(sandbox) == all_names(20)


def test_the_message_about_many_failures_can_be_read(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=400, method="POST", times=None, body={"traceId": "t-1"}))

    with pytest.raises(QlikPartialFailureError) as raised:
        sync_data_assets(client, "store", wishes(100))

    assert len(raised.value.failures) == 100
    assert "t-1" in str(raised.value)
    assert str(raised.value).endswith("and 80 more.")
    assert len(str(raised.value)) < 10_000


# --- all would fail --------------------------------------------------------------------------------------


def test_wrong_credentials_stop_everything(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=401, method="POST", times=None))

    with pytest.raises(QlikAuthenticationError):
        sync_data_assets(client, "store", wishes(100))

    assert len(sandbox.journal.requests("POST")) <= WORKERS


def test_a_tenant_that_is_down_is_not_asked_for_each(sandbox: Sandbox, connect: Connect) -> None:
    client = connect()
    sync_data_assets(client, "store", wishes(100))
    sandbox.add_fault(Fault(kind="status", status=503, method="PATCH", times=None))
    sandbox.journal.clear()

    with pytest.raises(QlikCloudError, match="503"):
        sync_data_assets(client, "store", wishes(100, name="new"))

    attempted = {entry.path for entry in sandbox.journal.requests("PATCH")}
    assert len(attempted) <= 24 + WORKERS


def test_a_quota_that_is_used_up_stops_everything_and_the_results_say_what_was_done(
    sandbox: Sandbox, connect: Connect
) -> None:
    client = connect(rate_limits=RateLimits(tier2_limit=30), max_rate_limit_wait=1.0)
    sync = Sync(client, "store", wishes(100))

    with pytest.raises(QlikRateLimitError) as raised:
        sync.apply(sync.plan())

    assert 200 < (raised.value.retry_after or 0) < 310
    assert sorted(result.id for result in sync.results) == sorted(sandbox.assets)
    assert {result.action for result in sync.results} == {"created"}
    assert len(sandbox.assets) == 29


def test_a_quota_that_is_used_up_is_waited_for(sandbox: Sandbox, connect: Connect, clock: Any) -> None:
    client = connect(rate_limits=RateLimits(tier2_limit=30))
    began = clock()

    sync_data_assets(client, "store", wishes(50))

    assert names(sandbox) == all_names(50)
    assert clock() - began > 300


class EndOfTask(BaseException):
    """What Airflow or Ctrl-C raises in the main thread."""


def test_no_new_work_starts_when_the_task_is_ended(sandbox: Sandbox, client: QlikCloudClient) -> None:
    ticks = iter(range(30))

    def clock() -> float:
        if next(ticks, None) is None:
            raise EndOfTask
        return 0.0

    sync = Sync(client, "store", wishes(500), clock=clock)
    with pytest.raises(EndOfTask):
        sync.apply(sync.plan())

    begun = len(sandbox.journal.requests("POST"))
    assert 0 < begun < 500
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("qlik-write")]
    assert len(sandbox.assets) == begun


def test_the_end_of_the_task_ends_waits_for_the_quota(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(rate_limits=RateLimits(tier2_limit=10), sleep=time.sleep, rate_limit_store=MemoryStore())
    sync = Sync(client, "store", wishes(50), clock=lambda: ended_when_waiting(sandbox))

    began = time.monotonic()
    with pytest.raises(EndOfTask):
        sync.apply(sync.plan())

    assert time.monotonic() - began < 10
    assert len(sandbox.assets) == 9


def ended_when_waiting(sandbox: Sandbox) -> float:
    if len(sandbox.journal.requests("POST")) >= 9:
        raise EndOfTask
    return 0.0


@pytest.mark.parametrize("skip", [1, 2], ids=["confirming", "looking before the deletions"])
def test_an_error_after_the_writes_says_how_many_there_were(
    sandbox: Sandbox, client: QlikCloudClient, skip: int
) -> None:
    sandbox.add_asset("store", technicalName="nobody wishes it")
    sandbox.add_fault(Fault(kind="status", status=500, method="GET", skip=skip))

    with pytest.raises(QlikServerError, match=r"^20 written\. "):
        sync_data_assets(
            client, "store", wishes(20), delete_unlisted=True, guards=DeletionGuards(max_fraction=None)
        )

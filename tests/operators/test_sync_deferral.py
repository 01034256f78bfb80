"""A sync whose quota is used up: it releases the worker and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pendulum
import pytest

from airflow_provider_qlik_assets._compat import DAG, AirflowException, TaskDeferred
from airflow_provider_qlik_assets.client.errors import QlikRateLimitError
from airflow_provider_qlik_assets.operators import base as module
from airflow_provider_qlik_assets.operators.data_assets import QlikSyncDataAssetsOperator
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.triggers.rate_limit import QlikRateLimitTrigger

DONE = {"status": "success", "moment": "2026-01-31T06:30:00.000Z"}

Connection = Callable[..., str]


def wishes(number: int) -> list[dict[str, Any]]:
    return [{"technicalName": f"table_{index:03}", "appType": "airflow"} for index in range(number)]


@pytest.fixture
def connection(qlik_sandbox: Sandbox, set_connection: Connection, store: str) -> Connection:
    """Define the connection with a write limit: 98 % of it are used."""

    def define(limit: int, **extra: Any) -> str:
        return set_connection(
            host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra={"tier2_limit": limit, **extra}
        )

    return define


def operator(number: int, **arguments: Any) -> QlikSyncDataAssetsOperator:
    return QlikSyncDataAssetsOperator(
        task_id="sync",
        data_store_id="store-1",
        data_assets=wishes(number),
        **{"deferrable": True, **arguments},
    )


def deferred(task: QlikSyncDataAssetsOperator, resume: dict[str, Any] | None = None) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        task.execute({}) if resume is None else task.execute_complete({}, DONE, **resume)
    return raised.value


def test_a_long_wait_releases_the_worker(qlik_sandbox: Sandbox, connection: Connection) -> None:
    connection(20)

    deferral = deferred(operator(50))

    assert len(qlik_sandbox.assets) == 19
    assert isinstance(deferral.trigger, QlikRateLimitTrigger)
    wait = pendulum.parse(deferral.trigger.moment) - pendulum.now("UTC")  # type: ignore[operator]
    assert timedelta(seconds=200) < wait < timedelta(seconds=310)
    assert deferral.method_name == "execute_complete"


def test_what_was_done_before_the_wait_is_in_the_result(
    qlik_sandbox: Sandbox, connection: Connection
) -> None:
    connection(20)
    kwargs = deferred(operator(50)).kwargs
    assert kwargs is not None
    assert json.loads(json.dumps(kwargs)) == kwargs
    connection(1000)  # the budget is back

    result = operator(50).execute_complete({}, DONE, **kwargs)

    assert result["counts"] == {"created": 50}
    assert sorted(row["id"] for row in result["results"]) == sorted(qlik_sandbox.assets)
    assert len(qlik_sandbox.journal.requests("POST")) == 50


def test_several_waits(qlik_sandbox: Sandbox, connection: Connection) -> None:
    connection(20)
    first = deferred(operator(50)).kwargs
    connection(40)
    second = deferred(operator(50), first).kwargs
    connection(1000)

    result = operator(50).execute_complete({}, DONE, **(second or {}))

    assert result["counts"] == {"created": 50}
    assert len(second["earlier"]) == 39 if second else False


def test_without_what_was_done_before_it_goes_on_all_the_same(
    qlik_sandbox: Sandbox, connection: Connection
) -> None:
    """``dag.test()`` does not hand it over."""
    connection(20)
    deferred(operator(50))
    connection(1000)

    assert operator(50).execute_complete({}, DONE)["counts"] == {"created": 31, "unchanged": 19}


def test_deletions_before_the_wait_are_in_the_result(qlik_sandbox: Sandbox, connection: Connection) -> None:
    for entry in wishes(50):
        qlik_sandbox.add_asset("store-1", **entry)
    connection(1000)
    earlier = [
        {"id": "gone", "technical_name": "gone", "action": "deleted", "version": 1, "changed_fields": [],
         "data_asset": {"id": "gone"}}
    ]  # fmt: skip

    result = operator(50).execute_complete({}, DONE, earlier=earlier)

    assert result["counts"] == {"unchanged": 50, "deleted": 1}


def test_a_duplicate_of_before_the_wait_gives_way(qlik_sandbox: Sandbox, connection: Connection) -> None:
    qlik_sandbox.settings.duplicate_technical_name = "allowed"
    connection(20)
    kwargs = deferred(operator(50)).kwargs or {}
    ours = kwargs["earlier"][0]
    theirs = qlik_sandbox.add_asset(
        "store-1", technicalName=ours["technical_name"], appType="x", createdTime="2020-01-01T00:00:00Z"
    )
    connection(1000)

    result = operator(50).execute_complete({}, DONE, **kwargs)

    assert ours["id"] not in qlik_sandbox.assets
    assert result["counts"] == {"created": 49, "updated": 1}
    assert theirs["id"] in {row["id"] for row in result["results"]}


def test_reading_may_have_to_wait_too(qlik_sandbox: Sandbox, connection: Connection) -> None:
    connection(1000, tier1_limit=2)
    for entry in wishes(150):
        qlik_sandbox.add_asset("store-1", **entry)

    kwargs = deferred(operator(150)).kwargs or {}
    assert (kwargs["earlier"], kwargs["waited"]) == ([], pytest.approx(303, abs=10))


def test_it_is_not_put_off_for_ever(qlik_sandbox: Sandbox, connection: Connection) -> None:
    connection(20, max_rate_limit_wait=700)
    kwargs = deferred(operator(50)).kwargs or {}

    again = deferred(operator(50), kwargs).kwargs or {}
    with pytest.raises(QlikRateLimitError):
        operator(50).execute_complete({}, DONE, **again)

    assert len(qlik_sandbox.assets) == 19


def test_a_wait_that_the_connection_does_not_allow_fails(
    qlik_sandbox: Sandbox, connection: Connection
) -> None:
    connection(20, max_rate_limit_wait=100)

    with pytest.raises(QlikRateLimitError, match="max_rate_limit_wait"):
        operator(50).execute({})


def test_without_deferring_the_wait_is_on_the_worker(qlik_sandbox: Sandbox, connection: Connection) -> None:
    connection(20, rate_limit_window=2)

    assert operator(50, deferrable=False).execute({})["counts"] == {"created": 50}


def test_a_short_wait_is_on_the_worker(qlik_sandbox: Sandbox, connection: Connection) -> None:
    connection(20, rate_limit_window=2)

    assert operator(50).execute({})["counts"] == {"created": 50}


def test_a_dry_run_does_not_wait(qlik_sandbox: Sandbox, connection: Connection) -> None:
    connection(1)

    assert operator(50, dry_run=True).execute({})["counts"] == {"created": 50}


@pytest.mark.parametrize("event", [None, {}, {"status": "error"}, "success"])
def test_an_unexpected_event_is_no_success(qlik_sandbox: Sandbox, connection: Connection, event: Any) -> None:
    connection(1000)

    with pytest.raises(AirflowException, match="unexpected event"):
        operator(5).execute_complete({}, event)


def test_in_a_dag(
    qlik_sandbox: Sandbox,
    connection: Connection,
    run_dag: Callable[[DAG], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LONGEST_WAIT_ON_WORKER_SECONDS", 0.5)
    connection(20, rate_limit_window=3)
    with DAG("deferred_sync", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        operator(50)

    assert run_dag(dag).state == "success"
    assert len(qlik_sandbox.assets) == len(qlik_sandbox.journal.requests("POST")) == 50
    assert len(qlik_sandbox.journal.requests("GET")) >= 3

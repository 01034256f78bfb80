"""Operators whose quota is used up: they release the worker and go on where they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pendulum
import pytest

from airflow_provider_qlik_assets._compat import TaskDeferred
from airflow_provider_qlik_assets.client.errors import QlikConnectionError, QlikRateLimitError
from airflow_provider_qlik_assets.operators import base
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikCleanUpDataAssetsOperator,
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.triggers.rate_limit import QlikRateLimitTrigger

DONE = {"status": "success", "moment": "2026-01-31T06:30:00.000Z"}
LATE = "2026-03-01T00:00:00.000Z"

Connection = Callable[..., str]
Operator = Callable[[], Any]


@pytest.fixture
def connection(qlik_sandbox: Sandbox, set_connection: Connection, store: str) -> Connection:
    """Define the connection with limits: 98 % of them are used."""

    def define(**extra: Any) -> str:
        return set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra=extra)

    return define


@pytest.fixture
def ids(qlik_sandbox: Sandbox, store: str) -> list[str]:
    return [
        qlik_sandbox.add_asset(
            "store-1", id=f"a{number}", technicalName=f"t{number}", dataFreshness="2020-01-01T00:00:00Z"
        )["id"]
        for number in range(250)
    ]


def stamp(**arguments: Any) -> Any:
    ids = [f"a{number}" for number in range(50)]
    arguments = {"data_asset_ids": ids, "deferrable": True, **arguments}
    return QlikUpdateDataFreshnessOperator(task_id="stamp", **arguments)


def delete(**arguments: Any) -> Any:
    ids = [f"a{number}" for number in range(250)]
    arguments = {"data_asset_ids": ids, "deferrable": True, **arguments}
    return QlikDeleteDataAssetsOperator(task_id="delete", **arguments)


def clean_up(**arguments: Any) -> Any:
    return QlikCleanUpDataAssetsOperator(
        task_id="clean_up",
        data_store_ids=["store-1"],
        stale_after=86_400,
        deferrable=True,
        **{"max_deletions": 250, "max_fraction": 1.0, **arguments},
    )


def upsert(name: str = "new") -> Any:
    wish = {"technicalName": name, "appType": "app", "dataStoreInfo": {"id": "store-1"}}
    return QlikUpsertDataAssetOperator(task_id="upsert", data_asset=wish, deferrable=True)


def patch(**arguments: Any) -> Any:
    arguments = arguments or {"changes": {"name": "new"}}
    return QlikPatchDataAssetOperator(task_id="patch", data_asset_id="a1", deferrable=True, **arguments)


def deferred(task: Any, resume: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a part of a task; return what its next part is given."""
    with pytest.raises(TaskDeferred) as raised:
        task.execute({}) if resume is None else task.execute_complete({}, DONE, **resume)
    assert isinstance(raised.value.trigger, QlikRateLimitTrigger)
    wait = pendulum.parse(raised.value.trigger.moment) - pendulum.now("UTC")  # type: ignore[operator]
    assert timedelta(seconds=5) < wait < timedelta(seconds=310)
    assert raised.value.method_name == "execute_complete"
    kwargs = raised.value.kwargs or {}
    assert json.loads(json.dumps(kwargs)) == kwargs
    return kwargs


@pytest.mark.parametrize(("operator", "limit"), [(stamp, 20), (delete, 1), (clean_up, 1)])
def test_what_was_done_before_the_wait_is_not_done_again_and_is_in_the_result(
    qlik_sandbox: Sandbox,
    connection: Connection,
    ids: list[str],
    operator: Operator,
    limit: int,
) -> None:
    connection(tier2_limit=limit)
    kwargs = deferred(operator())
    before = len(kwargs["earlier"])
    connection(tier2_limit=500)
    qlik_sandbox.journal.clear()

    result = operator().execute_complete({}, DONE, **kwargs)

    if operator is stamp:
        assert (before, result["counts"]) == (19, {"updated": 50})
        assert [row["id"] for row in result["results"]] == ids[:50]
        assert len(qlik_sandbox.journal.requests("PATCH")) == 31
    else:
        assert (before, result["counts"]) == (100, {"deleted": 250})
        assert {row["data_asset"]["id"] for row in result["results"]} == set(ids)
        assert len(qlik_sandbox.journal.requests("DELETE")) == 2


def test_the_instant_of_a_stamp_is_that_of_the_first_part(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    connection(tier2_limit=20)
    kwargs = deferred(stamp())
    connection(tier2_limit=500)

    stamp().execute_complete({}, DONE, **kwargs)

    assert {qlik_sandbox.assets[name]["dataFreshness"] for name in ids[:50]} == {kwargs["started"]}


def test_what_was_refreshed_during_the_wait_is_not_deleted(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    connection(tier2_limit=1)
    kwargs = deferred(clean_up())
    kept = next(iter(qlik_sandbox.assets))
    connection(tier2_limit=500)
    stamp(data_asset_ids=[kept], data_freshness=pendulum.now("UTC")).execute({})

    result = clean_up().execute_complete({}, DONE, **kwargs)

    assert result["counts"] == {"deleted": 249}
    assert list(qlik_sandbox.assets) == [kept]


def test_the_guard_counts_what_was_deleted_before_the_wait(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    connection(tier2_limit=1)
    kwargs = deferred(clean_up())
    qlik_sandbox.add_asset("store-1", technicalName="one more", dataFreshness="2020-01-01T00:00:00Z")
    connection(tier2_limit=500)

    with pytest.raises(Exception, match=r"251 data assets would be deleted.*nothing more was deleted"):
        clean_up().execute_complete({}, DONE, **kwargs)

    assert len(qlik_sandbox.assets) == 151


@pytest.mark.parametrize("operator", [upsert, patch])
def test_a_single_write_waits_in_the_triggerer(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str], operator: Operator
) -> None:
    connection(tier2_limit=1)
    stamp(data_asset_ids=["a7"]).execute({})
    kwargs = deferred(operator())
    connection(tier2_limit=500)

    result = operator().execute_complete({}, DONE, **kwargs)

    assert result["action"] in {"created", "updated"}
    assert result["id"] in qlik_sandbox.assets


def test_what_an_upsert_created_before_the_wait_counts_as_created(
    qlik_sandbox: Sandbox, connection: Connection
) -> None:
    connection(tier1_limit=1)
    kwargs = deferred(upsert())
    (created,) = qlik_sandbox.assets
    connection(tier1_limit=500)

    result = upsert().execute_complete({}, DONE, **kwargs)

    assert (result["id"], result["action"]) == (created, "created")
    assert len(qlik_sandbox.journal.requests("POST")) == 1


def test_a_younger_duplicate_of_before_the_wait_gives_way(
    qlik_sandbox: Sandbox, connection: Connection
) -> None:
    qlik_sandbox.settings.duplicate_technical_name = "allowed"
    connection(tier1_limit=1)
    kwargs = deferred(upsert())
    theirs = qlik_sandbox.add_asset(
        "store-1", technicalName="new", appType="app", createdTime="2020-01-01T00:00:00Z"
    )
    connection(tier1_limit=500)

    result = upsert().execute_complete({}, DONE, **kwargs)

    assert result["id"] == theirs["id"]
    assert list(qlik_sandbox.assets) == [theirs["id"]]


@pytest.mark.parametrize("exists", [False, True])
def test_what_an_upsert_created_before_the_wait_does_not_count_for_another_name(
    qlik_sandbox: Sandbox, connection: Connection, *, exists: bool
) -> None:
    """A template of the name may be rendered to another one after the wait."""
    connection(tier1_limit=1)
    kwargs = deferred(upsert())
    if exists:
        qlik_sandbox.add_asset("store-1", technicalName="other", appType="app")
    connection(tier1_limit=500)

    result = upsert("other").execute_complete({}, DONE, **kwargs)

    assert (result["action"], result["data_asset"]["technicalName"]) == (
        "unchanged" if exists else "created",
        "other",
    )
    assert {asset["technicalName"] for asset in qlik_sandbox.assets.values()} == {"new", "other"}


@pytest.mark.parametrize(("operator", "limit"), [(stamp, 20), (delete, 1)])
def test_the_ids_may_be_others_after_the_wait(
    connection: Connection, ids: list[str], operator: Callable[..., Any], limit: int
) -> None:
    connection(tier2_limit=limit)
    kwargs = deferred(operator())
    connection(tier2_limit=500)

    result = operator(data_asset_ids=ids[-2:]).execute_complete({}, DONE, **kwargs)

    assert [row["id"] for row in result["results"][:2]] == ids[-2:]
    assert sum(result["counts"].values()) == len(result["results"]) == len(kwargs["earlier"]) + 2


def test_reads_of_a_deletion_that_take_several_windows_come_to_an_end(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_LONGEST_WAIT_ON_WORKER_SECONDS", 0.1)
    connection(tier1_limit=100, rate_limit_window=2)

    assert delete().execute({})["counts"] == {"deleted": 250}
    assert len(qlik_sandbox.journal.requests("GET")) == 250


def test_a_deletion_waits_in_the_triggerer_before_its_first_read(
    connection: Connection, ids: list[str]
) -> None:
    connection(tier1_limit=1)
    QlikPatchDataAssetOperator(task_id="patch", data_asset_id="a1", changes={"name": "new"}).execute({})

    assert deferred(delete())["earlier"] == []


def test_a_deletion_that_may_have_been_done_is_not_begun_anew(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    connection(tier1_limit=300, max_retries=0, max_rate_limit_wait=100)
    qlik_sandbox.add_fault(Fault(kind="drop", method="DELETE", when="after"))

    with pytest.raises(QlikConnectionError, match="may or may not have been made"):
        delete().execute({})


def test_a_write_that_was_answered_without_a_document_is_not_read_again(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    qlik_sandbox.settings.patch_answers_204 = True
    connection(tier1_limit=50)

    kwargs = deferred(stamp())

    written = [name for name, asset in qlik_sandbox.assets.items() if asset["version"] > 0]
    assert len(written) >= 40
    assert sorted(row["id"] for row in kwargs["earlier"]) == sorted(written)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(kind="status", status=401, method="PATCH"), r"19 were done before the last wait\. \d+ of 31"),
        (Fault(kind="status", status=404, method="PATCH"), r"19 were done before the last wait\. .*404"),
        (Fault(kind="status", status=500, method="PATCH", times=3), r"19 were done .*3 of 31 .* failed"),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
def test_an_error_after_a_wait_says_what_was_done_before(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str], fault: Fault, message: str
) -> None:
    connection(tier2_limit=20)
    kwargs = deferred(stamp())
    connection(tier2_limit=500, max_retries=0)
    qlik_sandbox.add_fault(fault)

    with pytest.raises(Exception, match=f"^{message}"):
        stamp().execute_complete({}, DONE, **kwargs)


def test_a_patch_that_may_have_been_done_is_not_begun_anew(
    qlik_sandbox: Sandbox, connection: Connection
) -> None:
    connection(tier1_limit=1, max_retries=0)
    qlik_sandbox.add_fault(Fault(kind="drop", method="PATCH", when="after"))
    append = [{"op": "add", "path": "/tags/-", "value": "new"}]
    qlik_sandbox.add_asset("store-1", id="a1", technicalName="t1", tags=["old"])

    with pytest.raises(QlikConnectionError, match="may or may not have been made"):
        patch(operations=append).execute({})


@pytest.mark.parametrize("seconds", [31, 59])
def test_the_second_wait_of_a_task_releases_the_worker_sooner(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str], seconds: float
) -> None:
    connection(tier2_limit=20)
    kwargs = deferred(stamp())
    # What was written before is forgotten sooner, so that the next wait is shorter.
    connection(tier2_limit=20, rate_limit_window=seconds)

    again = deferred(stamp(), kwargs)

    assert len(again["earlier"]) >= 19


def test_waits_without_progress_are_bounded(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    connection(tier2_limit=20, max_rate_limit_wait=700)
    kwargs = deferred(stamp(), deferred(stamp()))

    with pytest.raises(QlikRateLimitError, match=r"^19 were done before the last wait\. 0 of 31 stamped, 31"):
        stamp().execute_complete({}, DONE, **kwargs)


def test_a_wait_that_is_not_allowed_says_what_was_done(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    connection(tier2_limit=1, max_rate_limit_wait=1)

    with pytest.raises(QlikRateLimitError, match=r"^1 of 5 stamped, 4 not\. The request was not sent"):
        stamp(data_asset_ids=ids[:5]).execute({})
    with pytest.raises(QlikRateLimitError, match=r"^0 of 250 deleted, 250 not\."):
        delete().execute({})


def test_without_deferring_the_wait_is_on_the_worker(
    qlik_sandbox: Sandbox, connection: Connection, ids: list[str]
) -> None:
    connection(tier2_limit=20, rate_limit_window=2)

    assert stamp(deferrable=False).execute({})["counts"] == {"updated": 50}


@pytest.mark.parametrize("event", [None, {}, {"status": "error"}, "success"])
def test_an_unexpected_event_is_no_success(connection: Connection, ids: list[str], event: Any) -> None:
    connection()

    with pytest.raises(Exception, match="unexpected event"):
        stamp().execute_complete({}, event)

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.client.instants import parse_instant, short_instant
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.triggers.data_freshness import AIRFLOW_3, QlikDataFreshnessTrigger

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]
Run = Callable[..., Any]

SINCE = "2026-01-31T06:30:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"
STALE = "2026-01-01T00:00:00.000Z"


def from_now(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def change_soon(sandbox: Sandbox, asset_id: str, freshness: str = FRESH) -> None:
    await asyncio.sleep(0.3)
    sandbox.touch(asset_id, dataFreshness=freshness)


# --- success ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freshness", [FRESH, SINCE])
async def test_fires_when_fresh(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, freshness: str
) -> None:
    event, _ = await asyncio.gather(until_done(make_trigger()), change_soon(qlik_sandbox, "a", freshness))

    assert event == {
        "status": "success",
        "freshness": {"a": freshness},
        "message": f"Data assets are fresh: a {short_instant(parse_instant(freshness))}.",
    }
    assert json.loads(json.dumps(event)) == event


async def test_sleeps_before_the_first_poll(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    started = time.monotonic()

    await until_done(make_trigger(poll_interval=0.5))

    (request,) = qlik_sandbox.journal.requests()
    assert request.arrived - started >= 0.5


async def test_polls_at_its_interval(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, for_a_while: Run
) -> None:
    began = time.monotonic()
    await for_a_while(make_trigger(poll_interval=0.3), 2.4)

    assert len(qlik_sandbox.journal.requests()) >= 2
    # A busy machine delays single ones, but never makes them more; an interval is up to a tenth shorter.
    assert len(qlik_sandbox.journal.requests()) <= (time.monotonic() - began) / 0.27


async def test_only_reads(make_trigger: MakeTrigger, qlik_sandbox: Sandbox, for_a_while: Run) -> None:
    await for_a_while(make_trigger(), 0.5)

    assert {entry.method for entry in qlik_sandbox.journal.requests()} == {"GET"}


@pytest.mark.parametrize(("match", "fresh"), [("any", ["b"]), ("all", ["a", "b"])])
async def test_waits_for_any_or_all(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, match: str, fresh: list[str]
) -> None:
    qlik_sandbox.add_asset(id="b", technicalName="b")
    changes = [change_soon(qlik_sandbox, asset_id) for asset_id in fresh]

    event, *_ = await asyncio.gather(
        until_done(make_trigger(data_asset_ids=["a", "b"], match=match)), *changes
    )

    assert event["status"] == "success"
    assert {key for key, instant in event["freshness"].items() if instant == FRESH} == set(fresh)


async def test_all_are_not_fresh_before_the_last(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, for_a_while: Run
) -> None:
    qlik_sandbox.add_asset(id="b", technicalName="b", dataFreshness=FRESH)

    await for_a_while(make_trigger(data_asset_ids=["a", "b"]), 0.5)

    # It went on looking, and had seen the one that is fresh.
    assert len(qlik_sandbox.journal.requests(method="GET")) > 1


async def test_waits_for_what_does_not_exist_yet(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    async def create() -> None:
        await asyncio.sleep(0.3)
        qlik_sandbox.add_asset(id="new", technicalName="new", dataFreshness=FRESH)

    event, _ = await asyncio.gather(
        until_done(make_trigger(data_asset_ids=["new"], missing_ok=True)), create()
    )

    assert (event["status"], event["freshness"]) == ("success", {"new": FRESH})


async def test_connection_is_looked_up_once(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget_the_connection() -> None:
        while not qlik_sandbox.journal.requests():
            await asyncio.sleep(0.01)
        monkeypatch.delenv("AIRFLOW_CONN_QLIK_CLOUD_DEFAULT")
        qlik_sandbox.add_fault(Fault(kind="status", status=503, times=2))
        await change_soon(qlik_sandbox, "a")

    event, _ = await asyncio.gather(until_done(make_trigger()), forget_the_connection())

    assert event["status"] == "success"


async def test_oauth_token_is_asked_for_once(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, set_connection: Callable[..., str], for_a_while: Run
) -> None:
    set_connection(host=qlik_sandbox.url, login=qlik_sandbox.client_id, password=qlik_sandbox.client_secret)

    await for_a_while(make_trigger(), 2.0)

    assert len(qlik_sandbox.journal.requests(path="/oauth/token")) == 1
    assert len(qlik_sandbox.journal.requests(path="/api/v1/data-stores")) > 1


# --- the end of the task ---------------------------------------------------------------------------------


RESULT = {"return_value": {"freshness": {"a": FRESH}, "waited_for": SINCE}}


@pytest.mark.parametrize(
    ("pushes_result", "xcoms"),
    [
        (False, None),
        pytest.param(True, RESULT, marks=pytest.mark.skipif(AIRFLOW_3, reason="it would be stored as text")),
    ],
)
async def test_ends_the_task_by_itself_if_it_may(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, pushes_result: bool, xcoms: Any
) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    trigger = make_trigger(ends_task=True, pushes_result=pushes_result)
    trigger.trigger_id = 1  # as a triggerer does
    (event,) = [event async for event in trigger.run()]

    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms == xcoms


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 stores it as it is")
@pytest.mark.parametrize("arguments", [{}, {"pushes_result": True}])
async def test_a_worker_pushes_the_result(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run, arguments: dict[str, Any]
) -> None:
    """Also for a trigger that an earlier version has stored."""
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    trigger = make_trigger(ends_task=True, **arguments)
    trigger.trigger_id = 1

    assert (await until_done(trigger))["status"] == "success"


async def test_ends_no_task_without_a_triggerer(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    """Dag.test() takes every event for one of the task."""
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    assert (await until_done(make_trigger(ends_task=True)))["status"] == "success"


async def test_only_success_ends_the_task(make_trigger: MakeTrigger, until_done: Run) -> None:
    """For the rest a worker decides, which knows of retries and soft_fail."""
    trigger = make_trigger(ends_task=True, deadline=from_now(0.2))
    trigger.trigger_id = 1

    assert (await until_done(trigger))["status"] == "timeout"


# --- deadline --------------------------------------------------------------------------------------------


async def test_deadline_ends_the_wait(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.add_asset(id="b", technicalName="b", dataFreshness=FRESH)
    qlik_sandbox.add_asset(id="c", technicalName="c")
    started = time.monotonic()

    event = await until_done(make_trigger(data_asset_ids=["a", "b", "c"], deadline=from_now(0.7)))

    assert 0.6 < time.monotonic() - started < 15
    assert event == {
        "status": "timeout",
        "freshness": {"a": STALE, "b": FRESH, "c": None},
        "message": (
            "Timed out. Data assets are not fresh since 2026-01-31T06:30Z: a 2026-01-01T00:00Z, "
            "c never stamped."
        ),
    }


async def test_deadline_comes_before_the_next_poll(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    event = await until_done(make_trigger(poll_interval=60.0, deadline=from_now(0.4)))

    assert event["status"] == "timeout"
    assert len(qlik_sandbox.journal.requests()) == 1


async def test_last_poll_at_the_deadline_may_succeed(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    """The triggerer may have been down when the deadline passed."""
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    assert (await until_done(make_trigger(deadline="2026-01-01T00:00:00Z")))["status"] == "success"


async def test_timeout_tells_why_nothing_could_be_read(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=503, times=None))

    event = await until_done(make_trigger(deadline=from_now(0.5)))

    assert (event["status"], event["freshness"]) == ("timeout", {})
    assert "could not be read" in event["message"]
    assert "503" in event["message"]


async def test_timeout_forgets_errors_that_passed(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=503))

    event = await until_done(make_trigger(deadline=from_now(0.8)))

    assert event["status"] == "timeout"
    assert "503" not in event["message"]


# --- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_asset_ids": []}, "empty"),
        ({"fresh_since": "now"}, "not an instant"),
        ({"match": "some"}, "'all' or 'any'"),
        ({"deadline": "tomorrow"}, "not an instant"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"poll_interval": "often"}, "poll_interval"),
    ],
)
def test_wrong_arguments_fail_before_the_task_is_deferred(
    make_trigger: MakeTrigger, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(QlikValidationError, match=message):
        make_trigger(**arguments)


def test_one_id(make_trigger: MakeTrigger) -> None:
    assert make_trigger(data_asset_ids="abc").data_asset_ids == ["abc"]

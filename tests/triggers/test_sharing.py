"""Many triggers, one poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.triggers import shared_poll
from airflow_provider_qlik_assets.triggers.data_freshness import (
    QlikDataFreshnessEventTrigger,
    QlikDataFreshnessTrigger,
)

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]
Run = Callable[..., Any]
Trigger = QlikDataFreshnessTrigger | QlikDataFreshnessEventTrigger

FRESH = "2026-02-01T00:00:00.000Z"
LISTING = "/api/v1/data-stores/*/data-assets"


@asynccontextmanager
async def by_run(triggers: list[Trigger]) -> AsyncIterator[list[asyncio.Task[list[Any]]]]:
    """Run triggers as every Airflow before 3.3 does."""

    async def events(trigger: Trigger) -> list[Any]:
        return [event.payload async for event in trigger.run()]

    tasks = [asyncio.create_task(events(trigger)) for trigger in triggers]
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def by_shared_stream(triggers: list[Trigger]) -> AsyncIterator[list[asyncio.Task[list[Any]]]]:
    """Run triggers as the triggerer of Airflow 3.3 does."""
    module = pytest.importorskip("airflow.triggers.shared_stream")
    manager = module.SharedStreamManager()

    async def events(number: int, trigger: Any) -> list[Any]:
        key = trigger.shared_stream_key()
        stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            return [event.payload async for event in trigger.filter_shared_stream(stream)]
        finally:
            await manager.unsubscribe(number, key)

    tasks = [asyncio.create_task(events(*numbered)) for numbered in enumerate(triggers)]
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await manager.stop_all()


each_way = pytest.mark.parametrize("running", [by_run, by_shared_stream])


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        await asyncio.sleep(0.01)


@pytest.fixture
def assets(qlik_sandbox: Sandbox) -> list[str]:
    store = qlik_sandbox.add_store(id="store", name="Store")
    return [
        qlik_sandbox.add_asset(store, id=f"{number:03}", technicalName=str(number))["id"]
        for number in range(50)
    ]


@each_way
async def test_a_poll_takes_one_request_however_many_wait(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    triggers = [make_trigger(data_asset_ids=[key], poll_interval=0.2) for key in assets]
    began = time.monotonic()
    async with running(triggers):
        await until(lambda: len(qlik_sandbox.journal) >= 8)

    assert {entry.path for entry in qlik_sandbox.journal.requests()} == {LISTING}
    # Each alone would send 50 times as many; an interval is up to a tenth shorter.
    assert len(qlik_sandbox.journal) <= (time.monotonic() - began) / 0.18


@each_way
async def test_each_gets_its_own_event(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    triggers = [make_trigger(data_asset_ids=[key]) for key in assets]
    async with running(triggers) as tasks:
        await until(lambda: len(qlik_sandbox.journal) > 1)
        for key in assets[:25]:
            qlik_sandbox.touch(key, dataFreshness=FRESH)
        results = await asyncio.wait_for(asyncio.gather(*tasks[:25]), 60)
        await asyncio.sleep(0.2)
        waiting = [task.done() for task in tasks[25:]]

    assert [one[0]["freshness"] for one in results] == [{key: FRESH} for key in assets[:25]]
    assert not any(waiting)


@each_way
async def test_latecomers_learn_what_was_known_before(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    qlik_sandbox.touch(assets[1], dataFreshness=FRESH)
    async with running([make_trigger(data_asset_ids=[assets[0]])]):
        await until(lambda: len(qlik_sandbox.journal) > 2)
        async with running([make_trigger(data_asset_ids=[assets[1]])]) as (late,):
            (event,) = await asyncio.wait_for(late, 60)

    assert event["status"] == "success"


async def test_a_latecomer_whose_deadline_is_near_does_not_lose_what_it_has_seen(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str]
) -> None:
    qlik_sandbox.touch(assets[1], dataFreshness=FRESH)
    async with by_run([make_trigger(data_asset_ids=[assets[0]], poll_interval=1.0)]):
        await asyncio.sleep(0.5)
        deadline = (datetime.now(UTC) + timedelta(seconds=0.8)).isoformat()
        late = make_trigger(data_asset_ids=[assets[1]], poll_interval=1.0, deadline=deadline)
        async with by_run([late]) as (task,):
            (event,) = await asyncio.wait_for(task, 60)

    assert event["status"] == "success"


@each_way
async def test_what_was_true_before_a_latecomer_came_does_not_count(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    """It was fresh when the others polled, and was not any more when whoever deferred looked."""
    qlik_sandbox.touch(assets[1], dataFreshness=FRESH)
    async with running([make_trigger(data_asset_ids=[assets[0]], poll_interval=0.5)]):
        await until(lambda: len(qlik_sandbox.journal) > 1)
        qlik_sandbox.touch(assets[1], dataFreshness=None)
        async with running([make_trigger(data_asset_ids=[assets[1]], poll_interval=0.5)]) as (late,):
            done, _ = await asyncio.wait([late], timeout=1.2)

    assert not done


@each_way
async def test_the_error_of_one_is_not_that_of_the_others(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    triggers = [make_trigger(data_asset_ids=[key]) for key in ("nowhere", *assets[:3])]
    async with running(triggers) as tasks:
        (event,) = await asyncio.wait_for(tasks[0], 60)
        waiting = [task.done() for task in tasks[1:]]

    assert event["status"] == "error"
    assert "nowhere" in event["message"]
    assert not any(waiting)


@each_way
async def test_an_error_that_nobody_can_wait_out_ends_all(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    triggers = [make_trigger(data_asset_ids=[key]) for key in assets]
    async with running(triggers) as tasks:
        await until(lambda: len(qlik_sandbox.journal) > 1)
        qlik_sandbox.add_fault(Fault(kind="status", status=401, times=None))
        qlik_sandbox.journal.clear()
        results = await asyncio.wait_for(asyncio.gather(*tasks), 60)

    assert {one[0]["status"] for one in results} == {"error"}
    assert len(qlik_sandbox.journal) == 2  # the second one with the connection as it is by then


@each_way
async def test_what_may_pass_ends_none(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    async with running([make_trigger(data_asset_ids=[key]) for key in assets]) as tasks:
        await until(lambda: len(qlik_sandbox.journal) > 1)
        qlik_sandbox.add_fault(Fault(kind="status", status=503, times=2))
        await until(lambda: len(qlik_sandbox.journal) > 5)
        for key in assets:
            qlik_sandbox.touch(key, dataFreshness=FRESH)
        results = await asyncio.wait_for(asyncio.gather(*tasks), 60)

    assert {one[0]["status"] for one in results} == {"success"}


@each_way
async def test_the_last_one_ends_the_poll(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    async with running([make_trigger(data_asset_ids=[key]) for key in assets[:5]]):
        await until(lambda: len(qlik_sandbox.journal) > 1)
    await asyncio.sleep(0.1)
    qlik_sandbox.journal.clear()
    await asyncio.sleep(0.3)

    assert not qlik_sandbox.journal.requests()
    assert not shared_poll._polls.get(asyncio.get_running_loop())


@each_way
async def test_another_interval_is_another_poll(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], running: Any
) -> None:
    triggers = [make_trigger(data_asset_ids=[assets[0]], poll_interval=seconds) for seconds in (0.1, 60.0)]
    async with running(triggers) as tasks:
        await until(lambda: len(qlik_sandbox.journal) > 2)
        qlik_sandbox.touch(assets[0], dataFreshness=FRESH)
        done, left = await asyncio.wait(tasks, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(1.0)  # ten polls of the first one

        assert len(done) == 1
        assert not any(task.done() for task in left)


@each_way
async def test_sensors_and_watchers_share_a_poll(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, qlik_conn_id: str, assets: list[str], running: Any
) -> None:
    watcher = QlikDataFreshnessEventTrigger(
        qlik_conn_id=qlik_conn_id, data_asset_ids=assets[:3], poll_interval=0.2, asset_name="x"
    )
    began = time.monotonic()
    async with running([make_trigger(data_asset_ids=[assets[0]], poll_interval=0.2), watcher]):
        await until(lambda: len(qlik_sandbox.journal) >= 8)

    # One more than fit: a trigger may look at once, or at the end.
    assert len(qlik_sandbox.journal) <= (time.monotonic() - began) / 0.18 + 1


def test_the_key_tells_what_may_be_shared(make_trigger: MakeTrigger) -> None:
    keys = {
        make_trigger(**arguments).shared_stream_key()
        for arguments in (
            {},
            {"data_asset_ids": ["b"], "missing_ok": True, "data_store_ids": ["s"], "match": "any"},
            {"deadline": FRESH},
            {"poll_interval": 7.0},
            {"qlik_conn_id": "other"},
        )
    }

    assert len(keys) == 3
    assert {hash(key) for key in keys}


async def test_many_that_end_at_their_deadlines_hurry_the_poll_but_little(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, assets: list[str], until_done: Run
) -> None:
    deadline = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    triggers = [make_trigger(data_asset_ids=[key], poll_interval=60.0, deadline=deadline) for key in assets]
    events = await asyncio.gather(*(until_done(trigger) for trigger in triggers))

    assert {event["status"] for event in events} == {"timeout"}
    assert len(qlik_sandbox.journal) <= 2

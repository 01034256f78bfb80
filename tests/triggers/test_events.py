"""The trigger of asset watchers: an event per change, also across restarts."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.triggers import data_freshness, seen_store
from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessEventTrigger
from tests.triggers.state_stores import StateStore, StateStoreOfTwoAssets

MakeWatcher = Callable[..., QlikDataFreshnessEventTrigger]
Watchers = dict[int, tuple[QlikDataFreshnessEventTrigger, Sandbox]]

STATUSES = [400, 401, 403, 404, 405, 408, 409, 412, 422, 425, 429, 500, 502, 503, 504]

OLD = "2026-01-01T00:00:00.000Z"
NEW = "2026-02-01T00:00:00.000Z"
NEWER = "2026-03-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def events_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_freshness, "_SECONDS_UNTIL_WRITTEN", 0.0)
    monkeypatch.setattr(seen_store, "_FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def make_watcher(qlik_conn_id: str, qlik_sandbox: Sandbox) -> MakeWatcher:
    """Make a trigger that watches the data asset "a", one of two in a store."""
    store = qlik_sandbox.add_store(id="store", name="Store")
    for key in "ab":
        qlik_sandbox.add_asset(store, id=key, technicalName=f"name of {key}", dataFreshness=OLD)

    def make(state_store: Any = None, **arguments: Any) -> QlikDataFreshnessEventTrigger:
        defaults = {"data_asset_ids": ["a"], "poll_interval": 0.05, "asset_name": "orders"}
        watcher = QlikDataFreshnessEventTrigger(**{"qlik_conn_id": qlik_conn_id, **defaults, **arguments})
        if state_store is not None:
            if not data_freshness.AIRFLOW_3:
                pytest.skip("Airflow 2 watches no assets")
            watcher.asset_state_store = state_store
        return watcher

    return make


@asynccontextmanager
async def running(watcher: QlikDataFreshnessEventTrigger, sandbox: Sandbox) -> AsyncIterator[list[Any]]:
    """Run a watcher; its payloads collect in the list. The first poll is over when this begins."""
    events: list[Any] = []

    async def collect() -> None:
        async for event in watcher.run():
            events.append(event.payload)  # noqa: PERF401 - it never ends

    task = asyncio.create_task(collect())
    await polls(sandbox, 4)  # where it watches all of a store, the first poll takes two requests
    yield events
    await polls(sandbox, 3)
    assert not task.done(), task.exception()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def polls(sandbox: Sandbox, count: int) -> None:
    """Wait until as many requests have arrived."""
    goal = len(sandbox.journal) + count
    for _ in range(1000):
        if len(sandbox.journal) >= goal:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("The watcher does not poll.")


def pairs(events: list[Any]) -> list[tuple[str, Any, Any]]:
    return [(event["id"], event["previous"], event["data_freshness"]) for event in events]


# --- changes ----------------------------------------------------------------------------------------------


async def test_an_event_tells_what_changed(make_watcher: MakeWatcher, qlik_sandbox: Sandbox) -> None:
    async with running(make_watcher(), qlik_sandbox) as events:
        qlik_sandbox.touch("a", dataFreshness=NEW)

    assert events == [
        {"id": "a", "data_freshness": NEW, "previous": OLD, "version": 1, "technical_name": "name of a"}
    ]
    assert json.loads(json.dumps(events)) == events


async def test_each_change_fires_once(make_watcher: MakeWatcher, qlik_sandbox: Sandbox) -> None:
    async with running(make_watcher(), qlik_sandbox) as events:
        for instant in (NEW, OLD, NEWER):
            qlik_sandbox.touch("a", dataFreshness=instant)
            await polls(qlik_sandbox, 3)

    assert pairs(events) == [("a", OLD, NEW), ("a", NEW, OLD), ("a", OLD, NEWER)]


async def test_other_changes_do_not_fire(make_watcher: MakeWatcher, qlik_sandbox: Sandbox) -> None:
    async with running(make_watcher(), qlik_sandbox) as events:
        qlik_sandbox.touch("a", description="New text")
        qlik_sandbox.touch("b", dataFreshness=NEW)

    assert events == []


@pytest.mark.parametrize("watched", [{"data_store_ids": ["store"]}, {"data_store_ids": None}])
async def test_all_of_a_store_may_be_watched(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox, watched: dict[str, Any]
) -> None:
    other = qlik_sandbox.add_store(id="other", name="Other")
    qlik_sandbox.add_asset(other, id="c", technicalName="c", dataFreshness=OLD)
    async with running(make_watcher(data_asset_ids=None, **watched), qlik_sandbox) as events:
        qlik_sandbox.touch("b", dataFreshness=NEW)
        await polls(qlik_sandbox, 3)
        qlik_sandbox.add_asset("store", id="d", technicalName="d", dataFreshness=NEWER)
        await polls(qlik_sandbox, 3)
        qlik_sandbox.touch("c", dataFreshness=NEW)

    expected = [("b", OLD, NEW), ("d", None, NEWER)]
    assert pairs(events) == (expected if watched["data_store_ids"] else [*expected, ("c", OLD, NEW)])


async def test_an_awaited_data_asset_fires_when_it_is_created(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox
) -> None:
    async with running(make_watcher(data_asset_ids=["new"]), qlik_sandbox) as events:
        qlik_sandbox.add_asset("store", id="new", technicalName="new", dataFreshness=NEW)

    assert pairs(events) == [("new", None, NEW)]
    assert events[0]["version"] == 0


# --- restarts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "watched", [{}, {"data_asset_ids": None, "data_store_ids": ["store"]}, {"data_asset_ids": None}]
)
async def test_changes_during_a_restart_fire_once(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox, watched: dict[str, Any]
) -> None:
    store, events = StateStore(), []
    for instant in (None, NEW, None, NEWER, None):
        if instant:
            qlik_sandbox.touch("a", dataFreshness=instant)
        async with running(make_watcher(store, **watched), qlik_sandbox) as found:
            pass
        events.append(pairs(found))

    assert events == [[], [("a", OLD, NEW)], [], [("a", NEW, NEWER)], []]


async def test_a_data_asset_created_during_a_restart_fires(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox
) -> None:
    store = StateStore()
    async with running(make_watcher(store, data_asset_ids=None), qlik_sandbox):
        pass
    qlik_sandbox.add_asset("store", id="new", technicalName="new", dataFreshness=NEW)
    async with running(make_watcher(store, data_asset_ids=None), qlik_sandbox) as events:
        pass

    assert pairs(events) == [("new", None, NEW)]


async def test_without_a_state_store_the_first_poll_only_takes_note(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox
) -> None:
    async with running(make_watcher(), qlik_sandbox):
        pass
    qlik_sandbox.touch("a", dataFreshness=NEW)
    async with running(make_watcher(), qlik_sandbox) as events:
        pass

    assert events == []


@pytest.mark.parametrize(
    "watched", [{"data_asset_ids": ["b"]}, {"data_asset_ids": None}, {"data_asset_ids": ["a", "b"]}]
)
async def test_what_is_watched_anew_does_not_fire_for_what_was_before(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox, watched: dict[str, Any]
) -> None:
    store = StateStore()
    async with running(make_watcher(store), qlik_sandbox):
        pass
    qlik_sandbox.touch("b", dataFreshness=NEW)
    async with running(make_watcher(store, **watched), qlik_sandbox) as events:
        pass

    assert events == []


async def test_only_what_has_changed_is_kept(make_watcher: MakeWatcher, qlik_sandbox: Sandbox) -> None:
    store = StateStore()
    async with running(make_watcher(store, data_asset_ids=None), qlik_sandbox):
        store.written.clear()
        qlik_sandbox.touch("a", dataFreshness=NEW)

    assert len(store.written) == 1


# --- errors -----------------------------------------------------------------------------------------------


async def test_a_state_store_that_fails_for_a_while_loses_nothing(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox
) -> None:
    store = StateStore()
    async with running(make_watcher(store), qlik_sandbox):
        store.fails = 2
        qlik_sandbox.touch("a", dataFreshness=NEW)
    qlik_sandbox.touch("a", dataFreshness=NEWER)
    store.fails = 2
    async with running(make_watcher(store), qlik_sandbox) as events:
        pass

    assert pairs(events) == [("a", NEW, NEWER)]


async def test_a_state_store_that_cannot_be_read_at_first_is_used_later(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox
) -> None:
    store = StateStore()
    watched = {"data_asset_ids": None, "data_store_ids": ["store"]}
    async with running(make_watcher(store, **watched), qlik_sandbox):
        pass
    for key in "ab":
        qlik_sandbox.touch(key, dataFreshness=NEW)
    qlik_sandbox.add_asset("store", id="new", technicalName="new", dataFreshness=OLD)
    store.fails = 1000
    async with running(make_watcher(store, **watched), qlik_sandbox) as events:
        await asyncio.sleep(1)
        for instant in (NEWER, NEW):
            qlik_sandbox.touch("b", dataFreshness=instant)
            await polls(qlik_sandbox, 4)
            store.fails = 0
    first, *others = pairs(events)
    assert first == ("b", NEW, NEWER)
    assert sorted(others) == [("a", OLD, NEW), ("b", NEWER, NEW), ("new", None, OLD)]

    async with running(make_watcher(store, **watched), qlik_sandbox) as events:
        pass
    assert events == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"data_asset_ids": ["a"]}, {"data_asset_ids": ["b"]}),
        ({"data_asset_ids": ["a"]}, {"data_asset_ids": None}),
        (
            {"data_asset_ids": None, "data_store_ids": ["store"]},
            {"data_asset_ids": None, "data_store_ids": ["other"]},
        ),
        ({"data_asset_ids": ["a"]}, {"data_asset_ids": ["a"], "qlik_conn_id": "qlik_other"}),
    ],
    ids=["ids", "ids and all", "stores", "connections"],
)
async def test_watchers_of_one_asset_keep_apart_what_they_have_seen(
    make_watcher: MakeWatcher,
    qlik_sandbox: Sandbox,
    set_connection: Callable[..., str],
    one: dict[str, Any],
    other: dict[str, Any],
) -> None:
    """They share Airflow's state store of the asset."""
    with Sandbox() as other_tenant:
        for sandbox, key in ((qlik_sandbox, "c"), (other_tenant, "a")):
            store_of_key = sandbox.add_store(id="other", name="Other")
            sandbox.add_asset(store_of_key, id=key, technicalName="same id", dataFreshness=OLD)
        set_connection("qlik_other", host=other_tenant.url, password=other_tenant.api_key)
        other_sandbox = other_tenant if "qlik_conn_id" in other else qlik_sandbox
        store, found = StateStore(), []
        for instant in (None, NEW, None):
            if instant:
                for key in "abc":
                    qlik_sandbox.touch(key, dataFreshness=instant)
            for watched, sandbox in ((one, qlik_sandbox), (other, other_sandbox)):
                async with running(make_watcher(store, **watched), sandbox) as events:
                    pass
                found.append(sorted(event["id"] for event in events))

    expected = [sorted(one["data_asset_ids"] or "ab"), sorted(other["data_asset_ids"] or "abc")]
    expected[1] = ["c"] if "data_store_ids" in other else [] if "qlik_conn_id" in other else expected[1]
    assert found == [[], [], *expected, [], []]


async def test_a_state_store_that_always_fails_does_not_end_the_watch(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox
) -> None:
    store = StateStore()
    store.fails = 1000
    async with running(make_watcher(store), qlik_sandbox) as events:
        qlik_sandbox.touch("a", dataFreshness=NEW)

    assert pairs(events) == [("a", OLD, NEW)]


async def test_a_wrong_asset_name_is_said_and_harmless(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox, caplog: Any, capsys: Any
) -> None:
    store = StateStore()
    with caplog.at_level(logging.WARNING):
        async with running(make_watcher(store, asset_name="customers"), qlik_sandbox) as events:
            qlik_sandbox.touch("a", dataFreshness=NEW)

    assert pairs(events) == [("a", OLD, NEW)]
    assert store.written
    assert "asset_name is 'customers'" in caplog.text + capsys.readouterr().out


async def test_a_state_store_of_two_assets_does_not_end_the_watch(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox
) -> None:
    async with running(make_watcher(StateStoreOfTwoAssets()), qlik_sandbox) as events:
        qlik_sandbox.touch("a", dataFreshness=NEW)

    assert pairs(events) == [("a", OLD, NEW)]


@pytest.fixture
def watchers(set_connection: Callable[..., str]) -> Iterator[Watchers]:
    """A tenant for each status, and a watcher of it."""
    with ExitStack() as stack:
        found = {}
        for status in STATUSES:
            tenant = stack.enter_context(Sandbox())
            tenant.add_asset(id="a", technicalName="name of a", dataFreshness=OLD)
            conn_id = set_connection(f"qlik_{status}", host=tenant.url, password=tenant.api_key)
            watcher = QlikDataFreshnessEventTrigger(
                qlik_conn_id=conn_id, data_asset_ids=["a"], poll_interval=0.2, asset_name="orders"
            )
            found[status] = (watcher, tenant)
        yield found


async def test_no_error_ends_the_watch(watchers: Watchers) -> None:
    async def watch(status: int) -> list[Any]:
        watcher, tenant = watchers[status]
        async with running(watcher, tenant) as events:
            tenant.add_fault(Fault(kind="status", status=status, times=3))
            await polls(tenant, 4)
            tenant.touch("a", dataFreshness=NEW)
            await polls(tenant, 3)
        return pairs(events)

    found = await asyncio.gather(*map(watch, STATUSES), return_exceptions=True)

    assert dict(zip(STATUSES, found, strict=True)) == {status: [("a", OLD, NEW)] for status in STATUSES}


async def test_no_status_makes_it_poll_more_often(watchers: Watchers) -> None:
    async def watch(status: int) -> float:
        watcher, tenant = watchers[status]
        async with running(watcher, tenant):
            tenant.journal.clear()
            began = time.monotonic()
            tenant.add_fault(Fault(kind="status", status=status, times=None))
            await asyncio.sleep(2.0)
            requests = len(tenant.journal)
            tenant.clear_faults()
            # At most one a poll, and two more to find out what is refused.
            return requests - (time.monotonic() - began) / 0.18 - 3

    found = await asyncio.gather(*map(watch, STATUSES), return_exceptions=True)

    too_many = {
        status: excess
        for status, excess in zip(STATUSES, found, strict=True)
        if isinstance(excess, BaseException) or excess > 0
    }
    assert too_many == {}


async def test_a_mended_connection_is_noticed(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox, set_connection: Callable[..., str]
) -> None:
    async with running(make_watcher(), qlik_sandbox) as events:
        qlik_sandbox.add_fault(Fault(kind="revoke_token"))
        await polls(qlik_sandbox, 2)
        set_connection(
            host=qlik_sandbox.url, login=qlik_sandbox.client_id, password=qlik_sandbox.client_secret
        )
        qlik_sandbox.touch("a", dataFreshness=NEW)
        await polls(qlik_sandbox, 6)

    assert pairs(events) == [("a", OLD, NEW)]


async def test_a_problem_is_told_once(
    make_watcher: MakeWatcher, qlik_sandbox: Sandbox, logged: Callable[[str], list[str]]
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=403, times=None, path="/api/v1/data-stores/nowhere/*"))
    watcher = make_watcher(data_asset_ids=None, data_store_ids=["nowhere"])
    async with running(watcher, qlik_sandbox):
        await polls(qlik_sandbox, 6)

    assert len(logged("Trying again: ")) == 1


# --- arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [{}, {"data_asset_ids": None, "data_store_ids": ("s",)}, {"data_asset_ids": "one", "poll_interval": 5}],
)
def test_goes_through_airflows_database(make_watcher: MakeWatcher, arguments: dict[str, Any]) -> None:
    watcher = make_watcher(**arguments)
    row = Trigger.from_object(watcher)

    assert QlikDataFreshnessEventTrigger(**row.kwargs).serialize() == watcher.serialize()
    assert json.loads(json.dumps(watcher.serialize()[1])) == watcher.serialize()[1]


def test_a_missing_asset_name_is_said_when_the_dag_is_parsed(qlik_conn_id: str) -> None:
    with pytest.raises(QlikValidationError, match="give the name of the Airflow asset"):
        QlikDataFreshnessEventTrigger(qlik_conn_id=qlik_conn_id, data_asset_ids=["a"])


def test_watchers_of_two_assets_are_not_taken_for_one(make_watcher: MakeWatcher) -> None:
    assert make_watcher(asset_name="x").serialize() != make_watcher(asset_name="y").serialize()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_asset_ids": []}, "data_asset_ids is empty"),
        ({"data_store_ids": []}, "data_store_ids is empty"),
        ({"data_asset_ids": ["*"]}, "name each data asset"),
        ({"poll_interval": -1}, "poll_interval"),
        ({"asset_name": ""}, "asset_name is missing"),
        ({"asset_name": None}, "asset_name is missing"),
    ],
)
def test_wrong_arguments_fail_when_the_dag_is_parsed(
    make_watcher: MakeWatcher, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(QlikValidationError, match=message):
        make_watcher(**arguments)

"""Whatever happens between and during polls, and however the tenant behaves: what the feed says is true."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from airflow_provider_qlik_assets.client import QlikCloudClient, QlikCloudError
from airflow_provider_qlik_assets.client.instants import format_instant
from airflow_provider_qlik_assets.client.paging import Page
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.watching.feed import ChangeFeed, Interest

ASSETS = 130
POLLS_UNTIL_A_DELETION_IS_KNOWN = 12

numbers = st.integers(0, ASSETS - 1)
instants = st.sampled_from(["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", None])
changes = st.one_of(
    st.tuples(st.just("touch"), numbers, instants),
    st.tuples(st.just("touch many"), numbers, instants),
    st.tuples(st.just("create"), numbers, instants),
    st.tuples(st.just("delete"), numbers, st.none()),
)
steps = st.lists(
    st.tuples(
        st.lists(changes, max_size=4),  # before a poll
        st.lists(changes, max_size=2),  # after its first page
        st.booleans(),  # whether one of its requests fails
    ),
    min_size=1,
    max_size=6,
)
behaviour = st.sampled_from(
    [{}, {}, {"sort_refused": True}, {"sort_ignored": True}, {"all_stores_refused": True}]
)


class World:
    """A tenant in which things happen."""

    def __init__(self, sandbox: Sandbox, client: QlikCloudClient) -> None:
        self.sandbox = sandbox
        self.client = client
        self._created = 0

    def change(self, kind: str, number: int, instant: str | None) -> None:
        keys = sorted(self.sandbox.assets)
        key = keys[number % len(keys)] if keys else None
        if kind == "create":
            self._created += 1
            name = f"new-{self._created}"
            self.sandbox.add_asset("store", id=name, technicalName=name, dataFreshness=instant)
        elif key is not None and kind == "delete":
            self.sandbox_delete(key)
        elif kind == "touch many":
            for one in keys[number:]:
                self.sandbox.touch(one, dataFreshness=instant)
        elif key is not None:
            self.sandbox.touch(key, dataFreshness=instant)

    def sandbox_delete(self, key: str) -> None:
        faults = self.sandbox.faults
        self.sandbox.clear_faults()
        self.client.delete_data_assets([key])
        for fault in faults:
            self.sandbox.add_fault(fault)

    def truth(self, ids: list[str]) -> dict[str, str | None]:
        assets = self.sandbox.assets
        return {key: assets[key].get("dataFreshness") for key in ids if key in assets}


@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(
    steps=[
        ([("touch", 0, "2026-01-01T00:00:00.000Z")], [("delete", 0, None)], False),
        ([("create", 0, "2026-01-01T00:00:00.000Z")], [], True),
    ],
    tenant=({}, 1),
)
@given(steps=steps, tenant=st.tuples(behaviour, st.sampled_from([1, 3, ASSETS])))
@pytest.mark.slow
def test_what_the_feed_says_is_true(
    sandbox: Sandbox, connect: Callable[..., QlikCloudClient], clock: Any, steps: list[Any], tenant: Any
) -> None:
    switches, wanted = tenant
    sandbox.reset()
    sandbox.add_store(id="store", name="Store")
    for name, value in switches.items():
        setattr(sandbox.settings, name, value)
    for number in range(ASSETS):
        sandbox.add_asset("store", id=f"{number:03}", technicalName=str(number))
    client = connect()
    world = World(sandbox, connect())
    feed = ChangeFeed(clock=clock)
    ids = [f"{number:03}" for number in range(0, ASSETS, ASSETS // wanted)] + ["new-1"]
    interest = Interest(ids=frozenset(ids))
    read_page = client.read_page
    pending: list[Any] = []

    def read(data_store_ids: Any = (), number: int = 0, **options: Any) -> Page:
        page = read_page(data_store_ids, number, **options)
        while pending:
            world.change(*pending.pop())
        return page

    client.read_page = read  # type: ignore[method-assign]

    for before, during, fails in steps:
        for change in before:
            world.change(*change)
        pending[:] = during
        if fails:
            sandbox.add_fault(Fault(kind="status", status=500, skip=1))
        clock.sleep(60)
        with contextlib.suppress(QlikCloudError):
            feed.poll(client, interest)
        pending.clear()
    sandbox.clear_faults()
    clock.sleep(60)
    snapshot = feed.poll(client, interest)

    seen = {key: snapshot.states[key].freshness for key in ids if key in snapshot.states}
    truth = world.truth(ids)
    assert {
        key: instant and format_instant(instant) for key, instant in seen.items() if key in truth
    } == truth

    missing = set(ids) - truth.keys()
    for _ in range(POLLS_UNTIL_A_DELETION_IS_KNOWN):
        if snapshot.errors.keys() != missing:
            clock.sleep(60)
            snapshot = feed.poll(client, interest)
    assert snapshot.errors.keys() == missing

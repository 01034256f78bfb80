from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.triggers import data_freshness, handing_back, shared_poll
from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessTrigger

SINCE = "2026-01-31T06:30:00.000Z"

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]


@pytest.fixture(autouse=True)
def intervals_may_be_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests poll more often than once a second, and let triggers fire as soon as they like."""
    monkeypatch.setattr(shared_poll, "SHORTEST_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(data_freshness, "SHORTEST_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(handing_back, "SHORTEST_DEFERRAL_SECONDS", 0.0)


@pytest.fixture
def make_trigger(qlik_conn_id: str, qlik_sandbox: Sandbox) -> MakeTrigger:
    """Make a trigger that waits for the data asset "a", which is stale."""
    qlik_sandbox.add_asset(id="a", technicalName="a", dataFreshness="2026-01-01T00:00:00Z")

    def make(**arguments: Any) -> QlikDataFreshnessTrigger:
        return QlikDataFreshnessTrigger(
            **{
                "qlik_conn_id": qlik_conn_id,
                "data_asset_ids": ["a"],
                "fresh_since": SINCE,
                "poll_interval": 0.05,
                **arguments,
            }
        )

    return make


async def all_events(trigger: QlikDataFreshnessTrigger) -> list[dict[str, Any]]:
    """Run a trigger to its end and return the payloads of its events."""
    return [event.payload async for event in trigger.run()]


async def until_done(trigger: QlikDataFreshnessTrigger, seconds: float = 20.0) -> dict[str, Any]:
    """Run a trigger and return the payload of its only event."""
    (payload,) = await asyncio.wait_for(all_events(trigger), seconds)
    return payload


async def for_a_while(sandbox: Sandbox, trigger: QlikDataFreshnessTrigger, seconds: float) -> None:
    """Run a trigger that does not end for some time, which counts from its first request."""
    task = asyncio.create_task(all_events(trigger))
    async with asyncio.timeout(60):
        while not (len(sandbox.journal) or task.done()):
            await asyncio.sleep(0.01)
    done, _ = await asyncio.wait([task], timeout=seconds)
    assert not done, f"ended with {task.result()}"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(name="until_done")
def _until_done() -> Callable[..., Any]:
    return until_done


@pytest.fixture(name="for_a_while")
def _for_a_while(qlik_sandbox: Sandbox) -> Callable[..., Any]:
    return functools.partial(for_a_while, qlik_sandbox)

"""How soon a trigger may fire in a triggerer, so that the scheduler does not take the task for failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.triggers import handing_back
from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessTrigger
from airflow_provider_qlik_assets.triggers.rate_limit import QlikRateLimitTrigger

FRESH = "2026-02-01T00:00:00.000Z"
SHORTEST_SECONDS = 1.5

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]


@pytest.fixture(autouse=True)
def shortest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_back, "SHORTEST_DEFERRAL_SECONDS", SHORTEST_SECONDS)


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def fired(trigger: Any, *, in_a_triggerer: bool) -> tuple[str, float]:
    """Run a trigger to its event; return the event's status and the seconds that it took."""
    if in_a_triggerer:
        trigger.trigger_id = 1  # as a triggerer does
    began = time.monotonic()
    events = [event async for event in trigger.run()]
    took = time.monotonic() - began
    (event,) = events
    return event.payload["status"], took


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({}, "success"),
        ({"deadline": 0.3}, "success"),
        ({"poll_interval": 0.6, "deadline": 0.3}, "success"),
        ({"data_asset_ids": ["stale"], "deadline": 0.3}, "timeout"),
        ({"data_asset_ids": ["nowhere"]}, "error"),
    ],
    ids=["fresh", "fresh before a near deadline", "fresh at the deadline", "time-out", "error"],
)
async def test_no_event_comes_too_soon_whatever_the_interval(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, arguments: dict[str, Any], status: str
) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    qlik_sandbox.add_asset(id="stale", technicalName="stale")
    if "deadline" in arguments:
        arguments = {**arguments, "deadline": in_seconds(arguments["deadline"])}

    found, seconds = await fired(make_trigger(**arguments), in_a_triggerer=True)

    assert found == status
    assert seconds >= SHORTEST_SECONDS - 0.01


async def test_the_wait_counts_from_the_start_of_the_trigger(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortest = 4.0
    monkeypatch.setattr(handing_back, "SHORTEST_DEFERRAL_SECONDS", shortest)

    async def change() -> None:
        await asyncio.sleep(shortest)
        qlik_sandbox.touch("a", dataFreshness=FRESH)

    (_, seconds), _ = await asyncio.gather(fired(make_trigger(), in_a_triggerer=True), change())

    assert seconds < 2 * shortest


@pytest.mark.parametrize("moment", [-60, 0.2])
async def test_a_wait_for_the_rate_limit_ends_no_sooner(moment: float) -> None:
    trigger = QlikRateLimitTrigger(moment=in_seconds(moment))

    _, seconds = await fired(trigger, in_a_triggerer=True)

    assert seconds >= SHORTEST_SECONDS - 0.01


async def test_nothing_is_in_the_way_where_no_scheduler_runs(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dag.test() runs the trigger itself."""
    monkeypatch.setattr(handing_back, "SHORTEST_DEFERRAL_SECONDS", 60)
    qlik_sandbox.touch("a", dataFreshness=FRESH)

    for trigger in (make_trigger(), QlikRateLimitTrigger(moment=in_seconds(-60))):
        _, seconds = await fired(trigger, in_a_triggerer=False)
        assert seconds < 30


def test_it_is_long_enough_for_a_busy_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert handing_back.SHORTEST_DEFERRAL_SECONDS >= 10

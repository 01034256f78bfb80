"""The trigger shares its event loop with a thousand others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessTrigger

MakeTrigger = Callable[..., QlikDataFreshnessTrigger]
Run = Callable[..., Any]

FRESH = "2026-02-01T00:00:00.000Z"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[QlikCloudHook]:
    """Hooks that were closed."""
    hooks = []
    close = QlikCloudHook.close

    def note(hook: QlikCloudHook) -> None:
        hooks.append(hook)
        close(hook)

    monkeypatch.setattr(QlikCloudHook, "close", note)
    return hooks


async def longest_lag(work: Any) -> float:
    """Return the longest time in seconds for which the event loop was not free while something ran."""
    task = asyncio.ensure_future(work)
    lag, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        lag, last = max(lag, now - last - 0.005), now
    await task
    return lag


async def test_slow_answers_do_not_block_the_loop(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, until_done: Run
) -> None:
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    await until_done(make_trigger())  # the first run imports and opens what all later ones share
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=3.0))

    lag = await longest_lag(until_done(make_trigger()))

    # Generous for a loaded machine, yet below the seconds that blocking would take.
    assert lag < 2.0


async def test_cancelling_is_quick_and_closes_the_client(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, closed: list[QlikCloudHook]
) -> None:
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=6, times=None))
    events = make_trigger().run()
    task = asyncio.ensure_future(anext(events))
    while not qlik_sandbox.journal.requests():
        await asyncio.sleep(0.01)

    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - started < 5
    assert len(closed) == 1


async def test_leaving_the_generator_closes_the_client(
    make_trigger: MakeTrigger, qlik_sandbox: Sandbox, closed: list[QlikCloudHook]
) -> None:
    """Airflow takes the first event and does not come back."""
    qlik_sandbox.touch("a", dataFreshness=FRESH)
    events = make_trigger().run()
    await anext(events)

    await events.aclose()
    await asyncio.sleep(0.01)

    assert len(closed) == 1


async def test_no_thread_is_left_behind(make_trigger: MakeTrigger, qlik_sandbox: Sandbox) -> None:
    before = set(threading.enumerate())
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=0.5))
    task = asyncio.ensure_future(anext(make_trigger().run()))
    while not qlik_sandbox.journal.requests():
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await asyncio.get_running_loop().shutdown_default_executor()
    for _ in range(500):  # the request under way ends first
        if set(threading.enumerate()) <= before:
            break
        await asyncio.sleep(0.01)

    assert {thread.name for thread in set(threading.enumerate()) - before} == set()

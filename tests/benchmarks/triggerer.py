"""Many triggers in one event loop, as Airflow's triggerer runs them, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil

FRESH_SINCE = "2026-01-31T06:30:00.000Z"
STARTED_TOGETHER = 50  # as [triggerer] max_trigger_to_select_per_loop
SECONDS_BETWEEN_STARTS = 0.35  # as measured in a triggerer with SQLite
TICK_SECONDS = 0.005


def shared_trigger(data_asset_id: str, interval: float, conn_id: str = "tenant") -> Any:
    """Return the sensor's trigger."""
    from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessTrigger  # noqa: PLC0415

    return QlikDataFreshnessTrigger(
        qlik_conn_id=conn_id,
        data_asset_ids=[data_asset_id],
        fresh_since=FRESH_SINCE,
        poll_interval=interval,
    )


def http_trigger(data_asset_id: str, interval: float, conn_id: str = "tenant") -> Any:
    """Return the trigger of the HTTP provider's sensor, which waits until there is such a data asset."""
    from airflow.providers.http.triggers.http import HttpSensorTrigger  # noqa: PLC0415

    return HttpSensorTrigger(
        http_conn_id=f"{conn_id}_http", endpoint=f"api/v1/data-assets/{data_asset_id}", poke_interval=interval
    )


@dataclass(frozen=True)
class Way:
    """A way to wait.

    :param make: ``make(data_asset_id, interval, conn_id)`` returns a trigger.
    :param for_existence: whether it waits until the data asset exists, not until it is fresh.
    :param shared_streams: whether Airflow may share streams between its triggers, where it can.
    """

    name: str
    make: Callable[..., Any]
    for_existence: bool = False
    shared_streams: bool = True


SHARED = Way("QlikDataFreshnessTrigger", shared_trigger)
RUN = Way("QlikDataFreshnessTrigger, `run()`", shared_trigger, shared_streams=False)
HTTP = Way("HttpSensorTrigger", http_trigger, for_existence=True)


def define_connections(url: str, api_key: str, conn_id: str = "tenant") -> None:
    """Define an Airflow connection for each of the triggers."""
    connections = {
        conn_id: {"conn_type": "qlik_cloud", "host": url, "password": api_key},
        f"{conn_id}_http": {
            "conn_type": "http",
            "host": url,
            "extra": {"Authorization": f"Bearer {api_key}"},
        },
    }
    for name, connection in connections.items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)


def prepare(directory: str) -> None:
    """Give this process, which has not imported Airflow yet, a quiet Airflow of its own."""
    logging.disable(logging.ERROR)
    os.environ.update(
        {
            "AIRFLOW_HOME": directory,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "XDG_STATE_HOME": directory,
            "NO_PROXY": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
        }
    )


def stream_manager(way: Way) -> Any:
    """Return what shares streams between triggers, ``None`` without it."""
    if way.shared_streams:
        with contextlib.suppress(ImportError):  # before Airflow 3.3
            from airflow.triggers.shared_stream import SharedStreamManager  # noqa: PLC0415

            return SharedStreamManager()
    return None


@contextlib.asynccontextmanager
async def events_of(trigger: Any, trigger_id: int, manager: Any) -> AsyncIterator[AsyncGenerator[Any]]:
    """Run a trigger, as the triggerer does: on a shared stream if it has a key for one."""
    key = trigger.shared_stream_key() if manager and hasattr(trigger, "shared_stream_key") else None
    try:
        if key is None:
            yield trigger.run()
        else:
            stream = manager.subscribe(trigger_id=trigger_id, trigger=trigger, key=key)
            yield trigger.filter_shared_stream(stream)
    finally:
        if key is not None:
            await manager.unsubscribe(trigger_id, key)
        await trigger.cleanup()


async def payload_of(trigger: Any, trigger_id: int, manager: Any) -> Any:
    """Return the payload of a trigger's first event."""
    async with events_of(trigger, trigger_id, manager) as events, contextlib.aclosing(events):
        async for event in events:
            return event.payload
    raise RuntimeError("The trigger ended without an event.")


def wait_for_many(
    way: Way, interval: float, data_asset_ids: Sequence[str], directory: str, pipe: Connection
) -> None:
    """Run a trigger for each data asset, as the other end of the pipe asks for; each request is answered.

    - ``ready``: nothing waits yet.
    - ``start``: start all triggers.
    - ``measure`` and ``measured``: CPU seconds from the one to the other, bytes of memory since before the
      start. The loop's lag is not measured meanwhile, since that takes more CPU than a trigger.
    - ``end``: instants of waking by data asset, what went wrong, and the lags in seconds, the shortest first.
    """
    prepare(directory)
    asyncio.run(_wait_for_many(way, interval, data_asset_ids, pipe))


async def _wait_for_many(way: Way, interval: float, data_asset_ids: Sequence[str], pipe: Connection) -> None:
    process = psutil.Process()
    manager = stream_manager(way)
    woken: dict[str, float] = {}
    problems: list[str] = []

    async def wait(number: int, data_asset_id: str, interval: float = interval) -> None:
        payload = await payload_of(way.make(data_asset_id, interval), number, manager)
        if payload is True or payload["status"] == "success":
            woken[data_asset_id] = time.monotonic()
        else:
            problems.append(payload["message"])

    # What is loaded and opened for the first poll is not the cost of a sensor.
    first = asyncio.create_task(wait(-1, data_asset_ids[0], 1.0))
    await asyncio.sleep(3)
    await _cancel([first])
    memory = process.memory_info().rss
    tasks: list[asyncio.Task[None]] = []
    lags: list[float] = []
    cpu = 0.0
    while True:
        request = await asyncio.to_thread(pipe.recv)
        answer: Any = None
        if request == "start":
            ticking = asyncio.create_task(_measure_lag(lags))
            for number, data_asset_id in enumerate(data_asset_ids):
                if number and number % STARTED_TOGETHER == 0:
                    await asyncio.sleep(SECONDS_BETWEEN_STARTS)
                tasks.append(asyncio.create_task(wait(number, data_asset_id)))
        elif request == "measure":
            await _cancel([ticking])
            cpu = time.process_time()
        elif request == "measured":
            answer = time.process_time() - cpu, process.memory_info().rss - memory
            ticking = asyncio.create_task(_measure_lag(lags))
        elif request == "end":
            answer = woken, problems, sorted(lags)
        pipe.send(answer)
        if request == "end":
            break
    await _cancel([ticking, *tasks])


async def _measure_lag(lags: list[float]) -> None:
    """Sleep again and again, and note how late the event loop woke this up."""
    while True:
        due = time.monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        lags.append(time.monotonic() - due)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

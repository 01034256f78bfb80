"""What it costs to wait for data assets in the triggerer: requests, CPU, memory, and how soon one is told.

Each sensor waits for a data asset of its own; all run in one process and one event loop. Beside the trigger
of this package, that of the HTTP provider's deferrable sensor: it cannot look into an answer, so it waits for
its data asset to exist. The sandbox runs in a process of its own, and its limits are out of reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from tenants import Tenant, tenant
from triggerer import (
    HTTP,
    RUN,
    SHARED,
    Way,
    define_connections,
    payload_of,
    prepare,
    stream_manager,
    wait_for_many,
)

from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

SIZES = {1: 5.0, 100: 5.0, 1_000: 5.0, 5_000: 20.0}
"""Seconds of the interval by number of sensors; the longer one is for one request per sensor to keep up."""
SIZE_OF_RUN = 1_000  # how the poll is shared makes no difference to the requests, and one size shows it
LATENCY_SECONDS = 0.02
# The data assets are as young as the sandbox; what was modified last is read again for some seconds.
SETTLING_SECONDS = 15.0
MEASURED_INTERVALS = 2
CHANGES = 50
STATUSES = (400, 401, 403, 404, 408, 409, 429, 500, 502, 503)
STATUS_SECONDS = 10.0
STATUS_INTERVAL = 1.0

SPAWN = multiprocessing.get_context("spawn")


def waiting(way: Way, sensors: int, interval: float) -> list[str]:
    """Return a row of the table."""
    with (
        tenant(1 if way.for_existence else sensors, tier1_limit=10_000_000) as server,
        tempfile.TemporaryDirectory() as directory,
    ):
        ids = sorted(server.control("GET", "/state")["assets"])
        if way.for_existence:
            ids = [f"expected-{number}" for number in range(sensors)]
        server.delay(LATENCY_SECONDS)
        define_connections(server.url, server.api_key)
        ours, theirs = SPAWN.Pipe()
        triggerer = SPAWN.Process(target=wait_for_many, args=(way, interval, ids, directory, theirs))
        triggerer.start()
        theirs.close()  # its end is then seen here
        try:
            return [str(sensors), f"{interval:g}", *_measured(way, server, ours, ids, interval)]
        finally:
            triggerer.terminate()
            triggerer.join()


def _measured(
    way: Way, server: Tenant, triggerer: Connection, ids: Sequence[str], interval: float
) -> list[str]:
    def ask(request: str) -> Any:
        triggerer.send(request)
        return triggerer.recv()

    def count_requests() -> int:
        count = len(server.control("GET", "/journal"))
        server.control("DELETE", "/journal")
        return count

    ask("ready")
    count_requests()
    ask("start")
    time.sleep(1.5 * interval)
    at_start = count_requests()
    time.sleep(SETTLING_SECONDS)
    count_requests()
    ask("measure")
    time.sleep(MEASURED_INTERVALS * interval)
    cpu, memory = ask("measured")
    steady = count_requests() / MEASURED_INTERVALS

    changed: dict[str, float] = {}
    sample = ids[:: max(1, len(ids) // CHANGES)][:CHANGES]
    for data_asset_id in sample:
        if way.for_existence:
            server.control("POST", "/assets", [{"id": data_asset_id, "technicalName": data_asset_id}])
        else:
            server.control("PATCH", f"/assets/{data_asset_id}", {"dataFreshness": "2026-02-01T00:00:00Z"})
        changed[data_asset_id] = time.monotonic()
        time.sleep(interval / len(sample))
    time.sleep(2 * interval)
    woken, problems, lags = ask("end")
    delays = [woken[key] - instant for key, instant in changed.items() if key in woken]
    lost = len(sample) - len(delays)
    if problems or lost or len(woken) != len(delays):
        print(
            f"\n{lost} not woken, {len(woken) - len(delays)} too many; {len(problems)} ended: {problems[:1]}"
        )
    return [
        str(at_start),
        f"{steady:.1f}",
        f"{statistics.median(delays):.1f} / {max(delays):.1f}" if delays else "never",
        f"{cpu / MEASURED_INTERVALS / len(ids) * 1e6:.0f}",
        f"{memory / len(ids) / 1024:.0f}",
        f"{lags[int(0.99 * len(lags))] * 1000:.1f} / {lags[-1] * 1000:.0f}",
    ]


def refused(way: Way, statuses: Sequence[int], directory: str, pipe: Connection) -> None:
    """Let a trigger meet each status during its polls; send how many requests it sent and how it ended."""
    prepare(directory)
    pipe.send(asyncio.run(_refused(way, statuses)))


async def _refused(way: Way, statuses: Sequence[int]) -> list[tuple[str, str]]:
    manager = stream_manager(way)
    with contextlib.ExitStack() as stack:
        sandboxes = [stack.enter_context(Sandbox()) for _ in statuses]

        async def meet(number: int, status: int) -> tuple[str, str]:
            server, conn_id = sandboxes[number], f"tenant_{number}"
            define_connections(server.url, server.api_key, conn_id)
            if not way.for_existence:
                server.add_asset(id="a", technicalName="a")
            trigger = way.make("a", STATUS_INTERVAL, conn_id)
            task = asyncio.create_task(payload_of(trigger, number, manager))
            while not server.journal.requests() and not task.done():
                await asyncio.sleep(0.01)
            server.add_fault(Fault(kind="status", status=status, times=None))
            before = len(server.journal)
            done, _ = await asyncio.wait([task], timeout=STATUS_SECONDS)
            if not done:
                task.cancel()
            result: Any
            (result,) = await asyncio.gather(task, return_exceptions=True)
            ended = "waits on"
            if done:
                ended = f"ends: {result['status']}" if isinstance(result, dict) else f"ends: {result!r}"
            return str(len(server.journal) - before), ended

        return await asyncio.gather(*(meet(number, status) for number, status in enumerate(statuses)))


def _refusals(way: Way, statuses: Sequence[int]) -> list[tuple[str, str]]:
    ours, theirs = SPAWN.Pipe()
    with tempfile.TemporaryDirectory() as directory:
        process = SPAWN.Process(target=refused, args=(way, statuses, directory, theirs))
        process.start()
        theirs.close()
        found: list[tuple[str, str]] = ours.recv()
        process.join()
    return found


def main() -> None:
    """Print the tables."""
    ways = [SHARED, RUN, HTTP]
    if importlib.util.find_spec("airflow.providers.http") is None:
        print(
            "\nWithout HttpSensorTrigger: uv sync --group benchmark installs apache-airflow-providers-http."
        )
        ways.remove(HTTP)
    print(f"\nSensors that wait in one process, {LATENCY_SECONDS * 1000:.0f} ms latency\n")
    print(
        "| trigger | sensors | interval (s) | requests of the start | requests per interval "
        "| change to wake-up, median / longest (s) | CPU per sensor and interval (µs) "
        "| memory per sensor (KiB) | lag of the event loop, p99 / longest (ms) |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for way in ways:
        for sensors, interval in SIZES.items():
            if way == RUN and sensors != SIZE_OF_RUN:
                continue
            print(f"| {way.name} | {' | '.join(waiting(way, sensors, interval))} |", flush=True)

    ways.remove(RUN)
    print(
        f"\nRequests in the {STATUS_SECONDS:g} s after a status began, one sensor each with an interval of "
        f"{STATUS_INTERVAL:g} s, all in one process\n"
    )
    print(f"| status | {' | '.join(way.name for way in ways)} |\n|---|{'---|' * len(ways)}")
    found = {way.name: _refusals(way, STATUSES) for way in ways}
    for number, status in enumerate(STATUSES):
        cells = [f"{count} ({ended})" for count, ended in (found[way.name][number] for way in ways)]
        print(f"| {status} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

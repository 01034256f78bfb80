"""Many processes under one limit, in real time with a short window.

All assertions about safety hold however slowly the machine runs the processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_provider_qlik_assets.client.host_state import locked
from airflow_provider_qlik_assets.client.rate_limit.file import FileStore
from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_PERMITS
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimits, Tier

WORKER = Path(__file__).with_name("worker.py")
LIMITS = RateLimits(tier2_limit=50, window=1.5)
QUOTA = LIMITS.quota(Tier.TWO)


class Request(NamedTuple):
    """When the grant was asked for, and when the request arrived; it was granted in between."""

    asked: float
    arrived: float


class Fleet:
    """Starts worker processes and reads their logs."""

    def __init__(self, directory: Path, store: str) -> None:
        self.log = directory / "log"
        self.log.mkdir()
        self.store = store

    def start(self, *, start: str, processes: int, requests: int) -> subprocess.Popen:
        config = {
            "start": start,
            "processes": processes,
            "requests": requests,
            "store": self.store,
            "limit": LIMITS.tier2_limit,
            "window": LIMITS.window,
            "log": str(self.log),
        }
        return subprocess.Popen([sys.executable, WORKER, json.dumps(config)], start_new_session=True)

    def requests(self) -> list[Request]:
        lines = [line for path in self.log.iterdir() for line in path.read_text().splitlines()]
        return [Request(*map(float, line.split())) for line in lines]

    def wait_for(self, number: int) -> None:
        """Wait until so many requests have arrived."""
        deadline = time.monotonic() + 60
        while len(self.requests()) < number:
            assert time.monotonic() < deadline, f"only {len(self.requests())} of {number} requests arrived"
            time.sleep(0.05)


@pytest.fixture(params=["file", "redis"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Fleet:
    if request.param == "file":
        return Fleet(tmp_path, f"file://{tmp_path}/state")
    server = request.getfixturevalue("redis_server")
    server.client.flushdb()
    return Fleet(tmp_path, server.url)


def _most_in_a_window(times: list[float], window: float) -> int:
    """Return how many of the times lie in the fullest half-open window."""
    times = sorted(times)
    most = first = 0
    for last, instant in enumerate(times):
        while times[first] <= instant - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def _grants(directory: Path) -> tuple[int, list[float]]:
    """Return the number of grants and the times that the state file still holds."""
    (path,) = directory.glob("*-tier2.quota")
    with locked(path) as fd:
        ledger = FileStore(directory)._load(fd, os.pread(fd, 256, 0))
        numbers = range(max(0, ledger.count - MAX_PERMITS), ledger.count)
        return ledger.count, [ledger.times[number % MAX_PERMITS] for number in numbers]


def _assert_safe(requests: list[Request]) -> None:
    # On the way, requests come together by no more than the longest time one of them takes.
    transit = max(request.arrived - request.asked for request in requests)
    arrivals = [request.arrived for request in requests]
    assert _most_in_a_window(arrivals, max(0.0, QUOTA.window - transit)) <= QUOTA.permits


@pytest.mark.parametrize(("start", "processes"), [("fork", 8), ("spawn", 3)])
@pytest.mark.slow
def test_server_never_sees_more_than_the_limit(fleet: Fleet, start: str, processes: int) -> None:
    assert fleet.start(start=start, processes=processes, requests=150 // processes).wait(100) == 0
    requests = fleet.requests()

    assert len(requests) == 150 // processes * processes
    _assert_safe(requests)


def test_each_grant_is_recorded_once_and_none_too_early(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, f"file://{tmp_path}/state")
    assert fleet.start(start="fork", processes=10, requests=15).wait(100) == 0
    count, grants = _grants(tmp_path / "state")

    assert count == len(fleet.requests()) == 150
    assert _most_in_a_window(grants, QUOTA.window) == QUOTA.permits


@pytest.mark.slow
def test_killed_processes_keep_nobody_waiting(fleet: Fleet) -> None:
    rng = random.Random(1)
    starter = fleet.start(start="fork", processes=12, requests=100_000)
    try:
        fleet.wait_for(2 * QUOTA.permits)
        processes = [int(path.name) for path in fleet.log.iterdir()]
        for process in processes[2:]:
            os.kill(process, signal.SIGKILL)
            time.sleep(rng.uniform(0.0, 0.15))
        fleet.wait_for(len(fleet.requests()) + 2 * QUOTA.permits)
    finally:
        os.killpg(starter.pid, signal.SIGKILL)
        starter.wait(30)

    _assert_safe(fleet.requests())

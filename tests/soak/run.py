"""Run a soak: the tenant and the workers as processes, of which one is killed now and then; a stranger."""

from __future__ import annotations

import json
import multiprocessing
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.soak.operations import NAMES, STORES
from tests.soak.records import JOURNAL
from tests.soak.stranger import Control, Stranger
from tests.soak.workers import Worker, nothing, work

ROOT = Path(__file__).resolve().parents[2]
_processes = multiprocessing.get_context("forkserver")
LATE_SECONDS = 1.8
"""When a delayed request is carried out: after the client gave it up, before a create must be visible."""

# In the ratio of Qlik Cloud's own limits, and so low that they are used up often; the window of five minutes
# takes ten seconds.
LIMITS = {"tier1_limit": 400, "tier2_limit": 40}
TIME_FACTOR = 30.0
WINDOW_SECONDS = 300.0 / TIME_FACTOR
# The limiter's window is 1 % longer than the tenant's, so requests may be that much later on one way than on
# another. This time does not shrink with the window.
CLIENT_WINDOW_SECONDS = WINDOW_SECONDS + 0.01 * 300.0
_START_SECONDS = 60.0
_END_SECONDS = 90.0

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "drop", "when": "before"},
    {"kind": "drop", "when": "after"},
    {"kind": "reset", "when": "before"},
    {"kind": "reset", "when": "after"},
    {"kind": "truncate"},
    {"kind": "html", "status": 502, "when": "before"},
    {"kind": "html", "status": 502, "when": "after"},
    {"kind": "status", "status": 302, "when": "before"},
    {"kind": "status", "status": 500, "when": "after"},
    {"kind": "status", "status": 503, "when": "before"},
    {"kind": "status", "status": 504, "when": "after"},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    {"kind": "delay", "seconds": LATE_SECONDS, "when": "before"},
    {"kind": "delay", "seconds": LATE_SECONDS, "when": "after"},
)


@dataclass(frozen=True)
class Plan:
    """What a soak does.

    :param seed: of all that is random.
    :param seconds: how long the workers begin operations.
    :param processes: number of workers.
    :param pause: mean seconds between two operations of a worker.
    :param kill_every: mean seconds between two kills.
    :param faults: fraction of the requests that fail.
    :param directory: where everything is written down.
    """

    seed: int
    seconds: float
    processes: int
    pause: float
    kill_every: float
    faults: float
    directory: Path

    def tenant_settings(self) -> dict[str, Any]:
        """Return the switches of the sandbox; those that Qlik's documents leave open are random."""
        rng = random.Random(f"{self.seed}/tenant")
        return {
            **LIMITS,
            "time_factor": TIME_FACTOR,
            "duplicate_technical_name": "allowed",
            "window": rng.choice(["rolling", "fixed"]),
            "patch_answers_204": rng.random() < 0.5,
            "failed_test_status": rng.choice([400, 409, 412]),
            "unknown_delete_ids": rng.choice(["refused", "ignored"]),
            "unset_fields": rng.choice(["absent", "null", "empty text"]),
            "first_version": rng.choice([0, 1]),
            "sort_by_two": rng.random() < 0.7,
            "unstable_ties": rng.random() < 0.3,
        }


@dataclass
class Facts:
    """What is known of a soak beside its records.

    :param kills: workers that were killed.
    :param edits: of the stranger.
    :param hung: workers that did not end in time.
    """

    kills: int = 0
    edits: int = 0
    hung: int = 0


def run(plan: Plan) -> Facts:
    """Carry a plan out and leave its records in its directory."""
    facts = Facts()
    with _tenant(plan) as ready:
        control = Control(ready)
        for store in STORES:
            control.call("POST", "/stores", {"id": store, "name": store})
            seeds = [
                {"data_store_id": store, "technicalName": name, "dataFreshness": "2026-01-01T00:00:00.000Z"}
                for name in NAMES[: len(NAMES) // 2]
            ]
            control.call("POST", "/assets", seeds)
        for fault in FAULTS:
            now_and_then = {"probability": plan.faults / len(FAULTS), "times": None}
            control.call("POST", "/faults", {**fault, **now_and_then})
        _processes.set_forkserver_preload(["tests.soak.workers"])
        first = _processes.Process(target=nothing)
        first.start()
        first.join()
        settings = worker_settings(plan, ready)
        stranger = Stranger(Control(ready), random.Random(f"{plan.seed}/stranger"))
        stranger.start()
        try:
            _work(plan, settings, facts)
        finally:
            stranger.stop()
        facts.edits = stranger.edits
        control.call("DELETE", "/faults")
        time.sleep(LATE_SECONDS)  # what was on its way is carried out by then
        _look_at_all(plan, settings, control)
        (plan.directory / JOURNAL).write_text(json.dumps(control.call("GET", "/journal")))
    return facts


def worker_settings(plan: Plan, ready: dict[str, str]) -> dict[str, Any]:
    """Return what a worker needs to know."""
    return {
        "url": ready["url"],
        "api_key": ready["api_key"],
        "directory": str(plan.directory),
        "seed": plan.seed,
        "pause": plan.pause,
        "limits": {**LIMITS, "window": CLIENT_WINDOW_SECONDS},
        "until": time.monotonic() + plan.seconds,
    }


@contextmanager
def _tenant(plan: Plan) -> Iterator[dict[str, str]]:
    """Run a sandbox in a process of its own."""
    ready_file = plan.directory / "ready.json"
    ready_file.unlink(missing_ok=True)
    settings = json.dumps(plan.tenant_settings())
    command = [sys.executable, "-m", "tests.soak.tenant", str(plan.directory), str(plan.seed), settings]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as server:
        deadline = time.monotonic() + _START_SECONDS
        while not ready_file.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                server.kill()
                raise RuntimeError("The sandbox did not start.")
            time.sleep(0.05)
        yield json.loads(ready_file.read_text())


def _work(plan: Plan, settings: dict[str, Any], facts: Facts) -> None:
    """Run the workers; kill one now and then, and start it again."""
    rng = random.Random(f"{plan.seed}/killer")
    generations = [0] * plan.processes
    workers = [_start(settings, number, 0) for number in range(plan.processes)]
    try:
        while True:
            time.sleep(rng.uniform(0.5, 1.5) * plan.kill_every)
            if time.monotonic() >= settings["until"]:
                break
            number = rng.randrange(plan.processes)
            workers[number].kill()
            workers[number].join()
            facts.kills += 1
            generations[number] += 1
            workers[number] = _start(settings, number, generations[number])
        deadline = time.monotonic() + _END_SECONDS
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            facts.hung += worker.is_alive()
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _start(settings: dict[str, Any], number: int, generation: int) -> BaseProcess:
    worker = _processes.Process(target=work, args=(settings, number, generation))
    worker.start()
    return worker


def _look_at_all(plan: Plan, settings: dict[str, Any], control: Control) -> None:
    """Look up each name that several data assets have, as one more worker: it has to say so."""
    named: dict[tuple[str, str], int] = {}
    for asset in control.call("GET", "/state")["assets"].values():
        key = (asset["dataStoreInfo"]["id"], asset["technicalName"])
        named[key] = named.get(key, 0) + 1
    last = Worker(settings, plan.processes, 0)
    for store in STORES:
        for name in NAMES:
            if named.get((store, name), 0) > 1:
                last.carry_out({"kind": "find", "store": store, "names": [name]})

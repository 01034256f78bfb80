"""Sandbox tenants with a data store, and clients whose waits take no time."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.clients import client, clock, connect  # noqa: F401


@pytest.fixture
def sandbox(qlik_sandbox: Sandbox) -> Sandbox:
    qlik_sandbox.add_store(id="store", name="Store")
    return qlik_sandbox


CHAOS = (
    {"kind": "drop", "when": "before"},
    {"kind": "drop", "when": "after"},
    {"kind": "truncate"},
    {"kind": "status", "status": 503, "when": "before"},
    {"kind": "html", "status": 502, "when": "after"},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}, "probability": 0.002},
)


class Tenant:
    """A sandbox in a process of its own, so that the processes of a test do not share its interpreter."""

    def __init__(self, ready: dict[str, str]) -> None:
        self.ready = ready
        self.store_id: str = self.control("POST", "/stores", {"name": "warehouse"})["id"]

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API."""
        answer = requests.request(
            method,
            f"{self.ready['url']}/sandbox{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.ready['control_token']}"},
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def assets(self) -> list[dict[str, Any]]:
        return list(self.control("GET", "/state")["assets"].values())

    def break_now_and_then(self) -> None:
        """Lose requests and answers, and answer with errors, from now on."""
        for fault in CHAOS:
            self.control("POST", "/faults", {"probability": 0.02, **fault, "times": None})

    def in_processes(self, count: int, target: Callable[..., None]) -> list[str]:
        """Run ``target(ready, store_id, number, failures)`` in processes; return what is in failures then."""
        context = multiprocessing.get_context("spawn")
        failures = context.SimpleQueue()
        processes = [
            context.Process(target=target, args=(self.ready, self.store_id, number, failures))
            for number in range(count)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        reported = []
        while not failures.empty():
            reported.append(failures.get())
        return reported

    def writes(self) -> int:
        """Return how many writes have arrived so far."""
        return sum(entry["method"] != "GET" for entry in self.control("GET", "/journal"))


@pytest.fixture
def tenant(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tenant]:
    """Tenant in a process of its own, with practically no limits; its parameter holds more settings."""
    settings = {"tier1_limit": 1_000_000, "tier2_limit": 1_000_000, **getattr(request, "param", {})}
    ready_file = tmp_path / "ready.json"
    command = [sys.executable, "-m", "airflow_provider_qlik_assets.sandbox", "--ready-file", str(ready_file)]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not ready_file.exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Tenant(json.loads(ready_file.read_text()))
    finally:
        server.terminate()
        server.wait()

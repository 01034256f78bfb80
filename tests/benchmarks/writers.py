"""How fast, and how sparing, freshness updates are when the quota is what bounds them.

The sandbox runs in a process of its own with a compressed window. The optimum is what no client could beat:
a quota's worth of writes at once and the rest when the window frees them, or the latency of the requests one
after the other, whichever takes longer.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import requests
from tenants import Tenant, tenant

from airflow_provider_qlik_assets.catalog import set_data_freshness
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, RateLimits, RetryPolicy

UPDATES = 600
LIMIT = 500
LATENCY_SECONDS = 0.02
COMPRESSION = 10
WINDOW_SECONDS = 300 / COMPRESSION
REQUESTS_PER_UPDATE = 2  # one read, one write
CALLS = 500


def connect(server: Tenant, directory: str) -> QlikCloudClient:
    """Return a client as a task process would make it."""
    return QlikCloudClient(
        server.url,
        ApiKey(server.api_key),
        rate_limits=RateLimits(tier1_limit=5000, tier2_limit=LIMIT, window=WINDOW_SECONDS),
        rate_limit_store=f"file://{directory}",
        retry=RetryPolicy(max_retry_wait=600),
    )


def write(ready: dict[str, str], directory: str, ids: list[str], start: Any, failures: Any) -> None:
    """Stamp some data assets, as one task process."""
    logging.disable(logging.WARNING)
    client = connect(Tenant(ready), directory)
    client.me()
    start.wait()
    for data_asset_id in ids:
        try:
            set_data_freshness(client, data_asset_id, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - a failure is a number of the table
            failures.append(str(error))


def updates(processes: int, unseen_share: float) -> list[str]:
    """Return a row of the table for ``UPDATES`` updates from some processes."""
    with (
        tenant(UPDATES, time_factor=COMPRESSION, tier2_limit=LIMIT) as server,
        tempfile.TemporaryDirectory() as directory,
        multiprocessing.Manager() as manager,
    ):
        ids = sorted(server.control("GET", "/state")["assets"])
        server.delay(LATENCY_SECONDS)
        ready = {"url": server.url, "api_key": server.api_key}
        context = multiprocessing.get_context("spawn")
        start, failures = context.Barrier(processes + 1), manager.list()
        writers = [
            context.Process(target=write, args=(ready, directory, ids[number::processes], start, failures))
            for number in range(processes)
        ]
        for writer in writers:
            writer.start()
        start.wait()
        server.control("DELETE", "/journal")
        over = threading.Event()
        other = threading.Thread(target=use_quota_unseen, args=(server, unseen_share, over))
        other.start()
        began = time.perf_counter()
        for writer in writers:
            writer.join()
        took = time.perf_counter() - began
        over.set()
        other.join()
        failed = len(failures)
        journal = server.control("GET", "/journal")
        fresh = sum(
            bool(asset.get("dataFreshness")) for asset in server.control("GET", "/state")["assets"].values()
        )

    optimum = best_time(processes, int(LIMIT * (1 - unseen_share)))
    refused = sum(entry["status"] == 429 for entry in journal)
    return [
        str(processes),
        f"{unseen_share:.0%}",
        f"{took:.1f}",
        f"{optimum:.1f}",
        f"{took / optimum:.2f}",
        str(refused),
        f"{failed} + {UPDATES - fresh}",
        f"{len(journal) / UPDATES:.2f}",
    ]


def use_quota_unseen(server: Tenant, share: float, over: threading.Event) -> None:
    """Take a share of the write quota evenly, as another program of the same user."""
    taken, began = 0, time.monotonic()
    while share and not over.wait(0.1):
        due = int(share * LIMIT * (time.monotonic() - began) / WINDOW_SECONDS)
        if due > taken:
            server.control("POST", "/quota", {"tier": 2, "requests": due - taken})
            taken = due


def best_time(processes: int, quota: int) -> float:
    """Return the seconds that no client could beat."""
    per_update = REQUESTS_PER_UPDATE * LATENCY_SECONDS / processes
    windows, rest = divmod(UPDATES, quota)
    return max(UPDATES * per_update, windows * WINDOW_SECONDS + rest * per_update)


def cpu_per_call() -> list[list[str]]:
    """Return rows that compare the CPU time of a read with that of a bare ``requests.Session``."""
    with tenant(1, tier1_limit=1_000_000) as server, tempfile.TemporaryDirectory() as directory:
        data_asset_id = next(iter(server.control("GET", "/state")["assets"]))
        client = QlikCloudClient(
            server.url,
            ApiKey(server.api_key),
            rate_limits=RateLimits(tier1_limit=10_000),
            rate_limit_store=f"file://{directory}",
        )
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {server.api_key}"
        url = f"{server.url}/api/v1/data-assets/{data_asset_id}"
        ways: dict[str, Callable[[], object]] = {
            "requests.Session": lambda: session.get(url, timeout=(10, 60)).json(),
            "QlikCloudClient": lambda: client.get_data_asset(data_asset_id),
        }
        best: dict[str, float] = {}
        for _ in range(5):  # interleaved, so that both meet the same machine
            for name, call in ways.items():
                began = time.process_time()
                for _ in range(CALLS):
                    call()
                spent = (time.process_time() - began) / CALLS
                best[name] = min(best.get(name, spent), spent)
    bare = best["requests.Session"]
    return [[name, f"{spent * 1e6:.0f}", f"{spent / bare:.2f}"] for name, spent in best.items()]


def main() -> None:
    """Print the tables."""
    print(
        f"\n{UPDATES} freshness updates, {LIMIT} writes per window, {LATENCY_SECONDS * 1000:.0f} ms latency,"
    )
    print(f"windows of {WINDOW_SECONDS:g} s (true ones compressed {COMPRESSION} times)\n")
    print("| processes | unseen use | seconds | optimum | ratio | 429s | failures + lost | requests/update |")
    print("|---|---|---|---|---|---|---|---|")
    for processes, unseen_share in ((1, 0.0), (8, 0.0), (8, 0.3)):
        print(f"| {' | '.join(updates(processes, unseen_share))} |", flush=True)
    print("\n| one read with | µs CPU | ratio |\n|---|---|---|")
    for row in cpu_per_call():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()

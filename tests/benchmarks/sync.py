"""What it costs to keep a data store of thousands in sync, and how that compares with a call per data asset.

The sandbox runs in a process of its own with a compressed window, the sync in another one, whose memory is
measured. The optimum is what no client with these limits could beat: all pages one after the other, because
each one says how many there are, and a quota's worth of writes per window. The limiter lets a little less
through, in a slightly longer window, so that latencies cannot make it too much: "with its margin".
"""

from __future__ import annotations

import logging
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import Counter
from typing import Any

from tenants import Tenant, tenant
from writers import COMPRESSION, LATENCY_SECONDS, LIMIT, WINDOW_SECONDS, connect

from airflow_provider_qlik_assets.catalog import sync_data_assets, upsert_data_asset
from airflow_provider_qlik_assets.catalog.bulk import WORKERS
from airflow_provider_qlik_assets.client import RateLimits, Tier

ASSETS = 10_000
PAGES = ASSETS // 100
READ_LIMIT = 5000
# Of the ways that are too slow to be measured as a whole.
SAMPLE_BY_NAME = 3
SAMPLE_BY_ID = 100


def wishes(changed: int) -> list[dict[str, Any]]:
    """Return the wishes for the data assets of the sandbox; the first ones differ."""
    return [
        {
            "technicalName": f"asset_{number:05}",
            "appType": "sandbox",
            "name": f"Asset {number}" if number >= changed else f"Renamed by {changed}, {number}",
        }
        for number in range(ASSETS)
    ]


def peak_megabytes() -> float:
    """Return the most memory that this process has used so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform == "linux" else 1024**2)


def run(ready: dict[str, str], directory: str, store_id: str, changed: int, results: Any) -> None:
    """Sync once, as one task process."""
    logging.disable(logging.WARNING)
    wished = wishes(changed)
    before = peak_megabytes()
    with connect(Tenant(ready), directory) as client:
        began = time.perf_counter()
        counts = Counter(result.action for result in sync_data_assets(client, store_id, wished))
        took = time.perf_counter() - began
    results.put((took, before, peak_megabytes(), dict(counts)))


def synced(server: Tenant, store_id: str, changed: int) -> list[str]:
    """Return a row of the table for a sync that changes some data assets."""
    server.control("DELETE", "/journal")
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as directory:
        ready = {"url": server.url, "api_key": server.api_key}
        task = context.Process(target=run, args=(ready, directory, store_id, changed, results))
        task.start()
        took, before, peak, counts = results.get()
        task.join()
    journal = server.control("GET", "/journal")
    if counts.get("updated", 0) != changed or sum(counts.values()) != ASSETS:
        raise RuntimeError(f"The sync did something else: {counts}.")
    reads, writes = (sum(entry["tier"] == tier for entry in journal) for tier in (1, 2))
    refused = sum(entry["status"] == 429 for entry in journal)
    optimum = best_time(changed, LIMIT, WINDOW_SECONDS)
    used = RateLimits(tier2_limit=LIMIT, window=WINDOW_SECONDS).quota(Tier.TWO)
    return [
        f"{changed:,}",
        f"{reads:,}",
        f"{writes:,}",
        str(refused),
        f"{took:.1f}",
        f"{optimum:.1f}",
        f"{best_time(changed, used.permits, used.window):.1f}",
        f"{peak:.0f} ({peak - before:.0f})",
    ]


def best_time(writes: int, limit: int, window: float) -> float:
    """Return the seconds that no client could beat that sends at most ``limit`` writes in any window."""
    windows = max(0, writes - 1) // limit
    rest = writes - windows * limit
    return PAGES * LATENCY_SECONDS + windows * window + rest * LATENCY_SECONDS / WORKERS


def one_by_one(server: Tenant, store_id: str, sample: int, *, by_id: bool) -> list[str]:
    """Return a row for an upsert of each data asset, estimated from a sample that changes nothing."""
    ids = {asset["technicalName"]: key for key, asset in server.control("GET", "/state")["assets"].items()}
    server.control("DELETE", "/journal")
    with tempfile.TemporaryDirectory() as directory, connect(server, directory) as client:
        began = time.perf_counter()
        for wish in wishes(0)[-sample:]:
            where = {"id": ids[wish["technicalName"]]} if by_id else {"dataStoreInfo": {"id": store_id}}
            upsert_data_asset(client, {**wish, **where})
        took = time.perf_counter() - began
    reads = len(server.control("GET", "/journal")) * ASSETS // sample
    seconds = max(took * ASSETS / sample, reads // READ_LIMIT * WINDOW_SECONDS)
    return [
        "an upsert each, by id" if by_id else "an upsert each, by name",
        f"{reads:,}",
        f"{seconds:,.0f}",
        f"{reads // READ_LIMIT * WINDOW_SECONDS * COMPRESSION / 3600:.1f}",
    ]


def main() -> None:
    """Print the tables."""
    with tenant(assets=ASSETS, time_factor=COMPRESSION, tier2_limit=LIMIT) as server:
        server.delay(LATENCY_SECONDS)
        store_id = next(iter(server.control("GET", "/state")["stores"]))
        print(
            f"\nSync of {ASSETS:,} data assets, {LATENCY_SECONDS * 1000:.0f} ms latency, {LIMIT} writes per "
            f"window of {WINDOW_SECONDS:g} s (true ones compressed {COMPRESSION} times)\n"
        )
        print("| changed | reads | writes | 429s | seconds | optimum | with its margin | peak MB (own) |")
        print("|---|---|---|---|---|---|---|---|")
        for changed in (0, 10, 1000):
            print(f"| {' | '.join(synced(server, store_id, changed))} |", flush=True)
            time.sleep(WINDOW_SECONDS)  # the next one has the whole quota
        print("\n| nothing changed, one by one | reads | seconds, window as above | hours of true windows |")
        print("|---|---|---|---|")
        for by_id, sample in ((False, SAMPLE_BY_NAME), (True, SAMPLE_BY_ID)):
            print(f"| {' | '.join(one_by_one(server, store_id, sample, by_id=by_id))} |", flush=True)
        print(f"\nThese are estimates from {SAMPLE_BY_NAME} and {SAMPLE_BY_ID} upserts.")


if __name__ == "__main__":
    main()

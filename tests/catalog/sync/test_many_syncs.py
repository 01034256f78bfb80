"""Syncs of several processes at once, and syncs that are killed: nothing is lost, nothing doubled."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import sync_data_assets
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, RateLimits, RetryPolicy

TASKS = 4
ASSETS = 120
BOTH = pytest.mark.parametrize(
    "tenant",
    [{"duplicate_technical_name": "refused"}, {"duplicate_technical_name": "allowed"}],
    indirect=True,
    ids=["duplicates refused", "duplicates allowed"],
)


def sync(ready: dict[str, str], store_id: str, task: int = 0, failures: Any = None) -> None:
    """Run one task: all wish the same data assets, each in an order and with a property of its own."""
    client = QlikCloudClient(
        ready["url"],
        ApiKey(ready["api_key"]),
        rate_limits=RateLimits(tier1_limit=10_000, tier2_limit=10_000, window=10.0),
        rate_limit_store="memory:",
        retry=RetryPolicy(max_retries=20),
    )
    wishes = [
        {
            "technicalName": f"table_{number:03}",
            "appType": "airflow",
            "name": f"Table {number}",
            "tags": ["a", "b"],
            "properties": {f"task_{task}": task},
        }
        for number in range(ASSETS)
    ]
    random.Random(task).shuffle(wishes)
    try:
        with client:
            sync_data_assets(client, store_id, wishes)
    except Exception as error:
        if failures is None:
            raise
        failures.put(f"task {task}: {type(error).__name__}: {error}")


def names(tenant: Any) -> dict[str, int]:
    return dict(Counter(asset["technicalName"] for asset in tenant.assets()))


def first_of_each_name(tenant: Any) -> list[dict[str, Any]]:
    """Return the data assets that count."""
    assets = sorted(tenant.assets(), key=lambda asset: (asset["createdTime"], asset["id"]), reverse=True)
    return list({asset["technicalName"]: asset for asset in assets}.values())


EXPECTED = {f"table_{number:03}": 1 for number in range(ASSETS)}


@pytest.mark.timeout(240)
@BOTH
@pytest.mark.slow
def test_syncs_of_several_processes_at_once_create_each_data_asset_once(tenant: Any) -> None:
    tenant.break_now_and_then()

    assert tenant.in_processes(TASKS, sync) == []
    found = names(tenant)
    assert found.keys() == EXPECTED.keys()
    # Nobody deletes what another task may have created: where an answer was lost, a second one may remain.
    lost = Counter(
        entry["body"]["technicalName"]
        for entry in tenant.control("GET", "/journal")
        if entry["method"] == "POST" and entry["fault"]
    )
    assert {name: count for name, count in found.items() if count > 1 + lost[name]} == {}
    everybody = {f"task_{task}": task for task in range(TASKS)}
    assert [asset for asset in first_of_each_name(tenant) if asset["properties"] != everybody] == []


@pytest.mark.timeout(180)
@BOTH
@pytest.mark.slow
def test_a_sync_that_is_killed_again_and_again_ends_in_the_same_state(tenant: Any) -> None:
    tenant.control("POST", "/faults", {"kind": "delay", "seconds": 0.01, "times": None})
    context = multiprocessing.get_context("spawn")
    moments = random.Random(7)
    kills = 0
    for _ in range(8):
        written = tenant.writes()
        task = context.Process(target=sync, args=(tenant.ready, tenant.store_id))
        task.start()
        while task.is_alive() and tenant.writes() - written < moments.randint(1, 40):
            time.sleep(0.002)
        if task.is_alive():
            os.kill(task.pid or 0, signal.SIGKILL)
            kills += 1
        task.join()
        time.sleep(0.1)  # whatever was on its way has arrived
    assert kills > 3
    sync(tenant.ready, tenant.store_id)

    assert names(tenant) == EXPECTED
    content = {(asset["name"], *sorted(asset["tags"]), *asset["properties"]) for asset in tenant.assets()}
    assert content == {(f"Table {number}", "a", "b", "task_0") for number in range(ASSETS)}
    written = tenant.writes()
    sync(tenant.ready, tenant.store_id)
    assert tenant.writes() == written

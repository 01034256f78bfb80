"""Many processes write the same data assets while requests fail: nothing is lost, nothing doubled."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import set_data_freshness, upsert_data_asset
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, RateLimits, RetryPolicy

WRITERS = 8
ASSETS = 50


def client_of(ready: dict[str, str]) -> QlikCloudClient:
    return QlikCloudClient(
        ready["url"],
        ApiKey(ready["api_key"]),
        rate_limits=RateLimits(tier1_limit=10_000, tier2_limit=10_000, window=1.0),
        rate_limit_store="memory:",
        retry=RetryPolicy(max_retries=20),
    )


def wish(store_id: str, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "dataStoreInfo": {"id": store_id},
        "technicalName": f"table_{number}",
        "appType": "airflow",
        **fields,
    }


def instant(writer: int) -> str:
    return f"2026-01-01T00:00:{writer:02}.000Z"


def write(ready: dict[str, str], store_id: str, writer: int, failures: Any) -> None:
    """Upsert all data assets with a property of this writer's own, and stamp them, in an order of its own."""
    client = client_of(ready)
    numbers = list(range(ASSETS))
    random.Random(writer).shuffle(numbers)
    for number in numbers:
        try:
            fields = {"properties": {f"writer_{writer}": writer}, "dataFreshness": instant(writer)}
            result = upsert_data_asset(client, wish(store_id, number, **fields))
            set_data_freshness(client, result.id, instant(writer))
        except Exception as error:  # noqa: BLE001 - any error at all is a failure of the test
            failures.put(f"writer {writer}, table_{number}: {type(error).__name__}: {error}")


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "tenant",
    [{"duplicate_technical_name": "refused"}, {"duplicate_technical_name": "allowed"}],
    indirect=True,
)
@pytest.mark.slow
def test_the_newest_wish_of_every_writer_is_in_the_catalog(tenant: Any) -> None:
    tenant.break_now_and_then()

    assert tenant.in_processes(WRITERS, write) == []
    assets = tenant.assets()
    assert sorted(asset["technicalName"] for asset in assets) == sorted(f"table_{n}" for n in range(ASSETS))
    everybody = {f"writer_{writer}": writer for writer in range(WRITERS)}
    assert [asset for asset in assets if asset["properties"] != everybody] == []
    assert {asset["dataFreshness"] for asset in assets} == {instant(WRITERS - 1)}


def run_batch(ready: dict[str, str], store_id: str) -> None:
    """Register and stamp all data assets, as one long task."""
    client = client_of(ready)
    for number in range(ASSETS):
        result = upsert_data_asset(client, wish(store_id, number, name=f"Table {number}", tags=["a", "b"]))
        set_data_freshness(client, result.id, instant(1))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("tenant", [{"duplicate_technical_name": "allowed"}], indirect=True)
def test_a_batch_that_is_killed_again_and_again_ends_in_the_same_state(tenant: Any) -> None:
    context = multiprocessing.get_context("fork")
    moments = random.Random(7)
    kills = 0
    for _ in range(12):
        task = context.Process(target=run_batch, args=(tenant.ready, tenant.store_id))
        task.start()
        task.join(moments.uniform(0.05, 0.6))
        if task.is_alive():
            os.kill(task.pid or 0, signal.SIGKILL)
            kills += 1
        task.join()
    assert kills > 3
    time.sleep(0.5)  # whatever was on its way has arrived
    run_batch(tenant.ready, tenant.store_id)

    content = [
        (asset["technicalName"], asset["name"], sorted(asset["tags"]), asset["dataFreshness"])
        for asset in tenant.assets()
    ]
    assert sorted(content) == sorted(
        (f"table_{number}", f"Table {number}", ["a", "b"], instant(1)) for number in range(ASSETS)
    )
    before = tenant.writes()
    run_batch(tenant.ready, tenant.store_id)
    assert tenant.writes() == before

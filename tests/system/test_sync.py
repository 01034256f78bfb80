"""A sync whose quota is used up, in a whole Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

WINDOW_SECONDS = 65.0

pytestmark = pytest.mark.timeout(1800)


def test_a_sync_defers_until_the_quota_is_back_and_then_does_what_is_left(
    airflow: Any, tenant: Sandbox
) -> None:
    tenant.add_store(id="synced", name="Synced")
    airflow.add_dags("syncs.py")
    run_id = airflow.run("sync")
    airflow.wait_until(lambda: ("sync", "deferred", 1) in airflow.states(run_id), "the sync is deferred")
    created_before = creations(tenant)
    states = airflow.wait_until_ended(run_id, WINDOW_SECONDS + 60)

    assert airflow.state(run_id) == "success"
    assert ("sync", "success", 1) in states
    assert 0 < created_before < 15
    assert creations(tenant) == 15
    assert airflow.recorded(run_id, "result")["value"]["counts"] == {"created": 15}


def creations(tenant: Sandbox) -> int:
    """Return how many data assets of the data store the tenant was asked to create."""
    requests = tenant.journal.requests("POST", "/api/v1/data-assets")
    return sum(request.body["dataStoreInfo"]["id"] == "synced" for request in requests)

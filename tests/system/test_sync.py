"""A sync whose quota is used up, in a whole Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

WINDOW_SECONDS = 65.0

pytestmark = pytest.mark.timeout(600)


def test_a_sync_defers_until_the_quota_is_back_and_then_does_what_is_left(
    airflow: Any, tenant: Sandbox
) -> None:
    tenant.add_store(id="synced", name="Synced")
    airflow.add_dags("sync.py")
    run_id = airflow.run("sync")
    airflow.wait_until(lambda: airflow.states(run_id) == [("sync", "deferred", 1)], "the sync is deferred")
    created_before = len(tenant.journal.requests("POST", "/api/v1/data-assets"))
    airflow.wait_until(
        lambda: airflow.state(run_id) in ("success", "failed"), "the sync has ended", WINDOW_SECONDS + 60
    )

    assert airflow.states(run_id) == [("sync", "success", 1)]
    assert 0 < created_before < 15
    assert len(tenant.journal.requests("POST", "/api/v1/data-assets")) == 15
    assert airflow.returned(run_id)["counts"] == {"created": 15}

"""What all those tests leave behind: no secret anywhere, and no request beyond the quota."""

from __future__ import annotations

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.system.leaks import everything_stored, trigger_arguments
from tests.system.whole_airflow import Airflow

pytestmark = pytest.mark.timeout(1800)


def test_no_log_shows_the_key(airflow: Airflow, tenant: Sandbox) -> None:
    logged = airflow.everything_logged()
    assert "Data asset" in logged
    assert not [secret for secret in (tenant.api_key, tenant.client_secret) if secret in logged]


def test_the_database_holds_no_key(airflow: Airflow, tenant: Sandbox) -> None:
    stored = everything_stored(airflow)
    for table in ("xcom", "rendered_task_instance_fields", "serialized_dag"):
        assert f"\n{table}: " in stored
    assert not [secret for secret in (tenant.api_key, tenant.client_secret) if secret in stored]


def test_no_trigger_holds_the_key(airflow: Airflow, tenant: Sandbox) -> None:
    arguments = str(trigger_arguments(airflow))
    assert not [secret for secret in (tenant.api_key, tenant.client_secret) if secret in arguments]


def test_no_request_was_refused_for_the_quota(airflow: Airflow, tenant: Sandbox) -> None:
    assert [entry for entry in tenant.journal.requests() if entry.status == 429] == []
    assert tenant.journal.busiest_window(2, tenant.settings.window_seconds) <= tenant.settings.tier2_limit

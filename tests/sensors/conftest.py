from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

STALE = "2026-01-01T00:00:00.000Z"
SINCE = "2026-01-31T06:30:00.000Z"


@pytest.fixture
def make_sensor(qlik_sandbox: Sandbox, set_connection: Callable[..., str]) -> Callable[..., Any]:
    """Make a sensor that waits for the data asset "a", which is stale, and whose requests repeat nothing."""
    qlik_sandbox.add_asset(id="a", technicalName="a", dataFreshness=STALE)
    conn_id = set_connection(
        host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra={"max_retries": 0, "max_retry_wait": 0}
    )

    def make(**arguments: Any) -> QlikDataFreshnessSensor:
        if "max_age" not in arguments:
            arguments.setdefault("fresh_since", SINCE)
        return QlikDataFreshnessSensor(
            **{
                "task_id": "wait",
                "qlik_conn_id": conn_id,
                "data_asset_ids": ["a"],
                "poke_interval": 0.05,
                "timeout": 10,
                **arguments,
            }
        )

    return make


@pytest.fixture(autouse=True)
def sensors_run_on_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Airflow 2 from refusing to run a sensor: it looks at the configured executor."""
    monkeypatch.setenv("_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK", "1")

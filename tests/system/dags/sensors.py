"""DAGs that wait for data assets in the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from records import record

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

ARGUMENTS: dict[str, Any] = {
    "fresh_since": "2026-01-31T06:30:00Z",
    "deferrable": True,
    "poke_interval": 3,
    "retries": 3,
}
START = datetime(2026, 1, 1, tzinfo=UTC)

with DAG("many", start_date=START, schedule=None):
    wait = QlikDataFreshnessSensor.partial(task_id="wait", timeout=600, **ARGUMENTS).expand(
        data_asset_ids=[[f"table-{number}"] for number in range(50)]
    )

    @task
    def receive(results: Any, run_id: str) -> None:
        record(run_id, "results", list(results))

    receive(wait.output)

with DAG("in_vain", start_date=START, schedule=None):
    QlikDataFreshnessSensor(task_id="missing", data_asset_ids="nowhere", timeout=600, **ARGUMENTS)
    QlikDataFreshnessSensor(
        task_id="out_of_time", data_asset_ids="stale", timeout=10, soft_fail=True, **ARGUMENTS
    )

with DAG("refused", start_date=START, schedule=None):
    QlikDataFreshnessSensor(task_id="wait", data_asset_ids="stale", timeout=600, **ARGUMENTS)

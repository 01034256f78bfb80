"""DAGs for an Airflow of several hosts: many sensors, and two syncs that share a quota."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from records import record

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.operators.data_assets import QlikSyncDataAssetsOperator
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

START = datetime(2026, 1, 1, tzinfo=UTC)
SENSOR: dict[str, Any] = {
    "fresh_since": "2026-01-31T06:30:00Z",
    "deferrable": True,
    "poke_interval": 5,
    "timeout": 600,
}

with DAG("fleet_sensors", start_date=START, schedule=None):
    QlikDataFreshnessSensor.partial(task_id="quiet", do_xcom_push=False, **SENSOR).expand(
        data_asset_ids=[[f"quiet-{number}"] for number in range(170)]
    )
    telling = QlikDataFreshnessSensor.partial(task_id="telling", **SENSOR).expand(
        data_asset_ids=[[f"telling-{number}"] for number in range(30)]
    )

    @task
    def receive(results: Any, run_id: str) -> None:
        record(run_id, "results", list(results))

    receive(telling.output)

with DAG("fleet_syncs", start_date=START, schedule=None):

    @task
    def receive_syncs(results: Any, run_id: str) -> None:
        record(run_id, "results", list(results))

    syncs = [
        QlikSyncDataAssetsOperator(
            task_id=f"sync_{store}",
            data_store_id=f"fleet-{store}",
            data_assets=[{"technicalName": f"table-{number}", "appType": "test"} for number in range(50)],
            # The worker may be killed: without a retry, the task fails then.
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
        for store in ("one", "other")
    ]
    receive_syncs([sync.output for sync in syncs])

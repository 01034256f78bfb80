"""A DAG that writes more than its connection's quota allows at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from records import record

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.operators.data_assets import QlikSyncDataAssetsOperator

with DAG("sync", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
    sync = QlikSyncDataAssetsOperator(
        task_id="sync",
        qlik_conn_id="qlik_few_writes",
        data_store_id="synced",
        data_assets=[{"technicalName": f"table-{number}", "appType": "test"} for number in range(15)],
        deferrable=True,
        retries=3,
    )

    @task
    def receive(result: Any, run_id: str) -> None:
        record(run_id, "result", result)

    receive(sync.output)

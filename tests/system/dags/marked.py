"""A DAG that stamps so many data assets that somebody can mark it as failed meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_qlik_assets._compat import DAG
from airflow_provider_qlik_assets.operators.data_assets import QlikUpdateDataFreshnessOperator

with DAG("marked", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
    QlikUpdateDataFreshnessOperator(
        task_id="stamp",
        data_asset_ids=[f"marked-{number}" for number in range(400)],
        data_freshness="2026-02-01T00:00:00Z",
        retries=3,
    )

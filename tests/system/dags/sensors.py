"""DAGs that wait for data assets in the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

ARGUMENTS = {
    "task_id": "wait",
    "fresh_since": "2026-01-31T06:30:00Z",
    "deferrable": True,
    "poke_interval": 2,
    "timeout": 600,
    "retries": 3,
}
START = datetime(2026, 1, 1, tzinfo=UTC)

with DAG("many", start_date=START, schedule=None):
    QlikDataFreshnessSensor.partial(**{**ARGUMENTS, "poke_interval": 5}).expand(
        data_asset_ids=[[f"table-{number}"] for number in range(50)]
    )

with DAG("missing", start_date=START, schedule=None):
    QlikDataFreshnessSensor(**ARGUMENTS, data_asset_ids="nowhere")

with DAG("revoked", start_date=START, schedule=None):
    QlikDataFreshnessSensor(**ARGUMENTS, data_asset_ids="stale")

with DAG("out_of_time", start_date=START, schedule=None):
    QlikDataFreshnessSensor(**{**ARGUMENTS, "timeout": 6}, data_asset_ids="stale", soft_fail=True)

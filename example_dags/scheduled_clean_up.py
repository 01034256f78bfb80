"""Delete data assets whose source data has not changed for a long time, every week and never too many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.operators.data_assets import QlikDeleteDataAssetsOperator


@dag(
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id", "stale_after_days": 180, "dry_run": False},
    tags=["qlik", "example"],
)
def scheduled_clean_up():
    @task
    def stale_data_assets(params: dict) -> list[str]:
        """Return the data assets that nobody refreshed for long and nobody asked to keep."""
        oldest = datetime.now(UTC) - timedelta(days=params["stale_after_days"])
        return [
            asset.id
            for asset in QlikCloudHook().list_data_assets(params["data_store_id"])
            if asset.data_freshness is not None
            and asset.data_freshness < oldest
            and "keep" not in (asset.tags or [])
        ]

    QlikDeleteDataAssetsOperator(
        task_id="delete",
        data_asset_ids=stale_data_assets(),
        max_deletions=100,
        dry_run="{{ params.dry_run }}",
    )


scheduled_clean_up_dag = scheduled_clean_up()

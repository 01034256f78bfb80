"""Keep a data store as the YAML file beside this one says; a run with dry_run shows what it would do."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import dag

from airflow_provider_qlik_assets.operators.data_assets import QlikSyncDataAssetsOperator


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id", "dry_run": False},
    tags=["qlik", "example"],
)
def sync_catalog():
    QlikSyncDataAssetsOperator(
        task_id="sync",
        data_store_id="{{ params.data_store_id }}",
        data_assets="sync_catalog.yaml",
        delete_unlisted=True,
        protected_tags=["keep"],
        max_deletions=10,
        max_fraction=0.5,
        dry_run="{{ params.dry_run }}",
        deferrable=True,
    )


sync_catalog_dag = sync_catalog()

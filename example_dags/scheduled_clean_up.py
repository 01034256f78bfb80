"""Delete data assets whose source data has not changed for long, every week: first a plan, then delete."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import dag

from airflow_provider_qlik_assets.operators.data_assets import QlikCleanUpDataAssetsOperator


@dag(
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id", "stale_after_days": 180, "only_plan": False},
    tags=["qlik", "example"],
)
def scheduled_clean_up():
    rules = {
        "data_store_ids": ["{{ params.data_store_id }}"],
        "stale_after": "{{ params.stale_after_days * 86400 }}",
        "protected_tags": ["keep"],
        "max_deletions": 100,
        "max_fraction": 0.2,
    }
    # Its log and its result show what would be deleted and why; it fails where the guards would.
    plan = QlikCleanUpDataAssetsOperator(task_id="plan", dry_run=True, **rules)
    delete = QlikCleanUpDataAssetsOperator(task_id="delete", dry_run="{{ params.only_plan }}", **rules)
    plan >> delete


scheduled_clean_up_dag = scheduled_clean_up()

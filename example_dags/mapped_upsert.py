"""Register every table that a load produced, one mapped task each; running it again changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_qlik_assets.operators.data_assets import QlikUpsertDataAssetOperator


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id"},
    tags=["qlik", "example"],
)
def mapped_upsert():
    @task
    def loaded_tables(params: dict) -> list[dict]:
        """Return the fields to set, by the API's names; fields that are not given stay as they are."""
        return [
            {
                "dataStoreInfo": {"id": params["data_store_id"]},
                "technicalName": f"dwh.sales.{table}",
                "appType": "airflow",
                "name": table.capitalize(),
                "tags": ["sales"],
            }
            for table in ("products", "regions", "stores")
        ]

    QlikUpsertDataAssetOperator.partial(task_id="register").expand(data_asset=loaded_tables())


mapped_upsert_dag = mapped_upsert()

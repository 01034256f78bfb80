"""Register every table that a load produced in the Qlik catalog, one mapped task each.

`loaded_tables` returns one data asset per table, with the fields to set. `register` is mapped over them: it
creates what is missing and updates only what differs; fields that are not given, such as a description by a
data steward, stay as they are. Running it again changes nothing.

**Needs** an Airflow connection `qlik_cloud_default` of type *Qlik Cloud*, and a data store in Qlik.

| param | set it to |
|---|---|
| `data_store_id` | the id of the data store that the tables belong to |
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

from airflow_provider_qlik_assets.operators.data_assets import QlikUpsertDataAssetOperator


@dag(
    description="Register every table that a load produced in Qlik, one mapped task each",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id"},
    tags=["qlik", "example"],
)
def mapped_upsert() -> None:
    @task
    def loaded_tables(params: dict[str, Any]) -> list[dict[str, Any]]:
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

"""Load a table, register it in the Qlik catalog, stamp its freshness, then wait for another one.

`load` stands for your own load and returns the instant up to which the table holds the source data.
`register` creates the data asset `dwh.sales.orders`, or updates the given fields of the existing one.
`stamp` sets its `dataFreshness` to that instant. `wait_for_orders_and_customers` waits, without holding a
worker slot, until this data asset and one of another team are both at least as fresh. `build_report` then
uses both tables. Running it again is safe.

**Needs** an Airflow connection `qlik_cloud_default` of type *Qlik Cloud*, and two things in Qlik: a data
store to write to, and the data asset to wait for. The wait ends when that one is stamped, or after an hour.

| param | set it to |
|---|---|
| `data_store_id` | the id of the data store that `dwh.sales.orders` belongs to |
| `customers_id` | the id of the other team's data asset |
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

from airflow_provider_qlik_assets.operators.data_assets import (
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor


@dag(
    description="Register a data asset in Qlik, stamp its freshness, wait for another one",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id", "customers_id": "id-of-another-teams-data-asset"},
    tags=["qlik", "example"],
)
def register_and_refresh() -> None:
    @task
    def load() -> str:
        """Load the table; return the instant up to which it holds the source data."""
        return datetime.now(UTC).isoformat()

    loaded_until = load()

    register = QlikUpsertDataAssetOperator(
        task_id="register",
        data_asset={
            "dataStoreInfo": {"id": "{{ params.data_store_id }}"},
            "technicalName": "dwh.sales.orders",
            "appType": "airflow",
            "name": "Orders",
            "tags": ["sales", "dag:{{ dag.dag_id }}"],
        },
    )

    stamp = QlikUpdateDataFreshnessOperator(
        task_id="stamp", data_asset_ids=[register.output["id"]], data_freshness=loaded_until
    )

    wait = QlikDataFreshnessSensor(
        task_id="wait_for_orders_and_customers",
        data_asset_ids=[register.output["id"], "{{ params.customers_id }}"],
        fresh_since=loaded_until,
        poke_interval=10,
        timeout=3600,
        deferrable=True,
    )

    @task
    def build_report(waited_for: dict[str, Any]) -> None:
        """Use both tables, now that both are fresh."""
        for data_asset_id, instant in waited_for["freshness"].items():
            print(f"{data_asset_id} is fresh as of {instant}")

    loaded_until >> register >> stamp >> wait
    build_report(wait.output)


register_and_refresh_dag = register_and_refresh()

"""Load a table, register it in the Qlik catalog, stamp its freshness, wait for it and for another, go on."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import dag, task  # on Airflow 3 also: from airflow.sdk import ...

from airflow_provider_qlik_assets.operators.data_assets import (
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id", "customers_id": "id-of-another-teams-data-asset"},
    tags=["qlik", "example"],
)
def register_and_refresh():
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
    def build_report(waited_for: dict) -> None:
        """Use both tables, now that both are fresh."""
        for data_asset_id, instant in waited_for["freshness"].items():
            print(f"{data_asset_id} is fresh as of {instant}")

    loaded_until >> register >> stamp >> wait
    build_report(wait.output)


register_and_refresh_dag = register_and_refresh()

"""Keep Qlik fresh for a whole deployment: one DAG, triggered by the Airflow assets that other DAGs update."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import Asset, dag, task

from airflow_provider_qlik_assets.operators.data_assets import QlikUpdateDataFreshnessOperator

# The extra names the data asset in Qlik. Keep the definitions in one module that all DAG files import.
orders = Asset(uri="warehouse://sales/orders", extra={"qlik_data_asset_id": "your-orders-data-asset-id"})
stores = Asset(uri="warehouse://sales/stores", extra={"qlik_data_asset_id": "your-stores-data-asset-id"})


@dag(schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False, tags=["qlik", "example"])
def load_sales():
    @task(outlets=[stores])
    def load_stores() -> None:
        """Load a table, without a word about Qlik: the moment of the update will be stamped."""

    @task(outlets=[orders])
    def load_orders(outlet_events=None) -> None:
        """Load a table, and tell up to which instant it holds the source data."""
        outlet_events[orders].extra = {"data_freshness": "2026-01-31T06:30:00Z"}

    load_stores()
    load_orders()


@dag(
    schedule=(orders | stores),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["qlik", "example"],
)
def freshness_from_assets():
    QlikUpdateDataFreshnessOperator(task_id="stamp", from_asset_events=True, retries=3)


load_sales_dag = load_sales()
freshness_from_assets_dag = freshness_from_assets()

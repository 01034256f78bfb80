"""Keep Qlik fresh for a whole deployment: one DAG, triggered by the Airflow assets that other DAGs update.

`load_sales` stands for the DAGs that load your tables. Its tasks update Airflow assets (Airflow 2: datasets)
and know nothing of Qlik. `freshness_from_assets` is scheduled on these assets; its task `stamp` sets the
`dataFreshness` of the data assets in Qlik. Which they are is in the extra of the assets, below: what an event
says of it counts only with `trust_event_extra=True`, since anyone who may send events could stamp any data
asset. The instant is what the load tells in `data_freshness`, at most a day ahead, or else the moment of the
update. A run that no update triggered, such as one by hand, has nothing to do.

Before version 3.2, Airflow's scheduler drops an update that comes in the moment when it creates a run for
another one; the next update is stamped again. Where each one counts, stamp in the DAG that loads.

**Needs** an Airflow connection `qlik_cloud_default` of type *Qlik Cloud*, and a data asset in Qlik for each
table. Unpause both DAGs and run `load_sales`.

| environment variable of all Airflow processes | set it to |
|---|---|
| `QLIK_EXAMPLE_ORDERS_ID` | the id of the data asset that the asset `orders` stands for |
| `QLIK_EXAMPLE_STORES_ID` | the same for the asset `stores` |

| param of `load_sales` | set it to |
|---|---|
| `loaded_until` | the instant up to which `orders` holds the source data |

The ids are not params, because Airflow reads the assets when it parses the file; params only exist in a run.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import Asset, dag, task
except ImportError:  # Airflow 2
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import dag, task

from airflow_provider_qlik_assets.operators.data_assets import QlikUpdateDataFreshnessOperator

ORDERS_ID = os.environ.get("QLIK_EXAMPLE_ORDERS_ID", "your-orders-data-asset-id")
STORES_ID = os.environ.get("QLIK_EXAMPLE_STORES_ID", "your-stores-data-asset-id")

# The extra names the data asset in Qlik. Keep the definitions in one module that all DAG files import.
orders = Asset(uri="warehouse://sales/orders", extra={"qlik_data_asset_id": ORDERS_ID})
stores = Asset(uri="warehouse://sales/stores", extra={"qlik_data_asset_id": STORES_ID})


@dag(
    description="Update two Airflow assets, as the loads of a deployment do",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"loaded_until": "2026-01-31T06:30:00Z"},
    tags=["qlik", "example"],
)
def load_sales() -> None:
    @task(outlets=[stores])
    def load_stores() -> None:
        """Load a table; the moment of the update will be stamped."""

    @task(outlets=[orders])
    def load_orders(params: dict[str, Any], outlet_events: Any) -> None:
        """Load a table, and tell up to which instant it holds the source data."""
        outlet_events[orders].extra = {"data_freshness": params["loaded_until"]}

    load_stores()
    load_orders()


@dag(
    description="Stamp the freshness of data assets in Qlik whenever their Airflow assets are updated",
    doc_md=__doc__,
    schedule=(orders | stores),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["qlik", "example"],
)
def freshness_from_assets() -> None:
    QlikUpdateDataFreshnessOperator(task_id="stamp", from_asset_events=True, retries=3)


load_sales_dag = load_sales()
freshness_from_assets_dag = freshness_from_assets()

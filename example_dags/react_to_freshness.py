"""Run whenever the freshness of a data asset in Qlik changes, without a task that waits for it (Airflow 3).

An asset watcher in the triggerer sees that another team stamped its data asset, and updates the Airflow asset
`qlik_customers`; that triggers the DAG. `refresh_segments` reads from the events what has changed. A run by
hand has no events and nothing to do. Anyone who may send events in Airflow can trigger it, too: what they say
is text to print, as here, not to run.

**Needs** Airflow 3 with a running triggerer, an Airflow connection `qlik_cloud_default` of type *Qlik
Cloud*, and the data asset to watch. Unpause the DAG, then stamp that data asset.

| environment variable of all Airflow processes | set it to |
|---|---|
| `QLIK_EXAMPLE_CUSTOMERS_ID` | the id of the data asset to watch |

The id is not a param, because Airflow reads the watcher when it parses the file; params only exist in a run.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessEventTrigger

CUSTOMERS_ID = os.environ.get("QLIK_EXAMPLE_CUSTOMERS_ID", "id-of-another-teams-data-asset")

freshness = QlikDataFreshnessEventTrigger(
    qlik_conn_id="qlik_cloud_default",
    data_asset_ids=[CUSTOMERS_ID],
    poll_interval=60,
    asset_name="qlik_customers",
)
customers = Asset("qlik_customers", watchers=[AssetWatcher(name="freshness", trigger=freshness)])


@dag(
    description="Run whenever the freshness of another team's data asset in Qlik changes",
    doc_md=__doc__,
    schedule=[customers],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["qlik", "example"],
)
def react_to_freshness() -> None:
    @task
    def refresh_segments(triggering_asset_events: Any) -> None:
        """Use the data that is new; several changes may have come together."""
        for event in triggering_asset_events.get(customers, []):
            change = event.extra["payload"]
            print(f"{change['technical_name']!r} is fresh as of {change['data_freshness']}")

    refresh_segments()


react_to_freshness_dag = react_to_freshness()

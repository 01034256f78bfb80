"""Run whenever a data asset in Qlik gets another freshness, without a task that waits for it (Airflow 3)."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessEventTrigger

freshness = QlikDataFreshnessEventTrigger(
    qlik_conn_id="qlik_cloud_default",
    data_asset_ids=["id-of-another-teams-data-asset"],
    poll_interval=60,
    asset_name="qlik_customers",
)
customers = Asset("qlik_customers", watchers=[AssetWatcher(name="freshness", trigger=freshness)])


@dag(
    schedule=[customers],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["qlik", "example"],
)
def react_to_freshness():
    @task
    def refresh_segments(triggering_asset_events=None) -> None:
        """Use the data that is new; several changes may have come together."""
        for event in triggering_asset_events.get(customers, []):
            change = event.extra["payload"]
            print(f"{change['technical_name']} is fresh as of {change['data_freshness']}")

    refresh_segments()


react_to_freshness_dag = react_to_freshness()

"""A DAG that each change of a data asset's freshness runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task
from records import record

from airflow_provider_qlik_assets.triggers.data_freshness import QlikDataFreshnessEventTrigger

watched = Asset(
    name="watched",
    uri="x-qlik://watched",
    watchers=[
        AssetWatcher(
            name="freshness",
            trigger=QlikDataFreshnessEventTrigger(
                qlik_conn_id="qlik_cloud_default",
                data_asset_ids=["watched"],
                poll_interval=1,
                asset_name="watched",
            ),
        )
    ],
)

with DAG("watcher", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=[watched]):

    @task
    def receive(run_id: str, triggering_asset_events: Any) -> None:
        record(run_id, "payloads", [event.extra["payload"] for event in triggering_asset_events[watched]])

    receive()

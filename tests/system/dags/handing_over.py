"""A DAG whose tasks hand on what our operators return."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from records import record

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)


def wish(name: str) -> dict[str, Any]:
    return {"dataStoreInfo": {"id": "store"}, "technicalName": f"handed.{name}", "appType": "test"}


with DAG("handing_over", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):

    @task
    def receive(name: str, value: Any, run_id: str) -> None:
        record(run_id, name, value)

    @task
    def receive_all(name: str, values: Any, run_id: str) -> None:
        record(run_id, name, list(values))

    register = QlikUpsertDataAssetOperator(task_id="register", data_asset=wish("orders"))
    mapped = QlikUpsertDataAssetOperator.partial(task_id="mapped").expand(
        data_asset=[wish("products"), wish("regions"), wish("stores")]
    )
    stamp = QlikUpdateDataFreshnessOperator(
        task_id="stamp", data_asset_ids=[register.output["id"]], data_freshness="2026-02-01T00:00:00Z"
    )
    receive.override(task_id="receive_upsert")("upsert", register.output)
    receive.override(task_id="receive_id")("id", register.output["id"])
    receive.override(task_id="receive_stamp")("stamp", stamp.output)
    receive_all("mapped", mapped.output)

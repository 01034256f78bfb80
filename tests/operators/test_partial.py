"""What ``.partial()`` gives to all mapped tasks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, BaseOperator
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANTS = [f"2026-0{month}-01T00:00:00.000Z" for month in (1, 2, 3)]


@pytest.mark.usefixtures("qlik_conn_id")
def test_a_generator_serves_all_mapped_tasks(
    qlik_sandbox: Sandbox, store: str, run_dag: Callable[[DAG], Any]
) -> None:
    for key in "ab":
        qlik_sandbox.add_asset(store, id=key, technicalName=key)
    with DAG("generator", start_date=START, schedule=None) as dag:
        QlikUpdateDataFreshnessOperator.partial(
            task_id="stamp", data_asset_ids=(key for key in "ab"), max_active_tis_per_dag=1
        ).expand(data_freshness=INSTANTS)

    assert run_dag(dag).state == "success"
    assert {asset["dataFreshness"] for asset in qlik_sandbox.assets.values()} == {INSTANTS[-1]}


def test_what_is_nested_and_what_a_sensor_gets_is_kept_too() -> None:
    with DAG("nested", start_date=START, schedule=None):
        rows = [{"technicalName": "t", "tags": (tag for tag in "xy")}]
        sync = QlikSyncDataAssetsOperator.partial(task_id="sync", data_assets=rows).expand(
            data_store_id=["s"]
        )
        wait = QlikDataFreshnessSensor.partial(task_id="wait", data_asset_ids=iter("ab")).expand(max_age=[1])

    assert sync.partial_kwargs["data_assets"] == [{"technicalName": "t", "tags": ["x", "y"]}]
    assert wait.partial_kwargs["data_asset_ids"] == ["a", "b"]


def test_everything_else_is_the_very_object_that_was_given() -> None:
    """Airflow tells the results of other tasks by their identity."""
    ids: Any = [["a", "{{ ds }}"], ("b",)]
    with DAG("kept", start_date=START, schedule=None):
        output = BaseOperator(task_id="other").output
        for number, value in enumerate((*ids, output)):
            task = QlikUpdateDataFreshnessOperator.partial(task_id=f"t{number}", data_asset_ids=value)
            assert task.expand(data_freshness=INSTANTS).partial_kwargs["data_asset_ids"] is value

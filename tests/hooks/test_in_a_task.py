from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook


def test_hook_works_in_a_task(qlik_conn_id: str, run_dag: Callable[[DAG], Any]) -> None:
    @task
    def who_am_i() -> str:
        return str(QlikCloudHook(qlik_conn_id).get_conn().me()["tenantId"])

    with DAG("qlik_hook", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        who_am_i()

    run = run_dag(dag)

    assert run.state == "success"

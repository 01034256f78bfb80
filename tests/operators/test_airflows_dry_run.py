"""Airflow's own method ``dry_run``, which ``airflow tasks test --dry-run`` calls, beside our argument."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import BaseOperator
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikCleanUpDataAssetsOperator,
    QlikDeleteDataAssetsOperator,
    QlikSyncDataAssetsOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

WISH = {"technicalName": "orders", "appType": "airflow"}


@pytest.mark.skipif(
    not hasattr(BaseOperator, "dry_run"), reason="operators of this Airflow have no method dry_run (3.0)"
)
@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (QlikCleanUpDataAssetsOperator, {"data_store_ids": ["store-1"], "stale_after": timedelta(days=30)}),
        (QlikDeleteDataAssetsOperator, {"data_asset_ids": ["a"]}),
        (QlikSyncDataAssetsOperator, {"data_store_id": "store-1", "data_assets": [WISH]}),
    ],
)
def test_it_still_works(
    qlik_sandbox: Sandbox, qlik_conn_id: str, operator: type[BaseOperator], arguments: dict[str, Any]
) -> None:
    operator(task_id="task", qlik_conn_id=qlik_conn_id, dry_run=True, **arguments).dry_run()

    assert not qlik_sandbox.journal.requests()

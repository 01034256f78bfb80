"""Catalog as code: keep a data store in Qlik as a YAML file says; first a plan, then the changes.

`sync_catalog.yaml`, beside this file, lists data assets. `plan` writes nothing: its log and its result show
what would be created, updated and deleted. `sync` then does it and writes only what differs; fields that
the file does not name stay as they are. Running it again changes nothing.

By default nothing is deleted. With `delete_unlisted` everything in the data store that the file does not list
is, **no matter who created it**, except what has a protected tag: `keep`, or `sales`, which the other
examples set. So give the data store to this DAG alone, and look at a plan (`only_plan`) first. Both tasks
fail, before anything is written, if more than 10 data assets or half of the data store would be deleted.

**Needs** an Airflow connection `qlik_cloud_default` of type *Qlik Cloud*, and a data store in Qlik.

| param | set it to |
|---|---|
| `data_store_id` | the id of the data store that the file describes |
| `only_plan` | true to write nothing |
| `delete_unlisted` | true to delete what the file does not list |

Scheduled runs use the defaults of the params: change them in the file before you unpause the DAG.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_qlik_assets.operators.data_assets import QlikSyncDataAssetsOperator


@dag(
    description="Keep a data store in Qlik as a YAML file says: first a plan, then the changes",
    doc_md=__doc__,
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id", "only_plan": False, "delete_unlisted": False},
    tags=["qlik", "example"],
)
def sync_catalog() -> None:
    wanted: dict[str, Any] = {
        "data_store_id": "{{ params.data_store_id }}",
        "data_assets": "sync_catalog.yaml",
        "delete_unlisted": "{{ params.delete_unlisted }}",
        "protected_tags": ["keep", "sales"],
        "max_deletions": 10,
        "max_fraction": 0.5,
        "deferrable": True,
    }
    plan = QlikSyncDataAssetsOperator(task_id="plan", dry_run=True, **wanted)
    sync = QlikSyncDataAssetsOperator(task_id="sync", dry_run="{{ params.only_plan }}", **wanted)
    plan >> sync


sync_catalog_dag = sync_catalog()

"""Delete the data assets of a data store whose source data has not changed for long, every week.

`plan` deletes nothing: its log and its result show what would be deleted and why. `delete` then does it.
Both fail, before anything is deleted, if more than 100 data assets or a fifth of the data store would be.
Data assets that are tagged `keep`, and those that were never stamped, are not deleted.

**Needs** an Airflow connection `qlik_cloud_default` of type *Qlik Cloud*. Try it with `only_plan` first.

| param | set it to |
|---|---|
| `data_store_id` | the id of the data store to clean up |
| `stale_after_days` | the age of `dataFreshness`, in days, beyond which to delete |
| `only_plan` | true to delete nothing |

Scheduled runs use the defaults of the params: change them in the file before you unpause the DAG.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

try:
    from airflow.sdk import dag
except ImportError:  # Airflow 2
    from airflow.decorators import dag

from airflow_provider_qlik_assets.operators.data_assets import QlikCleanUpDataAssetsOperator


@dag(
    description="Delete stale data assets from Qlik every week: first a plan, then the deletions",
    doc_md=__doc__,
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"data_store_id": "your-data-store-id", "stale_after_days": 180, "only_plan": False},
    tags=["qlik", "example"],
)
def scheduled_clean_up() -> None:
    rules: dict[str, Any] = {
        "data_store_ids": ["{{ params.data_store_id }}"],
        "stale_after": "{{ params.stale_after_days * 86400 }}",
        "protected_tags": ["keep"],
        "max_deletions": 100,
        "max_fraction": 0.2,
    }
    # Its log and its result show what would be deleted and why; it fails where the guards would.
    plan = QlikCleanUpDataAssetsOperator(task_id="plan", dry_run=True, **rules)
    delete = QlikCleanUpDataAssetsOperator(task_id="delete", dry_run="{{ params.only_plan }}", **rules)
    plan >> delete


scheduled_clean_up_dag = scheduled_clean_up()

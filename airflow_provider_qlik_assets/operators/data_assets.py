"""Operators that register, change and delete the data assets of Qlik Cloud.

All may be run again at any time, mapped with ``.partial().expand()`` and templated, nested values included.
Permanent errors (status 400, 401, 403, 404, a wrong configuration or argument) fail the task without retries.
Arguments that are not templates are checked when the DAG is parsed.
"""

from airflow_provider_qlik_assets.operators.clean_up import QlikCleanUpDataAssetsOperator
from airflow_provider_qlik_assets.operators.data_freshness import QlikUpdateDataFreshnessOperator
from airflow_provider_qlik_assets.operators.delete import QlikDeleteDataAssetsOperator
from airflow_provider_qlik_assets.operators.patch import QlikPatchDataAssetOperator
from airflow_provider_qlik_assets.operators.sync import QlikSyncDataAssetsOperator
from airflow_provider_qlik_assets.operators.upsert import QlikUpsertDataAssetOperator

__all__ = [
    "QlikCleanUpDataAssetsOperator",
    "QlikDeleteDataAssetsOperator",
    "QlikPatchDataAssetOperator",
    "QlikSyncDataAssetsOperator",
    "QlikUpdateDataFreshnessOperator",
    "QlikUpsertDataAssetOperator",
]

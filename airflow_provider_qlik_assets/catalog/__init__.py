"""Changes of the catalog: safe to repeat, with few requests, without Airflow and HTTP."""

from airflow_provider_qlik_assets.catalog.clean_up import CleanUpRules, clean_up_data_assets
from airflow_provider_qlik_assets.catalog.deletion import delete_data_assets
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness
from airflow_provider_qlik_assets.catalog.patch import patch_data_asset
from airflow_provider_qlik_assets.catalog.results import Result, summarize
from airflow_provider_qlik_assets.catalog.sync.apply import Sync, sync_data_assets
from airflow_provider_qlik_assets.catalog.sync.plan import Plan, make_plan
from airflow_provider_qlik_assets.catalog.upsert import find_data_asset, upsert_data_asset

__all__ = [
    "CleanUpRules",
    "DeletionGuards",
    "Plan",
    "Result",
    "Sync",
    "clean_up_data_assets",
    "delete_data_assets",
    "find_data_asset",
    "make_plan",
    "patch_data_asset",
    "set_data_freshness",
    "summarize",
    "sync_data_assets",
    "upsert_data_asset",
]

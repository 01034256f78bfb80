"""What to change in the catalog: safe to repeat, sparing with requests, without Airflow and without HTTP."""

from airflow_provider_qlik_assets.catalog.deletion import delete_data_assets
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness
from airflow_provider_qlik_assets.catalog.patch import patch_data_asset
from airflow_provider_qlik_assets.catalog.results import Result, summarize
from airflow_provider_qlik_assets.catalog.upsert import find_data_asset, upsert_data_asset

__all__ = [
    "Result",
    "delete_data_assets",
    "find_data_asset",
    "patch_data_asset",
    "set_data_freshness",
    "summarize",
    "upsert_data_asset",
]

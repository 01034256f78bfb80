"""Stamp when the source data of a data asset was last changed."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_qlik_assets.catalog.guarded import change
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.client import QlikCloudClient
from airflow_provider_qlik_assets.client.models import DataAsset


def set_data_freshness(
    client: QlikCloudClient, data_asset_id: str, when: datetime | str, *, allow_backwards: bool = False
) -> Result:
    """Set the ``dataFreshness`` of a data asset, never to an older instant unless that is allowed.

    :param data_asset_id: id of the data asset.
    :param when: timezone-aware instant.
    :param allow_backwards: whether an older instant may replace a newer one.
    :return: ``updated``, or ``unchanged`` if it was as fresh already.
    :raises QlikNotFoundError: if there is no such data asset.
    """
    wish = DataAsset.parse({"dataFreshness": when})
    return change(
        client, data_asset_id, lambda current: overlay(current, wish, allow_backwards=allow_backwards)
    )

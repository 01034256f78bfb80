"""Stamp when the source data of a data asset was last changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.deletion import check_ids
from airflow_provider_qlik_assets.catalog.guarded import change
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.errors import QlikNotFoundError
from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.client.models import DataAsset

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient


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
    # Checked as an instant: None would clear the field.
    wish = DataAsset.parse({"dataFreshness": parse_instant(when)})
    return change(
        client, data_asset_id, lambda current: overlay(current, wish, allow_backwards=allow_backwards)
    )


def set_data_freshness_of_many(
    client: QlikCloudClient,
    data_asset_ids: str | Iterable[str],
    when: datetime | str,
    *,
    allow_backwards: bool = False,
) -> Iterator[Result]:
    """Set the ``dataFreshness`` of several data assets, as :func:`set_data_freshness` does for one.

    One that does not exist does not keep the others from being stamped.

    :param data_asset_ids: ids of data assets; repeated ones count once.
    :return: the results, as they come.
    :raises QlikNotFoundError: after all others were stamped, naming those that do not exist.
    """
    missing: dict[str, QlikNotFoundError] = {}
    for data_asset_id in check_ids(data_asset_ids):
        try:
            yield set_data_freshness(client, data_asset_id, when, allow_backwards=allow_backwards)
        except QlikNotFoundError as error:
            missing[data_asset_id] = error
    if len(missing) == 1:
        raise next(iter(missing.values()))
    if missing:
        raise QlikNotFoundError.without_request(
            404, f"{len(missing)} data assets do not exist, all others were stamped: {', '.join(missing)}."
        ) from next(iter(missing.values()))

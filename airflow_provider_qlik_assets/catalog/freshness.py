"""Stamp data assets with the instant at which their source data last changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.bulk import change_many
from airflow_provider_qlik_assets.catalog.compare_and_set import change
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.catalog.results import Result, ignore_result
from airflow_provider_qlik_assets.client.errors import QlikNotFoundError, QlikPartialFailureError, first_few
from airflow_provider_qlik_assets.client.instants import parse_stamp
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.validation import check_bool, check_ids, check_mapping

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient


def set_data_freshness(
    client: QlikCloudClient,
    data_asset_id: str,
    when: datetime | str,
    *,
    allow_backwards: bool = False,
    allow_future: bool = False,
) -> Result:
    """Set the ``dataFreshness`` of a data asset, never to an older instant unless that is allowed.

    :param data_asset_id: id of the data asset.
    :param when: timezone-aware instant.
    :param allow_backwards: whether an older instant may replace a newer one.
    :param allow_future: whether the instant may be more than a day ahead.
    :return: ``updated``, or ``unchanged`` if it was as fresh already.
    :raises QlikNotFoundError: if there is no such data asset.
    """
    check_bool(allow_backwards, "allow_backwards")
    # Checked as an instant, because None would clear the field.
    desired = DataAsset.parse(
        {"dataFreshness": parse_stamp(when, allow_future=check_bool(allow_future, "allow_future"))}
    )
    return change(
        client, data_asset_id, lambda current: overlay(current, desired, allow_backwards=allow_backwards)
    )


def set_data_freshness_of_many(
    client: QlikCloudClient,
    data_asset_ids: str | Iterable[str],
    when: datetime | str,
    *,
    allow_backwards: bool = False,
    allow_future: bool = False,
    on_result: Callable[[Result], None] = ignore_result,
) -> list[Result]:
    """Set the ``dataFreshness`` of several data assets to the same instant.

    :param data_asset_ids: ids of data assets; repeated ones count once.
    :return: as :func:`set_data_freshness_by_id`.
    """
    instants = dict.fromkeys(check_ids(data_asset_ids), when)
    return set_data_freshness_by_id(
        client, instants, allow_backwards=allow_backwards, allow_future=allow_future, on_result=on_result
    )


def set_data_freshness_by_id(
    client: QlikCloudClient,
    instants: Mapping[str, datetime | str],
    *,
    allow_backwards: bool = False,
    allow_future: bool = False,
    on_result: Callable[[Result], None] = ignore_result,
) -> list[Result]:
    """Set the ``dataFreshness`` of several data assets, as :func:`set_data_freshness` does for one.

    Several are stamped at a time, and one that fails does not keep the others from being stamped.

    :param instants: timezone-aware instant by id of the data asset.
    :param on_result: called with each result as soon as it is known, also if others fail.
    :return: the results in the order given.
    :raises QlikNotFoundError: after all others were stamped, naming those that do not exist.
    :raises QlikPartialFailureError: likewise, if several failed, and not all because they do not exist.
    """
    check_bool(allow_backwards, "allow_backwards")
    check_bool(allow_future, "allow_future")
    instants = check_mapping(instants, "instants")
    desired_assets = {
        data_asset_id: parse_stamp(instants[data_asset_id], allow_future=allow_future)
        for data_asset_id in check_ids(list(instants))
    }

    def stamp(client: QlikCloudClient, data_asset_id: str) -> Result:
        return set_data_freshness(
            client,
            data_asset_id,
            desired_assets[data_asset_id],
            allow_backwards=allow_backwards,
            allow_future=True,
        )

    try:
        return change_many(
            client, stamp, desired_assets, what="Data freshness", done="stamped", on_result=on_result
        )
    except QlikPartialFailureError as failed:
        if not all(isinstance(error, QlikNotFoundError) for error in failed.failures.values()):
            raise
        missing = list(failed.failures)
        raise QlikNotFoundError.without_request(
            404, f"{len(missing)} data assets do not exist; all others were stamped: {first_few(missing)}."
        ) from failed

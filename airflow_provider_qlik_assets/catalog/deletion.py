"""Delete data assets by id, guarded and safe to repeat."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.creation import id_of
from airflow_provider_qlik_assets.catalog.guards import DeletionGuards
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikNotFoundError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.retry import outcome_is_unknown
from airflow_provider_qlik_assets.client.validation import check_id

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = logging.getLogger(__name__)

# Qlik Cloud publishes no maximum; 100 is its page size.
_CHUNK = 100


def delete_data_assets(
    client: QlikCloudClient,
    data_asset_ids: Iterable[str],
    *,
    max_deletions: int | None = None,
    dry_run: bool = False,
) -> list[Result]:
    """Delete data assets with all that belongs to them; one that is gone already is no failure.

    All are read before the first is deleted, so that the guard knows what exists and the result says what was
    deleted.

    :param data_asset_ids: ids of data assets; repeated ones count once.
    :param max_deletions: refuse to delete more than these; ``None`` sets no limit.
    :param dry_run: only return what would be done.
    :return: ``deleted`` or ``missing`` for each id, in the order given.
    :raises QlikValidationError: if more exist than ``max_deletions``; nothing was deleted.
    """
    guards = DeletionGuards(max_deletions=max_deletions, max_fraction=None)
    ids = check_ids(data_asset_ids)
    found: dict[str, DataAsset] = {}
    for data_asset_id in ids:
        try:
            found[data_asset_id] = client.get_data_asset(data_asset_id)
        except QlikNotFoundError:
            logger.info("Data asset %s does not exist (any more).", data_asset_id)
    guards.check(len(found), len(ids))
    results = {data_asset_id: Result(data_asset_id, "missing") for data_asset_id in ids}
    if dry_run:
        results.update({name: Result(name, "deleted", asset) for name, asset in found.items()})
    else:
        results.update({result.id: result for result in delete_listed(client, found.values())})
    return list(results.values())


def delete_listed(client: QlikCloudClient, assets: Iterable[DataAsset]) -> Iterator[Result]:
    """Delete data assets that were just read, by the hundred.

    :param assets: different data assets, with their ids.
    :return: ``deleted``, or ``missing`` for one that somebody else had deleted meanwhile; as they come.
    """
    found = {id_of(asset): asset for asset in assets}
    for chunk in _chunks(list(found)):
        gone = _delete_chunk(client, chunk)
        for data_asset_id in chunk:
            if data_asset_id in gone:
                yield Result(data_asset_id, "missing")
            else:
                yield Result(data_asset_id, "deleted", found[data_asset_id])


def check_ids(data_asset_ids: Iterable[str]) -> list[str]:
    """Return the ids without repetitions.

    :raises QlikValidationError: if they are no list of ids.
    """
    ids = [data_asset_ids] if isinstance(data_asset_ids, str) else list(data_asset_ids)
    for data_asset_id in ids:
        if check_id(data_asset_id) == "*":
            raise QlikValidationError("'*' is not the id of a data asset: name each one.")
    return list(dict.fromkeys(ids))


def _delete_chunk(client: QlikCloudClient, ids: list[str]) -> set[str]:
    """Delete up to 100 data assets; return those that somebody else had deleted meanwhile."""
    left = ids
    while left:
        try:
            client.delete_data_assets(left)
            break
        except QlikNotFoundError:
            # The tenant refuses a whole batch for one missing id: delete the others.
            existing = client.existing_ids(left)
            if existing == left:
                raise
            left = existing
        except QlikCloudError as error:
            if not outcome_is_unknown(error) or client.existing_ids(left):
                raise
            break
    return set(ids) - set(left)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]

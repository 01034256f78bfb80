"""Delete data assets by id, guarded and safe to repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.catalog.progress import Progress
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikNotFoundError,
    first_few,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.validation import check_ids
from airflow_provider_qlik_assets.client.verdicts import outcome_is_unknown

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

# Qlik Cloud publishes no maximum; 100 is its page size.
_CHUNK = 100
_MOST_LOGGED_NAMES = 20


def delete_data_assets(
    client: QlikCloudClient,
    data_asset_ids: Iterable[str],
    *,
    max_deletions: int | None = None,
    dry_run: bool = False,
) -> list[Result]:
    """Delete data assets with all that belongs to them; a missing one counts as done.

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
    results = {result.id: result for result in delete_by_id(client, ids, guards, dry_run=dry_run)}
    return [results[data_asset_id] for data_asset_id in ids]


def delete_by_id(
    client: QlikCloudClient,
    data_asset_ids: Iterable[str],
    guards: DeletionGuards,
    *,
    dry_run: bool = False,
    patient: QlikCloudClient | None = None,
) -> Iterator[Result]:
    """Delete data assets as :func:`delete_data_assets` does.

    :param guards: how many may be deleted.
    :param patient: a client that may wait longer, for the reads after the first one: if those of more than a
        window allows started over after each wait, they would never end.
    :return: ``deleted`` or ``missing`` for each id, in the order of completion.
    :raises QlikCloudError: saying how many were deleted.
    """
    ids = check_ids(data_asset_ids)
    found: dict[str, DataAsset] = {}
    missing: list[str] = []
    progress = deletions(len(ids))
    reader = client
    with progress.reported_by_errors():
        for data_asset_id in ids:
            try:
                found[data_asset_id] = reader.get_data_asset(data_asset_id)
            except QlikNotFoundError:
                missing.append(data_asset_id)
            reader = patient or client
    if missing:
        logger.info("%d data assets do not exist: %s.", len(missing), first_few(missing))
    guards.check(len(found), len(ids))
    yield from (Result(data_asset_id, "missing") for data_asset_id in missing)
    if dry_run:
        yield from (Result(data_asset_id, "deleted", asset) for data_asset_id, asset in found.items())
    else:
        yield from delete_listed(client, found.values())


def deletions(total: int) -> Progress:
    """Return the progress of deleting a number of data assets."""
    return Progress("Deletion", total, done="deleted")


def delete_listed(
    client: QlikCloudClient, assets: Iterable[DataAsset], progress: Progress | None = None
) -> Iterator[Result]:
    """Delete data assets that were just read, in batches of 100; each batch is logged when it is done.

    :param assets: different data assets, with their ids.
    :param progress: of a longer deletion that this is a part of.
    :return: ``deleted``, or ``missing`` for one that was deleted in the meantime, in the order of completion.
    :raises QlikCloudError: saying how many were deleted.
    """
    found = {id_of(asset): asset for asset in assets}
    progress = progress or deletions(len(found))
    for chunk in _chunks(list(found)):
        with progress.reported_by_errors():
            try:
                gone = _delete_chunk(client, chunk)
            except BaseException as error:
                if not isinstance(error, QlikCloudError):  # such as a time-out of the task, at any moment
                    logger.warning("%d more may have been deleted: %s.", len(chunk), _names(found, chunk))
                raise
        results = [
            Result(name, "missing") if name in gone else Result(name, "deleted", found[name])
            for name in chunk
        ]
        for result in results:
            progress.note(result.action)
        deleted = [name for name in chunk if name not in gone]
        names = f": {_names(found, deleted)}" if deleted else ""
        logger.info("Deleted %d data assets, %s so far%s.", len(deleted), progress.so_far(), names)
        yield from results


def _names(assets: Mapping[str, DataAsset], ids: list[str]) -> str:
    return first_few([assets[key].technical_name or key for key in ids], _MOST_LOGGED_NAMES)


def _delete_chunk(client: QlikCloudClient, ids: list[str]) -> set[str]:
    """Delete up to 100 data assets; return those that were already gone."""
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
            if not outcome_is_unknown(error) or _exist(client, left, unless=error):
                raise
            break
    return set(ids) - set(left)


def _exist(client: QlikCloudClient, ids: list[str], *, unless: QlikCloudError) -> bool:
    """Return whether some data assets exist.

    :param unless: the error to raise if that cannot be determined; it says that they may have been deleted.
    """
    try:
        return bool(client.existing_ids(ids))
    except QlikCloudError as error:
        raise unless from error


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]

"""Delete data assets, guarded and safe to repeat: by id, or what a look at data stores has found.

A deletion may have to wait for the quota, up to an hour. What was found before the wait is therefore read
again after it, right before the request is sent: see :class:`LastLook`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards, check_guards
from airflow_provider_qlik_assets.catalog.progress import Progress
from airflow_provider_qlik_assets.catalog.results import Result, ignore_result
from airflow_provider_qlik_assets.client.content import is_unchanged
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikNotFoundError,
    first_few,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.paging import MOST_PER_PAGE
from airflow_provider_qlik_assets.client.validation import check_bool, check_ids
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
    on_result: Callable[[Result], None] = ignore_result,
) -> list[Result]:
    """Delete data assets as :func:`delete_data_assets` does.

    :param guards: how many may be deleted.
    :param patient: a client that may wait longer, for the reads after the first one: if those of more than a
        window allows started over after each wait, they would never end.
    :param on_result: called with each result as soon as it is known.
    :return: ``deleted`` or ``missing`` for each id, in the order of completion.
    :raises QlikCloudError: saying how many were deleted.
    """
    check_guards(guards)
    check_bool(dry_run, "dry_run")
    ids = check_ids(data_asset_ids)
    found: dict[str, DataAsset] = {}
    progress = deletions(len(ids))
    reader = client
    with progress.reported_by_errors():
        for data_asset_id in ids:
            found.update(_read_each(reader, [data_asset_id]))
            reader = patient or client
    missing = [data_asset_id for data_asset_id in ids if data_asset_id not in found]
    if missing:
        logger.info("%d data assets do not exist: %s.", len(missing), first_few(missing))
    guards.check(len(found), len(ids))
    results = [Result(data_asset_id, "missing") for data_asset_id in missing]
    if dry_run:
        results += [Result(data_asset_id, "deleted", asset) for data_asset_id, asset in found.items()]
    _tell(results, on_result)
    return results if dry_run else results + delete_listed(client, found.values(), on_result=on_result)


@dataclass(frozen=True)
class LastLook:
    """How to find out right before a deletion what may still be deleted.

    :param client: reads the data assets.
    :param data_store_ids: the data stores that hold them.
    :param total: about how many data assets these hold.
    :param allows: whether a data asset, as it is now, may be deleted: see :func:`unchanged_since`.
    """

    client: QlikCloudClient
    data_store_ids: Sequence[str]
    total: int
    allows: Callable[[DataAsset], bool]

    def read(self, data_asset_ids: Sequence[str]) -> dict[str, DataAsset]:
        """Return those of some data assets that exist, with as few requests as possible."""
        pages = -(-self.total // MOST_PER_PAGE)
        # To notice what moves, a listing of several pages ends with the first one again.
        if len(data_asset_ids) <= (pages + 1 if pages > 1 else 1):
            return _read_each(self.client, data_asset_ids)
        left = set(data_asset_ids)
        found = {}
        for asset in self.client.list_data_assets(self.data_store_ids):
            key = id_of(asset)
            if key in left:
                left.remove(key)
                found[key] = asset
                if not left:
                    break
        # It may exist all the same: moved to another data store, or missing in a listing that lags behind.
        return {**found, **_read_each(self.client, sorted(left))}


def unchanged_since(assets: Iterable[DataAsset]) -> Callable[[DataAsset], bool]:
    """Return what tells whether one of some data assets is still as it was found: only that is deleted.

    :param assets: with all their fields.
    """
    before = {id_of(asset): asset for asset in assets}
    return lambda asset: is_unchanged(asset, before[id_of(asset)])


def deletions(total: int) -> Progress:
    """Return the progress of deleting a number of data assets."""
    return Progress("Deletion", total, done="deleted")


def delete_listed(
    client: QlikCloudClient,
    assets: Iterable[DataAsset],
    *,
    last_look: LastLook | None = None,
    on_result: Callable[[Result], None] = ignore_result,
) -> list[Result]:
    """Delete data assets, in batches of 100; each batch is logged when it is done.

    :param assets: different data assets, with their ids.
    :param last_look: finds out before each batch what of it may still be deleted; ``None`` deletes all.
    :param on_result: called with each result as soon as it is known.
    :return: ``deleted`` with the data asset as it was right before, ``missing`` for one that was deleted in
        the meantime, or ``skipped`` for one that may no longer be deleted; in the order of completion.
    :raises QlikCloudError: saying how many were deleted.
    """
    found = {id_of(asset): asset for asset in assets}
    progress = deletions(len(found))
    results: list[Result] = []
    for chunk in _chunks(list(found)):
        batch = _Batch(client, {key: found[key] for key in chunk}, last_look)
        with progress.reported_by_errors():
            try:
                batch.delete()
            finally:
                done = batch.done()
                for result in done:
                    progress.note(result.action)
                if done:
                    _log(done, progress)
                results += done
                _tell(done, on_result)
    return results


def _tell(results: Sequence[Result], on_result: Callable[[Result], None]) -> None:
    """Tell each result; an error from one does not keep the others from being told, and is raised then."""
    with contextlib.ExitStack() as last_first:
        for result in reversed(results):
            last_first.callback(on_result, result)


class _Batch:
    """Up to 100 data assets that are deleted together.

    :param assets: by id, as they were found.
    :param last_look: finds out what may still be deleted; ``None`` looks only at what an earlier attempt may
        have deleted.
    """

    def __init__(
        self, client: QlikCloudClient, assets: Mapping[str, DataAsset], last_look: LastLook | None
    ) -> None:
        self._client = client
        self._assets = dict(assets)
        self._last_look = last_look
        self._results: dict[str, Result] = {}
        self._to_delete: list[str] = []
        self._in_doubt: set[str] = set()
        self._unanswered = 0
        self._was_refused = False
        self._is_done = False

    def delete(self) -> None:
        """Delete what may be deleted."""
        while not self._is_done:
            before = len(self._to_delete)
            self._unanswered = 0
            try:
                self._client.delete_data_assets(list(self._assets), self._look)
            except QlikNotFoundError:
                # The tenant refuses a whole batch for one missing id: delete the others.
                if self._was_refused and len(self._to_delete) >= before:
                    raise
                self._was_refused = True
            except QlikCloudError as error:
                if not self._to_delete or not outcome_is_unknown(error):
                    raise
                self._settle(error)
            except BaseException:  # such as a time-out of the task, at any moment
                if self._to_delete:
                    names = _names(self._assets[key] for key in self._to_delete)
                    logger.warning("%d more may have been deleted: %s.", len(self._to_delete), names)
                raise
            else:
                self._note_deleted(self._to_delete)
                self._is_done = True

    def done(self) -> list[Result]:
        """Return what is known to have been done."""
        results = [self._results[key] for key in self._assets if key in self._results]
        return results if self._is_done else [result for result in results if result.action == "deleted"]

    def _look(self, ids: list[str], unanswered: int) -> list[str]:
        """Return which of some data assets are to be deleted; record what becomes of the others.

        :param unanswered: number of earlier attempts that may have deleted them.
        """
        # A look may be repeated without an attempt in between: what only the earlier one returned was not
        # sent.
        if unanswered > self._unanswered:
            self._in_doubt.update(self._to_delete)
            self._unanswered = unanswered
        is_needed = self._last_look or self._was_refused or unanswered
        current = self._read(ids) if is_needed else self._assets
        results: dict[str, Result] = {}
        to_delete = []
        late = []
        for key in ids:
            asset = current.get(key)
            if asset is None:
                was_ours = key in self._in_doubt
                results[key] = (
                    Result(key, "deleted", self._assets[key]) if was_ours else Result(key, "missing")
                )
            elif self._last_look and not self._last_look.allows(asset):
                results[key] = Result(key, "skipped", asset)
                if key in self._in_doubt:
                    late.append(asset)
            else:
                self._assets[key] = asset
                to_delete.append(key)
        if late:
            logger.warning(
                "Changed after a deletion that was not answered and may still be carried out: %s.",
                _names(late),
            )
        self._results, self._to_delete = results, to_delete
        return to_delete

    def _read(self, ids: list[str]) -> Mapping[str, DataAsset]:
        # After a refusal each alone, because the tenant may list what it has deleted a moment ago.
        if self._last_look is None or self._was_refused:
            return _read_each(self._client, ids)
        return self._last_look.read(ids)

    def _settle(self, error: QlikCloudError) -> None:
        """Find out what a request without an answer has deleted.

        :param error: raised if that cannot be found out, or if any was not deleted.
        """
        try:
            left = self._read(self._to_delete)
        except QlikCloudError as failed:
            raise error from failed
        self._note_deleted(key for key in self._to_delete if key not in left)
        if left:
            raise error
        self._is_done = True

    def _note_deleted(self, ids: Iterable[str]) -> None:
        self._results.update({key: Result(key, "deleted", self._assets[key]) for key in ids})


def _read_each(client: QlikCloudClient, ids: Iterable[str]) -> dict[str, DataAsset]:
    """Return those of some data assets that exist, with a request for each."""
    found = {}
    for key in ids:
        with contextlib.suppress(QlikNotFoundError):
            found[key] = client.get_data_asset(key)
    return found


def _log(results: Iterable[Result], progress: Progress) -> None:
    by_action: dict[str, list[DataAsset]] = {"deleted": [], "skipped": []}
    for result in results:
        if result.data_asset is not None:
            by_action[result.action].append(result.data_asset)
    deleted, skipped = by_action["deleted"], by_action["skipped"]
    if skipped:
        logger.info("Not deleted, because changed in the meantime: %s.", _names(skipped))
    names = f": {_names(deleted)}" if deleted else ""
    logger.info("Deleted %d data assets, %s so far%s.", len(deleted), progress.so_far(), names)


def _names(assets: Iterable[DataAsset]) -> str:
    return first_few([asset.technical_name or id_of(asset) for asset in assets], _MOST_LOGGED_NAMES)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]

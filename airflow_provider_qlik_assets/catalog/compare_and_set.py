"""Change a data asset only as it was when it was read.

Read, decide, write with a ``test`` of the version; on a conflict it is read again and recomputed. The same
loop settles writes whose outcome is unknown: the next reading shows whether they were done.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.errors import (
    QlikBadRequestError,
    QlikCloudError,
    QlikConflictError,
    QlikResponseError,
)
from airflow_provider_qlik_assets.client.json_patch import (
    JsonPatchOperation,
    changed_fields,
    effective_operations,
    is_safe_to_repeat,
    same_json,
    test_version,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.verdicts import outcome_is_unknown, settling

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

_MOST_ATTEMPTS = 20
_LONGEST_PAUSE_SECONDS = 2.0
_PAUSES_OF_A_LAG = (0.2, 0.6, 1.2)


class _Attempt:
    """A write whose outcome is unknown.

    :param before: the data asset that it was based on.
    :param operations: what it would change.
    """

    def __init__(self, before: DataAsset, operations: list[JsonPatchOperation]) -> None:
        self.fields = changed_fields(operations)
        self._wanted = effective_operations(before.to_json(), operations)[1]

    def shows_in(self, asset: DataAsset) -> bool:
        """Return whether a data asset is as this would have left it."""
        document = asset.to_json()
        return all(same_json(document.get(name), self._wanted.get(name)) for name in self.fields)


def change(
    client: QlikCloudClient,
    data_asset_id: str,
    decide: Callable[[DataAsset], list[JsonPatchOperation]],
    *,
    current: DataAsset | None = None,
) -> Result:
    """Change a data asset until ``decide`` returns no operations.

    :param data_asset_id: id of the data asset.
    :param decide: returns the operations that are missing; called with the data asset as just read, again
        after each conflict.
    :param current: the data asset as just read, if the caller has it; ``None`` reads it.
    :return: ``updated`` or ``unchanged``.
    :raises QlikConflictError: if others kept changing it.
    """
    unsettled: _Attempt | None = None
    failed: QlikCloudError | None = None
    failed_version: int | None = None
    attempt = 0
    operations: list[JsonPatchOperation] = []
    while True:
        attempt += 1
        if current is None:
            write = None if unsettled is None else failed
            lags = isinstance(failed, QlikConflictError) and unsettled is None
            with settling(write, may_start_over=unsettled is not None and is_safe_to_repeat(operations)):
                current = _read(client, data_asset_id, failed_version if lags else None)
        if unsettled is not None and unsettled.shows_in(current):
            return Result(data_asset_id, "updated", current, unsettled.fields)
        operations = decide(current)
        if not operations:
            fields = unsettled.fields if unsettled is not None else ()
            return Result(data_asset_id, "updated" if fields else "unchanged", current, fields)
        if failed is not None and (
            current.version == failed_version
            or attempt > _MOST_ATTEMPTS
            or (unsettled is not None and not is_safe_to_repeat(operations))
        ):
            raise failed
        if current.version is None:
            raise QlikResponseError(
                f"Data asset {current.label} came without 'version', so that changing it could overwrite the "
                "change of another writer. Check the role of the connection's user.",
                http_status=200,
                concerns_one=True,
            )
        try:
            after = client.patch_data_asset(
                data_asset_id, [test_version(current.version), *operations], current=current
            )
        except QlikCloudError as error:
            happened = "could not be changed"
            if outcome_is_unknown(error):
                happened = "may or may not have been changed"
                unsettled = _Attempt(current, operations)
            elif isinstance(error, (QlikConflictError, QlikBadRequestError)):
                # A tenant may answer a failed test with 400: the version tells it from a malformed patch.
                unsettled = None
            else:
                raise
            failed, failed_version = error, current.version
            logger.info(
                "Data asset %s %s; reading it again for attempt %d: %s",
                current.label, happened, attempt + 1, error,
            )  # fmt: skip
            current = None
            if attempt > 1:
                client.sleep(random.uniform(0, min(_LONGEST_PAUSE_SECONDS, 0.05 * 2**attempt)))  # noqa: S311
        else:
            return Result(data_asset_id, "updated", after, changed_fields(operations))


def _read(client: QlikCloudClient, data_asset_id: str, replaced_version: int | None) -> DataAsset:
    """Return a data asset as it is.

    :param replaced_version: the version that it had before the last conflict, which a read that lags behind
        may still show.
    """
    for pause in _PAUSES_OF_A_LAG:
        current = client.get_data_asset(data_asset_id)
        if replaced_version is None or current.version != replaced_version:
            return current
        client.sleep(pause)
    return client.get_data_asset(data_asset_id)

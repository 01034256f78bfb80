"""Create a data asset, or give the existing one the desired values; safe to repeat at any time."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_qlik_assets.catalog.compare_and_set import change
from airflow_provider_qlik_assets.catalog.creation import age, creation_result, new_document
from airflow_provider_qlik_assets.catalog.overlay import leave_missing_freshness, overlay
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.content import is_as_sent
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikConflictError,
    QlikDataAssetExistsError,
    QlikNotFoundError,
    QlikResponseError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.verdicts import outcome_is_unknown

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

IfExists = Literal["update", "skip", "fail"]

_CREATE_ATTEMPTS = 3


def find_data_asset(client: QlikCloudClient, data_store_id: str, technical_name: str) -> DataAsset | None:
    """Return the data asset with a technical name in a data store, or ``None`` if there is none.

    It lists the data store, because Qlik Cloud has no other way to look up a name. If several have the name,
    it returns the oldest one and logs a warning that names all.

    :param data_store_id: id of the data store.
    :param technical_name: exact technical name.
    :raises QlikNotFoundError: if there is no such data store.
    """
    found = _named(client, data_store_id, technical_name)
    return found[0] if found else None


def upsert_data_asset(
    client: QlikCloudClient,
    asset: DataAsset | Mapping[str, Any],
    if_exists: IfExists = "update",
    *,
    created_before: str | None = None,
    on_created: Callable[[Result], None] = lambda created: None,  # noqa: ARG005
) -> Result:
    """Create a data asset, or set the given fields of the existing one.

    With an ``id``, that data asset is meant; without, the one of the same data store and technical name.
    Fields that are not given stay as they are; ``None`` clears a field, but leaves ``data_freshness`` as it
    is, which never goes back. Nothing is written when nothing differs.

    :param asset: the desired values; to create one, with ``data_store_info.id``, ``technical_name`` and
        ``app_type``.
    :param if_exists: what to do if it exists: ``update`` it, ``skip`` it, or ``fail``.
    :param created_before: id of the data asset that an earlier part of the same work has created; it counts
        only if it has the desired data store and name.
    :param on_created: called right after a data asset was created, before it is looked up again.
    :return: ``created``, ``updated``, ``unchanged`` or ``skipped``.
    :raises QlikDataAssetExistsError: if it exists and ``if_exists`` is ``fail``.
    :raises QlikNotFoundError: if an ``id`` is given that does not exist, or there is no such data store.
    """
    desired = check_upsert(asset, if_exists)
    current: DataAsset | None = None
    created = False
    if created_before is not None and desired.id is None:
        with contextlib.suppress(QlikNotFoundError):
            before = client.get_data_asset(created_before)
            if (before.store_id, before.technical_name) == (desired.store_id, desired.technical_name):
                created, current = _keep_one(client, desired, before)
    if current is None:
        current = client.get_data_asset(desired.id) if desired.id is not None else _find(client, desired)
    if current is None:
        created, current = _create(client, desired, on_created)
    if created:
        return creation_result(current, desired)
    if if_exists == "skip":
        return Result(id_of(current), "skipped", current)
    if if_exists == "fail":
        raise QlikDataAssetExistsError.without_request(409, f"Data asset {current.label} already exists.")
    return change(client, id_of(current), lambda current: overlay(current, desired), current=current)


def check_upsert(asset: DataAsset | Mapping[str, Any], if_exists: str) -> DataAsset:
    """Return the desired values of an upsert, checked.

    :raises QlikValidationError: if it can neither be found nor created.
    """
    desired = leave_missing_freshness(DataAsset.parse(asset))
    if if_exists not in {"update", "skip", "fail"}:
        raise QlikValidationError(f"if_exists is {if_exists!r}: use 'update', 'skip' or 'fail'.")
    if desired.id is None and not (desired.store_id and desired.technical_name):
        raise QlikValidationError(
            "The data asset needs its 'id', or 'dataStoreInfo' (with 'id') and 'technicalName', to be found."
        )
    if desired.id is None and not desired.app_type:
        raise QlikValidationError("The data asset needs 'appType', in case it has to be created.")
    return desired


def _create(
    client: QlikCloudClient, desired: DataAsset, on_created: Callable[[Result], None]
) -> tuple[bool, DataAsset]:
    """Create a data asset; return whether it is ours, and the one that is in the catalog now.

    A create whose outcome is unknown is not repeated before a look-up by name.
    """
    body = new_document(desired)
    for attempt in range(1, _CREATE_ATTEMPTS + 1):
        try:
            created = client.create_data_asset(body)
            on_created(creation_result(created, desired))
            return _keep_one(client, desired, created)
        except QlikConflictError:
            current = _find(client, desired)
            if current is None:
                raise
            return False, current
        except QlikCloudError as error:
            if not outcome_is_unknown(error):
                raise
            if found := _named(client, desired.store_id or "", desired.technical_name or ""):
                return _keep_oldest(client, desired, found)
            if attempt == _CREATE_ATTEMPTS or isinstance(error, QlikResponseError):
                raise
            pause = random.uniform(0, 2.0**attempt)  # noqa: S311 - jitter
            logger.warning(
                "Data asset %s was not created; attempt %d follows in %.1f s: %s",
                desired.technical_name, attempt + 1, pause, error,
            )  # fmt: skip
            client.sleep(pause)
    raise AssertionError("unreachable")


def _keep_one(client: QlikCloudClient, desired: DataAsset, created: DataAsset) -> tuple[bool, DataAsset]:
    """Check that no other task created the same data asset at the same moment.

    Whether a tenant refuses a second one of the same name is not documented. All tasks keep the oldest, and
    each deletes only what it has just created itself.
    """
    current = _find(client, desired)
    if current is None or current.id == created.id:
        return True, created
    logger.warning(
        "Data asset %s was created by another task at the same moment; keeping that one.", current.label
    )
    with contextlib.suppress(QlikNotFoundError):
        client.delete_data_assets([id_of(created)])
    return False, current


def _keep_oldest(
    client: QlikCloudClient, desired: DataAsset, found: list[DataAsset]
) -> tuple[bool, DataAsset]:
    """Settle a create without an answer: return whether the oldest is ours; remove ours if it is younger.

    Ours is what holds the desired values and nothing else, as it was created.
    """
    body = new_document(desired)
    oldest, *younger = found
    for asset in younger:
        if is_as_sent(asset, body):
            logger.warning("Data asset %s is a younger duplicate of %s; removing it.", asset.label, oldest.id)
            with contextlib.suppress(QlikNotFoundError):
                client.delete_data_assets([id_of(asset)])
    return is_as_sent(oldest, body), oldest


def _named(client: QlikCloudClient, data_store_id: str, technical_name: str) -> list[DataAsset]:
    """Return the data assets of a name, the oldest first; there should be one."""
    found = sorted(
        (asset for asset in client.list_data_assets(data_store_id) if asset.technical_name == technical_name),
        key=age,
    )
    if len(found) > 1:
        logger.warning(
            "Data store %s holds %d data assets named %r (ids %s); using the oldest. Delete the others.",
            data_store_id, len(found), technical_name, ", ".join(str(asset.id) for asset in found),
        )  # fmt: skip
    return found


def _find(client: QlikCloudClient, desired: DataAsset) -> DataAsset | None:
    return find_data_asset(client, desired.store_id or "", desired.technical_name or "")

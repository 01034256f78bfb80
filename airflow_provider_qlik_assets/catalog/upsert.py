"""Create a data asset, or give the existing one the desired values; safe to repeat at any time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import pendulum

from airflow_provider_qlik_assets.catalog.compare_and_set import change
from airflow_provider_qlik_assets.catalog.creation import Creations, creation_result, new_document
from airflow_provider_qlik_assets.catalog.overlay import leave_missing_freshness, overlay
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.catalog.same_name import (
    age,
    has_name_of,
    is_in_store,
    look_until_visible,
    newest_creation,
    warn_of_duplicates,
)
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikDataAssetExistsError,
    QlikNotFoundError,
    QlikValidationError,
    shorten,
)
from airflow_provider_qlik_assets.client.json_patch import JsonPatchOperation
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.validation import check_id, check_seconds, check_text

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

IfExists = Literal["update", "skip", "fail"]

_MOST_STARTS = 5


def find_data_asset(client: QlikCloudClient, data_store_id: str, technical_name: str) -> DataAsset | None:
    """Return the data asset with a technical name in a data store, or ``None`` if there is none.

    It lists the data store, because Qlik Cloud has no other way to look up a name. If several have the name,
    it returns the oldest one and logs a warning that names all.

    :param data_store_id: id of the data store.
    :param technical_name: exact technical name.
    :raises QlikNotFoundError: if there is no such data store.
    """
    _, found = _named(client, data_store_id, check_text(technical_name, "technical_name"))
    return found[0] if found else None


def upsert_data_asset(
    client: QlikCloudClient,
    asset: DataAsset | Mapping[str, Any],
    if_exists: IfExists = "update",
    *,
    visible_after: float | None = None,
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
    :param visible_after: seconds after which a new data asset is visible to all; ``None`` is
        :data:`~airflow_provider_qlik_assets.catalog.same_name.VISIBLE_AFTER_SECONDS`.
    :param created_before: id of the data asset that an earlier part of the same work has created; it counts
        only if it has the desired data store and name.
    :param on_created: called right after a data asset was created, before it is looked up again.
    :return: ``created``, ``updated``, ``unchanged`` or ``skipped``.
    :raises QlikDataAssetExistsError: if it exists and ``if_exists`` is ``fail``.
    :raises QlikNotFoundError: if an ``id`` is given that does not exist, or there is no such data store.
    """
    desired = check_upsert(asset, if_exists)
    if visible_after is not None:
        check_seconds(visible_after, "visible_after")
    if created_before is not None:
        check_id(created_before)
    if desired.id is not None:
        return _apply(client, desired, client.get_data_asset(desired.id), if_exists)
    before = _created_before(client, desired, created_before)
    found = None if before else _look(client, desired, visible_after)
    current, newest, looked_at = found or (None, None, None)
    creations = Creations(client, desired.store_id or "", newest, looked_at, visible_after=visible_after)
    if before:
        creations.note_created_earlier(desired, before)
    for start in range(_MOST_STARTS):
        if current is None:
            created, current = _create(client, desired, creations, on_created)
            if created:
                return creation_result(current, desired)
        try:
            return _apply(client, desired, current, if_exists)
        except QlikNotFoundError:  # deleted, renamed or moved since it was read
            if start == _MOST_STARTS - 1:
                raise
            creations.note_missing(desired)
            current = None
    raise AssertionError("unreachable")


def check_upsert(asset: DataAsset | Mapping[str, Any], if_exists: str) -> DataAsset:
    """Return the desired values of an upsert, checked.

    :raises QlikValidationError: if it can neither be found nor created.
    """
    desired = leave_missing_freshness(DataAsset.parse(asset))
    if if_exists not in get_args(IfExists):
        raise QlikValidationError(
            f"if_exists is {shorten(repr(if_exists), 60)}: use 'update', 'skip' or 'fail'."
        )
    if desired.id is None and not (desired.store_id and desired.technical_name):
        raise QlikValidationError(
            "The data asset needs its 'id', or 'dataStoreInfo' (with 'id') and 'technicalName', to be found."
        )
    if desired.id is None and not desired.app_type:
        raise QlikValidationError("The data asset needs 'appType', in case it has to be created.")
    return desired


class _Found(NamedTuple):
    """What a look at a data store found.

    :param first: of the data assets of a name, the one that counts.
    :param newest: when the newest data asset of all was created.
    :param looked_at: the tenant's time before the look.
    """

    first: DataAsset | None
    newest: pendulum.DateTime | None
    looked_at: pendulum.DateTime | None


def _look(client: QlikCloudClient, desired: DataAsset, visible_after: float | None) -> _Found:
    """Look a name up; the data asset is one that everybody sees."""
    (assets, named), looked_at = look_until_visible(
        client,
        lambda: _named(client, desired.store_id or "", desired.technical_name or ""),
        lambda found: found[1][:1],
        visible_after,
    )
    return _Found(named[0] if named else None, newest_creation(assets), looked_at)


def _created_before(
    client: QlikCloudClient, desired: DataAsset, data_asset_id: str | None
) -> DataAsset | None:
    """Return the data asset that an earlier part of the same work has created, if it is the desired one."""
    if data_asset_id is not None:
        with contextlib.suppress(QlikNotFoundError):
            before = client.get_data_asset(data_asset_id)
            if has_name_of(before, desired):
                return before
    return None


def _create(
    client: QlikCloudClient,
    desired: DataAsset,
    creations: Creations,
    on_created: Callable[[Result], None],
) -> tuple[bool, DataAsset]:
    """Create a data asset if there is none; return whether it was created here, and the one that counts."""
    name = desired.technical_name or ""
    while True:
        try:
            created = None if creations.is_pending else client.create_data_asset(new_document(desired))
        except QlikCloudError as error:
            if not creations.note_error(desired, error):
                raise
            logger.warning("%s: it is looked up before anything else is done. %s", name, error)
        else:
            if created is not None:
                on_created(creation_result(created, desired))
                creations.note_created(desired, created)
        settled = creations.settle()
        if name in settled.failed:
            raise settled.failed[name]
        if name in settled.created:
            return True, settled.created[name]
        if name in settled.existing:
            return False, settled.existing[name]


def _apply(client: QlikCloudClient, desired: DataAsset, current: DataAsset, if_exists: IfExists) -> Result:
    """Do with an existing data asset what was chosen."""
    if if_exists == "skip":
        return Result(id_of(current), "skipped", current)
    if if_exists == "fail":
        raise QlikDataAssetExistsError.without_request(409, f"Data asset {current.label} already exists.")
    if desired.id is None:
        return change_named(client, desired, current)
    return change(client, desired.id, lambda current: overlay(current, desired), current=current)


def change_named(client: QlikCloudClient, desired: DataAsset, current: DataAsset) -> Result:
    """Give the data asset of a name the desired values.

    :param current: as just read.
    :raises QlikNotFoundError: if it no longer exists, or has another name or data store by now.
    """

    def decide(current: DataAsset) -> list[JsonPatchOperation]:
        if not has_name_of(current, desired):
            raise QlikNotFoundError.without_request(
                404, f"Data asset {current.label} was renamed or moved to another data store meanwhile."
            )
        return overlay(current, desired)

    return change(client, id_of(current), decide, current=current)


def _named(
    client: QlikCloudClient, data_store_id: str, technical_name: str
) -> tuple[list[DataAsset], list[DataAsset]]:
    """Return the data assets of a data store, and those of a name, the oldest first; there should be one."""
    listed = client.list_data_assets(data_store_id)
    assets = [asset for asset in listed if is_in_store(asset, data_store_id)]
    found = sorted((asset for asset in assets if asset.technical_name == technical_name), key=age)
    if len(found) > 1:
        warn_of_duplicates(data_store_id, found)
    return assets, found

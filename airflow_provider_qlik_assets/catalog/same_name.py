"""Which of several data assets of one name counts, and whether all can see it yet."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import pendulum

from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

Look = TypeVar("Look")

VISIBLE_AFTER_SECONDS = 2.0
"""How long a data asset may take, from its ``createdTime``, to be visible to all."""

_MOST_LOOKS = 5
# The ``Date`` of an answer is in whole seconds.
_DATE_SECONDS = 1.0
_MOST_REMEMBERED = 100_000


def age(asset: DataAsset) -> tuple[str, str]:
    """Return a key that sorts the oldest data asset first: all tasks keep the oldest of the same name."""
    return (str(asset.created_time or ""), asset.id or "")


def with_id(assets: list[DataAsset], data_asset_id: str | None) -> DataAsset | None:
    """Return the data asset with an id, if it is among these."""
    return next((asset for asset in assets if asset.id == data_asset_id), None)


def first_before(named: list[DataAsset], own: DataAsset) -> DataAsset | None:
    """Return the data asset that was created before the own one of the same name."""
    return next((asset for asset in named if asset.id != own.id and age(asset) < age(own)), None)


def is_never_changed(asset: DataAsset) -> bool:
    """Return whether a data asset shows that it was never changed since it was created."""
    is_first = (asset.version or 0) <= 1  # versions begin with 0 or with 1
    return is_first and asset.created_time is not None and asset.last_modified_time == asset.created_time


def is_in_store(asset: DataAsset, data_store_id: str | None) -> bool:
    """Return whether a data asset is in a data store, as far as the user may see."""
    return asset.store_id in {None, data_store_id}


def has_name_of(asset: DataAsset, desired: DataAsset) -> bool:
    """Return whether a data asset has the desired technical name in the desired data store."""
    return asset.technical_name == desired.technical_name and is_in_store(asset, desired.store_id)


def newest_creation(assets: Iterable[DataAsset]) -> pendulum.DateTime | None:
    """Return when the newest of some data assets was created."""
    return max((asset.created_time for asset in assets if asset.created_time), default=None)


def warn_of_duplicates(data_store_id: str, named: list[DataAsset]) -> None:
    """Report several data assets of one name, the oldest first.

    :param data_store_id: the data store.
    """
    logger.warning(
        "Data store %s has %d data assets with the technical name %r (ids %s). The oldest one is used: merge "
        "the others into it and delete them, if they are still there.",
        data_store_id, len(named), named[0].technical_name, ", ".join(str(asset.id) for asset in named),
    )  # fmt: skip


class Memory:
    """What this process knows of tenants; after a fork the child knows it, too.

    Each call is atomic without a lock, which a fork could copy while it is held.
    """

    def __init__(self) -> None:
        self._refusing: set[str] = set()
        self._settled: OrderedDict[tuple[str, str], None] = OrderedDict()

    def note_refusal(self, base_url: str) -> None:
        """Take note that a tenant refuses a second data asset of a name."""
        self._refusing.add(base_url)

    def refuses(self, base_url: str) -> bool:
        """Return whether a tenant refuses a second data asset of a name, as far as is known."""
        return base_url in self._refusing

    def note_settled(self, base_url: str, data_asset_id: str) -> None:
        """Take note that a data asset is the one that counts."""
        self._settled[base_url, data_asset_id] = None
        if len(self._settled) > _MOST_REMEMBERED:
            self._settled.popitem(last=False)

    def is_settled(self, base_url: str, data_asset_id: str | None) -> bool:
        """Return whether a data asset was found to be the one that counts."""
        return (base_url, data_asset_id) in self._settled


memory = Memory()


def look_until_visible(
    client: QlikCloudClient,
    look: Callable[[], Look],
    used: Callable[[Look], Iterable[DataAsset]],
    visible_after: float | None = None,
) -> tuple[Look, pendulum.DateTime]:
    """Look, and again after a wait for each data asset that is so young that not all may have seen it.

    :param look: reads data assets.
    :param used: returns those of what was read that are to be used.
    :param visible_after: ``None`` is :data:`VISIBLE_AFTER_SECONDS`.
    :return: what was read last, and the tenant's time before the first look.
    """
    seconds = VISIBLE_AFTER_SECONDS if visible_after is None else visible_after
    began = time.monotonic()
    found = look()
    # Only an answer tells the tenant's time.
    looked_at = client.server_now() - timedelta(seconds=time.monotonic() - began)
    waited_for: set[str | None] = set()
    for _ in range(_MOST_LOOKS):
        if seconds <= 0 or memory.refuses(client.base_url):
            break
        limit = client.server_now() - timedelta(seconds=seconds + _DATE_SECONDS)
        young = [
            asset
            for asset in used(found)
            if asset.created_time and asset.created_time > limit and asset.id not in waited_for
            if not memory.is_settled(client.base_url, asset.id)
        ]
        if not young:
            break
        logger.info("Data asset %s was created just now; looking again in %g s.", young[0].label, seconds)
        client.sleep(seconds)
        waited_for.update(asset.id for asset in young)
        found = look()
    return found, looked_at

"""Delete again what was created here although another data asset of the name was first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_qlik_assets.catalog.deletion import LastLook, delete_listed
from airflow_provider_qlik_assets.client.errors import QlikCloudError, QlikStoppedError, first_few
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset, id_of
from airflow_provider_qlik_assets.client.verdicts import ENDING_ERRORS

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

# More pages than it pays to list.
_READ_EACH = 10**9


class Second(NamedTuple):
    """A data asset that was created here, and the one of the same name that was created first."""

    own: DataAsset
    first: DataAsset


def withdraw(
    client: QlikCloudClient,
    data_store_id: str,
    second: Mapping[str, Second],
    is_as_created: Callable[[str, DataAsset], bool],
) -> list[str]:
    """Delete what was created here and was not the first, unless it was used, or the first one is gone.

    :param second: by technical name.
    :param is_as_created: called with a name and the own data asset as just read: whether nobody changed it.
    :return: the names whose first one is to be used.
    """
    names = {id_of(own): name for name, (own, _) in second.items()}
    vanished: set[str] = set()

    def allows(current: DataAsset) -> bool:
        name = names[id_of(current)]
        vanished.discard(name)
        if not is_as_created(name, current):
            return False
        if not client.exists(id_of(second[name].first)):
            vanished.add(name)
            return False
        return True

    last_look = LastLook(client, [data_store_id], total=_READ_EACH, allows=allows)
    try:
        results = delete_listed(client, [own for own, _ in second.values()], last_look=last_look)
    except QlikCloudError as error:
        logger.warning(
            "Data store %s may now have two data assets with the same technical name: if they are still "
            "there, delete %s. %s",
            data_store_id, first_few([own.label for own, _ in second.values()]), error,
        )  # fmt: skip
        if isinstance(error, (*ENDING_ERRORS, QlikStoppedError)):
            raise
        results = []
    for result in results:
        if result.action == "skipped" and names[result.id] not in vanished:
            own, first = second[names[result.id]]
            logger.warning(
                "Data assets %s and %s of data store %s have the same technical name. The first one is "
                "used; the other one was changed by another writer and is left alone: merge them.",
                first.label, own.label, data_store_id,
            )  # fmt: skip
    used = [name for name in second if name not in vanished]
    if used:
        logger.warning(
            "%d data assets were created by another task at the same moment; using those: %s.",
            len(used),
            first_few([second[name].first.label for name in used]),
        )
    return used

"""Which data assets the asset events that triggered a run speak of, and how fresh they are.

An event names data assets by its extra, or else by the extra of its Airflow asset: ``qlik_data_asset_id`` is
an id, ``qlik_data_asset_ids`` a list of ids. How fresh they are is ``data_freshness`` of the event's extra
(RFC 3339 text), or else the moment of the event. Of several events for one data asset, the newest instant
counts.

An event of an asset watcher names none: it tells what an outside system, such as Qlik itself, says of the
asset. Stamping the data asset for it would be a change that the watcher reports again, without end.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets.catalog.deletion import check_ids
from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.client.instants import parse_stamp

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Context

logger = logging.getLogger(__name__)

# Airflow 3, and Airflow 2.
_CONTEXT_KEYS = ("triggering_asset_events", "triggering_dataset_events")


def instants_of_events(
    context: Context, *, allow_future: bool = False
) -> tuple[dict[str, datetime], list[str]]:
    """Return the newest instant by data asset id, and which events cannot be read.

    Events that name no data asset are counted in the log and are no failure.

    :param context: of the running task.
    :param allow_future: whether an instant may be more than a day ahead.
    """
    newest: dict[str, datetime] = {}
    problems: list[str] = []
    unnamed = 0
    events = _events(context)
    for event in events:
        try:
            named = _instants(event, allow_future=allow_future)
        except QlikValidationError as error:
            problems.append(f"{_asset(event).uri}: {str(error).rstrip('.')}")
            logger.warning("The event of asset %s cannot be read: %s", _asset(event).uri, error)
            continue
        unnamed += not named
        for data_asset_id, instant in named.items():
            newest[data_asset_id] = max(instant, newest.get(data_asset_id, instant))
    if events:
        logger.info(
            "Asset events: %d, of which %d name no data asset; data assets to stamp: %d.",
            len(events), unnamed, len(newest),
        )  # fmt: skip
    else:
        logger.info("The run was not triggered by asset events: there is nothing to stamp.")
    return newest, problems


def _events(context: Context) -> list[Any]:
    """Return the events, each once: one that came through an alias is there for the asset, too."""
    variables: Mapping[str, Any] = context
    by_asset: Mapping[Any, Any] = next((variables[key] for key in _CONTEXT_KEYS if key in variables), {})
    return list({id(event): event for events in by_asset.values() for event in events}.values())


def _instants(event: Any, *, allow_future: bool) -> dict[str, datetime]:
    """Return the instant by id of each data asset that an event names.

    :raises QlikValidationError: if an id or the instant is none.
    """
    extra = _extra(event)
    if extra.get("from_trigger"):
        return {}
    ids = _ids(extra) or _ids(_extra(_asset(event)))
    if not ids:
        return {}
    instant = extra.get("data_freshness")
    return dict.fromkeys(
        ids, parse_stamp(event.timestamp if instant is None else instant, allow_future=allow_future)
    )


def _ids(extra: Mapping[str, Any]) -> list[str]:
    one, several = extra.get("qlik_data_asset_id"), extra.get("qlik_data_asset_ids")
    if several is not None and not isinstance(several, list):
        raise QlikValidationError("qlik_data_asset_ids is a list of ids.")
    return check_ids([*([] if one is None else [one]), *(several or [])])


def _extra(of: Any) -> Mapping[str, Any]:
    """Return the extra of an event or of an asset; nobody makes sure that it is an object."""
    extra = getattr(of, "extra", None)
    return extra if isinstance(extra, Mapping) else {}


def _asset(event: Any) -> Any:
    """Return the Airflow asset of an event; Airflow 2 calls it a dataset."""
    return event.asset if hasattr(event, "asset") else event.dataset

"""The data assets named by the asset events that triggered a run, and their freshness.

The extra of an event's Airflow asset names data assets: ``qlik_data_asset_id`` is an id,
``qlik_data_asset_ids`` a list of ids. Their freshness is ``data_freshness`` in the event's extra (RFC 3339
text, at most a day ahead), or else the time of the event. If several events name a data asset, the newest
instant counts.

The extra of an asset is part of a DAG file. Anyone who may send events of that asset can choose the extra of
an event. It therefore names data assets, and gives an instant further ahead, only if the operator trusts it.

An event of an asset watcher names no data asset: it reports what an external system, such as Qlik itself,
says about the asset. Stamping the data asset would be a change that the watcher reports again, in an endless
loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.client.instants import parse_stamp
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.validation import check_ids

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Context

logger = get_logger(__name__)

# Airflow 3, and Airflow 2.
_CONTEXT_KEYS = ("triggering_asset_events", "triggering_dataset_events")
_ID_KEYS = ("qlik_data_asset_id", "qlik_data_asset_ids")


def instants_of_events(
    context: Context, *, trust_event_extra: bool = False, allow_future: bool = False
) -> tuple[dict[str, datetime], list[str]]:
    """Return the newest instant by data asset id, and which events cannot be read.

    Events that name no data asset are counted in the log; they are not a failure.

    :param context: context of the running task.
    :param trust_event_extra: whether the ids in an event's extra count, and take precedence over those of its
        asset.
    :param allow_future: whether an instant may be more than a day ahead; one in an event's extra only if that
        is trusted.
    """
    newest: dict[str, datetime] = {}
    problems: list[str] = []
    unnamed = untrusted = 0
    events = _events(context)
    for event in events:
        try:
            named = _instants(event, trust_extra=trust_event_extra, allow_future=allow_future)
        except QlikValidationError as error:
            problems.append(f"{_asset(event).uri}: {str(error).rstrip('.')}")
            logger.warning("The event of asset %s cannot be read: %s", _asset(event).uri, error)
            continue
        if not named:
            unnamed += 1
            untrusted += any(key in _extra(event) for key in _ID_KEYS)
        for data_asset_id, instant in named.items():
            newest[data_asset_id] = max(instant, newest.get(data_asset_id, instant))
    if events:
        hint = (
            f" ({untrusted} of them in its own extra, which counts only with trust_event_extra=True)"
            if untrusted
            else ""
        )
        logger.info(
            "Asset events: %d, of which %d name no data asset%s; data assets to stamp: %d.",
            len(events), unnamed, hint, len(newest),
        )  # fmt: skip
    else:
        logger.info("The run was not triggered by asset events: there is nothing to stamp.")
    return newest, problems


def _events(context: Context) -> list[Any]:
    """Return each event once: one that came through an alias also occurs for the asset."""
    variables: Mapping[str, Any] = context
    by_asset: Mapping[Any, Any] = next((variables[key] for key in _CONTEXT_KEYS if key in variables), {})
    return list({id(event): event for events in by_asset.values() for event in events}.values())


def _instants(event: Any, *, trust_extra: bool, allow_future: bool) -> dict[str, datetime]:
    """Return the instant by id of each data asset that an event names.

    :raises QlikValidationError: if an id or the instant is invalid.
    """
    extra = _extra(event)
    if extra.get("from_trigger"):
        return {}
    ids = (trust_extra and _ids(extra)) or _ids(_extra(_asset(event)))
    if not ids:
        return {}
    told = extra.get("data_freshness")
    if told is None:
        instant = parse_stamp(event.timestamp, allow_future=allow_future)
    else:
        instant = parse_stamp(told, allow_future=allow_future and trust_extra)
    return dict.fromkeys(ids, instant)


def _ids(extra: Mapping[str, Any]) -> list[str]:
    one, several = (extra.get(key) for key in _ID_KEYS)
    if several is not None and not isinstance(several, list):
        raise QlikValidationError("qlik_data_asset_ids must be a list of ids.")
    return check_ids([*([] if one is None else [one]), *(several or [])])


def _extra(of: Any) -> Mapping[str, Any]:
    """Return the extra of an event or of an asset, which need not be an object."""
    extra = getattr(of, "extra", None)
    return extra if isinstance(extra, Mapping) else {}


def _asset(event: Any) -> Any:
    """Return the Airflow asset of an event; Airflow 2 calls it a dataset."""
    return event.asset if hasattr(event, "asset") else event.dataset

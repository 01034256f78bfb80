"""The operator that stamps the freshness of data assets."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets.arguments import (
    as_bool,
    as_ids,
    check_when_parsed,
)
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness_by_id
from airflow_provider_qlik_assets.client.errors import QlikValidationError, first_few
from airflow_provider_qlik_assets.client.instants import parse_stamp
from airflow_provider_qlik_assets.operators.asset_events import instants_of_events
from airflow_provider_qlik_assets.operators.base import QlikOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part


class QlikUpdateDataFreshnessOperator(QlikOperator):
    """Stamp data assets with the instant at which their source data was last changed, typically after a load.

    An older instant does not overwrite a newer one: two loads may finish out of order. Several are stamped at
    a time. If one fails, the others are still stamped, and the task fails at the end.

    With ``from_asset_events``, a DAG that is scheduled on Airflow assets keeps Qlik fresh for all of them.
    The extra of an event's asset names the data assets (``qlik_data_asset_id`` or the list
    ``qlik_data_asset_ids``), and ``data_freshness`` of the event's own extra, at most a day ahead, or else
    its timestamp, is the instant. What a watcher reports is not stamped, and a run without events succeeds
    without a request.

    :param data_asset_ids: ids of the data assets.
    :param data_freshness: timezone-aware instant, or RFC 3339 text; ``None`` in the DAG file is the moment
        the task runs. A template, or the result of another task, that turns out to be ``None`` is an error.
    :param from_asset_events: in place of both, take them from the asset events that triggered the run.
    :param trust_event_extra: whether the extra of an event may name other data assets than its asset does,
        and with ``allow_future`` any instant. Anyone who may send events of these assets can then stamp every
        data asset that the connection may change.
    :param allow_backwards: whether an older instant may replace a newer one.
    :param allow_future: whether the instant may be more than a day ahead; no correct stamp after it would
        change anything.
    :param deferrable: whether to release the worker slot while the quota is used up for more than a minute;
        Airflow's ``[operators] default_deferrable`` if not given.
    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :return: ``{"counts": {action: n}, "results": [...]}``; actions are ``updated`` and ``unchanged``.
    """

    template_fields: Collection[str] = (
        "data_asset_ids",
        "data_freshness",
        "allow_backwards",
        "allow_future",
        "qlik_conn_id",
    )

    def __init__(
        self,
        *,
        data_asset_ids: str | Iterable[str] | None = None,
        data_freshness: datetime | str | None = None,
        from_asset_events: bool = False,
        trust_event_extra: bool = False,
        allow_backwards: bool | str = False,
        allow_future: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_ids = data_asset_ids
        self.data_freshness = data_freshness
        self.from_asset_events = from_asset_events
        self.trust_event_extra = trust_event_extra
        self.allow_backwards = allow_backwards
        self.allow_future = allow_future
        if self._is_in_dag_file():
            self._check_what_to_stamp()
            if not from_asset_events:
                check_when_parsed(as_ids, self.data_asset_ids, "data_asset_ids")
            if data_freshness is not None:
                check_when_parsed(_check_stamp, data_freshness, allow_future)
            check_when_parsed(as_bool, allow_backwards, "allow_backwards")
            check_when_parsed(as_bool, allow_future, "allow_future")

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        self._check_what_to_stamp()
        allow_future = as_bool(self.allow_future, "allow_future")
        problems: list[str] = []
        instants: dict[str, Any]
        if self.from_asset_events:
            instants, problems = instants_of_events(
                part.context,
                trust_event_extra=as_bool(self.trust_event_extra, "trust_event_extra"),
                allow_future=allow_future,
            )
        else:
            when = part.started if self.data_freshness is None else self.data_freshness
            instants = dict.fromkeys(as_ids(self.data_asset_ids, "data_asset_ids"), when)
        left = {data_asset_id: instants[data_asset_id] for data_asset_id in part.left(instants)}
        set_data_freshness_by_id(
            client,
            left,
            allow_backwards=as_bool(self.allow_backwards, "allow_backwards"),
            allow_future=allow_future,
            on_result=partial(self._note, part),
        )
        if problems:
            raise QlikValidationError(
                f"Not all asset events could be read: {first_few(problems)}. Correct the extra of these "
                "assets and events."
            )
        return part.summary(instants)

    def _check_what_to_stamp(self) -> None:
        given = self.data_asset_ids is not None, self.data_freshness is not None
        trusts = as_bool(self.trust_event_extra, "trust_event_extra")
        if not as_bool(self.from_asset_events, "from_asset_events"):
            if trusts:
                raise QlikValidationError("trust_event_extra requires from_asset_events=True.")
            if self.data_asset_ids is None:
                raise QlikValidationError(
                    "Give data_asset_ids or from_asset_events=True; data_asset_ids must be an id or a list "
                    "of ids."
                )
        elif any(given):
            raise QlikValidationError(
                "from_asset_events takes ids and instants from the events: remove data_asset_ids and "
                "data_freshness."
            )


def _check_stamp(data_freshness: Any, allow_future: Any) -> None:
    parse_stamp(data_freshness, allow_future=as_bool(allow_future, "allow_future"))

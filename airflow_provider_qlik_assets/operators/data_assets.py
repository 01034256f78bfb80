"""Operators that register, change and delete the data assets of Qlik Cloud.

All may be run again at any time, mapped with ``.partial().expand()`` and templated, nested values included.
Permanent errors (status 400, 401, 403, 404, a wrong configuration or argument) fail the task without
retries. Arguments that are no templates are checked when the DAG is parsed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qlik_assets.arguments import (
    as_bool,
    as_id,
    as_ids,
    as_int,
    check_known_fields,
    check_known_operations,
    check_when_parsed,
    plain,
)
from airflow_provider_qlik_assets.catalog.deletion import delete_by_id
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness_by_id
from airflow_provider_qlik_assets.catalog.patch import check_patch, patch_data_asset
from airflow_provider_qlik_assets.catalog.upsert import IfExists, check_upsert, upsert_data_asset
from airflow_provider_qlik_assets.client.errors import QlikValidationError, first_few
from airflow_provider_qlik_assets.client.instants import parse_stamp
from airflow_provider_qlik_assets.operators.asset_events import instants_of_events
from airflow_provider_qlik_assets.operators.base import QlikOperator, QlikSingleOperator
from airflow_provider_qlik_assets.operators.clean_up import QlikCleanUpDataAssetsOperator
from airflow_provider_qlik_assets.operators.sync import QlikSyncDataAssetsOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import DataAsset, JsonPatchOperation, QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part

__all__ = [
    "QlikCleanUpDataAssetsOperator",
    "QlikDeleteDataAssetsOperator",
    "QlikPatchDataAssetOperator",
    "QlikSyncDataAssetsOperator",
    "QlikUpdateDataFreshnessOperator",
    "QlikUpsertDataAssetOperator",
]


class QlikUpsertDataAssetOperator(QlikSingleOperator):
    """Register a data asset, or set the given fields of the one that exists.

    With an ``id``, that data asset is meant; without, the one of the same data store and technical name.
    Fields that are not given stay as they are, ``data_freshness`` never goes back, and nothing is written
    when nothing differs.

    :param data_asset: the fields to set, with the API's names or their snake_case forms.
    :param if_exists: what to do with an existing data asset: ``update`` (default), ``skip`` or ``fail``.
    :param deferrable: whether to release the worker slot while the quota is used up for more than a minute;
        Airflow's ``[operators] default_deferrable`` if not given.
    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :return: ``{"id", "action", "version", "changed_fields", "data_asset"}``; ``action`` is ``created``,
        ``updated``, ``unchanged`` or ``skipped``.
    """

    template_fields: Collection[str] = ("data_asset", "if_exists", "qlik_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"data_asset": "json"}
    document_fields: ClassVar[Collection[str]] = ("data_asset",)
    keeps_freshness: ClassVar[bool] = True

    def __init__(
        self,
        *,
        data_asset: DataAsset | Mapping[str, Any],
        if_exists: IfExists = "update",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset = data_asset
        self.if_exists = if_exists
        if self._is_in_dag_file():
            check_known_fields(self.data_asset)
            check_when_parsed(check_upsert, plain(self.data_asset), if_exists)

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        result = upsert_data_asset(
            client,
            self._argument("data_asset"),
            self.if_exists,
            created_before=next(iter(part.created_before().values()), None),
            on_created=part.add,
        )
        self.log.info("%s.", result)
        return result.to_json()


class QlikPatchDataAssetOperator(QlikSingleOperator):
    """Change a data asset; nothing is written if it is as wished already.

    :param data_asset_id: id of the data asset.
    :param operations: JSON Patch (RFC 6902) operations, applied as they are. Those that append to an array do
        so again on each run, unless a ``test`` or ``expected_version`` prevents it.
    :param changes: values by field, in place of ``operations``: ``None`` clears a field, ``properties`` are
        set key by key, and ``data_freshness`` never goes back.
    :param expected_version: fail if the data asset has another version and is not as wished.
    :param deferrable: whether to release the worker slot while the quota is used up for more than a minute;
        Airflow's ``[operators] default_deferrable`` if not given.
    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :return: ``{"id", "action", "version", "changed_fields", "data_asset"}``; ``action`` is ``updated`` or
        ``unchanged``.
    """

    template_fields: Collection[str] = (
        "data_asset_id",
        "operations",
        "changes",
        "expected_version",
        "qlik_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"operations": "json", "changes": "json"}
    document_fields: ClassVar[Collection[str]] = ("operations", "changes")

    def __init__(
        self,
        *,
        data_asset_id: str,
        operations: Sequence[JsonPatchOperation | Mapping[str, Any]] | None = None,
        changes: Mapping[str, Any] | None = None,
        expected_version: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        self.operations = operations
        self.changes = changes
        self.expected_version = expected_version
        if self._is_in_dag_file():
            check_known_fields(self.changes)
            check_known_operations(self.operations)
            check_when_parsed(as_id, data_asset_id, "data_asset_id")
            check_when_parsed(as_int, expected_version, "expected_version")
            check_when_parsed(check_patch, plain(self.operations), plain(self.changes))

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:  # noqa: ARG002 - nothing is partial
        result = patch_data_asset(
            client,
            as_id(self.data_asset_id, "data_asset_id"),
            operations=self._argument("operations"),
            changes=self._argument("changes"),
            expected_version=as_int(self.expected_version, "expected_version"),
        )
        self.log.info("%s.", result)
        return result.to_json()


class QlikUpdateDataFreshnessOperator(QlikOperator):
    """Stamp data assets with the instant at which their source data was last changed, typically after a load.

    An older instant does not overwrite a newer one: two loads may finish out of order. Several are stamped at
    a time. One that fails does not keep the others from being stamped; it fails the task at the end.

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
        and with ``allow_future`` any instant. Whoever may send events of these assets can then stamp every
        data asset that the connection may change.
    :param allow_backwards: whether an older instant may replace a newer one.
    :param allow_future: whether the instant may be more than a day ahead; all right stamps after such a one
        would change nothing.
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
        allow_backwards: bool = False,
        allow_future: bool = False,
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
        stamps = set_data_freshness_by_id(
            client,
            left,
            allow_backwards=as_bool(self.allow_backwards, "allow_backwards"),
            allow_future=allow_future,
        )
        for result in stamps:
            self._note(part, result)
        if problems:
            raise QlikValidationError(f"Not all asset events could be read: {first_few(problems)}.")
        return part.summary(instants)

    def _check_what_to_stamp(self) -> None:
        given = self.data_asset_ids is not None, self.data_freshness is not None
        trusts = as_bool(self.trust_event_extra, "trust_event_extra")
        if not as_bool(self.from_asset_events, "from_asset_events"):
            if trusts:
                raise QlikValidationError("trust_event_extra goes with from_asset_events=True.")
            if self.data_asset_ids is None:
                raise QlikValidationError(
                    "Give data_asset_ids or from_asset_events=True; data_asset_ids is an id or a list of ids."
                )
        elif any(given):
            raise QlikValidationError(
                "from_asset_events takes ids and instants from the events: give neither data_asset_ids nor "
                "data_freshness with it."
            )


class QlikDeleteDataAssetsOperator(QlikOperator):
    """Delete data assets with all that belongs to them; one that is gone already is no failure.

    :param data_asset_ids: ids of the data assets.
    :param max_deletions: fail before the first is deleted if more of them exist.
    :param dry_run: only say what would be deleted.
    :param deferrable: whether to release the worker slot while the quota is used up for more than a minute;
        Airflow's ``[operators] default_deferrable`` if not given.
    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :return: ``{"counts": {action: n}, "results": [...], "dry_run": ...}``; actions are ``deleted`` and
        ``missing``, each result shows the data asset as it was.
    """

    template_fields: Collection[str] = ("data_asset_ids", "max_deletions", "plan_only", "qlik_conn_id")
    argument_names: ClassVar[Mapping[str, str]] = {"plan_only": "dry_run"}
    ui_color = "#f6d5d5"

    def __init__(
        self,
        *,
        data_asset_ids: str | Iterable[str],
        max_deletions: int | str | None = None,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_ids = data_asset_ids
        self.max_deletions = max_deletions
        self.plan_only = dry_run  # BaseOperator has a method dry_run()
        if self._is_in_dag_file():
            check_when_parsed(as_ids, self.data_asset_ids, "data_asset_ids")
            check_when_parsed(as_int, max_deletions, "max_deletions")
            check_when_parsed(as_bool, dry_run, "dry_run")

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        dry_run = as_bool(self.plan_only, "dry_run")
        ids = as_ids(self.data_asset_ids, "data_asset_ids")
        guards = DeletionGuards(
            max_deletions=as_int(self.max_deletions, "max_deletions"),
            max_fraction=None,
            already_deleted=part.deleted_before(),
        )
        for result in delete_by_id(
            client, part.left(ids), guards, dry_run=dry_run, patient=self.hook.get_conn()
        ):
            self._note(part, result)
        return self._deletions(part, ids, dry_run=dry_run)


def _check_stamp(data_freshness: Any, allow_future: Any) -> None:
    parse_stamp(data_freshness, allow_future=as_bool(allow_future, "allow_future"))

"""The operator that changes fields of a data asset, or applies a JSON Patch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qlik_assets.arguments import (
    as_id,
    as_int,
    check_known_fields,
    check_known_operations,
    check_when_parsed,
    plain,
)
from airflow_provider_qlik_assets.catalog.patch import check_patch, patch_data_asset
from airflow_provider_qlik_assets.operators.base import QlikSingleOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.catalog.results import Result
    from airflow_provider_qlik_assets.client import JsonPatchOperation, QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part


class QlikPatchDataAssetOperator(QlikSingleOperator):
    """Change a data asset; write nothing if it is already as desired.

    :param data_asset_id: id of the data asset.
    :param operations: JSON Patch (RFC 6902) operations, applied as they are. Those that append to an array do
        so again on each run, unless a ``test`` or ``expected_version`` prevents it.
    :param changes: values by field, in place of ``operations``: ``None`` clears a field, ``properties`` are
        set key by key, and ``data_freshness`` never goes back.
    :param expected_version: fail if the data asset has another version and is not as desired.
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
        operations: Sequence[JsonPatchOperation | Mapping[str, Any]] | str | None = None,
        changes: Mapping[str, Any] | str | None = None,
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

    def _change(self, client: QlikCloudClient, part: Part) -> Result:  # noqa: ARG002 - nothing is partial
        return patch_data_asset(
            client,
            as_id(self.data_asset_id, "data_asset_id"),
            operations=self._argument("operations"),
            changes=self._argument("changes"),
            expected_version=as_int(self.expected_version, "expected_version"),
        )

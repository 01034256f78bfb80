"""The operator that registers data assets, or brings given fields of existing ones up to date."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qlik_assets.arguments import (
    check_known_fields,
    check_when_parsed,
    plain,
)
from airflow_provider_qlik_assets.catalog.upsert import IfExists, check_upsert, upsert_data_asset
from airflow_provider_qlik_assets.operators.base import QlikSingleOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.catalog.results import Result
    from airflow_provider_qlik_assets.client import DataAsset, QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part


class QlikUpsertDataAssetOperator(QlikSingleOperator):
    """Register a data asset, or set the given fields of the existing one.

    An ``id`` selects the data asset; without it, the data store and the technical name do. Other fields stay
    unchanged, ``data_freshness`` never goes back, and nothing is written if nothing differs.

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
        data_asset: DataAsset | Mapping[str, Any] | str,
        if_exists: IfExists = "update",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset = data_asset
        self.if_exists = if_exists
        if self._is_in_dag_file():
            check_known_fields(self.data_asset)
            check_when_parsed(check_upsert, plain(self.data_asset), if_exists)

    def _change(self, client: QlikCloudClient, part: Part) -> Result:
        return upsert_data_asset(
            client,
            self._argument("data_asset"),
            self.if_exists,
            created_before=next(iter(part.created_before().values()), None),
            on_created=part.add,
        )

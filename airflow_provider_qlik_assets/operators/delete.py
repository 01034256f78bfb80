"""The operator that deletes data assets by id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qlik_assets.arguments import (
    as_bool,
    as_ids,
    as_int,
    check_when_parsed,
)
from airflow_provider_qlik_assets.catalog.deletion import delete_by_id
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.operators.base import QlikOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part


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

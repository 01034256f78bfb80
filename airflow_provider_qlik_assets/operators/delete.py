"""The operator that deletes data assets by id."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets.arguments import as_ids, check_when_parsed
from airflow_provider_qlik_assets.catalog.deletion import delete_by_id
from airflow_provider_qlik_assets.operators.base import QlikDeletingOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part


class QlikDeleteDataAssetsOperator(QlikDeletingOperator):
    """Delete data assets with all that belongs to them; a missing one counts as done.

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
    ui_color = "#f6d5d5"

    def __init__(
        self,
        *,
        data_asset_ids: str | Iterable[str],
        max_deletions: int | str | None = None,
        dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_ids = data_asset_ids
        self.max_deletions = max_deletions
        self.plan_only = dry_run
        if self._is_in_dag_file():
            check_when_parsed(as_ids, self.data_asset_ids, "data_asset_ids")
            self._check_guards_when_parsed()

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        ids = as_ids(self.data_asset_ids, "data_asset_ids")
        delete = partial(
            delete_by_id, client, part.left(ids), self._guards(part), patient=self.hook.get_conn()
        )
        return self._delete(part, delete, ids)

"""The operator that keeps a catalog clean on a schedule; its public home is ``operators.data_assets``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets.arguments import as_seconds, as_texts, check_when_parsed
from airflow_provider_qlik_assets.catalog.clean_up import (
    CleanUpRules,
    Undated,
    check_data_stores,
    check_pattern,
    check_selector,
    check_undated,
    clean_up_data_assets,
)
from airflow_provider_qlik_assets.operators.base import QlikDeletingOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part

_SELECTORS = ("app_types", "tags", "owner_ids")


class QlikCleanUpDataAssetsOperator(QlikDeletingOperator):
    """Delete the data assets of some data stores whose source data has not changed for a long time.

    Selected is what meets all rules and has no protected tag. The data stores are listed completely and the
    guards are checked. Right before each deletion of up to 100, after its wait for the quota, those are read
    again: what was changed in any way in the meantime survives. Ages are computed for the time at which the
    task runs, unless it is earlier at the tenant.

    :param data_store_ids: ids of the data stores to clean up; ``*`` is refused.
    :param stale_after: age of ``dataFreshness`` (``timedelta`` or seconds) beyond which to delete.
    :param undated: whether to ``skip`` (default) data assets whose ``dataFreshness`` was never set, or to
        ``use_last_modified``, the age of their last change in the catalog.
    :param app_types: delete only those of one of these types.
    :param tags: delete only those that have one of these tags.
    :param owner_ids: delete only those of one of these owners.
    :param technical_name_pattern: delete only those whose whole technical name matches this regular
        expression. It is matched in linear time, for which look-around and back references are refused.
    :param protected_tags: never delete those that have one of these tags.
    :param max_deletions: fail before the first deletion if more would be deleted; ``None`` sets no limit.
    :param max_fraction: likewise, if a larger share of all data assets of the data stores would be deleted.
    :param dry_run: only say what would be deleted.
    :param deferrable: whether to release the worker slot while the quota is used up for more than a minute;
        Airflow's ``[operators] default_deferrable`` if not given.
    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :return: ``{"counts": {action: n}, "results": [...], "dry_run": ...}``; actions are ``deleted``,
        ``missing`` for what was deleted in the meantime, and ``skipped`` for what was changed. Each result
        shows the data asset that was deleted, and ``"why"``: ``{"rule", "instant", "age_seconds"}``.
    """

    template_fields: Collection[str] = (
        "data_store_ids",
        "stale_after",
        "undated",
        "app_types",
        "tags",
        "owner_ids",
        "technical_name_pattern",
        "protected_tags",
        "max_deletions",
        "max_fraction",
        "plan_only",
        "qlik_conn_id",
    )
    ui_color = "#f6d5d5"

    def __init__(
        self,
        *,
        data_store_ids: str | Iterable[str],
        stale_after: timedelta | float | str,
        undated: Undated = "skip",
        app_types: str | Iterable[str] | None = None,
        tags: str | Iterable[str] | None = None,
        owner_ids: str | Iterable[str] | None = None,
        technical_name_pattern: str | None = None,
        protected_tags: str | Iterable[str] = (),
        max_deletions: int | str | None = 100,
        max_fraction: float | str | None = 0.2,
        dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_store_ids = data_store_ids
        self.stale_after = stale_after
        self.undated = undated
        self.app_types = app_types
        self.tags = tags
        self.owner_ids = owner_ids
        self.technical_name_pattern = technical_name_pattern
        self.protected_tags = protected_tags
        self.max_deletions = max_deletions
        self.max_fraction = max_fraction
        self.plan_only = dry_run
        if self._is_in_dag_file():
            check_when_parsed(_as_stores, self.data_store_ids)
            check_when_parsed(as_seconds, stale_after, "stale_after")
            check_when_parsed(check_undated, undated)
            for name in _SELECTORS:
                check_when_parsed(_as_selector, getattr(self, name), name)
            check_when_parsed(check_pattern, technical_name_pattern)
            self._check_guards_when_parsed()

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        rules = CleanUpRules(
            data_store_ids=_as_stores(self.data_store_ids),
            stale_after=as_seconds(self.stale_after, "stale_after"),
            undated=self.undated,
            app_types=_as_selector(self.app_types, "app_types"),
            tags=_as_selector(self.tags, "tags"),
            owner_ids=_as_selector(self.owner_ids, "owner_ids"),
            technical_name_pattern=self.technical_name_pattern,
            now=part.started,
        )
        return self._delete(part, partial(clean_up_data_assets, client, rules, self._guards(part)))


def _as_stores(value: Any) -> list[str]:
    stores = as_texts(value, "data_store_ids")
    check_data_stores(stores)
    return stores


def _as_selector(value: Any, name: str) -> list[str] | None:
    if value is None:
        return None
    values = as_texts(value, name)
    check_selector(values, name)
    return values

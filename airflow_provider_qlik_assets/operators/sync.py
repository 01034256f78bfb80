"""Make all data assets of a data store match a list or a file: catalog as code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_qlik_assets._compat import conf
from airflow_provider_qlik_assets.arguments import (
    as_bool,
    check_known_fields,
    check_when_parsed,
    from_rendered,
    is_known,
    plain,
)
from airflow_provider_qlik_assets.catalog.results import summary_of_rows
from airflow_provider_qlik_assets.catalog.sync.apply import Sync
from airflow_provider_qlik_assets.catalog.sync.desired import check_store_id, parse_desired
from airflow_provider_qlik_assets.catalog.sync.desired_files import SUFFIXES, is_file_name, read_desired_file
from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten
from airflow_provider_qlik_assets.operators.base import QlikDeletingOperator

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Context
    from airflow_provider_qlik_assets.client import DataAsset, QlikCloudClient
    from airflow_provider_qlik_assets.operators.parts import Part

_WRITTEN = frozenset({"created", "updated", "deleted"})


class QlikSyncDataAssetsOperator(QlikDeletingOperator):
    """Make all data assets of a data store match a list or a file.

    The data store is read by listing; only what differs is written, several at a time. Fields that are not
    given stay as they are, ``data_freshness`` never goes back. If one data asset fails, the others are still
    written. The task then fails at the end with all failures, and its retry does what is left.

    :param data_store_id: id of the data store.
    :param data_assets: the desired data assets, each with ``technicalName`` (unique) and ``appType``, by the
        API's names or their snake_case forms; or the path of a file (``.yaml``, ``.yml``, ``.json``) that
        holds that list, absolute or relative to the folder of the DAG's file or of its bundle. The path may
        hold templates, but not as its end; what a task returns names no file.
    :param delete_unlisted: whether to delete what is in the data store and not in the list.
    :param protected_tags: a data asset with one of these tags is never deleted.
    :param max_deletions: fail before the first write if more would be deleted; ``None`` sets no limit.
    :param max_fraction: the same for the share of all data assets of the data store, from 0 to 1.
    :param dry_run: only say what would be done.
    :param deferrable: whether to release the worker slot while the quota is used up for more than a minute;
        Airflow's ``[operators] default_deferrable`` if not given.
    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :return: ``{"counts": {action: n}, "results": [...], "dry_run": ...}``; actions are ``created``,
        ``updated``, ``unchanged``, ``deleted``, ``missing`` and ``skipped`` (protected, changed while the
        task ran, or younger than another one of the same name). A result is ``{"id", "technical_name",
        "action", "version", "changed_fields", "data_asset"}``; ``data_asset`` is ``None`` except for what was
        deleted. A dry run adds ``"plan"``.
    """

    template_fields: Collection[str] = (
        "data_store_id",
        "data_assets",
        "delete_unlisted",
        "protected_tags",
        "max_deletions",
        "max_fraction",
        "plan_only",
        "qlik_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"data_assets": "json"}
    document_fields: ClassVar[Collection[str]] = ("data_assets",)
    keeps_freshness: ClassVar[bool] = True

    def __init__(
        self,
        *,
        data_store_id: str,
        data_assets: Iterable[DataAsset | Mapping[str, Any]] | str | PurePath,
        delete_unlisted: bool | str = False,
        protected_tags: str | Iterable[str] = (),
        max_deletions: int | str | None = 100,
        max_fraction: float | str | None = 0.2,
        dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_store_id = data_store_id
        self.data_assets = data_assets
        self.delete_unlisted = delete_unlisted
        self.protected_tags = protected_tags
        self.max_deletions = max_deletions
        self.max_fraction = max_fraction
        self.plan_only = dry_run
        if self._is_in_dag_file():
            if isinstance(data_assets, PurePath):
                self.data_assets = str(data_assets)
            check_when_parsed(check_store_id, data_store_id)
            _check_data_assets(plain(self.data_assets), data_store_id)
            check_when_parsed(as_bool, delete_unlisted, "delete_unlisted")
            self._check_guards_when_parsed()

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        dry_run = self._is_dry_run()
        sync = Sync(
            client,
            self.data_store_id,
            self._desired_data_assets(part.context),
            delete_unlisted=as_bool(self.delete_unlisted, "delete_unlisted"),
            guards=self._guards(part),
            own=part.created_before(),
        )
        plan = sync.plan()
        self.log.info("%s%s", "Dry run, nothing is written. " if dry_run else "", plan)
        if dry_run:
            sync.check(plan)
            return {**summary_of_rows(plan.to_rows()), "dry_run": True, "plan": plan.to_json()}
        try:
            sync.apply(plan)
        except BaseException:
            part.done = [result.to_row() for result in sync.results if result.action in _WRITTEN]
            raise
        part.done = [result.to_row() for result in sync.results]
        summary = part.summary(keep=False)
        self.log.info(
            "Data store %s: %s.",
            self.data_store_id,
            ", ".join(f"{number:,} {action}" for action, number in summary["counts"].items()) or "nothing",
        )
        return {**summary, "dry_run": False}

    def _desired_data_assets(self, context: Context) -> Any:
        """Return the desired data assets from the rendered argument or from the file that it names."""
        data_assets = str(self.data_assets) if isinstance(self.data_assets, PurePath) else self.data_assets
        if not is_file_name(data_assets):
            return self._argument("data_assets")
        written = (self._written or {}).get("data_assets", data_assets)
        if not isinstance(written, (str, PurePath)) or not is_file_name(str(written)):
            raise QlikValidationError(
                f"data_assets became {shorten(repr(data_assets), 80)}: only the DAG file can name a file, or "
                "at least the end of its name. A task must return the data assets themselves."
            )
        path = Path(str(data_assets).strip())
        folders = list(dict.fromkeys(self._folders(context)))
        found = [folder / path for folder in folders if (folder / path).is_file()]
        if not found:
            looked = f", neither in {' nor in '.join(map(str, folders))}" if not path.is_absolute() else ""
            raise QlikValidationError(f"data_assets names {path}, but there is no such file{looked}.")
        self.log.info("The desired data assets are listed in %s.", shorten(str(found[0])))
        return parse_desired(read_desired_file(found[0]), self.data_store_id, quote=False)

    def _folders(self, context: Context) -> list[Path]:
        """Return the folders that a relative path may be relative to, where they are on this worker."""
        folders = [Path(self.dag.fileloc).parent] if self.has_dag() else []  # type: ignore[no-untyped-call]
        bundle = getattr(context.get("ti"), "bundle_instance", None)
        root = bundle.path if bundle is not None else conf.get("core", "dags_folder", fallback=None)
        return [*folders, *([Path(root)] if root else [])]


def _check_data_assets(data_assets: Any, data_store_id: Any) -> None:
    """Check what is desired as far as it is known when the DAG is parsed; files are read by the task.

    :raises QlikValidationError: naming everything that is wrong.
    """
    if isinstance(data_assets, str):
        if is_known(data_assets) and not is_file_name(data_assets):
            entries = from_rendered(data_assets, "data_assets")
            if isinstance(entries, str):
                raise QlikValidationError(
                    f"data_assets is {shorten(repr(data_assets), 80)}: give a list, or the path of a file "
                    f"that ends in {', '.join(SUFFIXES)}."
                )
            parse_desired(entries, None)
    elif is_known(data_assets):
        parse_desired(data_assets, data_store_id if is_known(data_store_id) else None)
    elif isinstance(data_assets, list):
        for entry in data_assets:
            check_known_fields(entry)

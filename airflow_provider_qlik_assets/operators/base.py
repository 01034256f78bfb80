"""What all operators have in common: the connection, and how errors end the task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets._compat import BaseOperator
from airflow_provider_qlik_assets.arguments import from_rendered
from airflow_provider_qlik_assets.catalog.results import Result, summarize
from airflow_provider_qlik_assets.failures import permanent_errors_fail_the_task
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Context
    from airflow_provider_qlik_assets.client import QlikCloudClient


class QlikOperator(BaseOperator):
    """What the operators have in common: the connection, and how errors end the task."""

    ui_color = "#d5f0e1"

    def __init__(self, *, qlik_conn_id: str = QlikCloudHook.default_conn_name, **kwargs: Any) -> None:
        # Also push each member of the result, so that ``operator.output["id"]`` works downstream.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.qlik_conn_id = qlik_conn_id

    @cached_property
    def hook(self) -> QlikCloudHook:
        """Hook of the connection; nothing is looked up before its first call."""
        return QlikCloudHook(self.qlik_conn_id)

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - Airflow's signature
        """Do the work and return the result for XCom."""
        return self._with_client(self._execute)

    def _execute(self, client: QlikCloudClient) -> Any:
        raise NotImplementedError

    def _with_client(self, work: Callable[[QlikCloudClient], Any]) -> Any:
        """Return what ``work`` returns; errors that no retry can heal end the task without retries."""
        with permanent_errors_fail_the_task():
            try:
                return work(self.hook.get_conn())
            finally:
                self.hook.close()

    def _logged(self, result: Result) -> Result:
        self.log.info("%s.", result)
        return result

    def _summary(self, results: Iterable[Result]) -> dict[str, Any]:
        return summarize(self._logged(result) for result in results)

    def _deletions(self, results: Iterable[Result], *, dry_run: bool) -> dict[str, Any]:
        """Return the summary of deletions, which says whether they were a dry run."""
        if dry_run:
            self.log.info("Dry run: nothing is deleted, this is what would be.")
        return {**self._summary(results), "dry_run": dry_run}

    def _argument(self, name: str) -> Any:
        return from_rendered(getattr(self, name), name)

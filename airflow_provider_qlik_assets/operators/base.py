"""The common base of all operators: the connection, waits for the quota, how a task ends, and XComs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pendulum

from airflow_provider_qlik_assets._compat import AirflowException, BaseOperator, conf
from airflow_provider_qlik_assets.arguments import as_bool, as_fraction, as_int, as_texts, check_when_parsed
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.errors import QlikCloudError, QlikRateLimitError, shorten
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant
from airflow_provider_qlik_assets.client.stopping import StopFlag
from airflow_provider_qlik_assets.failures import permanent_errors_fail_the_task
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.operators.parts import Part, Row
from airflow_provider_qlik_assets.templated import TemplatedArguments

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Context
    from airflow_provider_qlik_assets.client import QlikCloudClient

_LONGEST_WAIT_ON_WORKER_SECONDS = 60.0
# A quota that was used up once will soon be used up again.
_LONGEST_WAIT_ONCE_RESUMED_SECONDS = 30.0


class QlikOperator(TemplatedArguments, BaseOperator):
    """The common base of the operators.

    A deferrable operator releases the worker slot while the quota is used up for long, and then continues
    with what is left. A task that is ended from outside sends no more requests.

    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :param deferrable: whether to release the worker slot while the quota is used up for more than a minute;
        Airflow's ``[operators] default_deferrable`` if not given.
    """

    ui_color = "#d5f0e1"

    # Members of the result that are also separate XComs, so that ``operator.output["counts"]`` works.
    pushed_members: ClassVar[tuple[str, ...]] = ("counts",)

    def __init__(
        self,
        *,
        qlik_conn_id: str = QlikCloudHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.qlik_conn_id = qlik_conn_id
        self.deferrable = deferrable
        self._stop_flag = StopFlag()

    @cached_property
    def hook(self) -> QlikCloudHook:
        """Hook of the connection; nothing is looked up before its first call."""
        return QlikCloudHook(self.qlik_conn_id, stop_flag=self._stop_flag)

    def execute(self, context: Context) -> dict[str, Any]:
        """Do the work, or defer until the quota allows it to continue; return the result for XCom."""
        return self._do(Part(context))

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        earlier: list[Row] | None = None,
        waited: float = 0.0,
        started: str | None = None,
    ) -> dict[str, Any]:
        """Resume after a wait for the quota: read again and do what is left.

        :param event: payload of the trigger's event.
        :param earlier: rows of what was done before the wait.
        :param waited: seconds waited since the last progress.
        :param started: the instant at which the task began.
        :raises AirflowException: if the trigger did not report the end of the wait.
        """
        if not isinstance(event, dict) or event.get("status") != "success":
            raise AirflowException(f"The trigger ended with an unexpected event: {shorten(repr(event))}.")
        return self._do(Part(context, earlier or [], waited, parse_instant(started) if started else None))

    def on_kill(self) -> None:
        """Send no more requests and end all waits; requests in progress are completed.

        Airflow calls this in a signal handler, so it only sets a flag.
        """
        self._stop_flag.set()

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        """Do what earlier parts left undone, record it in the part, and return the result."""
        raise NotImplementedError

    def _do(self, part: Part) -> dict[str, Any]:
        self._stop_flag.begin()
        with permanent_errors_fail_the_task():
            self._check_rendered()
            try:
                result = self._work_or_defer(self.hook.get_conn(), part)
            except QlikCloudError as error:
                if part.earlier:
                    error.add_progress(f"{len(part.earlier):,} were done before the last wait.")
                raise
            finally:
                self.hook.close()
        ti = part.context.get("ti")
        if ti is not None and self.do_xcom_push:
            for name in self.pushed_members:
                ti.xcom_push(key=name, value=result[name])
        return result

    def _work_or_defer(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        if not self.deferrable:
            return self._work(client, part)
        first = part.waited is None
        longest = _LONGEST_WAIT_ON_WORKER_SECONDS if first else _LONGEST_WAIT_ONCE_RESUMED_SECONDS
        try:
            with client.with_options(max_rate_limit_wait=min(client.max_rate_limit_wait, longest)) as hasty:
                return self._work(hasty, part)
        except QlikRateLimitError as error:
            waited = 0.0 if part.progress() else part.waited or 0.0
            wait = error.retry_after or 0.0
            if waited + wait > client.max_rate_limit_wait:
                raise
            self._defer(part, wait, waited + wait, error)

    def _defer(self, part: Part, wait: float, waited: float, reason: QlikRateLimitError) -> NoReturn:
        from airflow_provider_qlik_assets.triggers.rate_limit import (  # noqa: PLC0415 - expensive to import
            QlikRateLimitTrigger,
        )

        earlier = part.rows()
        moment = format_instant(pendulum.now("UTC") + timedelta(seconds=wait))
        self.log.info("%s", reason)
        self.log.info(
            "Done so far: %d. Deferring until %s, when the quota allows more.", len(earlier), moment
        )
        self.defer(
            trigger=QlikRateLimitTrigger(moment=moment),
            method_name="execute_complete",
            kwargs={"earlier": earlier, "waited": waited, "started": format_instant(part.started)},
        )

    def _note(self, part: Part, result: Result, *, dry_run: bool = False) -> None:
        self.log.info("%s.", result.describe(dry_run=dry_run))
        part.add(result)


class QlikSingleOperator(QlikOperator):
    """The common base of the operators on a single data asset, whose result is theirs."""

    pushed_members: ClassVar[tuple[str, ...]] = ("id", "action", "version", "changed_fields")

    def _change(self, client: QlikCloudClient, part: Part) -> Result:
        """Make the change and return the result."""
        raise NotImplementedError

    def _work(self, client: QlikCloudClient, part: Part) -> dict[str, Any]:
        result = self._change(client, part)
        self.log.info("%s.", result)
        return result.to_json()


class QlikDeletingOperator(QlikOperator):
    """The common base of the operators that delete: guards, and a dry run.

    Each operator sets the attributes for which it has an argument.
    """

    argument_names: ClassVar[Mapping[str, str]] = {"plan_only": "dry_run"}

    protected_tags: Any = ()
    max_deletions: Any = None
    max_fraction: Any = None
    plan_only: Any = False  # BaseOperator has a method dry_run()

    def _check_guards_when_parsed(self) -> None:
        check_when_parsed(as_texts, self.protected_tags, "protected_tags")
        check_when_parsed(as_int, self.max_deletions, "max_deletions")
        check_when_parsed(as_fraction, self.max_fraction, "max_fraction")
        check_when_parsed(as_bool, self.plan_only, "dry_run")

    def _guards(self, part: Part) -> DeletionGuards:
        return DeletionGuards(
            max_deletions=as_int(self.max_deletions, "max_deletions"),
            max_fraction=as_fraction(self.max_fraction, "max_fraction"),
            protected_tags=frozenset(as_texts(self.protected_tags, "protected_tags")),
            already_deleted=part.deleted_before(),
        )

    def _is_dry_run(self) -> bool:
        return as_bool(self.plan_only, "dry_run")

    def _delete(
        self, part: Part, delete: Callable[..., object], order: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Delete and record deletions as they are made; return their summary, with ``dry_run``.

        :param delete: what deletes, called with ``dry_run`` and ``on_result``.
        """
        dry_run = self._is_dry_run()
        delete(dry_run=dry_run, on_result=partial(self._note, part, dry_run=dry_run))
        if dry_run:
            self.log.info("Dry run: nothing was deleted.")
        return {**part.summary(order), "dry_run": dry_run}

"""Wait until the source data of data assets has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pendulum

from airflow_provider_qlik_assets._compat import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
    get_listener_manager,
)
from airflow_provider_qlik_assets.arguments import (
    as_bool,
    as_ids,
    as_seconds,
    check_when_parsed,
    from_rendered,
    templatable,
)
from airflow_provider_qlik_assets.catalog.deletion import check_ids
from airflow_provider_qlik_assets.catalog.waiting import (
    MISSING_ADVICE,
    FreshnessCondition,
    check_match,
    waiting_result,
)
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikNotFoundError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant
from airflow_provider_qlik_assets.failures import PERMANENT_ERRORS, permanent_errors_fail_the_task
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Context

# The trigger keeps the time-out itself; Airflow's own is the net below it.
_TIMEOUT_MARGIN = timedelta(minutes=5)
_SHORTEST_POLL_SECONDS = 1.0


class QlikDataFreshnessSensor(BaseSensorOperator):
    """Wait until the ``dataFreshness`` of data assets is recent enough.

    Works in all modes: ``poke``, ``reschedule`` and deferrable. A data asset that does not exist, missing
    rights and a wrong configuration fail the task at once and without retries; everything else (no answer,
    rate limit, 5xx) is polled again until the time-out.

    :param data_asset_ids: ids of the data assets.
    :param fresh_since: timezone-aware instant, or RFC 3339 text; a ``dataFreshness`` equal to it counts.
    :param max_age: in place of ``fresh_since``, the longest time (``timedelta`` or seconds) between
        ``dataFreshness`` and the poll; when deferred, the moment of deferring counts.
    :param match: whether ``all`` (default) or ``any`` of the data assets must be fresh.
    :param data_store_ids: ids of the data stores that hold them, where known.
    :param missing_ok: whether to wait for a data asset that does not exist, too.
    :param deferrable: whether to wait in the triggerer; Airflow's ``[operators] default_deferrable`` if not
        given.
    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :return: ``{"freshness": {id: instant}, "waited_for": instant}``, the latter being ``fresh_since``.
    """

    template_fields: Collection[str] = (
        "data_asset_ids",
        "fresh_since",
        "max_age",
        "match",
        "data_store_ids",
        "missing_ok",
        "qlik_conn_id",
    )
    ui_color = "#d5e6f0"

    def __init__(
        self,
        *,
        data_asset_ids: str | Iterable[str],
        fresh_since: datetime | str | None = None,
        max_age: timedelta | float | str | None = None,
        match: Literal["all", "any"] = "all",
        data_store_ids: str | Iterable[str] | None = None,
        missing_ok: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        qlik_conn_id: str = QlikCloudHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (fresh_since is None) == (max_age is None):
            raise QlikValidationError("Give either fresh_since or max_age.")
        self.data_asset_ids = templatable(data_asset_ids)
        self.fresh_since = fresh_since
        self.max_age = max_age
        self.match = match
        self.data_store_ids = templatable(data_store_ids)
        self.missing_ok = missing_ok
        self.deferrable = deferrable
        self.qlik_conn_id = qlik_conn_id
        check_when_parsed(_check_some_ids, self.data_asset_ids)
        check_when_parsed(check_ids, self.data_store_ids or [])
        check_when_parsed(check_match, match)
        check_when_parsed(as_bool, missing_ok, "missing_ok")
        if fresh_since is not None:
            check_when_parsed(parse_instant, fresh_since)
        else:
            check_when_parsed(as_seconds, max_age, "max_age")

    def execute(self, context: Context) -> Any:
        """Poll once on the worker; then wait in the triggerer if deferrable, otherwise here."""
        if not self.deferrable:
            return super().execute(context)
        from airflow_provider_qlik_assets.triggers.data_freshness import (  # noqa: PLC0415 - dear to parse
            QlikDataFreshnessTrigger,
        )

        started = pendulum.now("UTC")
        try:
            first = self.poke(context)
        except AirflowFailException as error:
            self._end(error)
        if first:
            return first.xcom_value
        condition = self._condition()
        self.defer(
            trigger=QlikDataFreshnessTrigger(
                qlik_conn_id=self.qlik_conn_id,
                data_asset_ids=list(condition.data_asset_ids),
                fresh_since=format_instant(condition.fresh_since),
                match=condition.match,
                data_store_ids=self._data_store_ids(),
                poll_interval=max(_SHORTEST_POLL_SECONDS, float(self.poke_interval)),
                deadline=format_instant(started + timedelta(seconds=self.timeout)),
                missing_ok=condition.missing_ok,
                ends_task=self._may_end_in_the_triggerer(),
            ),
            method_name="execute_complete",
            kwargs={"waited_for": format_instant(condition.fresh_since)},
            timeout=timedelta(seconds=self.timeout) + _TIMEOUT_MARGIN,
        )

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's signature
        """Return whether the data assets are fresh, with their freshness."""
        with permanent_errors_fail_the_task():
            condition = self._condition()
            hook = QlikCloudHook(self.qlik_conn_id)
            try:
                freshness = condition.read(hook.get_conn())
            except PERMANENT_ERRORS:
                raise
            except QlikNotFoundError as error:
                raise AirflowFailException(f"{error} {MISSING_ADVICE}") from error
            except QlikCloudError as error:
                self.log.warning("%s It is polled again after the poke interval.", error)
                return PokeReturnValue(is_done=False)
            finally:
                hook.close()
        if condition.is_met(freshness):
            return PokeReturnValue(is_done=True, xcom_value=waiting_result(freshness, condition))
        self.log.info("Data assets are %s.", condition.describe_stale(freshness))
        return PokeReturnValue(is_done=False)

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002 - Airflow's signature
        event: dict[str, Any] | None = None,
        waited_for: str | None = None,
    ) -> dict[str, Any]:
        """Return what the trigger found, or end the task as it says.

        :param event: payload of the trigger's event.
        :param waited_for: the instant that the trigger was told to wait for.
        :raises AirflowSensorTimeout: the data assets did not become fresh in time.
        :raises AirflowFailException: no retry can succeed.
        """
        event = event if isinstance(event, dict) else {}
        status, freshness, message = (event.get(name) for name in ("status", "freshness", "message"))
        if status == "success" and isinstance(freshness, dict):
            # Dag.test() does not pass on what the sensor was deferred with.
            return {
                "freshness": freshness,
                "waited_for": waited_for or format_instant(self._condition().fresh_since),
            }
        if status == "timeout":
            self._end(AirflowSensorTimeout(message))
        if status == "error":
            self._end(AirflowFailException(message))
        self._end(AirflowException(f"The trigger ended with an event that says nothing: {event!r}."))

    def _may_end_in_the_triggerer(self) -> bool:
        """Return whether nothing would be left for a worker to do but to return the result."""
        return (
            self.has_dag()  # type: ignore[no-untyped-call]
            and self.do_xcom_push
            and not self.multiple_outputs
            and not self.outlets
            and not any(self.iter_mapped_dependants())
            and self._post_execute_hook is None
            and all(
                getattr(type(self), name) is getattr(QlikDataFreshnessSensor, name)
                for name in ("execute_complete", "post_execute")
            )
            and not get_listener_manager().has_listeners
            and conf.get("core", "xcom_backend").rpartition(".")[2] == "BaseXCom"
        )

    def _condition(self) -> FreshnessCondition:
        """Return what to wait for, from the rendered arguments."""
        fresh_since = self.fresh_since
        if fresh_since is None:
            fresh_since = pendulum.now("UTC") - timedelta(seconds=as_seconds(self.max_age, "max_age"))
        return FreshnessCondition.parse(
            as_ids(self.data_asset_ids, "data_asset_ids"),
            fresh_since,
            self.match,
            as_bool(self.missing_ok, "missing_ok"),
        )

    def _data_store_ids(self) -> list[str] | None:
        ids = from_rendered(self.data_store_ids, "data_store_ids")
        return check_ids(ids) if ids else None

    def _end(self, error: AirflowException) -> NoReturn:
        """End the task; Airflow versions differ in what they heed before and after a deferral."""
        if self.soft_fail or self.never_fail:
            reason = "soft_fail" if self.soft_fail else "never_fail"
            raise AirflowSkipException(f"Skipped because of {reason}: {error}") from error
        raise error


def _check_some_ids(data_asset_ids: Any) -> None:
    FreshnessCondition.parse(as_ids(data_asset_ids, "data_asset_ids"), pendulum.now("UTC"))

"""Wait until the source data of data assets has changed."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pendulum

from airflow_provider_qlik_assets._compat import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
    first_poke_at,
    get_listener_manager,
)
from airflow_provider_qlik_assets.arguments import (
    as_bool,
    as_ids,
    as_seconds,
    check_when_parsed,
)
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikNotFoundError,
    QlikRateLimitError,
    QlikStoppedError,
    QlikValidationError,
    shorten,
)
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant
from airflow_provider_qlik_assets.client.retry import RetryPolicy
from airflow_provider_qlik_assets.client.stopping import StopFlag
from airflow_provider_qlik_assets.client.validation import check_ids
from airflow_provider_qlik_assets.failures import is_permanent, permanent_errors_fail_the_task
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.templated import TemplatedArguments
from airflow_provider_qlik_assets.watching.condition import (
    MISSING_ADVICE,
    Freshness,
    FreshnessCondition,
    check_match,
    waiting_result,
)

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Context
    from airflow_provider_qlik_assets.client import QlikCloudClient

# The trigger enforces the time-out itself; Airflow's own is a safety net.
_TIMEOUT_MARGIN = timedelta(minutes=5)
_SHORTEST_POLL_SECONDS = 1.0
# After a 429, requests are spaced for a while; a poke that takes several must still succeed, unless the
# trigger polls for it.
_LONGEST_PACING_SECONDS = 10.0
_LONGEST_PACING_SECONDS_BEFORE_DEFERRING = 1.0
_LONGEST_SHORT_WAIT_SECONDS = 60.0
_LONGEST_WAIT_FOR_QUOTA_SECONDS = 600.0
_STARTS_OVER = (
    "%d of %d data assets were read. In mode 'reschedule' each poke is a process of its own and starts over, "
    "so that more data assets than the rate limit allows at once are never all read. Use deferrable=True, "
    "which reads listings; or mode='poke', which continues where it stopped; or fewer data assets per sensor."
)


class QlikDataFreshnessSensor(TemplatedArguments, BaseSensorOperator):
    """Wait until the ``dataFreshness`` of data assets is recent enough.

    Works in all modes: ``poke``, ``reschedule`` and deferrable. A data asset that does not exist, missing
    rights and a wrong configuration fail the task at once and without retries; everything else (no answer,
    rate limit, 5xx) is polled again until the time-out. A poke never waits for the rate limit or a retry, so
    the time-out is accurate to a second or two. Once deferred, the sensor returns after 10 seconds at the
    earliest, because Airflow's scheduler needs that time. ``soft_fail`` and ``never_fail`` apply to every way
    in which the wait ends, before and after a deferral.

    If there are more data assets than the rate limit allows to read at once, use ``poke`` mode, which takes
    several pokes, or deferrable. In ``reschedule`` mode each poke is a separate process, so they would never
    all be read; the log says so.

    :param data_asset_ids: ids of the data assets.
    :param fresh_since: timezone-aware instant, or RFC 3339 text; a ``dataFreshness`` equal to it counts.
    :param max_age: in place of ``fresh_since``, the longest time (``timedelta`` or seconds) between
        ``dataFreshness`` and the poll; when deferred, the moment of deferring counts.
    :param match: whether ``all`` (default) or ``any`` of the data assets must be fresh.
    :param data_store_ids: ids of the data stores that hold them, where known.
    :param missing_ok: whether to also wait for data assets that do not exist.
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

    _poll_until: float | None = None
    _poll_again_in: float | None = None

    def __init__(
        self,
        *,
        data_asset_ids: str | Iterable[str],
        fresh_since: datetime | str | None = None,
        max_age: timedelta | float | str | None = None,
        match: Literal["all", "any"] = "all",
        data_store_ids: str | Iterable[str] | None = None,
        missing_ok: bool | str = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        qlik_conn_id: str = QlikCloudHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_ids = data_asset_ids
        self.fresh_since = fresh_since
        self.max_age = max_age
        self.match = match
        self.data_store_ids = data_store_ids
        self.missing_ok = missing_ok
        self.deferrable = deferrable
        self.qlik_conn_id = qlik_conn_id
        self._stop_flag = StopFlag()
        self._found: Freshness = {}
        self._names: dict[str, str] = {}
        if self._is_in_dag_file():
            self._check_since()
            check_when_parsed(_check_some_ids, self.data_asset_ids)
            check_when_parsed(check_ids, self.data_store_ids or [])
            check_when_parsed(check_match, match)
            check_when_parsed(as_bool, missing_ok, "missing_ok")
            if fresh_since is not None:
                check_when_parsed(parse_instant, fresh_since)
            else:
                check_when_parsed(as_seconds, max_age, "max_age")

    def execute(self, context: Context) -> Any:
        """Poll once on the worker, then wait in the triggerer if deferrable, otherwise on the worker."""
        self._stop_flag.begin()
        self._found = {}
        with self._lenient():
            self._poll_until = time.monotonic() + self.timeout - self._seconds_since_first_poke(context)
            return self._defer(context) if self.deferrable else super().execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; a failed trigger ends the task like every other failure."""
        with self._lenient():
            return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Send no more requests; a request in progress is completed.

        Airflow calls this in a signal handler, so it only sets a flag.
        """
        self._stop_flag.set()

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's signature
        """Return whether the data assets are fresh, with their freshness.

        It never waits: if the rate limit is used up or a temporary error occurs, it is poked again. A poke
        that ended early continues where it stopped; fresh data assets are not read again.
        """
        self._poll_again_in = None
        with permanent_errors_fail_the_task():
            condition = self._condition()
            hook = QlikCloudHook(self.qlik_conn_id, stop_flag=self._stop_flag)
            known = len(self._found)
            try:
                left = self._seconds_left()
                with self._impatient(hook.get_conn(), left) as client:
                    freshness = condition.read(
                        client, until=time.monotonic() + left, earlier=self._found, names=self._names
                    )
            except QlikNotFoundError as error:
                raise AirflowFailException(error.with_advice(MISSING_ADVICE)) from error
            except QlikRateLimitError as error:
                self._poll_again_in = error.retry_after
                is_short = (error.retry_after or 0.0) <= _LONGEST_SHORT_WAIT_SECONDS
                level = logging.INFO if is_short else logging.WARNING
                self.log.log(level, "Polling again as soon as the quota allows: %s", error)
                if self.reschedule and not self.deferrable and len(self._found) > known:
                    self.log.warning(_STARTS_OVER, len(self._found), len(condition.data_asset_ids))
                return PokeReturnValue(is_done=False)
            except QlikCloudError as error:
                if is_permanent(error) or isinstance(error, QlikStoppedError):
                    raise
                self.log.warning("Polling again after the poke interval: %s", error)
                return PokeReturnValue(is_done=False)
            finally:
                hook.close()
        self.log.info("Data assets are %s.", condition.describe(freshness, self._names))
        if condition.is_met(freshness):
            return PokeReturnValue(is_done=True, xcom_value=waiting_result(freshness, condition))
        self._found = condition.fresh(freshness)
        return PokeReturnValue(is_done=False)

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002 - Airflow's signature
        event: dict[str, Any] | None = None,
        waited_for: str | None = None,
    ) -> dict[str, Any]:
        """Return what the trigger found, or end the task accordingly.

        :param event: payload of the trigger's event.
        :param waited_for: the instant that the trigger waited for.
        :raises AirflowSensorTimeout: the data assets did not become fresh in time.
        :raises AirflowFailException: no retry can succeed.
        """
        event = event if isinstance(event, dict) else {}
        status, freshness, message = (event.get(name) for name in ("status", "freshness", "message"))
        if status == "success" and isinstance(freshness, dict):
            # Dag.test() does not pass on the arguments of the deferral.
            return {
                "freshness": freshness,
                "waited_for": waited_for or format_instant(self._condition().fresh_since),
            }
        with self._lenient():
            if status == "timeout":
                raise AirflowSensorTimeout(message)
            if status == "error":
                raise AirflowFailException(message)
            raise AirflowException(f"The trigger ended with an unexpected event: {shorten(repr(event))}.")

    def _defer(self, context: Context) -> Any:
        """Return the result if there is nothing to wait for, otherwise wait in the triggerer."""
        from airflow_provider_qlik_assets.triggers.data_freshness import (  # noqa: PLC0415 - slow to import
            QlikDataFreshnessTrigger,
        )

        started = pendulum.now("UTC")
        first = self.poke(context)
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
                pushes_result=self.do_xcom_push,
            ),
            method_name="execute_complete",
            kwargs={"waited_for": format_instant(condition.fresh_since)},
            timeout=timedelta(seconds=self.timeout) + _TIMEOUT_MARGIN,
        )

    def _may_end_in_the_triggerer(self) -> bool:
        """Return whether a worker would have nothing left to do but to return the result."""
        if not self.has_dag() or self.outlets or self.on_success_callback:  # type: ignore[no-untyped-call]
            return False
        if self._post_execute_hook is not None or get_listener_manager().has_listeners:
            return False
        if self.map_index_template is not None:
            return False
        if self.do_xcom_push and (
            self.multiple_outputs
            or any(self.iter_mapped_dependants())
            or conf.get("core", "xcom_backend").rpartition(".")[2] != "BaseXCom"
        ):
            return False
        return all(
            getattr(type(self), name) is getattr(QlikDataFreshnessSensor, name)
            for name in ("execute_complete", "post_execute", "resume_execution")
        )

    def _get_next_poke_interval(
        self, started_at: Any, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        """Return the seconds until the next poke, at most until the time-out.

        After a poke that the rate limit prevented, it is the time until the limit allows the next one.
        """
        interval = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        if self._poll_again_in is not None:
            allowed = min(self._poll_again_in, _LONGEST_WAIT_FOR_QUOTA_SECONDS)
            interval = max(_SHORTEST_POLL_SECONDS, allowed)
        return max(0.0, min(interval, self.timeout - run_duration()))

    def _seconds_since_first_poke(self, context: Context) -> float:
        first = first_poke_at(self, context) if self.reschedule and not self.deferrable else None
        return 0.0 if first is None else (datetime.now(UTC) - first).total_seconds()

    def _impatient(self, client: QlikCloudClient, seconds: float) -> QlikCloudClient:
        """Return a client that does not retry or wait, and abandons a request after some seconds."""
        connect, read = client.timeout
        pacing = _LONGEST_PACING_SECONDS_BEFORE_DEFERRING if self.deferrable else _LONGEST_PACING_SECONDS
        return client.with_options(
            retry=RetryPolicy(max_retries=0, max_retry_wait=0.0),
            max_rate_limit_wait=min(pacing, seconds, client.max_rate_limit_wait),
            timeout=(min(connect, seconds), min(read, seconds)),
        )

    def _seconds_left(self) -> float:
        """Return the seconds that a poke may take; even the last one gets a moment."""
        left = math.inf if self._poll_until is None else self._poll_until - time.monotonic()
        return max(_SHORTEST_POLL_SECONDS, left)

    @contextlib.contextmanager
    def _lenient(self) -> Iterator[None]:
        """Skip the task instead of failing it, if ``soft_fail`` or ``never_fail`` is set.

        Airflow does that, too, but for different failures in each mode and version.
        """
        try:
            yield
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except (AirflowException, AirflowTaskTimeout) as error:
            self._skip(error, if_any_of=("soft_fail", "never_fail"))
            raise
        except Exception as error:
            self._skip(error, if_any_of=("never_fail",))
            raise

    def _skip(self, error: BaseException, *, if_any_of: tuple[str, ...]) -> None:
        for reason in if_any_of:
            if getattr(self, reason):
                raise AirflowSkipException(f"Skipped because of {reason}: {error}") from error

    def _condition(self) -> FreshnessCondition:
        """Return the condition from the rendered arguments, after checking all of them."""
        self._check_rendered()
        self._check_since()
        self._data_store_ids()
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
        ids = self._argument("data_store_ids")
        return check_ids(ids) if ids else None

    def _check_since(self) -> None:
        if (self.fresh_since is None) == (self.max_age is None):
            raise QlikValidationError("Give either fresh_since or max_age.")


def _check_some_ids(data_asset_ids: Any) -> None:
    FreshnessCondition.parse(as_ids(data_asset_ids, "data_asset_ids"), pendulum.now("UTC"))

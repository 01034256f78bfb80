"""Process many data assets, several at a time; a failed one does not stop the rest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from airflow_provider_qlik_assets.catalog.progress import Progress
from airflow_provider_qlik_assets.catalog.results import Result, ignore_result
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikPartialFailureError,
    QlikStoppedError,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.rate_limit.limiter import Tier
from airflow_provider_qlik_assets.client.stopping import StopFlag
from airflow_provider_qlik_assets.client.verdicts import ENDING_ERRORS, is_unavailable

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

Job = TypeVar("Job")

# Enough to use up the quota of a window within seconds, at any usual latency.
WORKERS = 8

_MOST_UNAVAILABLE = 24
_MOST_LOGGED_FAILURES = 20
_TICK_SECONDS = 0.5


def change_many(
    client: QlikCloudClient,
    change: Callable[[QlikCloudClient, str], Result],
    data_asset_ids: Iterable[str],
    *,
    what: str,
    done: str = "done",
    on_result: Callable[[Result], None] = ignore_result,
) -> list[Result]:
    """Change many data assets, several at a time.

    :param client: the client whose quota and waits count.
    :param change: changes the data asset of an id; called in several threads at once, with their client.
    :param data_asset_ids: different ids.
    :param what: what is done, for the log.
    :param done: its past participle.
    :param on_result: called in the caller's thread with each result, in the order of completion.
    :return: the results in the order given.
    :raises QlikPartialFailureError: at the end, if several failed.
    :raises QlikCloudError: at the end, if one failed; or the error of :func:`run_bulk`.
    """
    ids = list(data_asset_ids)
    if len(ids) <= 1:
        only = [change(client, data_asset_id) for data_asset_id in ids]
        for result in only:
            on_result(result)
        return only
    results: dict[str, Result] = {}
    failures = Failures(what)

    def note(data_asset_id: str, result: Result) -> None:
        results[data_asset_id] = result
        on_result(result)

    progress = run_bulk(client, change, ids, what=what, done=done, on_result=note, on_error=failures.note)
    if len(failures.errors) == 1:
        (error,) = failures.errors.values()
        progress.ended_early(error)
        raise error
    if failures.errors:
        raise failures.together(ids)
    return [results[data_asset_id] for data_asset_id in ids]


def run_bulk(
    client: QlikCloudClient,
    do: Callable[[QlikCloudClient, Job], Result],
    jobs: Sequence[Job],
    *,
    what: str,
    done: str,
    on_result: Callable[[Job, Result], None],
    on_error: Callable[[Job, QlikCloudError], None],
    clock: Callable[[], float] = time.monotonic,
) -> Progress:
    """Carry out many jobs, several at a time; an error that concerns one of them stops no other.

    An error that all other jobs would get, too, ends the work, and so does an error that does not come from
    Qlik Cloud. No other job is started; the jobs in progress are completed and recorded.

    :param client: the client whose quota and waits count.
    :param do: carries out one job; called in several threads at once, with their client.
    :param jobs: what to do, once each.
    :param what: what the work is, for the log.
    :param done: past participle of what is done to each, for the log and the error.
    :param on_result: called in the caller's thread with each job that is done.
    :param on_error: called in the caller's thread with each job that failed, unless its error concerns all.
    :param clock: seconds that never go back, for the progress.
    :return: how far the work is.
    :raises QlikCloudError: the error that ended the work, saying how many were done.
    :raises QlikStoppedError: likewise, if the client was stopped.
    """
    progress = Progress(
        what, len(jobs), done=done, wait=partial(client.rate_limit_wait, Tier.TWO), clock=clock
    )
    breaker = _Breaker()
    ended_by: list[QlikCloudError] = []

    def note(job: Job, outcome: Result | QlikCloudError) -> None:
        if not isinstance(outcome, QlikCloudError):
            progress.note(outcome.action)
            on_result(job, outcome)
        elif not isinstance(outcome, ENDING_ERRORS):
            on_error(job, outcome)
        if breaker.opens(outcome) and isinstance(outcome, QlikCloudError):
            ended_by.append(outcome)
            workers.stop()

    with progress.reported_by_errors():
        with _Workers(client, do, on_done=note, on_tick=progress.tick) as workers:
            workers.run(jobs)
        if ended_by:
            raise ended_by[0]
    return progress


class Failures:
    """The errors of the data assets that failed; the first ones are logged as they are recorded.

    :param what: what the work is, for the log.
    """

    def __init__(self, what: str) -> None:
        self.errors: dict[str, QlikCloudError] = {}
        self._what = what

    def note(self, name: str, error: QlikCloudError) -> None:
        """Record a failure.

        :param name: name or id of the data asset.
        """
        self.errors[name] = error
        if len(self.errors) <= _MOST_LOGGED_FAILURES:
            logger.warning("%s: %s failed. %s", self._what, name, error)

    def together(self, names: Collection[str]) -> QlikPartialFailureError:
        """Return all failures in one error.

        :param names: those of all data assets, in the order in which to name the failures.
        """
        return QlikPartialFailureError(
            {name: self.errors[name] for name in names if name in self.errors}, total=len(names)
        )


class _Breaker:
    """Decides from the outcomes when to stop."""

    def __init__(self) -> None:
        self._unavailable_in_a_row = 0

    def opens(self, outcome: Result | QlikCloudError) -> bool:
        """Record an outcome; return whether all other jobs would fail, too."""
        unavailable = isinstance(outcome, QlikCloudError) and is_unavailable(outcome)
        self._unavailable_in_a_row = self._unavailable_in_a_row + 1 if unavailable else 0
        return isinstance(outcome, ENDING_ERRORS) or self._unavailable_in_a_row >= _MOST_UNAVAILABLE


class _Workers(Generic[Job]):
    """Threads that write with a client of their own.

    :param client: the client whose quota and waits count.
    :param do: carries out one job.
    :param on_done: called in the caller's thread with what became of a job.
    :param on_tick: called in the caller's thread at least twice a second.
    """

    def __init__(
        self,
        client: QlikCloudClient,
        do: Callable[[QlikCloudClient, Job], Result],
        *,
        on_done: Callable[[Job, Result | QlikCloudError], None],
        on_tick: Callable[[], None],
    ) -> None:
        self._do = do
        self._on_done = on_done
        self._on_tick = on_tick
        self._stop_flag = StopFlag(client.stop_flag)
        self._caller = client
        self._client = client.with_options(stop_flag=self._stop_flag)
        self._running: dict[Future[Result], Job] = {}
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="qlik-write")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Start nothing more, end all waits, and let requests in progress complete."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()
        for future in list(self._running):
            if not future.cancelled():
                with contextlib.suppress(Exception):  # the error that ended the work is raised
                    self._take(future)

    def stop(self) -> None:
        """Start no more jobs; threads that wait for the quota leave the queue."""
        self._stop_flag.set()

    def run(self, jobs: Iterable[Job]) -> None:
        """Carry jobs out until all are done or :meth:`stop` was called.

        :raises QlikStoppedError: the client was stopped before all were done.
        :raises Exception: an error of a job that does not come from Qlik Cloud.
        """
        left = iter(jobs)
        finished = True
        while True:
            while len(self._running) < WORKERS:
                job = next(left, None)
                if job is None:
                    break
                if self._stop_flag.is_set:
                    finished, left = False, iter(())
                    break
                self._running[self._pool.submit(self._do, self._client, job)] = job
            if not self._running:
                break
            done, _ = wait(self._running, timeout=_TICK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                finished &= self._take(future)
            self._on_tick()
        if not finished:
            self._caller.stop_flag.check("the remaining data assets were not processed")

    def _take(self, future: Future[Result]) -> bool:
        """Record the outcome of a job; return whether it was carried out, successfully or not."""
        job = self._running.pop(future)
        try:
            outcome: Result | QlikCloudError = future.result()
        except QlikCloudError as error:
            if isinstance(error, QlikStoppedError) and self._stop_flag.is_set:
                return False
            outcome = error
        self._on_done(job, outcome)
        return True

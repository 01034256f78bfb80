"""Many writes, several at a time, that can be stopped: what is not handed out by then is left undone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikStoppedError,
)
from airflow_provider_qlik_assets.client.stopping import StopFlag
from airflow_provider_qlik_assets.client.verdicts import ENDING_ERRORS, UNAVAILABLE_ERRORS

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.catalog.results import Result
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

Job = TypeVar("Job")

# Enough to use up the quota of a window within seconds at any usual latency.
WORKERS = 8

_MOST_UNAVAILABLE = 24

_TICK_SECONDS = 0.5


class Breaker:
    """Tells from the outcomes when it is pointless to go on."""

    def __init__(self) -> None:
        self._unavailable_in_a_row = 0

    def opens(self, outcome: Result | QlikCloudError) -> bool:
        """Take note of an outcome; return whether all others would fail, too."""
        unavailable = isinstance(outcome, UNAVAILABLE_ERRORS)
        self._unavailable_in_a_row = self._unavailable_in_a_row + 1 if unavailable else 0
        return isinstance(outcome, ENDING_ERRORS) or self._unavailable_in_a_row >= _MOST_UNAVAILABLE


class Workers(Generic[Job]):
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
        """Start nothing more, end waits, and let the requests under way come to their end."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()
        for future in list(self._running):
            if not future.cancelled():
                with contextlib.suppress(Exception):  # the error that ended the work is raised
                    self._take(future)

    def stop(self) -> None:
        """Hand nothing out any more; whoever waits for the quota leaves the queue."""
        self._stop_flag.set()

    def run(self, jobs: Iterable[Job]) -> None:
        """Carry jobs out until all are done or :meth:`stop` was called.

        :raises QlikStoppedError: the client was stopped before all were done.
        :raises Exception: whatever a job raises that is no error of Qlik Cloud.
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
            self._caller.stop_flag.check("what was left was not begun")

    def _take(self, future: Future[Result]) -> bool:
        """Take note of what became of a job; return whether it was done, well or not."""
        job = self._running.pop(future)
        try:
            outcome: Result | QlikCloudError = future.result()
        except QlikStoppedError:
            return False
        except QlikCloudError as error:
            outcome = error
        self._on_done(job, outcome)
        return True

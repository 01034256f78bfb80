"""Many writes, several at a time, that can be stopped: what is not handed out by then is left undone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from airflow_provider_qlik_assets.client.errors import (
    QlikAuthenticationError,
    QlikCloudError,
    QlikConfigurationError,
    QlikConnectionError,
    QlikRateLimitError,
    QlikResponseError,
    QlikServerError,
)

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.catalog.results import Result
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

Job = TypeVar("Job")

# Enough to use up the quota of a window within seconds at any usual latency.
WORKERS = 8

# These errors would hit every other write as well.
ENDING = (QlikAuthenticationError, QlikConfigurationError, QlikRateLimitError)
# These would, too, if nothing but they came back from so many writes in a row.
_UNAVAILABLE = (QlikConnectionError, QlikResponseError, QlikServerError)
_MOST_UNAVAILABLE = 24

_TICK_SECONDS = 0.5
_LONGEST_NAP_SECONDS = 0.5


class Breaker:
    """Tells from the outcomes when it is pointless to go on."""

    def __init__(self) -> None:
        self._unavailable_in_a_row = 0

    def opens(self, outcome: Result | QlikCloudError) -> bool:
        """Take note of an outcome; return whether all others would fail, too."""
        unavailable = isinstance(outcome, _UNAVAILABLE)
        self._unavailable_in_a_row = self._unavailable_in_a_row + 1 if unavailable else 0
        return isinstance(outcome, ENDING) or self._unavailable_in_a_row >= _MOST_UNAVAILABLE


class _StoppedError(Exception):
    """A worker was to wait although everything is to end."""


class Workers(Generic[Job]):
    """Threads that write with a client of their own.

    :param client: the client whose quota and waits count.
    :param do: carries out one job.
    :param on_done: told in the caller's thread what became of a job.
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
        self._stopped = threading.Event()
        self._sleep = client.sleep
        self._client = client.with_options(sleep=self._nap)
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

    def stop(self) -> None:
        """Hand nothing out any more; whoever waits for the quota gives his place back."""
        self._stopped.set()

    def run(self, jobs: Iterable[Job]) -> None:
        """Carry jobs out until all are done or :meth:`stop` was called.

        :raises Exception: whatever a job raises that is no error of Qlik Cloud.
        """
        left = iter(jobs)
        running: dict[Future[Result], Job] = {}
        while True:
            while len(running) < WORKERS and not self._stopped.is_set():
                job = next(left, None)
                if job is None:
                    break
                running[self._pool.submit(self._do, self._client, job)] = job
            if not running:
                return
            done, _ = wait(running, timeout=_TICK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                try:
                    outcome: Result | QlikCloudError = future.result()
                except QlikCloudError as error:
                    outcome = error
                except _StoppedError:
                    continue
                self._on_done(job, outcome)
            self._on_tick()

    def _nap(self, seconds: float) -> None:
        """Sleep in pieces, so that a stop is noticed soon."""
        while seconds > 0 and not self._stopped.is_set():
            self._sleep(min(seconds, _LONGEST_NAP_SECONDS))
            seconds -= _LONGEST_NAP_SECONDS
        if self._stopped.is_set():
            raise _StoppedError

"""The progress of work on many data assets, in the log and in an error that ends it early."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator

from airflow_provider_qlik_assets.client.errors import QlikCloudError
from airflow_provider_qlik_assets.client.log import get_logger

_INTERVAL_SECONDS = 5.0
_SAMPLE_SECONDS = 0.5

logger = get_logger(__name__)


class Progress:
    """Count what is done; log every few seconds how much is left and how long that takes.

    :param what: what the work is, for the log.
    :param total: number of things to do.
    :param done: past participle of what is done to each, for the message of an error.
    :param wait: returns the seconds that a number of requests have to wait for the quota.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        done: str = "done",
        wait: Callable[[int], float] = lambda requests: 0.0,  # noqa: ARG005
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = 0
        self.actions: Counter[str] = Counter()
        self._what = what
        self._total = total
        self._participle = done
        self._wait = wait
        self._clock = clock
        self._logged_at = self._sampled_at = clock()
        self._worked = 0.0
        self._waits = False

    def note(self, action: str) -> None:
        """Count one that is done.

        :param action: what was done to it.
        """
        self.done += 1
        self.actions[action] += 1

    def tick(self) -> None:
        """Log a line if it is time for one; call it often."""
        now = self._clock()
        if now - self._sampled_at < _SAMPLE_SECONDS:
            return
        # Waiting does not tell how fast the work is.
        waited, waiting = self._waits, self._wait(1)
        self._waits = waiting > 0
        if not (waited or self._waits):
            self._worked += now - self._sampled_at
        self._sampled_at = now
        if now - self._logged_at < _INTERVAL_SECONDS:
            return
        self._logged_at = now
        left = self._total - self.done
        # The slower of the quota and the work determines the time left.
        pace = self._worked / self.done if self.done else 0.0
        seconds = max(self._wait(left), left * pace) if left else 0.0
        logger.info(
            "%s: %s of %s done, %s left%s; about %s to go.",
            self._what,
            f"{self.done:,}",
            f"{self._total:,}",
            f"{left:,}",
            f", waiting for the quota for about {waiting:.0f} s" if waiting > 0 else "",
            _duration(seconds),
        )

    def so_far(self) -> str:
        """Return how many are done, of how many."""
        return f"{self.done:,} of {self._total:,}"

    @contextlib.contextmanager
    def reported_by_errors(self) -> Iterator[None]:
        """Add the progress to any error that ends the work: see :meth:`ended_early`."""
        try:
            yield
        except BaseException as error:
            self.ended_early(error)
            raise

    def ended_early(self, reason: BaseException) -> None:
        """Log how far the work is, and let the error that ended it say so."""
        text = f"{self.so_far()} {self._participle}"
        counts = ", ".join(f"{number:,} {action}" for action, number in self.actions.items())
        logger.warning(
            "%s: %s%s, %s not.",
            self._what, text, f" ({counts})" if counts else "", f"{self._total - self.done:,}",
        )  # fmt: skip
        if isinstance(reason, QlikCloudError):
            reason.add_progress(f"{text}, {self._total - self.done:,} not.")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"

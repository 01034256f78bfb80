"""Lines in the log that say how far long work is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_INTERVAL_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Progress:
    """Log every few seconds how much is done, how much is left and how long that takes.

    :param what: what the work is, for the log.
    :param total: number of things to do.
    :param wait: returns the seconds that a number of requests have to wait for the quota.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        wait: Callable[[int], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = 0
        self._what = what
        self._total = total
        self._wait = wait
        self._clock = clock
        self._logged_at = self._worked_since = clock()
        self._worked = 0.0

    def tick(self) -> None:
        """Log a line if it is time for one."""
        now = self._clock()
        if now - self._logged_at < _INTERVAL_SECONDS:
            return
        left = self._total - self.done
        waiting = self._wait(1)
        if waiting <= 0:  # what is spent on waiting says nothing about how fast the work is
            self._worked += now - self._worked_since
        self._logged_at = self._worked_since = now
        # The quota and the work bound it together; the slower one tells.
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


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"

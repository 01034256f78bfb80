"""The single rule that decides whether and when a request is sent again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_BACK_OFF_SECONDS = 1.0
_LONGEST_BACK_OFF_SECONDS = 60.0
_SHORTEST_RATE_LIMIT_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class Failure:
    """How one attempt of a request failed.

    :param reason: what happened, for the log.
    :param http_status: status of the answer; ``None`` if no complete answer came.
    :param request_sent: whether the request may have reached Qlik Cloud.
    :param retry_after: seconds that the answer asked to wait; ``None`` if it did not.
    """

    reason: str
    http_status: int | None = None
    request_sent: bool = True
    retry_after: float | None = None

    @property
    def may_have_been_done(self) -> bool:
        """Whether Qlik Cloud may still have carried out the request."""
        return self.request_sent and (self.http_status is None or self.http_status >= 500)


@dataclass(frozen=True)
class RetryPolicy:
    """Decide, only from the failure, whether to send a request again.

    =====================================  ==========================================================
    429                                    always, after ``Retry-After``: it was not processed
    never sent (refused, DNS, ...)         always: nothing was done
    502, 503, 504, no complete answer      if the request is safe to repeat
    everything else                        never
    =====================================  ==========================================================

    :param max_retries: how many times a request is repeated at most; waits for the rate limit do not count.
    :param max_retry_wait: total seconds that one call may wait between retries.
    """

    max_retries: int = 5
    max_retry_wait: float = 600.0

    def wait_before_repeat(
        self,
        failure: Failure,
        *,
        attempt: int,
        waited: float,
        safe_to_repeat: bool,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or ``None`` if there must be none.

        :param failure: how the last attempt failed.
        :param attempt: number of the last attempt, from 1.
        :param waited: seconds that this call has waited so far.
        :param safe_to_repeat: whether sending the request twice has the same effect as sending it once.
        :param uniform: source of jitter.
        """
        limited = failure.http_status == 429
        if not limited and attempt > self.max_retries:
            return None
        repeatable = limited or not failure.request_sent
        repeatable |= safe_to_repeat and failure.http_status in {None, 502, 503, 504}
        if not repeatable:
            return None
        longest = min(_LONGEST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * 2.0 ** min(attempt - 1, 10))
        wait = uniform(0, longest)
        if failure.retry_after is not None:
            wait = failure.retry_after if limited else failure.retry_after + wait
        if limited:
            wait = max(wait, _SHORTEST_RATE_LIMIT_WAIT_SECONDS)
        return wait if waited + wait <= self.max_retry_wait else None


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, or ``None`` if it is not usable.

    :param value: whole seconds or an HTTP date (RFC 9110); a date in the past is 0.
    :param now: when it was answered, by the clock of who answered, for an HTTP date.
    """
    text = (value or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return max(0.0, seconds) if math.isfinite(seconds) else None

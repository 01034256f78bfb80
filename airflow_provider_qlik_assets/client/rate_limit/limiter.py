"""Keep all processes of a user below the rate limits of Qlik Cloud.

Qlik Cloud counts the requests of a user in each tier over a rolling window. A :class:`RateLimiter` asks a
shared store for permission before each request and sleeps until it is granted. Requests reach the server with
varying delays, so a burst may arrive in less time than it took to send. The limiter therefore uses 2 % less
than the limit, in a window that is 1 % longer.
"""

from __future__ import annotations

import enum
import hashlib
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_qlik_assets.client.errors import QlikConfigurationError, QlikRateLimitError
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_PERMITS, Decision, Quota
from airflow_provider_qlik_assets.client.rate_limit.store import Store

logger = get_logger(__name__)

DEFAULT_MAX_WAIT_SECONDS = 3600.0
_SHORTEST_NEWS_SECONDS = 1.0
_USED_SHARE = 0.98
_WINDOW_STRETCH = 1.01
# A longer Retry-After is cut: after this time, every window of Qlik Cloud has free requests again.
_LONGEST_PENALTY_WINDOWS = 2
_MOST_PREPARATIONS = 5

_T = TypeVar("_T")


class Tier(enum.IntEnum):
    """Qlik Cloud's rate limit tiers: most reads are in tier 1, creating, updating and deleting in tier 2."""

    ONE = 1
    TWO = 2


@dataclass(frozen=True)
class RateLimits:
    """The limits of one user.

    Clients with different limits may share a quota. Each obeys its own limits and counts the requests of all.

    :param tier1_limit: tier 1 requests allowed in any window.
    :param tier2_limit: tier 2 requests allowed in any window.
    :param window: length of the window in seconds.
    :raises QlikConfigurationError: if a value cannot be used.
    """

    tier1_limit: int = 5000
    tier2_limit: int = 500
    window: float = 300.0

    def __post_init__(self) -> None:
        for name, limit in (("tier1_limit", self.tier1_limit), ("tier2_limit", self.tier2_limit)):
            if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_PERMITS:
                raise QlikConfigurationError(
                    f"{name} must be a whole number of requests from 1 to {MAX_PERMITS}, not {limit!r}."
                )
        if (
            isinstance(self.window, bool)
            or not isinstance(self.window, int | float)
            or not (0 < self.window < math.inf)
        ):
            raise QlikConfigurationError(
                f"rate_limit_window must be a number of seconds above 0, not {self.window!r}."
            )

    def quota(self, tier: Tier) -> Quota:
        """Return the quota that the limiter uses: slightly below the limit, in a slightly longer window."""
        limit = self.tier1_limit if tier is Tier.ONE else self.tier2_limit
        return Quota(permits=max(1, int(limit * _USED_SHARE)), window=self.window * _WINDOW_STRETCH)


class RateLimiter:
    """Grants requests, at most as many as the limits of the user allow.

    Any number of threads may use one limiter, and so may a child process after a fork.

    :param store: where the quota is kept (see :func:`.open_store`).
    :param tenant: host name of the tenant.
    :param identity: digest that identifies the user of the credentials; never a secret.
    :param limits: the limits of that user.
    :param max_wait: longest acceptable wait for one request in seconds.
    :param clock: seconds on a monotonic clock, to measure waits.
    :param sleep: sleeps for some seconds.
    """

    def __init__(
        self,
        store: Store,
        *,
        tenant: str,
        identity: str,
        limits: RateLimits | None = None,
        max_wait: float = DEFAULT_MAX_WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        limits = limits or RateLimits()
        self._store = store
        self._tenant = tenant
        self._max_wait = max_wait
        self._clock = clock
        self._sleep = sleep
        user = hashlib.sha256(f"{tenant.lower()}\n{identity}".encode()).hexdigest()[:32]
        self._shared = {tier: (f"{user}-tier{tier:d}", limits.quota(tier)) for tier in Tier}
        self._window = limits.window

    def acquire(self, tier: Tier, *, max_wait: float | None = None) -> float:
        """Wait until a request may be sent; call it right before sending.

        Every wait is logged once, at level INFO if it takes a second or more. A caller that is interrupted
        while it waits leaves the queue.

        :param tier: tier of the request.
        :param max_wait: longest acceptable wait in seconds; defaults to that of the limiter.
        :return: seconds waited.
        :raises QlikRateLimitError: if the wait would take longer. It is raised as soon as that is known,
            usually at once, with the expected seconds in ``retry_after``.
        """
        start = self._clock()
        return self._acquire(tier, start, self._max_wait if max_wait is None else max_wait) - start

    def _acquire(self, tier: Tier, start: float, longest: float) -> float:
        """Wait as :meth:`acquire` does; return the time right before the grant was given.

        :param start: the present time.
        :param longest: longest acceptable wait in seconds.
        """
        key, quota = self._shared[tier]
        decision = self._store.ask(key, quota, 0, longest)
        if decision.granted:
            return start
        ticket = decision.ticket
        if ticket:
            level = logging.INFO if decision.delay >= _SHORTEST_NEWS_SECONDS else logging.DEBUG
            logger.log(level, "Waiting about %.1f s: %s.", decision.delay, self._why(tier, decision))
        try:
            while ticket:
                self._sleep(decision.pause)
                asked = self._clock()
                left = longest - (asked - start)
                decision = self._store.ask(key, quota, ticket, max(0.0, left))
                if decision.granted:
                    return asked
                ticket = decision.ticket
        except BaseException:
            self._store.leave(key, quota, ticket)
            raise
        raise QlikRateLimitError.not_sent(self._why(tier, decision), decision.delay)

    def acquire_for(self, tier: Tier, prepare: Callable[[], _T]) -> _T:
        """Wait until a request may be sent, then prepare it; return it while it may still be sent.

        Qlik Cloud counts a request when it arrives, so a grant only lasts as long as the limiter's window is
        longer than the real one. If preparing takes longer, the grant is renewed. If that is not possible,
        because of a 429 in the meantime, or because somebody may have taken the permit again, another grant
        is needed. Without one at that moment, what was prepared is out of date after the wait, and is
        prepared again.

        :param tier: tier of the request.
        :param prepare: called after each wait; ``None`` if there is nothing to send.
        :return: what was prepared last.
        :raises QlikRateLimitError: if the waits would take longer than that of the limiter, or if the grant
            can neither be renewed nor replaced again and again.
        """
        key, quota = self._shared[tier]
        left = self._max_wait
        for _ in range(_MOST_PREPARATIONS):
            start = self._clock()
            granted = self._acquire(tier, start, left)
            left = max(0.0, left - (granted - start))
            prepared = prepare()
            age = self._clock() - granted
            if prepared is None or age <= quota.window - self._window:
                return prepared
            if age < quota.window and self._store.renew(key, quota, age):
                return prepared
            decision = self._store.ask(key, quota, 0, 0.0)
            if decision.granted:
                return prepared
        reason = f"{self._why(tier, decision)}, each grant expired while the request was prepared"
        raise QlikRateLimitError.not_sent(reason, decision.delay)

    def penalize(self, tier: Tier, retry_after: float) -> None:
        """Record a 429: all callers that share the quota wait, and send less for a while.

        :param tier: tier of the rejected request.
        :param retry_after: seconds that the answer asked to wait; at most two windows count.
        """
        key, quota = self._shared[tier]
        # Retry-After is in whole seconds, and the hosts that share the quota must not all return at once.
        slack = random.uniform(0.1, 1.0) * quota.window / 300  # noqa: S311 - no secret
        penalty = min(max(0.0, retry_after), _LONGEST_PENALTY_WINDOWS * quota.window)
        self._store.penalize(key, quota, penalty + slack)

    def wait_for(self, tier: Tier, requests: int = 1) -> float:
        """Return the expected wait in seconds of requests sent now, without reserving anything.

        :param tier: tier of the requests.
        :param requests: how many; the wait is that of the last one if no other caller sends any.
        """
        key, quota = self._shared[tier]
        first = self._store.ask(key, quota, 0, -1.0).delay
        return first + (max(1, requests) - 1) // quota.permits * quota.window

    def _why(self, tier: Tier, decision: Decision) -> str:
        if decision.penalized:
            return f"Qlik Cloud answered 429 to tier {tier:d} requests to {self._tenant}"
        return f"the tier {tier:d} quota of {self._tenant} is used up"

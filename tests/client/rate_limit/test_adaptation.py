"""What a 429 teaches: simulated hours in which somebody else uses part of the quota.

Thirty clients want far more than the limit. Clients that learn nothing are refused 30 to 1,300 times an hour
in such simulations, and leave the others next to nothing.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from array import array
from collections import deque
from collections.abc import Callable

import pytest

from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_PERMITS, Ledger
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimits, Tier

LIMIT = 500
WINDOW = 300.0
QUOTA = RateLimits().quota(Tier.TWO)
CLIENTS = 30
HOURS = 3


class RollingServer:
    """Counts each request in an exact rolling window; after a 429 it refuses all until there is room."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.accepted: deque[float] = deque(maxlen=limit)
        self.blocked_until = 0.0

    def full_until(self, now: float) -> float:
        """Return when there is room for a request."""
        return self.accepted[0] + WINDOW if len(self.accepted) == self.limit else now

    def request(self, now: float) -> float:
        """Return 0 if the request is accepted, or else the ``Retry-After``."""
        if now >= self.blocked_until:
            self.blocked_until = max(now, now + math.ceil(self.full_until(now) - now))
        if now < self.blocked_until:
            return float(math.ceil(self.blocked_until - now))
        self.accepted.append(now)
        return 0.0


class ApproximateServer(RollingServer):
    """Counts in two fixed windows, of which it takes the older one in part: a usual approximation."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.counts: dict[int, int] = {}

    def full_until(self, now: float) -> float:
        number, part = int(now // WINDOW), now % WINDOW / WINDOW
        current, previous = self.counts.get(number, 0), self.counts.get(number - 1, 0)
        if current + previous * (1 - part) < self.limit:
            self.counts[number] = current + 1
            return now
        if current >= self.limit:
            return (number + 1) * WINDOW
        return now + ((current + previous - self.limit) / previous - part) * WINDOW


def _simulate(server: RollingServer, others: Callable[[random.Random], list[float]]) -> tuple[float, float]:
    """Return the used share of what the others leave, and the refusals per hour."""
    rng = random.Random(1)
    ledger = Ledger(array("d", bytes(8 * MAX_PERMITS)))
    events: list = []
    order = itertools.count()
    begin, end = 10_000.0, 10_000.0 + HOURS * 3600
    accepted = refused = taken_by_others = 0

    def at(time: float, what: str, value: float = 0) -> None:
        heapq.heappush(events, (time, next(order), what, value))

    for _ in range(CLIENTS):
        at(begin, "ask")
    for time in others(rng):
        at(begin + time, "other")
    while events[0][0] < end:
        now, _, what, value = heapq.heappop(events)
        if what == "ask":
            answer = ledger.ask(now, QUOTA, int(value), 1e9)
            if answer.granted:
                at(now + rng.uniform(0.02, 0.3), "arrive")
            else:
                at(now + answer.pause, "ask", answer.ticket)
        elif what == "arrive":
            at(now + rng.uniform(0.02, 0.3), "answer", server.request(now))
        elif what == "other":
            taken_by_others += server.request(now) == 0.0
        else:
            if value:
                refused += 1
                ledger.penalize(now, QUOTA, value + rng.uniform(0.1, 1.0))
            else:
                accepted += 1
            at(now, "ask")
    possible = server.limit * HOURS * 3600 / WINDOW - taken_by_others
    return accepted / possible, refused / HOURS


def _nobody(_: random.Random) -> list[float]:
    return []


def _evenly(share: float) -> Callable[[random.Random], list[float]]:
    number = int(share * LIMIT * HOURS * 3600 / WINDOW)
    return lambda rng: [rng.uniform(0, HOURS * 3600) for _ in range(number)]


@pytest.mark.parametrize(
    ("server", "others", "least_use", "most_refusals"),
    [
        pytest.param(RollingServer(LIMIT), _nobody, 0.97, 0, id="alone"),
        pytest.param(RollingServer(LIMIT), _evenly(0.3), 0.9, 20, id="others use 30 %"),
        pytest.param(RollingServer(LIMIT), _evenly(0.7), 0.8, 40, id="others use 70 %"),
        pytest.param(RollingServer(LIMIT // 2), _nobody, 0.95, 20, id="half the limit is all there is"),
        pytest.param(ApproximateServer(LIMIT), _nobody, 0.93, 10, id="server counts approximately"),
    ],
)
def test_quota_is_used_well_and_refusals_are_rare(
    server: RollingServer, others, least_use: float, most_refusals: float
) -> None:
    used, refusals = _simulate(server, others)

    assert used >= least_use, (used, refusals)
    assert refusals <= most_refusals, (used, refusals)

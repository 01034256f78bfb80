"""The rules of the shared quota, as a state machine without a clock, lock or storage.

A *grant* is the permission to send one request. The ledger keeps the times of the latest grants and a queue
of waiting callers. It gives a grant when fewer than ``permits`` grants lie in the past ``window`` seconds,
after setting aside the permits that callers further ahead in the queue have claimed. Callers are served in
order of arrival, and the whole quota is available as a burst. Grants are only recorded for the present, so a
caller that wakes up late, gives up or dies does not use up any of the quota. A place in the queue is only an
estimate of when to ask again; it lapses if the caller does not return in time.

Redis runs the same rules as a script, which is next to this module. The tests compare the two.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MAX_PERMITS = 10_000
MAX_QUEUE = 1_024
PAUSES_PER_WINDOW = 30
GRACES_PER_WINDOW = 60
RECOVERY_WINDOWS = 6


@dataclass(frozen=True, slots=True)
class Quota:
    """How many grants are allowed in any window.

    :param permits: number of grants, at most ``MAX_PERMITS``.
    :param window: length of the window in seconds.
    """

    permits: int
    window: float


class Decision(NamedTuple):
    """What a store answers to a caller that wants to send a request.

    :param granted: whether the request may be sent now.
    :param ticket: place in the queue, to be passed when asking again; 0 if there is none.
    :param delay: expected seconds until the request may be sent.
    :param pause: seconds to sleep before asking again, at most ``delay``.
    :param penalized: whether a 429 causes the wait, rather than the quota alone.
    """

    granted: bool
    ticket: int = 0
    delay: float = 0.0
    pause: float = 0.0
    penalized: bool = False


class Ring(Protocol):
    """``MAX_PERMITS`` times, by index."""

    def __getitem__(self, index: int, /) -> float: ...
    def __setitem__(self, index: int, value: float, /) -> None: ...


@dataclass(slots=True)
class Ledger:
    """State of one quota: one tier of one user of one tenant.

    Times are seconds on the ledger's own clock, which never goes back: when the outer clock does, no time
    has passed.

    :param times: ring of grant times; grant number ``i`` is at ``i % MAX_PERMITS``.
    :param queue: ticket -> time at which its owner has promised to ask again.
    :param count: number of grants so far.
    :param newest: time of the last grant.
    :param now: time of the last operation.
    :param skew: what to add to the outer clock.
    :param tickets: number of tickets given out so far.
    :param blocked_until: no request is sent before this time.
    :param paced_since: time of the last 429 (or of a start without knowledge of earlier grants).
    :param paced_until: grants are evenly spaced until this time.
    :param learned: permits that a window seemed to hold at ``paced_since``; 0 if nothing was learned.
    :param penalty_count: ``count`` at the last 429.
    :param forgotten: grants of this time or earlier were not counted when a later one was given, because the
        window of its owner did not reach back so far.
    """

    times: Ring
    queue: dict[int, float] = field(default_factory=dict)
    count: int = 0
    newest: float = 0.0
    now: float = 0.0
    skew: float = 0.0
    tickets: int = 0
    blocked_until: float = 0.0
    paced_since: float = 0.0
    paced_until: float = 0.0
    learned: float = 0.0
    penalty_count: int = -1
    forgotten: float = 0.0

    def ask(self, clock: float, quota: Quota, ticket: int, max_wait: float) -> Decision:
        """Return a grant, a place in the queue, or neither if the wait would exceed ``max_wait`` seconds.

        :param clock: current time of the outer clock in seconds.
        :param quota: the caller's quota. Callers that share a ledger may have different quotas; each obeys
            its own.
        :param ticket: ticket of an earlier decision, or 0.
        :param max_wait: longest acceptable delay in seconds; a negative one only asks for the delay.
        """
        self.advance(clock)
        now, queue = self.now, self.queue
        place = len(queue)
        if queue:
            grace = quota.window / GRACES_PER_WINDOW
            for other, due in list(queue.items()):
                if due + grace < now and other != ticket:
                    del queue[other]
            place = sum(other < ticket for other in queue) if ticket else len(queue)
        ready, penalized = self._ready(quota, place)
        delay = max(0.0, ready - now)
        if delay > max_wait:
            queue.pop(ticket, None)
            return Decision(granted=False, delay=delay, penalized=penalized)
        if delay == 0.0:
            queue.pop(ticket, None)
            self.forgotten = max(self.forgotten, now - quota.window)
            self._grant()
            return Decision(granted=True)
        if not ticket:
            self.tickets = ticket = self.tickets + 1
        pause = min(delay, quota.window / PAUSES_PER_WINDOW)
        if ticket in queue or len(queue) < MAX_QUEUE:
            queue[ticket] = now + pause
        return Decision(granted=False, ticket=ticket, delay=delay, pause=pause, penalized=penalized)

    def renew(self, clock: float, age: float) -> bool:
        """Return whether the owner of a grant that was not used may send now instead.

        Only if all grants since were given with that one in mind: a sharer whose window is shorter may have
        taken its permit again. Only one of the two sends a request. Both count here, because an unused grant
        is not looked for.

        :param age: seconds since the grant.
        """
        self.advance(clock)
        if self.now < self.blocked_until or self.now - age <= self.forgotten:
            return False
        self._grant()
        return True

    def leave(self, ticket: int) -> None:
        """Give up a place in the queue."""
        self.queue.pop(ticket, None)

    def penalize(self, clock: float, quota: Quota, retry_after: float) -> None:
        """Record a 429: no request is sent for ``retry_after`` seconds, and fewer than before after that."""
        self.advance(clock)
        # Without a grant since the last 429, this one answers a request that was already on its way.
        if self.count != self.penalty_count:
            allowed = self._allowed(quota)
            sent = min(self._sent_within(quota.window), allowed)
            self.learned = max(sent * 0.98, allowed / 2, quota.permits / 8)
            self.paced_since = self.now
            self.paced_until = self.now + retry_after + quota.window * RECOVERY_WINDOWS
            self.penalty_count = self.count
        self.blocked_until = max(self.blocked_until, self.now + retry_after)

    def start_slowly(self, clock: float, quota: Quota) -> None:
        """Space grants evenly for one window, because this ledger may lack earlier ones."""
        self.advance(clock)
        self.paced_until = max(self.paced_until, self.now + quota.window)
        self.forgotten = self.now

    def advance(self, clock: float) -> None:
        """Set the time; a clock that went back counts as stopped."""
        self.skew = max(self.skew, self.now - clock)
        self.now = clock + self.skew

    def _grant(self) -> None:
        self.times[self.count % MAX_PERMITS] = self.newest = self.now
        self.count += 1

    def _ready(self, quota: Quota, place: int) -> tuple[float, bool]:
        """Return when the caller at ``place`` in the queue may send, and whether a 429 is the reason."""
        permits = quota.permits
        index = self.count - permits + place % permits
        ready = self.times[index % MAX_PERMITS] + quota.window if index >= 0 else 0.0
        if place >= permits:
            ready = max(ready, self.now) + quota.window * (place // permits)
        penalty = self.blocked_until
        if self.now < self.paced_until:
            spacing = quota.window / self._allowed(quota)
            penalty = max(penalty + spacing * place, self.newest + spacing * (place + 1))
        return max(ready, penalty), penalty > ready

    def _allowed(self, quota: Quota) -> float:
        """Return the permits per window that may be used now, given what was learned from 429s."""
        if not 0 < self.learned < quota.permits:
            return quota.permits
        recovered = (self.now - self.paced_since) / (quota.window * RECOVERY_WINDOWS)
        return self.learned + (quota.permits - self.learned) * min(1.0, recovered) ** 3

    def _sent_within(self, window: float) -> int:
        oldest = max(0, self.count - MAX_PERMITS)
        numbers = range(oldest, self.count)
        return len(numbers) - bisect_right(
            numbers, self.now - window, key=lambda number: self.times[number % MAX_PERMITS]
        )

"""The tenant's own rate limits: per user and tier, over a rolling or a fixed window."""

import math
from collections import deque
from collections.abc import Callable

from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings

#: Stands for all users together in the tenant-wide limit.
_TENANT = ""


class RequestQuota:
    """Counts requests and refuses those over the limit. Not thread-safe: the tenant's lock guards it.

    :param settings: limits and window, read at each request.
    :param clock: seconds that never go back.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._spent: dict[tuple[str, int], deque[float]] = {}
        self._blocked_until: dict[tuple[str, int], float] = {}

    def clear(self) -> None:
        """Forget all requests and blocks."""
        self._spent.clear()
        self._blocked_until.clear()

    def consume(self, user: str, tier: int, requests: int) -> None:
        """Use quota as another program of the same user would, without asking whether any is left."""
        now = self._clock()
        for key in ((user, tier), (_TENANT, tier)):
            self._spent.setdefault(key, deque()).extend([now] * requests)

    def admit(self, user: str, tier: int) -> int | None:
        """Count a request if the limits allow it.

        :return: ``None`` when the request may pass; otherwise the whole seconds, rounded up, for which every
            request of this user and tier is refused.
        """
        now = self._clock()
        waits = [self._wait(key, limit, now) for key, limit in self._limits(user, tier)]
        wait = max(waits)
        if wait == 0 or self._settings.refused_requests_count:
            self.consume(user, tier, 1)
        return wait or None

    def _limits(self, user: str, tier: int) -> list[tuple[tuple[str, int], int]]:
        limit = self._settings.limit(tier)
        limits = [((user, tier), limit)]
        if self._settings.tenant_users is not None:
            limits.append(((_TENANT, tier), max(1, limit * self._settings.tenant_users // 2)))
        return limits

    def _wait(self, key: tuple[str, int], limit: int, now: float) -> int:
        """Return for how many whole seconds the key is blocked, 0 when it is not."""
        blocked_until = self._blocked_until.get(key, now)
        if blocked_until > now:
            return math.ceil(blocked_until - now)
        length = self._settings.window_length
        start = now - length if self._settings.window == "rolling" else now // length * length
        spent = self._spent.setdefault(key, deque())
        while spent and (spent[0] <= start if self._settings.window == "rolling" else spent[0] < start):
            spent.popleft()
        if len(spent) < limit:
            return 0
        # In a rolling window a slot comes free when enough of the oldest requests have left it.
        free = spent[len(spent) - limit] + length if self._settings.window == "rolling" else start + length
        wait = max(1, math.ceil(free - now))
        # The block lasts as long as the client is told, not until the exact instant inside that second.
        self._blocked_until[key] = now + wait
        return wait

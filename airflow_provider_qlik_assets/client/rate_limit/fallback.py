"""Replace a store while it is unavailable, so that no task fails."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_qlik_assets.client.host_state import StateUnavailableError
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.rate_limit.ledger import Decision, Quota
from airflow_provider_qlik_assets.client.rate_limit.store import Store

logger = get_logger(__name__)

_T = TypeVar("_T")
_RETRY_SECONDS = 10.0
_CHECKED_KEY = "check"


class FallbackStore:
    """Uses the primary store, and the secondary one while the primary is unavailable.

    Neither store knows the grants of the other, so grants are evenly spaced for one window after each switch.

    :param primary: the store to use.
    :param secondary: a store that is always available, but shares the quota with fewer processes.
    :param clock: seconds on a monotonic clock.
    """

    def __init__(
        self, primary: Store, secondary: Store, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._primary = primary
        self._secondary = secondary
        self._clock = clock
        self._retry_at = 0.0
        self._moved: set[str] = set()

    def __str__(self) -> str:
        return str(self._primary)

    def check(self) -> None:
        """Try the primary store now, even if it failed a moment ago.

        :raises StateUnavailableError: if it cannot be used; fewer processes then share the quota.
        """
        try:
            self._primary.ask(_CHECKED_KEY, Quota(permits=1, window=1.0), 0, -1.0)
        except StateUnavailableError:
            self._retry_at = self._clock() + _RETRY_SECONDS
            raise

    def ask(self, key: str, quota: Quota, ticket: int, max_wait: float) -> Decision:
        """See :meth:`.Store.ask`."""
        return self._apply(key, quota, lambda store: store.ask(key, quota, ticket, max_wait))

    def renew(self, key: str, quota: Quota, age: float) -> bool:
        """See :meth:`.Store.renew`."""
        return self._apply(key, quota, lambda store: store.renew(key, quota, age))

    def leave(self, key: str, quota: Quota, ticket: int) -> None:
        """See :meth:`.Store.leave`."""
        with contextlib.suppress(StateUnavailableError):
            (self._secondary if key in self._moved else self._primary).leave(key, quota, ticket)

    def penalize(self, key: str, quota: Quota, retry_after: float) -> None:
        """See :meth:`.Store.penalize`."""
        self._apply(key, quota, lambda store: store.penalize(key, quota, retry_after))

    def start_slowly(self, key: str, quota: Quota) -> None:
        """See :meth:`.Store.start_slowly`."""
        self._apply(key, quota, lambda store: store.start_slowly(key, quota))

    def _apply(self, key: str, quota: Quota, operation: Callable[[Store], _T]) -> _T:
        if self._clock() >= self._retry_at:
            try:
                return self._on_primary(key, quota, operation)
            except StateUnavailableError as error:
                self._retry_at = self._clock() + _RETRY_SECONDS
                if not self._moved:
                    logger.warning(
                        "%s. Until it can, %s keeps the rate limit; requests are evenly spaced at first.",
                        error,
                        self._secondary,
                    )
        if key not in self._moved:
            self._moved.add(key)
            self._secondary.start_slowly(key, quota)
        return operation(self._secondary)

    def _on_primary(self, key: str, quota: Quota, operation: Callable[[Store], _T]) -> _T:
        if key in self._moved:
            self._primary.start_slowly(key, quota)
            self._moved.discard(key)
            logger.info("%s keeps the rate limit again.", self._primary)
        return operation(self._primary)

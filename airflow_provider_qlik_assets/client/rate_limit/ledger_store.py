"""The common base of the stores that run the ledger in Python."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_qlik_assets.client.rate_limit.ledger import Decision, Ledger, Quota

_T = TypeVar("_T")


class LedgerStore(ABC):
    """Keeps one ledger per key.

    :param clock: seconds on a monotonic clock that all users of the store share.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    @abstractmethod
    def _apply(self, key: str, quota: Quota, operation: Callable[[Ledger], _T]) -> _T:
        """Return the result of an operation that has the ledger to itself."""

    def ask(self, key: str, quota: Quota, ticket: int, max_wait: float) -> Decision:
        """See :meth:`.Ledger.ask`."""
        return self._apply(key, quota, lambda ledger: ledger.ask(self._clock(), quota, ticket, max_wait))

    def renew(self, key: str, quota: Quota, age: float) -> bool:
        """See :meth:`.Ledger.renew`."""
        return self._apply(key, quota, lambda ledger: ledger.renew(self._clock(), age))

    def leave(self, key: str, quota: Quota, ticket: int) -> None:
        """See :meth:`.Ledger.leave`."""
        self._apply(key, quota, lambda ledger: ledger.leave(ticket))

    def penalize(self, key: str, quota: Quota, retry_after: float) -> None:
        """See :meth:`.Ledger.penalize`."""
        self._apply(key, quota, lambda ledger: ledger.penalize(self._clock(), quota, retry_after))

    def start_slowly(self, key: str, quota: Quota) -> None:
        """See :meth:`.Ledger.start_slowly`."""
        self._apply(key, quota, lambda ledger: ledger.start_slowly(self._clock(), quota))

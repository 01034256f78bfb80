"""Quotas shared by the threads of one process."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_PERMITS, Ledger, Quota
from airflow_provider_qlik_assets.client.rate_limit.ledger_store import LedgerStore

_T = TypeVar("_T")


class MemoryStore(LedgerStore):
    """Keeps each ledger in memory.

    :param clock: seconds on a monotonic clock.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._ledgers: dict[str, Ledger] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __str__(self) -> str:
        return "the memory of this process"

    def _apply(self, key: str, quota: Quota, operation: Callable[[Ledger], _T]) -> _T:  # noqa: ARG002
        if self._process != os.getpid():
            # Another thread of the parent may have held the lock during the fork; nothing here would release
            # it.
            self._lock = threading.Lock()
            self._process = os.getpid()
        with self._lock:
            ledger = self._ledgers.get(key)
            if ledger is None:
                ledger = self._ledgers[key] = Ledger(array("d", bytes(8 * MAX_PERMITS)))
            return operation(ledger)

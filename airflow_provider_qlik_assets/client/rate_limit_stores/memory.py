"""Quotas shared by the threads of one process."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable

from airflow_provider_qlik_assets.client.rate_limit_stores.ledger import MAX_PERMITS, Answer, Ledger, Quota


class MemoryStore:
    """Keeps its ledgers in memory.

    :param slow_start: whether grants are evenly spaced during the first window, because other processes may
        be using the same quota unseen.
    :param clock: seconds on a clock that never goes back.
    """

    def __init__(self, *, slow_start: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._slow_start = slow_start
        self._clock = clock
        self._ledgers: dict[str, Ledger] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __str__(self) -> str:
        return "the memory of this process"

    def ask(self, key: str, quota: Quota, ticket: int, max_wait: float) -> Answer:
        with self._exclusive():
            return self._ledger(key, quota).ask(self._clock(), quota, ticket, max_wait)

    def leave(self, key: str, ticket: int) -> None:
        with self._exclusive():
            if ledger := self._ledgers.get(key):
                ledger.leave(ticket)

    def penalize(self, key: str, quota: Quota, retry_after: float) -> None:
        with self._exclusive():
            self._ledger(key, quota).penalize(self._clock(), quota, retry_after)

    def start_slowly(self, key: str, quota: Quota) -> None:
        with self._exclusive():
            self._ledger(key, quota).start_slowly(self._clock(), quota)

    def _exclusive(self) -> threading.Lock:
        if self._process != os.getpid():
            # Another thread of the parent may have held the lock during the fork; nobody here releases it.
            self._lock = threading.Lock()
            self._process = os.getpid()
        return self._lock

    def _ledger(self, key: str, quota: Quota) -> Ledger:
        ledger = self._ledgers.get(key)
        if ledger is None:
            ledger = self._ledgers[key] = Ledger(array("d", bytes(8 * MAX_PERMITS)))
            if self._slow_start:
                ledger.start_slowly(self._clock(), quota)
        return ledger

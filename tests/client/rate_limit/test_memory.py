"""The memory store, where it differs from the others: forks."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from airflow_provider_qlik_assets.client.rate_limit.ledger import Quota
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore

QUOTA = Quota(permits=200, window=3600.0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_child_does_not_wait_for_a_thread_it_does_not_have(key: str) -> None:
    inside, done = threading.Event(), threading.Event()
    parent = os.getpid()

    def clock() -> float:
        if os.getpid() == parent:
            inside.set()
            done.wait(60)
        return 1000.0

    store = MemoryStore(clock=clock)
    thread = threading.Thread(target=store.ask, args=(key, QUOTA, 0, 0.0))
    thread.start()
    assert inside.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if store.ask(key, QUOTA, 0, 0.0).granted else 1)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join(30)

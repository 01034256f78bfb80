"""A sandbox tenant with a data store, and clients of it whose waits take no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient
from airflow_provider_qlik_assets.client.rate_limit_stores.memory import MemoryStore
from airflow_provider_qlik_assets.sandbox import Sandbox


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(qlik_sandbox: Sandbox) -> Sandbox:
    qlik_sandbox.add_store(id="store", name="Store")
    return qlik_sandbox


@pytest.fixture
def connect(sandbox: Sandbox, clock: Clock) -> Iterator[Callable[..., QlikCloudClient]]:
    """Make clients: ``connect(auth=<the sandbox's API key>, **options)``."""
    clients = []

    def make(auth: Any = None, **options: Any) -> QlikCloudClient:
        options = {"rate_limit_store": MemoryStore(clock=clock), "sleep": clock.sleep, **options}
        client = QlikCloudClient(sandbox.url, auth or ApiKey(sandbox.api_key), **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., QlikCloudClient]) -> QlikCloudClient:
    return connect()

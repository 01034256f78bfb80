"""Clients of a sandbox whose waits take no time. Who imports the fixtures also has one named ``sandbox``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.sandbox import Sandbox

Connect = Callable[..., QlikCloudClient]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.waits.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connect(sandbox: Sandbox, clock: Clock) -> Iterator[Connect]:
    """Make clients: ``connect(base_url=sandbox.url, auth=<its API key>, **options)``."""
    clients = []

    def make(base_url: str | None = None, auth: Any = None, **options: Any) -> QlikCloudClient:
        options = {"rate_limit_store": MemoryStore(clock=clock), "sleep": clock.sleep, **options}
        client = QlikCloudClient(base_url or sandbox.url, auth or ApiKey(sandbox.api_key), **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Connect) -> QlikCloudClient:
    return connect()

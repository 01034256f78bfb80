"""A Redis server of the tests' own, and every store on a clock that the test sets."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from airflow_provider_qlik_assets.client.rate_limit.file import FileStore
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.client.rate_limit.redis import RedisStore
from tests.clients import Clock

_LONGEST_REAL_WINDOW_SECONDS = 2


class RedisServer:
    """A ``redis-server`` process on a free port of the loopback interface that saves nothing."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self.process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.02)

    def stop(self) -> None:
        """Kill it."""
        self.client.close()
        self.process.kill()
        self.process.wait(30)


def _start_redis() -> RedisServer:
    if shutil.which("redis-server") is None:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end("there is no redis-server binary (install the package redis-server)")
    return RedisServer()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server that has been up for longer than the windows of the tests, so that it paces nothing."""
    server = _start_redis()
    while server.client.info("server")["uptime_in_seconds"] <= _LONGEST_REAL_WINDOW_SECONDS:
        time.sleep(0.05)
    yield server
    server.stop()


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """A server that the test may stop and start."""
    server = _start_redis()
    yield server
    server.stop()


class RedisStoreOnClock(RedisStore):
    """Runs the script of :class:`RedisStore` with the time replaced, on a server that seems to be old."""

    script = RedisStore.script.replace("redis.call('TIME')", "{redis.call('GET', 'test:clock'), 0}").replace(
        "redis.pcall('INFO', 'server')", "'uptime_in_seconds:1000000'"
    )

    def __init__(self, server: RedisServer, clock: Clock) -> None:
        super().__init__(server.url)
        self._server = server
        self._test_clock = clock

    def _call(self, *arguments):
        self._server.client.set("test:clock", repr(self._test_clock.now))
        return super()._call(*arguments)


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture(params=["memory", "file", "redis"])
def store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path):
    """Each store in turn, on ``clock``."""
    if request.param == "memory":
        return MemoryStore(clock=clock)
    if request.param == "file":
        return FileStore(tmp_path / "state", clock=clock, wall_clock=clock, boot_id=lambda: bytes(16))
    return RedisStoreOnClock(request.getfixturevalue("redis_server"), clock)


@pytest.fixture
def memory_and_redis(redis_server: RedisServer, clock: Clock):
    """Two implementations of the same rules, on one clock."""
    return MemoryStore(clock=clock), RedisStoreOnClock(redis_server, clock)


@pytest.fixture(scope="session", autouse=True)
def _private_umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)

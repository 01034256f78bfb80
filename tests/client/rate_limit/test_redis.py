"""The Redis store: restarts, expiry, clusters, and secrets in its URL."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import time

import pytest

from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient
from airflow_provider_qlik_assets.client.host_state import StateUnavailableError
from airflow_provider_qlik_assets.client.rate_limit import redis as redis_module
from airflow_provider_qlik_assets.client.rate_limit.ledger import Quota
from airflow_provider_qlik_assets.client.rate_limit.redis import RedisStore
from airflow_provider_qlik_assets.sandbox import Sandbox

QUOTA = Quota(permits=5, window=1.5)
EVER = 1e9


def test_real_time_of_the_server_counts(redis_server, key: str) -> None:
    store = RedisStore(redis_server.url)
    for _ in range(5):
        assert store.ask(key, QUOTA, 0, EVER).granted
    delay = store.ask(key, QUOTA, 0, -1.0).delay
    time.sleep(delay + 0.01)

    assert 0 < delay <= 1.5
    assert store.ask(key, QUOTA, 0, EVER).granted


def test_script_that_the_server_lost_is_sent_again(redis_server, key: str) -> None:
    store = RedisStore(redis_server.url)
    store.ask(key, QUOTA, 0, EVER)
    redis_server.client.script_flush()

    assert store.ask(key, QUOTA, 0, EVER).granted


def test_keys_expire_and_share_a_cluster_slot(redis_server, key: str) -> None:
    store = RedisStore(redis_server.url)
    for _ in range(6):
        store.ask(key, QUOTA, 0, EVER)
    names = sorted(redis_server.client.scan_iter(f"*{key}*"))

    assert names == [
        f"airflow-provider-qlik-assets:{{{key}}}:{part}".encode() for part in ("header", "queue", "times")
    ]
    assert all(0 < redis_server.client.ttl(name) <= 60 for name in names)


def test_memory_is_bounded_by_the_permits(redis_server, key: str) -> None:
    store = RedisStore(redis_server.url)
    for _ in range(40):
        assert store.ask(key, Quota(permits=5, window=0.001), 0, EVER) is not None
        time.sleep(0.002)

    assert redis_server.client.llen(f"airflow-provider-qlik-assets:{{{key}}}:times") == 5


def test_server_that_has_just_started_is_paced(own_redis_server, key: str) -> None:
    store = RedisStore(own_redis_server.url)
    quota = Quota(permits=10, window=600.0)
    store.ask(key, quota, 0, EVER)

    assert store.ask(key, quota, 0, -1.0).delay == pytest.approx(60, abs=5)


def test_restarted_empty_server_works_again(own_redis_server, key: str) -> None:
    store = RedisStore(own_redis_server.url)
    store.ask(key, QUOTA, 0, EVER)
    own_redis_server.stop()
    with pytest.raises(StateUnavailableError, match=f"redis://127.0.0.1:{own_redis_server.port}/0"):
        store.ask(key, QUOTA, 0, EVER)
    own_redis_server.start()

    assert store.ask(key, QUOTA, 0, EVER).granted


def test_restart_between_two_requests_is_not_noticed(own_redis_server, key: str) -> None:
    store = RedisStore(own_redis_server.url)
    store.ask(key, QUOTA, 0, EVER)
    own_redis_server.stop()
    own_redis_server.start()

    assert store.ask(key, QUOTA, 0, EVER).granted


def test_frozen_server_is_unavailable_after_a_short_time(
    own_redis_server, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_module, "TIMEOUT_SECONDS", 0.2)
    store = RedisStore(own_redis_server.url)
    os.kill(own_redis_server.process.pid, signal.SIGSTOP)
    start = time.monotonic()
    try:
        with pytest.raises(StateUnavailableError, match="TimeoutError"):
            store.ask(key, QUOTA, 0, EVER)
    finally:
        os.kill(own_redis_server.process.pid, signal.SIGCONT)

    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:s3cret@127.0.0.1:1/3", "redis://127.0.0.1:1/3"),
        ("redis://:s3cret@[::1]:1", "redis://[::1]:1"),
        ("rediss://s3cret@127.0.0.1:1/0?ssl_cert_reqs=none", "rediss://127.0.0.1:1/0"),
    ],
)
def test_password_is_never_shown(url: str, shown: str, key: str) -> None:
    store = RedisStore(url)
    with pytest.raises(StateUnavailableError) as caught:
        store.ask(key, QUOTA, 0, EVER)

    assert str(store) == shown
    assert shown in str(caught.value)
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__} {store!r}"


def test_wrong_password_is_unavailable(own_redis_server, key: str) -> None:
    own_redis_server.client.config_set("requirepass", "right")
    store = RedisStore(own_redis_server.url.replace("//", "//:s3cret@"))

    with pytest.raises(StateUnavailableError, match="it rejects the credentials") as caught:
        store.ask(key, QUOTA, 0, EVER)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server that answers is not Redis"),
        (b"", "it may not be Redis, or may expect TLS"),
    ],
)
def test_server_that_is_no_redis_is_named(greeting: bytes, reason: str, key: str) -> None:
    def greet() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.sendall(greeting)
                    connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(StateUnavailableError, match=reason):
            RedisStore(f"redis://127.0.0.1:{listener.getsockname()[1]}").ask(key, QUOTA, 0, EVER)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b"+HELLO\r\n",
        b"* OK IMAP4 ready\r\n",
        b":many\r\n",
        b"$-7\x1b\r\n",
        b"*1\r\n" * 5000,
        b"*5\r\n:0\r\n:1\r\n$3\r\nnan\r\n$3\r\ninf\r\n:0\r\n",
        b"*5\r\n:0\r\n:1\r\n$3\r\nabc\r\n*0\r\n:0\r\n",
    ],
)
def test_a_client_goes_on_whatever_answers_in_the_place_of_redis(
    qlik_sandbox: Sandbox, reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def converse(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                connection.sendall(reply)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen)
        thread.start()
        store = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        with QlikCloudClient(
            qlik_sandbox.url, ApiKey(qlik_sandbox.api_key), rate_limit_store=store
        ) as client:
            assert client.me()["status"] == "active"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert f"{store} cannot be used: the server that answers is not Redis" in caplog.text


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://127.0.0.1:1", "no connection: Connection refused"),
        ("redis://host.invalid", "no connection: .*not known"),
    ],
)
def test_server_that_does_not_answer_is_named(url: str, reason: str, key: str) -> None:
    with pytest.raises(StateUnavailableError, match=reason):
        RedisStore(url).ask(key, QUOTA, 0, EVER)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_store_works_in_a_forked_child(redis_server, key: str) -> None:
    store = RedisStore(redis_server.url)
    store.ask(key, QUOTA, 0, EVER)
    children = [
        multiprocessing.get_context("fork").Process(target=store.ask, args=(key, Quota(5, 600.0), 0, EVER))
        for _ in range(4)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(30)

    assert [child.exitcode for child in children] == [0] * 4
    assert not store.ask(key, Quota(5, 600.0), 0, EVER).granted

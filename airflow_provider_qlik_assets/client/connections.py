"""HTTP connections whose answers have a deadline.

A socket's read time-out restarts with every byte, so a server that sends a byte now and then could block a
caller indefinitely. Here a watchdog shuts the socket down when the whole answer takes too long. The length of
a line, such as the size of a chunk, is limited as well, because older versions of urllib3 read it whole.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import http.client
import io
import itertools
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from requests.utils import get_auth_from_url

from airflow_provider_qlik_assets.client.log import watch_urllib3
from airflow_provider_qlik_assets.client.sent_secrets import remember_secret

_LONGEST_LINE = 65_536

_current = threading.local()


class AnswerDeadline:
    """Bound the time from sending a request to the last byte of its answer.

    Use it as a context manager around the exchange, in the same thread. Unless the exchange sets
    ``connection_is_sound``, the connection is closed at the end, because late data on it would be mistaken
    for the answer to another request.

    :param seconds: time until the connection is shut down.
    :param hides_url: whether the URL may hold a secret, so that urllib3 logs nothing.
    """

    def __init__(self, seconds: float, *, hides_url: bool = False) -> None:
        self.hides_url = hides_url
        self.expired = False
        self.connection_is_sound = False
        self._connection: Any = None
        self._give_back: Callable[[], None] | None = None
        self._seconds = seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def __enter__(self) -> AnswerDeadline:
        _current.deadline = self
        _watchdog.watch(self, time.monotonic() + self._seconds)
        return self

    def __exit__(self, *exception: object) -> None:
        _current.deadline = None
        if self._give_back is not None and self.connection_is_sound and not self.expired:
            self._give_back()
        elif self._connection is not None:
            with self._lock:
                self._shut_down()
            self._connection.close()
        self._release()
        _watchdog.forget(self)

    def use(self, connection: Any) -> None:
        """Record the connection that the request is sent on."""
        self._connection = connection

    def holds(self, connection: Any, give_back: Callable[[], None]) -> bool:
        """Return whether this exchange itself returns its connection to the pool."""
        if connection is None or connection is not self._connection:
            return False
        self._give_back = give_back
        return True

    def guard(self, sock: socket.socket) -> None:
        """Shut this socket down on expiry."""
        self._release()
        with self._lock:
            # A duplicate descriptor, which stays valid when TLS takes over the socket or the pool closes it.
            self._socket = socket.socket(fileno=os.dup(sock.fileno()))
            if self.expired:
                self._shut_down()

    def expire(self) -> None:
        """Shut the socket down, which ends a pending read."""
        with self._lock:
            self.expired = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


def _current_deadline() -> AnswerDeadline | None:
    """Return the deadline of the exchange that this thread is at."""
    deadline: AnswerDeadline | None = getattr(_current, "deadline", None)
    return deadline


watch_urllib3(
    is_ours=lambda: _current_deadline() is not None,
    is_secret=lambda: (deadline := _current_deadline()) is not None and deadline.hides_url,
)


class _Watchdog:
    """One thread for all deadlines of this process; one thread per request would cost more."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._active: set[AnswerDeadline] = set()
        self._queue: list[tuple[float, int, AnswerDeadline]] = []
        self._numbers = itertools.count()
        self._wakes_at = -math.inf  # no thread yet

    def watch(self, deadline: AnswerDeadline, at: float) -> None:
        with self._condition:
            self._active.add(deadline)
            heapq.heappush(self._queue, (at, next(self._numbers), deadline))
            if self._wakes_at == -math.inf:
                self._wakes_at = at
                threading.Thread(target=self._run, name="qlik-answer-deadlines", daemon=True).start()
            elif at < self._wakes_at:
                self._condition.notify()

    def forget(self, deadline: AnswerDeadline) -> None:
        with self._condition:
            self._active.discard(deadline)

    def _run(self) -> None:
        with self._condition:
            while True:
                while self._queue and self._queue[0][0] <= time.monotonic():
                    _, _, deadline = heapq.heappop(self._queue)
                    if deadline in self._active:
                        deadline.expire()
                self._wakes_at = self._queue[0][0] if self._queue else math.inf
                left = max(0.0, self._wakes_at - time.monotonic())
                self._condition.wait(None if left == math.inf else left)


def _start_anew() -> None:
    """Give a forked child its own watchdog: threads are not inherited."""
    global _watchdog  # noqa: PLW0603
    _watchdog = _Watchdog()


_watchdog = _Watchdog()
os.register_at_fork(after_in_child=_start_anew)


def _watch(sock: Any) -> None:
    deadline = _current_deadline()
    if deadline is not None and sock is not None:
        deadline.guard(sock)


class _BoundedLines(io.BufferedReader):
    """Reject a line that does not end, such as the size of a chunk, instead of keeping it in memory."""

    def readline(self, size: int | None = -1, /) -> bytes:
        if size is not None and size >= 0:
            return super().readline(size)
        line = super().readline(_LONGEST_LINE + 1)
        if len(line) > _LONGEST_LINE:
            raise http.client.LineTooLong("an answer")
        return line


class _Response(http.client.HTTPResponse):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fp = _BoundedLines(self.fp.detach())


class _WatchedMixin:
    """Report the socket of a connection when it is opened and each time it is reused."""

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        _watch(sock)
        return sock

    def request(self, *arguments: Any, **options: Any) -> None:
        deadline = _current_deadline()
        if deadline is not None:
            deadline.use(self)
        _watch(self.sock)  # type: ignore[attr-defined]
        super().request(*arguments, **options)  # type: ignore[misc]


class _WatchedPoolMixin:
    """Take a connection back only after its exchange has checked the answer."""

    def _put_conn(self, conn: Any) -> None:
        give_back = functools.partial(super()._put_conn, conn)  # type: ignore[misc]
        deadline = _current_deadline()
        if deadline is None or not deadline.holds(conn, give_back):
            give_back()


@functools.cache
def _watched(pool: type[Any]) -> type[Any]:
    """Return a subclass of a pool, such as that for a SOCKS proxy, with watched connections."""
    if issubclass(pool, _WatchedPoolMixin):
        return pool
    connection = type("_Watched", (_WatchedMixin, pool.ConnectionCls), {"response_class": _Response})
    return type("_WatchedPool", (_WatchedPoolMixin, pool), {"ConnectionCls": connection})


def _watch_pools(manager: Any) -> None:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _watched(pool) for scheme, pool in pools.items()}


class DeadlineAdapter(HTTPAdapter):
    """Transport adapter whose connections obey :class:`AnswerDeadline`, with or without a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Create the pool manager with watched connections."""
        super().init_poolmanager(*arguments, **options)
        _watch_pools(self.poolmanager)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the credentials for a proxy, and hide them, because its answer may repeat them."""
        headers: dict[str, str] = super().proxy_headers(proxy)
        for value in headers.values():
            remember_secret(value.removeprefix("Basic "))
        remember_secret(get_auth_from_url(proxy)[1])
        return headers

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Create the pool manager of a proxy with watched connections."""
        manager = super().proxy_manager_for(proxy, **options)
        _watch_pools(manager)
        return manager

"""Quotas shared by the processes of one user on one host, in locked files, with no server.

A file holds a header with a checksum, the queue, and the ring of grant times. Every operation opens and locks
the file, reads and writes a few bytes, and closes it. Forked processes and threads therefore never share a
descriptor. A process may be killed at any point, because a grant is written before the header that counts it.
A damaged file is replaced, and grants are evenly spaced for one window.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from airflow_provider_qlik_assets.client.host_state import StateUnavailableError, locked, private_directory
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_PERMITS, MAX_QUEUE, Ledger, Quota
from airflow_provider_qlik_assets.client.rate_limit.ledger_store import LedgerStore

logger = get_logger(__name__)

_T = TypeVar("_T")

LOCK_TIMEOUT_SECONDS = 5.0

_MAGIC = b"qlik-qt2"
_HEADER = struct.Struct("<8s16sdqqdddqddddqd")
_CHECKSUM = struct.Struct("<I")
_PLACE = struct.Struct("<qd")
_TIME = struct.Struct("<d")
_HEADER_SIZE = _HEADER.size + _CHECKSUM.size
_QUEUE_OFFSET = 256
_RING_OFFSET = _QUEUE_OFFSET + MAX_QUEUE * _PLACE.size
_FILE_SIZE = _RING_OFFSET + MAX_PERMITS * _TIME.size


class FileStore(LedgerStore):
    """Keeps each ledger in a file in a private directory.

    The directory must be on a local file system: locks are not reliable on NFS.

    :param directory: created with mode 0700 if missing.
    :param clock: seconds on a monotonic clock that all processes of the host share.
    :param wall_clock: seconds on a clock that keeps running while the host is down.
    :param boot_id: 16 bytes that identify one run of the host, and so of its ``clock``.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        boot_id: Callable[[], bytes] | None = None,
    ) -> None:
        super().__init__(clock)
        self._directory = directory
        self._wall_clock = wall_clock
        self._boot_id = boot_id or _boot_id
        self._paths: dict[str, Path] = {}

    def __str__(self) -> str:
        return f"file://{self._directory}"

    def _apply(self, key: str, quota: Quota, operation: Callable[[Ledger], _T]) -> _T:
        path = self._paths.get(key)
        is_known = path is not None
        if path is None:
            path = private_directory(self._directory) / f"{key}.quota"
        try:
            with locked(path, timeout=LOCK_TIMEOUT_SECONDS) as fd:
                content = os.pread(fd, _HEADER_SIZE, 0)
                try:
                    ledger = self._load(fd, content) if content or is_known else _new_ledger(fd)
                    result = operation(ledger)
                except _DamagedError:
                    logger.warning(
                        "%s was damaged or deleted: requests are evenly spaced for %g s.", path, quota.window
                    )
                    ledger = _new_ledger(fd)
                    ledger.start_slowly(self._clock(), quota)
                    result = operation(ledger)
                self._save(fd, ledger)
        except OSError as error:
            self._paths.pop(key, None)
            if isinstance(error, StateUnavailableError):
                raise
            raise StateUnavailableError(path, error.strerror or str(error)) from error
        self._paths[key] = path
        return result

    def _load(self, fd: int, content: bytes) -> Ledger:
        if len(content) < _HEADER_SIZE or _CHECKSUM.unpack_from(content, _HEADER.size)[0] != zlib.crc32(
            content[: _HEADER.size]
        ):
            raise _DamagedError
        magic, boot_id, wall, waiting, count, newest, *fields = _HEADER.unpack_from(content)
        if magic != _MAGIC:
            raise _DamagedError
        ledger = Ledger(_Ring(fd, newest), {}, count, newest, *fields)
        if waiting:
            places = os.pread(fd, waiting * _PLACE.size, _QUEUE_OFFSET)
            if len(places) < waiting * _PLACE.size:
                raise _DamagedError
            ledger.queue = dict(_PLACE.iter_unpack(places))
        if boot_id != self._boot_id():
            # The clock was reset: only the wall clock knows how long the host was down. If the wall clock
            # went back in the meantime, the ledger assumes that no time has passed.
            downtime = self._wall_clock() - wall
            ledger.skew = ledger.now + downtime - self._clock()
        return ledger

    def _save(self, fd: int, ledger: Ledger) -> None:
        queue = ledger.queue
        if queue:
            os.pwrite(fd, b"".join(_PLACE.pack(*place) for place in queue.items()), _QUEUE_OFFSET)
        header = _HEADER.pack(
            _MAGIC,
            self._boot_id(),
            self._wall_clock(),
            len(queue),
            ledger.count,
            ledger.newest,
            ledger.now,
            ledger.skew,
            ledger.tickets,
            ledger.blocked_until,
            ledger.paced_since,
            ledger.paced_until,
            ledger.learned,
            ledger.penalty_count,
            ledger.forgotten,
        )
        os.pwrite(fd, header + _CHECKSUM.pack(zlib.crc32(header)), 0)


class _DamagedError(Exception):
    """The file does not contain what was written to it."""


class _Ring:
    """The grant times in a file.

    :param newest: time of the latest grant.
    """

    def __init__(self, fd: int, newest: float = 0.0) -> None:
        self._fd = fd
        self._newest = newest

    def __getitem__(self, index: int) -> float:
        content = os.pread(self._fd, _TIME.size, _RING_OFFSET + index * _TIME.size)
        granted = _TIME.unpack(content)[0] if len(content) == _TIME.size else -1.0
        if not 0.0 <= granted <= self._newest:
            raise _DamagedError
        return float(granted)

    def __setitem__(self, index: int, value: float) -> None:
        os.pwrite(self._fd, _TIME.pack(value), _RING_OFFSET + index * _TIME.size)


def _new_ledger(fd: int) -> Ledger:
    # The file gets its full size now, so that a full disk is noticed before a grant cannot be recorded.
    if os.pwrite(fd, bytes(_FILE_SIZE), 0) < _FILE_SIZE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(fd, _FILE_SIZE)
    return Ledger(_Ring(fd))


@functools.cache
def _boot_id() -> bytes:
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        # Not Linux: the minute in which the clock started identifies the boot.
        text = str(round((time.time() - time.monotonic()) / 60))
    return hashlib.sha256(text.encode()).digest()[:16]

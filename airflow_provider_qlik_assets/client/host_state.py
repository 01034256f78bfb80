"""Private files that the processes of one user on one host share, such as quota counts and token caches.

Everything is in a directory that only its owner can write to. A file is opened without following symbolic
links, and must be a regular file of this user that no other user can read or write. No descriptor outlives
the call that opened it, so forked children and other threads never share one. Locks are ``flock`` locks,
which end with the process that holds them. They are not reliable on NFS: use a local file system. If the
holder of a lock is stopped, only one process waits for it; a mark next to the file tells all others not to
wait.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_DIRECTORY_NAME = "airflow-provider-qlik-assets"
_LOCK_TIMEOUT_SECONDS = 5.0
_STUCK_LOCK_TIMEOUT_SECONDS = 0.1
_STUCK_SUFFIX = ".stuck"
_STUCK_SECONDS = 600.0
_TEMPORARY_PREFIX = "."
_ORPHANED_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.01


class StateUnavailableError(OSError):
    """A private file or directory cannot be used.

    :param path: the file or directory.
    :param reason: why, for the reader of a log.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        super().__init__(f"{self.path} cannot be used: {reason}")

    def __reduce__(self) -> tuple[type[StateUnavailableError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


def default_state_directory() -> Path:
    """Return this user's state directory, creating it if necessary.

    It is ``$XDG_STATE_HOME/airflow-provider-qlik-assets``, by default below ``~/.local/state``. If the home
    directory cannot be used, it is a directory named after the user id in the temporary directory.

    :raises StateUnavailableError: if neither can be used, with the reason for the latter.
    """
    with contextlib.suppress(StateUnavailableError, RuntimeError):
        home = Path(os.environ.get("XDG_STATE_HOME", ""))
        if not home.is_absolute():
            home = Path.home() / ".local" / "state"
        return private_directory(home / _DIRECTORY_NAME)
    return private_directory(Path(tempfile.gettempdir()) / f"{_DIRECTORY_NAME}-{os.geteuid()}")


def private_directory(path: Path) -> Path:
    """Return ``path`` after checking that it is a directory that only this user can write to.

    A missing directory and its missing parents are created with mode 0700, whatever the umask.

    :raises StateUnavailableError: if it cannot be created or written to, is a symbolic link, belongs to
        another user, or is writable for other users.
    """
    try:
        missing_parents = [parent for parent in reversed(path.parents) if not parent.exists()]
        for missing in [*missing_parents, path]:
            with contextlib.suppress(FileExistsError):
                missing.mkdir(mode=0o700)
                missing.chmod(0o700)
        status = path.lstat()
    except OSError as error:
        raise StateUnavailableError(path, _reason(error)) from error
    if not stat.S_ISDIR(status.st_mode):
        raise StateUnavailableError(path, "it is not a directory (symbolic links are not followed)")
    if status.st_uid != os.geteuid():
        raise StateUnavailableError(path, f"it belongs to user id {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & 0o022:
        raise StateUnavailableError(path, "other users can write to it (run chmod 700 on it)")
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateUnavailableError(path, "it is not writable")
    return path


@contextlib.contextmanager
def locked(path: Path, *, timeout: float = _LOCK_TIMEOUT_SECONDS) -> Iterator[int]:
    """Hold an exclusive lock on a private file, creating it if necessary.

    The lock excludes other threads, too. It is released when the process dies, however it dies.

    :param path: file in a directory from :func:`private_directory`.
    :param timeout: seconds to wait for the lock; 0 tries only once. A process that holds it for that long is
        stopped or stuck, and no other process waits that long for it.
    :return: descriptor of the locked file, open for reading and writing; use it only inside the block.
    :raises StateUnavailableError: if the file cannot be used, or the lock is not free in time.
    """
    deadline = 0.0
    pause = _FIRST_PAUSE_SECONDS
    while True:
        fd = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            while not _try_lock(fd, path):
                now = time.monotonic()
                if not deadline:
                    timeout = min(timeout, _STUCK_LOCK_TIMEOUT_SECONDS) if _is_stuck(path) else timeout
                    deadline = now + timeout
                if now >= deadline:
                    if timeout:
                        _mark_stuck(path)
                    raise StateUnavailableError(path, f"another process has held its lock for {timeout:g} s")
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the waiters, no secret
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            # If the file was replaced or deleted during the wait, it is no longer the shared one.
            if _checked(fd, path).st_nlink:
                if deadline:
                    _stuck_mark(path).unlink(missing_ok=True)
                yield fd
                return
        finally:
            try:
                # Explicitly, because a child forked in the meantime holds the same lock through its copy of
                # fd.
                fcntl.flock(fd, fcntl.LOCK_UN)
            finally:
                os.close(fd)


def read_private(path: Path) -> bytes | None:
    """Return the content of a private file, or ``None`` if there is no such file.

    :raises StateUnavailableError: if the file cannot be used.
    """
    try:
        fd = _open(path, os.O_RDONLY)
    except StateUnavailableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    with os.fdopen(fd, "rb") as file:
        _checked(fd, path)
        try:
            return file.read()
        except OSError as error:
            raise StateUnavailableError(path, _reason(error)) from error


def replace_private(path: Path, content: bytes) -> None:
    """Replace a private file atomically: readers see either the old or the new content.

    :raises StateUnavailableError: if the file cannot be written; the old content is kept.
    """
    try:
        fd, temporary = tempfile.mkstemp(prefix=f"{_TEMPORARY_PREFIX}{path.name}.", dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StateUnavailableError(path, _reason(error)) from error


def remove_orphans(directory: Path) -> None:
    """Remove the files that killed processes left behind at least an hour ago."""
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            is_ours = path.name.startswith(_TEMPORARY_PREFIX) or path.suffix == _STUCK_SUFFIX
            with contextlib.suppress(OSError):
                if is_ours and time.time() - path.lstat().st_mtime > _ORPHANED_SECONDS:
                    path.unlink()


def _stuck_mark(path: Path) -> Path:
    return path.with_name(path.name + _STUCK_SUFFIX)


def _is_stuck(path: Path) -> bool:
    try:
        return time.time() - _stuck_mark(path).lstat().st_mtime < _STUCK_SECONDS
    except OSError:
        return False


def _mark_stuck(path: Path) -> None:
    with contextlib.suppress(StateUnavailableError):
        replace_private(_stuck_mark(path), b"")


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else _reason(error)
        raise StateUnavailableError(path, reason) from error


def _try_lock(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StateUnavailableError(path, _reason(error)) from error
    return True


def _checked(fd: int, path: Path) -> os.stat_result:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise StateUnavailableError(path, "it is not a regular file")
    if status.st_uid != os.geteuid():
        raise StateUnavailableError(path, f"it belongs to user id {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & 0o077:
        raise StateUnavailableError(path, "other users can read or write it (run chmod 600 on it)")
    return status


def _reason(error: OSError) -> str:
    return error.strerror or str(error)

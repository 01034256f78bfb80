"""Processes that tests start, and that end with the tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

GUARD = Path(__file__).with_name("guard.py")


class Processes:
    """Processes by name, each in a session of its own.

    A guard kills all of them even if the tests are killed themselves.

    :param logs: where the output of each goes to, as ``<name>.log``.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._guard = subprocess.Popen(
            [sys.executable, str(GUARD)], stdin=subprocess.PIPE, start_new_session=True
        )

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], user: str | None = None
    ) -> None:
        """Start a process.

        :param user: whose it is; the user of the tests unless given.
        """
        with self.log_of(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )
        self._running[name] = process
        self._tell_guard(f"+{process.pid}")

    def stop(self, name: str, by: signal.Signals) -> None:
        """End a process: asked to, or with its whole session at once (``SIGKILL``)."""
        process = self._running.pop(name)
        if by != signal.SIGKILL:
            process.send_signal(by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == process.pid:
                    os.kill(pid, signal.SIGKILL)
        process.wait()
        self._tell_guard(f"-{process.pid}")

    def ended(self) -> list[str]:
        """Return the names of those that ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def name_of(self, pid: int) -> str:
        """Return the name of the process that has this one in its session.

        :raises KeyError: if none has.
        """
        leader = os.getsid(pid)
        for name, process in self._running.items():
            if process.pid == leader:
                return name
        raise KeyError(pid)

    def log_of(self, name: str) -> Path:
        """Return the file with the output of a process."""
        return self._logs / f"{name}.log"

    def close(self) -> None:
        """Kill all that still run."""
        assert self._guard.stdin
        self._guard.stdin.close()
        self._guard.wait()
        for process in self._running.values():
            process.wait()

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin
        self._guard.stdin.write(f"{line}\n".encode())
        self._guard.stdin.flush()

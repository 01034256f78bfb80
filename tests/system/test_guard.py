"""The guard, without which tests that are killed would leave a whole Airflow behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

GUARD = Path(__file__).with_name("guard.py")
# A leader whose child has a process group of its own, as Airflow's task processes have.
FAMILY = (
    "import subprocess, time\n"
    "child = subprocess.Popen(['sleep', '600'], process_group=0)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture
def start_session() -> Iterator[Callable[[], tuple[subprocess.Popen[str], psutil.Process]]]:
    """Start a session: ``start_session()`` -> its leader, and the leader's child."""
    families = []

    def start() -> tuple[subprocess.Popen[str], psutil.Process]:
        leader = subprocess.Popen(
            [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert leader.stdout
        families.append((leader, psutil.Process(int(leader.stdout.readline()))))
        return families[-1]

    yield start
    for leader, child in families:
        if is_alive(child):
            child.kill()
        leader.kill()
        leader.communicate()


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def guard(lines: str) -> None:
    subprocess.run([sys.executable, str(GUARD)], input=lines.encode(), timeout=60, check=True)


def test_kills_a_session_with_all_its_process_groups(
    start_session: Callable[[], tuple[subprocess.Popen[str], psutil.Process]],
) -> None:
    leader, child = start_session()
    guard(f"+{leader.pid}\n")
    assert (leader.wait(10), is_alive(child)) == (-9, False)


def test_spares_a_session_that_was_taken_back(
    start_session: Callable[[], tuple[subprocess.Popen[str], psutil.Process]],
) -> None:
    leader, child = start_session()
    guard(f"+{leader.pid}\n-{leader.pid}\n")
    assert (leader.poll(), is_alive(child)) == (None, True)

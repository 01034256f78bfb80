"""What the log says while much is written."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from airflow_provider_qlik_assets.catalog.progress import Progress


class Work:
    """Work whose clock, progress and quota a test sets."""

    def __init__(self, total: int, wait: Callable[[int], float]) -> None:
        self.now = 100.0
        self.progress = Progress("Store s", total, wait=wait, clock=lambda: self.now)

    def go_on(self, seconds: float, done: int = 0) -> None:
        self.now += seconds
        self.progress.done += done
        self.progress.tick()


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def no_wait(requests: int) -> float:
    return 0.0


def test_nothing_is_logged_for_what_is_quick(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(10, no_wait)
    for _ in range(10):
        work.go_on(0.4, done=1)

    assert caplog.messages == []


def test_a_line_every_five_seconds(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(10_000, no_wait)
    for _ in range(100):
        work.go_on(0.25, done=10)

    assert len(caplog.messages) == 5
    assert caplog.messages[0] == "Store s: 200 of 10,000 done, 9,800 left; about 4 min to go."


def test_a_wait_for_the_quota_is_named_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(1490, lambda requests: 212.0 + (requests - 1) // 490 * 303)
    work.go_on(5, done=490)

    assert caplog.messages == [
        "Store s: 490 of 1,490 done, 1,000 left, waiting for the quota for about 212 s; about 14 min to go."
    ]


def test_time_spent_waiting_says_nothing_about_the_pace(caplog: pytest.LogCaptureFixture) -> None:
    waits = [0.0]
    work = Work(200, lambda requests: waits[0])
    work.go_on(5, done=100)
    waits[0] = 300.0
    work.go_on(300)
    waits[0] = 0.0
    for _ in range(11):
        work.go_on(0.5, done=5)

    assert caplog.messages[-1] == "Store s: 150 of 200 done, 50 left; about 3 s to go."


def test_a_wait_that_ends_between_two_lines_says_nothing_about_the_pace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    waits = [0.0]
    work = Work(8, lambda requests: waits[0])
    work.go_on(0.3, done=1)
    waits[0] = 60.0
    for _ in range(24):
        work.go_on(0.4)
    waits[0] = 0.0
    work.go_on(0.6, done=1)

    assert caplog.messages[-1] == "Store s: 2 of 8 done, 6 left; about 0 s to go."


def test_the_last_line_has_nothing_left(caplog: pytest.LogCaptureFixture) -> None:
    Work(5, lambda requests: 99.0 if requests else 0.0).go_on(6, done=5)

    assert "5 of 5 done, 0 left" in caplog.messages[0]
    assert caplog.messages[0].endswith("about 0 s to go.")


@pytest.mark.parametrize(("done", "shown"), [(1000, "95 s"), (100, "17 min"), (10, "2 h 47 min")])
def test_long_and_short_times(caplog: pytest.LogCaptureFixture, done: int, shown: str) -> None:
    Work(20_000, no_wait).go_on(5, done=done)

    assert caplog.messages[0].endswith(f"; about {shown} to go.")

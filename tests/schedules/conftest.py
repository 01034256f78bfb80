"""Explore schedules as the command line says, and report how many there were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.schedules.explorer import Choices, Every, Explored, Run, Some, explore, replay, sample

_PROPERTY = "schedules"


def _replayed(run: Run, schedule: str) -> Explored:
    replay(run, Choices(tuple(map(int, schedule.split(",")))))
    return Explored(1, 1)


@pytest.fixture
def every(request: pytest.FixtureRequest) -> Every:
    """Cover all schedules, or run the one that the command line gives: ``every(run)``."""

    def go_through(run: Run) -> Explored:
        schedule = request.config.getoption("schedule")
        explored = _replayed(run, schedule) if schedule else explore(run)
        request.node.user_properties.append((_PROPERTY, (explored.schedules, explored.runs)))
        return explored

    return go_through


@pytest.fixture
def some(request: pytest.FixtureRequest, every: Every) -> Some:
    """Run random schedules, or all or one, as the command line says: ``some(run, number)``."""

    def go_through(run: Run, number: int) -> Explored:
        if request.config.getoption("every_schedule") or request.config.getoption("schedule"):
            return every(run)
        explored = sample(run, number, seed=number)
        request.node.user_properties.append((_PROPERTY, (explored.schedules, explored.runs)))
        return explored

    return go_through


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report the number of schedules."""
    reports: Iterable[Any] = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
    ]
    found = [value for report in reports for name, value in report.user_properties if name == _PROPERTY]
    if found:
        schedules, runs = map(sum, zip(*found, strict=True))
        terminalreporter.write_line(f"{schedules:,} schedules, covered by {runs:,} runs.")

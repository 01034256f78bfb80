"""Somebody marks a task as failed while it writes, in a whole Airflow."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime

import psutil
import pytest

from airflow_provider_qlik_assets.catalog.bulk import WORKERS
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.system.whole_airflow import Airflow

MANY = 400
STALE = "2026-01-01T00:00:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"
PATH = "/api/v1/data-assets/marked-"
WRITE_SECONDS = 0.5
# What Airflow logs right before it sends SIGTERM to the process of the task.
SIGNAL = re.compile(r"(\d{4}-\d\d-\d\dT[\d:]+\.\d+)(Z|[+-]\d\d:?\d\d)[^\n]*\bTerminating (process|instance)")

pytestmark = pytest.mark.timeout(1800)


@dataclass
class Marked:
    """What a task did that was marked as failed.

    :param states: task id, state and number of tries afterwards.
    :param writes_after_signal: how many writes arrived once Airflow had told the process to end.
    :param writes_after_end: how many arrived once the process had ended.
    """

    states: list[tuple[str, str | None, int]]
    writes_after_signal: int
    writes_after_end: int
    log: str


@pytest.fixture(scope="module")
def marked(airflow: Airflow, tenant: Sandbox) -> Marked:
    """Mark the stamping of many data assets as failed while it goes on."""
    for number in range(MANY):
        name = f"marked-{number}"
        tenant.add_asset("store", id=name, technicalName=name, dataFreshness=STALE)
    tenant.add_fault(Fault(kind="delay", method="PATCH", path=PATH, seconds=WRITE_SECONDS, times=None))
    airflow.add_dags("marked.py")
    run_id = airflow.run("marked")
    airflow.wait_until(lambda: len(writes(tenant)) >= 2 * WORKERS, "some are stamped")
    ((pid,),) = airflow.query("SELECT pid FROM task_instance WHERE run_id = ?", run_id)
    airflow.mark_failed("marked", run_id, "stamp")
    airflow.wait_until(lambda: not is_alive(pid), "the process of the task has ended")
    at_end = len(writes(tenant))
    time.sleep(4 * WRITE_SECONDS)
    arrived = writes(tenant)
    tenant.clear_faults()
    log = airflow.log(run_id, "stamp")
    signalled = signalled_at(log)
    return Marked(
        airflow.states(run_id),
        sum(instant > signalled for instant in arrived),
        len(arrived) - at_end,
        log,
    )


def writes(tenant: Sandbox) -> list[float]:
    """Return when each write arrived, as the clock on the wall showed it."""
    offset = time.time() - time.monotonic()
    return [offset + entry.arrived for entry in tenant.journal.requests("PATCH", PATH)]


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def signalled_at(log: str) -> float:
    found = SIGNAL.search(log)
    assert found, log
    return datetime.fromisoformat(found[1] + found[2]).timestamp()


def test_a_task_that_was_marked_is_not_tried_again(marked: Marked) -> None:
    assert marked.states == [("stamp", "failed", 1)]


def test_after_the_signal_only_what_was_under_way_is_written(marked: Marked) -> None:
    assert marked.writes_after_signal <= WORKERS


def test_nothing_is_written_once_the_process_has_ended(marked: Marked) -> None:
    assert marked.writes_after_end == 0


def test_the_log_says_how_many_were_stamped(marked: Marked, tenant: Sandbox) -> None:
    stamped = sum(
        asset["dataFreshness"] == FRESH for key, asset in tenant.assets.items() if key.startswith("marked-")
    )
    assert 0 < stamped < MANY
    line = f"Data freshness: {stamped} of {MANY} stamped ({stamped} updated), {MANY - stamped} not."
    assert line in marked.log

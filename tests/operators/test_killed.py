"""Tasks that are ended from outside while they write: nothing more is written, and the log says what was."""

from __future__ import annotations

import copy
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.bulk import WORKERS
from airflow_provider_qlik_assets.client.errors import QlikStoppedError
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikCleanUpDataAssetsOperator,
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

SCRIPT = Path(__file__).with_name("killed_task.py")
LONG_AGO = "2026-01-01T00:00:00Z"
LONGEST_SECONDS = 300.0

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("qlik_conn_id", "airflow_db", "store")]


class Task:
    """A task in a process of its own."""

    def __init__(self, sandbox: Sandbox, method: str, log: Path, operator: str, **arguments: Any) -> None:
        self._sandbox = sandbox
        self._method = method
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), operator, json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def requests(self) -> int:
        return len(self._sandbox.journal.requests(self._method))

    def wait_for_requests(self, count: int) -> None:
        deadline = time.monotonic() + LONGEST_SECONDS
        while self.requests() < count:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def requests_after_sigterm(self) -> int:
        """End the task as Airflow does; return how many requests of its method came afterwards."""
        before = self.requests()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LONGEST_SECONDS)
        return self.requests() - before


Start = Callable[..., Task]


@pytest.fixture
def start(qlik_sandbox: Sandbox, tmp_path: Path) -> Any:
    """Start a task: ``start(method, operator, **arguments)``; its requests of that method are slow."""
    tasks = []

    def begin(method: str, operator: str, **arguments: Any) -> Task:
        qlik_sandbox.add_fault(Fault(kind="delay", seconds=0.5, method=method, times=None))
        tasks.append(Task(qlik_sandbox, method, tmp_path / "log", operator, **arguments))
        return tasks[-1]

    yield begin
    for task in tasks:
        task.process.kill()
        task.process.wait()


@pytest.fixture
def ids(qlik_sandbox: Sandbox) -> list[str]:
    """Ids of 400 data assets."""
    return [
        qlik_sandbox.add_asset(
            "store-1", id=f"a{number}", technicalName=f"table_{number}", lastModifiedTime=LONG_AGO
        )["id"]
        for number in range(400)
    ]


@pytest.mark.slow
def test_stamps_stop_before_the_next_write(start: Start, ids: list[str]) -> None:
    task = start("PATCH", "QlikUpdateDataFreshnessOperator", data_asset_ids=ids)
    task.wait_for_requests(2 * WORKERS)

    assert task.requests_after_sigterm() <= WORKERS
    assert f"Data freshness: {task.requests()} of 400 stamped ({task.requests()} updated)" in task.log


@pytest.mark.slow
def test_a_sync_stops_before_the_next_write(start: Start) -> None:
    wishes = [{"technicalName": f"new_{number}", "appType": "app"} for number in range(400)]
    task = start("POST", "QlikSyncDataAssetsOperator", data_store_id="store-1", data_assets=wishes)
    task.wait_for_requests(2 * WORKERS)

    assert task.requests_after_sigterm() <= WORKERS
    assert f"{task.requests()} of 400 written ({task.requests()} created)" in task.log


@pytest.mark.slow
def test_deletions_stop_before_the_next_chunk(start: Start, qlik_sandbox: Sandbox, ids: list[str]) -> None:
    task = start("DELETE", "QlikDeleteDataAssetsOperator", data_asset_ids=ids)
    task.wait_for_requests(2)

    assert task.requests_after_sigterm() <= 1
    deleted = 400 - len(qlik_sandbox.assets)
    assert 0 < deleted < 400
    # Airflow 2 raises in the middle of a request, whose outcome is unknown then.
    known = deleted if f"Deletion: {deleted} of 400" in task.log else deleted - 100
    assert f"Deleted 100 data assets, {known} of 400 so far: table_" in task.log
    assert f"Deletion: {known} of 400 deleted ({known} deleted), {400 - known} not." in task.log
    assert known == deleted or "100 more may have been deleted: table_" in task.log


@pytest.mark.slow
def test_a_sensor_stops_before_its_next_request(start: Start, ids: list[str]) -> None:
    task = start("GET", "QlikDataFreshnessSensor", data_asset_ids=ids, fresh_since="2026-01-01T00:00:00Z")
    task.wait_for_requests(3)

    assert task.requests_after_sigterm() <= 1


@pytest.mark.slow
def test_an_execution_timeout_stops_before_the_next_write(start: Start, ids: list[str]) -> None:
    task = start(
        "PATCH", "QlikUpdateDataFreshnessOperator", data_asset_ids=ids, execution_timeout=10, retries=0
    )
    task.process.wait(LONGEST_SECONDS)

    assert 0 < task.requests() < 300
    assert f"Data freshness: {task.requests()} of 400 stamped" in task.log


# --- what Airflow 3 does on SIGTERM, in this process ------------------------------------------------------


def killed(task: Any, when: Callable[[], bool]) -> str:
    """Run a task and call its ``on_kill`` at some moment; return what its error says."""

    def kill() -> None:
        while not when():
            time.sleep(0.01)
        task.on_kill()

    if when():
        task.on_kill()
    else:
        threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(QlikStoppedError) as raised:
        task.execute({})
    return str(raised.value)


def test_a_clean_up_stops_before_the_next_chunk(qlik_sandbox: Sandbox, ids: list[str]) -> None:
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=0.5, method="DELETE", times=None))
    task = QlikCleanUpDataAssetsOperator(
        task_id="clean_up",
        data_store_ids=["store-1"],
        stale_after=1,
        undated="use_last_modified",
        max_deletions=None,
        max_fraction=None,
    )

    error = killed(task, lambda: len(qlik_sandbox.assets) == 300)

    left = len(qlik_sandbox.assets)
    assert error.startswith(f"{400 - left} of 400 deleted, {left} not.")
    assert 200 <= left <= 300


def test_a_wait_for_the_quota_ends(
    qlik_sandbox: Sandbox, ids: list[str], set_connection: Callable[..., str]
) -> None:
    set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra={"tier2_limit": 10})
    task = QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=ids)

    error = killed(task, lambda: len(qlik_sandbox.journal.requests("PATCH")) == 9)

    assert error.startswith("9 of 400 stamped, 391 not. The work was stopped")
    assert len(qlik_sandbox.journal.requests("PATCH")) == 9


def test_a_wait_for_a_repetition_ends(qlik_sandbox: Sandbox, ids: list[str]) -> None:
    refused = Fault(kind="status", status=503, method="GET", headers={"Retry-After": "300"}, times=None)
    qlik_sandbox.add_fault(refused)
    task = QlikPatchDataAssetOperator(task_id="patch", data_asset_id="a1", changes={"name": "new"})

    assert "The work was stopped" in killed(task, lambda: bool(qlik_sandbox.journal.requests("GET")))


def test_what_was_written_counts_also_if_the_answer_was_empty(qlik_sandbox: Sandbox, ids: list[str]) -> None:
    qlik_sandbox.settings.patch_answers_204 = True
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=0.5, method="PATCH", times=None))
    task = QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=ids)

    error = killed(task, lambda: len(qlik_sandbox.journal.requests("PATCH")) >= WORKERS)

    written = sum(asset["version"] > 0 for asset in qlik_sandbox.assets.values())
    assert written >= WORKERS
    assert error.startswith(f"{written} of 400 stamped, {400 - written} not.")


def test_a_try_that_was_ended_does_not_end_the_next_one(qlik_sandbox: Sandbox, ids: list[str]) -> None:
    """After a time-out, Airflow calls ``on_kill``; ``dag.test()`` then retries in the same process."""
    qlik_sandbox.add_fault(Fault(kind="delay", seconds=0.5, method="PATCH", times=WORKERS))
    task = QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=ids[:50])
    killed(copy.copy(task), lambda: len(qlik_sandbox.journal.requests("PATCH")) >= WORKERS)
    task.on_kill()

    assert sum(copy.copy(task).execute({})["counts"].values()) == 50


@pytest.mark.parametrize(
    "task",
    [
        QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=["a1", "a2"]),
        QlikDeleteDataAssetsOperator(task_id="delete", data_asset_ids=["a1"]),
        QlikPatchDataAssetOperator(task_id="patch", data_asset_id="a1", changes={"name": "new"}),
        QlikUpsertDataAssetOperator(task_id="upsert", data_asset={"id": "a1", "name": "new"}),
        QlikSyncDataAssetsOperator(task_id="sync", data_store_id="store-1", data_assets=[]),
        QlikCleanUpDataAssetsOperator(task_id="clean_up", data_store_ids=["store-1"], stale_after=1),
    ],
    ids=lambda task: task.task_id,
)
def test_what_was_killed_before_it_began_sends_nothing(qlik_sandbox: Sandbox, task: Any) -> None:
    assert "The work was stopped" in killed(copy.deepcopy(task), lambda: True)

    assert not qlik_sandbox.journal.requests()

"""Sensors and watchers in a whole Airflow: scheduler, triggerer and all."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from packaging.version import Version

from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.system.whole_airflow import AIRFLOW_VERSION

STALE = "2026-01-01T00:00:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"
MANY = 50
POLL_SECONDS = 3.0
SHORTEST_POLL_SECONDS = 0.8 * POLL_SECONDS

pytestmark = pytest.mark.timeout(1800)

since_airflow_3_3 = pytest.mark.skipif(
    Version("3.3") > AIRFLOW_VERSION,
    reason="this Airflow keeps no state for asset watchers",
)


@pytest.fixture(scope="module")
def sensors(airflow: Any, tenant: Sandbox) -> Any:
    """The Airflow, with the DAGs of ``dags/sensors.py``."""
    for key in ("stale", *many_ids()):
        tenant.add_asset("store", id=key, technicalName=key, dataFreshness=STALE)
    airflow.add_dags("sensors.py")
    return airflow


def many_ids() -> list[str]:
    return [f"table-{number}" for number in range(MANY)]


def requests_since(tenant: Sandbox, instant: float) -> int:
    return sum(entry.arrived >= instant for entry in tenant.journal.requests())


def seconds_between_polls(tenant: Sandbox) -> float:
    """Return the seconds between the last two requests."""
    before, last = (entry.arrived for entry in tenant.journal.requests()[-2:])
    return last - before


def wait_for_requests(airflow: Any, tenant: Sandbox, count: int) -> None:
    """Return once so many requests have arrived from now on."""
    now = time.monotonic()
    airflow.wait_until(lambda: requests_since(tenant, now) >= count, f"{count} requests arrive")


def wait_until_deferred(airflow: Any, run_id: str, instances: int = 1) -> None:
    airflow.wait_until(
        lambda: airflow.states(run_id).count(("wait", "deferred", 1)) == instances,
        f"all sensors of {run_id} are deferred",
    )


@dataclass
class Many:
    """What a run of many sensors came to.

    :param joining_requests: requests until all of them waited, their first polls included.
    :param joining_seconds: from the first to the end of those.
    :param waiting_requests: requests while all of them waited.
    :param waiting_seconds: how long that was.
    """

    joining_requests: int
    joining_seconds: float
    waiting_requests: int
    waiting_seconds: float
    states: list[tuple[str, str, int]]
    results: list[Any]


@pytest.fixture(scope="module")
def many(sensors: Any, tenant: Sandbox) -> Many:
    """Let many sensors wait for a while, then make their data assets fresh."""
    began = time.monotonic()
    run_id = sensors.run("many")
    wait_until_deferred(sensors, run_id, MANY)
    # The triggerer takes them over in its next rounds, in which each may ask for its own data assets.
    sensors.wait_until(lambda: seconds_between_polls(tenant) >= SHORTEST_POLL_SECONDS, "no other joins")
    settled = time.monotonic()
    sensors.wait_until(lambda: requests_since(tenant, settled) >= 4, "the data assets are polled")
    over = time.monotonic()
    waiting = requests_since(tenant, settled)
    joining = requests_since(tenant, began) - waiting
    for key in many_ids():
        tenant.touch(key, dataFreshness=FRESH)
    states = sensors.wait_until_ended(run_id)
    results = sensors.recorded(run_id, "results")["value"]
    return Many(joining, settled - began, waiting, over - settled, states, results)


def test_many_sensors_succeed_once_their_data_assets_are_fresh(many: Many) -> None:
    assert many.states.count(("wait", "success", 1)) == MANY


def test_many_sensors_hand_over_the_freshness_that_they_waited_for(many: Many) -> None:
    assert [found["freshness"] for found in many.results] == [{key: FRESH} for key in many_ids()]


def test_many_sensors_wait_with_one_request_per_interval(many: Many) -> None:
    assert many.waiting_requests <= 1 + many.waiting_seconds / SHORTEST_POLL_SECONDS


def test_many_sensors_join_with_one_request_each_at_most(many: Many) -> None:
    polls = 1 + many.joining_seconds / SHORTEST_POLL_SECONDS
    assert many.joining_requests <= MANY + MANY + polls


@pytest.fixture(scope="module")
def in_vain(sensors: Any) -> tuple[str, dict[str, tuple[str, int]]]:
    """Id of a run of sensors that wait for nothing; state and number of tries by task id."""
    run_id = sensors.run("in_vain")
    ended = sensors.wait_until_ended(run_id)
    return run_id, {task_id: (state, tries) for task_id, state, tries in ended}


def test_a_missing_data_asset_fails_the_task_with_advice(
    sensors: Any, in_vain: tuple[str, dict[str, tuple[str, int]]]
) -> None:
    run_id, states = in_vain
    assert states["missing"] == ("failed", 1)
    log = sensors.log(run_id, "missing")
    assert "There is no data asset with the id nowhere." in log
    assert "Set missing_ok=True to wait until it exists." in log


def test_a_time_out_in_the_triggerer_skips_the_task_if_it_may_fail_softly(
    sensors: Any, in_vain: tuple[str, dict[str, tuple[str, int]]]
) -> None:
    run_id, states = in_vain
    assert states["out_of_time"] == ("skipped", 1)
    assert "Timed out. Data assets are not fresh" in sensors.log(run_id, "out_of_time")


@pytest.fixture
def refusal(tenant: Sandbox) -> Iterator[Fault]:
    """What a tenant answers to a revoked key; not in force yet."""
    error = {"code": "HTTP-401", "title": "Unauthorized", "detail": "The API key was revoked."}
    body = {"errors": [error], "traceId": "trace-of-the-refusal"}
    yield Fault(kind="status", status=401, body=body, times=None)
    tenant.clear_faults()


def test_a_key_revoked_during_the_wait_fails_the_task_with_what_qlik_said(
    sensors: Any, tenant: Sandbox, refusal: Fault
) -> None:
    run_id = sensors.run("refused")
    wait_until_deferred(sensors, run_id)
    wait_for_requests(sensors, tenant, 2)
    tenant.add_fault(refusal)

    assert sensors.wait_until_ended(run_id) == [("wait", "failed", 1)]
    log = sensors.log(run_id, "wait")
    assert "The API key was revoked." in log
    assert "trace-of-the-refusal" in log


def test_no_log_shows_the_key(sensors: Any, tenant: Sandbox, in_vain: Any, many: Many) -> None:
    assert tenant.api_key not in sensors.everything_logged()


@pytest.fixture(scope="module")
def watcher(airflow: Any, tenant: Sandbox) -> Any:
    """The Airflow, with the DAG of ``dags/watcher.py``, whose watcher has seen the data asset."""
    tenant.add_asset("store", id="watched", technicalName="dwh.watched", name="Old", dataFreshness=STALE)
    airflow.add_dags("watcher.py")
    wait_for_requests(airflow, tenant, 3)
    return airflow


@pytest.fixture(scope="module")
def change(tenant: Sandbox) -> Callable[[], tuple[str, str]]:
    """Change the freshness of the watched data asset; return the old and the new one."""
    days = itertools.count(1)

    def make() -> tuple[str, str]:
        old = tenant.assets["watched"]["dataFreshness"]
        new = f"2026-03-{next(days):02}T00:00:00.000Z"
        tenant.touch("watched", dataFreshness=new)
        return old, new

    return make


@pytest.fixture
def runs_before(watcher: Any) -> int:
    return len(watcher.runs("watcher"))


def wait_for_runs(watcher: Any, count: int) -> list[dict[str, Any]]:
    """Return the payloads that the latest run got, once there are so many runs and all have succeeded."""

    def succeeded() -> bool:
        states = [state for _, state in watcher.runs("watcher")]
        return len(states) >= count and set(states) == {"success"}

    watcher.wait_until(succeeded, f"{count} runs have succeeded")
    payloads: list[dict[str, Any]] = watcher.recorded(watcher.runs("watcher")[-1][0], "payloads")["value"]
    return payloads


def count_events(watcher: Any) -> int:
    statement = "SELECT count(*) FROM asset_event JOIN asset ON asset.id = asset_id WHERE name = 'watched'"
    count: int = watcher.query(statement)[0][0]
    return count


@since_airflow_3_3
def test_a_watcher_runs_its_dag_once_per_change(
    watcher: Any, tenant: Sandbox, change: Callable[[], tuple[str, str]], runs_before: int
) -> None:
    old, new = change()

    (payload,) = wait_for_runs(watcher, runs_before + 1)
    version = tenant.assets["watched"]["version"]
    assert payload == {
        "id": "watched",
        "data_freshness": new,
        "previous": old,
        "version": version,
        "technical_name": "dwh.watched",
    }
    wait_for_requests(watcher, tenant, 4)
    assert (count_events(watcher), len(watcher.runs("watcher"))) == (runs_before + 1, runs_before + 1)


@since_airflow_3_3
def test_a_watcher_takes_no_notice_of_other_fields(watcher: Any, tenant: Sandbox, runs_before: int) -> None:
    tenant.touch("watched", name="New")

    wait_for_requests(watcher, tenant, 4)
    assert (count_events(watcher), len(watcher.runs("watcher"))) == (runs_before, runs_before)


@since_airflow_3_3
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_change_while_the_triggerer_is_away_runs_the_dag_once(
    watcher: Any,
    tenant: Sandbox,
    change: Callable[[], tuple[str, str]],
    runs_before: int,
    how: signal.Signals,
) -> None:
    watcher.stop("triggerer", how)
    old, new = change()
    watcher.start("triggerer")

    (payload,) = wait_for_runs(watcher, runs_before + 1)
    assert (payload["previous"], payload["data_freshness"]) == (old, new)
    wait_for_requests(watcher, tenant, 4)
    assert (count_events(watcher), len(watcher.runs("watcher"))) == (runs_before + 1, runs_before + 1)


@since_airflow_3_3
def test_a_restart_of_the_triggerer_repeats_nothing(watcher: Any, tenant: Sandbox, runs_before: int) -> None:
    watcher.stop("triggerer", signal.SIGKILL)
    watcher.start("triggerer")

    wait_for_requests(watcher, tenant, 4)
    assert (count_events(watcher), len(watcher.runs("watcher"))) == (runs_before, runs_before)

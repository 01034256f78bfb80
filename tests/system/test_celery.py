"""An Airflow as on several hosts, parts of which are killed while sensors wait and syncs write."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from packaging.version import Version

from airflow_provider_qlik_assets.sandbox import Sandbox, SandboxSettings
from tests.system.kinds import QUOTA, QUOTA_WINDOW_SECONDS, celery_airflow
from tests.system.leaks import everything_stored, trigger_arguments
from tests.system.services import require_services
from tests.system.whole_airflow import AIRFLOW_VERSION, Airflow

STALE = "2026-01-01T00:00:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"
LATER = "2026-03-01T00:00:00.000Z"
QUIET = [f"quiet-{number}" for number in range(170)]
TELLING = [f"telling-{number}" for number in range(30)]
STORES = ("fleet-one", "fleet-other")
SYNCED = 50
DATA_ASSETS = "/api/v1/data-assets"

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        Version("3.3") > AIRFLOW_VERSION, reason="Airflow 3.3 alone is run with several workers"
    ),
]


@dataclass
class Interruptions:
    """What became of 200 sensors, two syncs and a watcher.

    :param triggers: class path and arguments of the triggers while all sensors waited.
    :param triggerers: how many of these each triggerer had before one of them was killed, by its id.
    :param created_before: data assets that the first sync had created when its worker was killed.
    :param sensors: task id, state and number of tries of the sensors.
    :param received: what the task after some of the sensors got.
    :param syncs: state and number of tries of the syncs and of the task after them, by task id.
    :param synced: what the latter got.
    :param changes: what the runs that the watcher triggered got.
    """

    triggers: list[tuple[str, str]]
    triggerers: dict[int | None, int]
    created_before: int
    sensors: list[tuple[str, str, int]]
    received: dict[str, Any]
    syncs: dict[str, tuple[str, int]]
    synced: dict[str, Any]
    changes: list[dict[str, Any]]


@pytest.fixture(scope="module")
def tenant() -> Iterator[Sandbox]:
    """A tenant with a small quota."""
    settings = SandboxSettings(
        **QUOTA,
        window_seconds=QUOTA_WINDOW_SECONDS,
        # So that whatever is doubled can be seen.
        duplicate_technical_name="allowed",
    )
    with Sandbox(settings) as sandbox:
        sandbox.add_store(id="store", name="Store")
        for store in STORES:
            sandbox.add_store(id=store, name=store)
        for key in ("watched", *QUIET, *TELLING):
            sandbox.add_asset("store", id=key, technicalName=f"dwh.{key}", dataFreshness=STALE)
        yield sandbox


@pytest.fixture(scope="module")
def airflow(tenant: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Run an Airflow with two workers and two triggerers."""
    require_services()
    with celery_airflow(tmp_path_factory.mktemp("airflow"), tenant) as running:
        yield running


@pytest.fixture(scope="module")
def interruptions(airflow: Airflow, tenant: Sandbox) -> Interruptions:
    """Kill a triggerer and the worker of a sync, later end both triggerers; start them again."""
    airflow.add_dags("fleet.py", "watcher.py")
    sensors_id = airflow.run("fleet_sensors")
    everyone = len(QUIET) + len(TELLING)
    airflow.wait_until(lambda: count_deferred(airflow, sensors_id) == everyone, "all sensors wait")
    airflow.wait_until(lambda: None not in triggerers(airflow), "all have a triggerer")
    triggers, shares = trigger_arguments(airflow), triggerers(airflow)

    syncs_id = airflow.run("fleet_syncs")
    airflow.wait_until(lambda: created(tenant, "fleet-one") >= 10, "the first sync is in the middle")
    worker = airflow.component_of(syncs_id, "sync_one")
    airflow.stop(worker, signal.SIGKILL)
    airflow.stop("triggerer-1", signal.SIGKILL)
    created_before = created(tenant, "fleet-one")
    airflow.wait_until(lambda: len(triggerers(airflow)) == 1, "the other triggerer has all sensors")
    for key in ("watched", *QUIET, *TELLING):
        tenant.touch(key, dataFreshness=FRESH)
    for component in (worker, "triggerer-1"):
        airflow.start(component)
    sensors, syncs = airflow.wait_until_ended(sensors_id), airflow.wait_until_ended(syncs_id)
    wait_for_runs(airflow, 1)

    for component in ("triggerer-1", "triggerer-2"):
        airflow.stop(component, signal.SIGTERM)
    tenant.touch("watched", dataFreshness=LATER)
    for component in ("triggerer-1", "triggerer-2"):
        airflow.start(component)
    wait_for_runs(airflow, 2)
    wait_for_polls(airflow, tenant, 4)
    return Interruptions(
        triggers,
        shares,
        created_before,
        sensors,
        airflow.recorded(sensors_id, "results"),
        {task_id: (state, tries) for task_id, state, tries in syncs},
        airflow.recorded(syncs_id, "results"),
        [airflow.recorded(run_id, "payloads") for run_id, _ in airflow.runs("watcher")],
    )


def count_deferred(airflow: Airflow, run_id: str) -> int:
    return sum(state == "deferred" for _, state, _ in airflow.states(run_id))


def triggerers(airflow: Airflow) -> dict[int | None, int]:
    """Return how many triggers each triggerer has, by its id."""
    return dict(airflow.query("SELECT triggerer_id, count(*) FROM trigger GROUP BY triggerer_id"))


def created(tenant: Sandbox, store: str) -> int:
    requests = tenant.journal.requests("POST", DATA_ASSETS)
    return sum(entry.status == 201 and entry.body["dataStoreInfo"]["id"] == store for entry in requests)


def wait_for_runs(airflow: Airflow, count: int) -> None:
    airflow.wait_until(
        lambda: [state for _, state in airflow.runs("watcher")] == ["success"] * count,
        f"{count} runs of the watcher's DAG have succeeded",
    )


def wait_for_polls(airflow: Airflow, tenant: Sandbox, count: int) -> None:
    now = time.monotonic()
    airflow.wait_until(
        lambda: sum(entry.arrived >= now for entry in tenant.journal.requests("GET")) >= count,
        f"{count} polls",
    )


def test_both_triggerers_had_sensors_when_one_was_killed(interruptions: Interruptions) -> None:
    assert len(interruptions.triggerers) == 2


def test_every_sensor_succeeds_in_its_first_try(interruptions: Interruptions) -> None:
    assert Counter(interruptions.sensors) == {
        ("quiet", "success", 1): len(QUIET),
        ("telling", "success", 1): len(TELLING),
        ("receive", "success", 1): 1,
    }


def test_the_next_task_gets_the_freshness_that_was_waited_for(interruptions: Interruptions) -> None:
    found = [result["freshness"] for result in interruptions.received["value"]]
    assert found == [{key: FRESH} for key in TELLING]


def test_a_sync_whose_worker_was_killed_is_finished_by_its_retry(interruptions: Interruptions) -> None:
    assert 0 < interruptions.created_before < SYNCED
    assert interruptions.syncs["sync_one"] == ("success", 2)
    assert interruptions.syncs["receive_syncs"] == ("success", 1)


@pytest.mark.parametrize("store", STORES)
def test_syncs_create_each_data_asset_once(interruptions: Interruptions, tenant: Sandbox, store: str) -> None:
    stored = [asset for asset in tenant.assets.values() if asset["dataStoreInfo"]["id"] == store]
    assert Counter(asset["technicalName"] for asset in stored) == {
        f"table-{number}": 1 for number in range(SYNCED)
    }
    assert created(tenant, store) == SYNCED


def test_the_retry_says_what_it_found_and_what_it_created(interruptions: Interruptions) -> None:
    counts = interruptions.synced["value"][0]["counts"]
    assert counts["created"] + counts["unchanged"] == SYNCED
    assert counts["unchanged"] >= interruptions.created_before


def test_a_watcher_runs_its_dag_once_per_change(interruptions: Interruptions) -> None:
    steps = [
        (change["previous"], change["data_freshness"])
        for payloads in interruptions.changes
        for change in payloads["value"]
    ]
    assert steps == [(STALE, FRESH), (FRESH, LATER)]


def test_no_trigger_holds_the_key(interruptions: Interruptions, tenant: Sandbox) -> None:
    assert len(interruptions.triggers) == len(QUIET) + len(TELLING) + 1
    assert tenant.api_key not in str(interruptions.triggers)


def test_no_log_shows_the_key(airflow: Airflow, interruptions: Interruptions, tenant: Sandbox) -> None:
    logged = airflow.everything_logged()
    assert "Data asset" in logged
    assert tenant.api_key not in logged


def test_the_database_holds_no_key(airflow: Airflow, interruptions: Interruptions, tenant: Sandbox) -> None:
    stored = everything_stored(airflow)
    for table in ("xcom", "rendered_task_instance_fields", "serialized_dag", "asset_event"):
        assert f"\n{table}: " in stored
    assert tenant.api_key not in stored


@pytest.mark.parametrize(("tier", "limit"), [(1, QUOTA["tier1_limit"]), (2, QUOTA["tier2_limit"])])
def test_no_window_has_more_requests_than_the_quota(
    interruptions: Interruptions, tenant: Sandbox, tier: int, limit: int
) -> None:
    assert 0 < tenant.journal.busiest_window(tier, QUOTA_WINDOW_SECONDS) <= limit


def test_no_request_was_refused(interruptions: Interruptions, tenant: Sandbox) -> None:
    assert [entry for entry in tenant.journal.requests() if entry.status == 429] == []

"""What comes after a sensor that waited in the triggerer, in a whole Airflow."""

from __future__ import annotations

import json
import secrets
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

STALE = "2026-01-01T00:00:00.000Z"
SINCE = "2026-01-31T06:30:00.000Z"
FRESH = "2026-02-01T00:00:00.000Z"
AIRFLOW_3 = not version("apache-airflow").startswith("2.")
ROOT = Path(__file__).parents[2]
RUNS = ("result", "no_result", "callbacks")

pytestmark = pytest.mark.timeout(600)


def trigger(airflow: Any, dag_id: str, **conf: Any) -> str:
    run_id = f"{dag_id}-{secrets.token_hex(4)}"
    airflow.command("dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(conf))
    return run_id


def states_of(airflow: Any, run_id: str) -> dict[str, str | None]:
    return {task_id: state for task_id, state, _ in airflow.states(run_id)}


def wait_until_ended(airflow: Any, run_id: str) -> dict[str, str | None]:
    airflow.wait_until(lambda: airflow.state(run_id) in ("success", "failed"), f"{run_id} has ended")
    return states_of(airflow, run_id)


@pytest.fixture(scope="module")
def ends(
    airflow: Any, tenant: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, str | None], dict[str, list[Any]]]]:
    """States by task and records by name, by DAG; all sensors waited in the triggerer."""
    tenant.add_asset("store", id="late", technicalName="late", dataFreshness=STALE)
    airflow.add_dags("endings.py")
    folders = {dag_id: tmp_path_factory.mktemp(dag_id) for dag_id in RUNS}
    runs = {dag_id: trigger(airflow, dag_id, records=str(folder)) for dag_id, folder in folders.items()}
    sensors = {"result": ["wait"], "no_result": ["wait"], "callbacks": ["notified", "wait"]}

    def all_wait() -> bool:
        return all(
            states_of(airflow, runs[dag_id]).get(task_id) == "deferred"
            for dag_id, task_ids in sensors.items()
            for task_id in task_ids
        )

    airflow.wait_until(all_wait, "all sensors are deferred")
    tenant.touch("late", dataFreshness=FRESH)
    return {
        dag_id: (wait_until_ended(airflow, run_id), records_in(folders[dag_id]))
        for dag_id, run_id in runs.items()
    }


def records_in(folder: Path) -> dict[str, list[Any]]:
    records: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*.json")):
        records.setdefault(path.name.rpartition("-")[0], []).append(json.loads(path.read_text()))
    return records


def test_the_next_task_gets_the_result_as_an_object(ends: Any) -> None:
    states, records = ends["result"]

    assert states == {"wait": "success", "receive": "success"}
    assert records["received"] == [
        {"type": "dict", "value": {"freshness": {"late": FRESH}, "waited_for": SINCE}}
    ]


def test_a_result_that_is_pushed_takes_a_worker_on_airflow_3(ends: Any) -> None:
    assert len(ends["result"][1]["worker"]) == (2 if AIRFLOW_3 else 1)


def test_a_sensor_without_a_result_ends_in_the_triggerer(ends: Any, airflow: Any) -> None:
    states, records = ends["no_result"]

    assert states == {"wait": "success", "go_on": "success"}
    assert len(records["worker"]) == 1
    assert len(records["went_on"]) == 1
    assert not airflow.query("SELECT key FROM xcom WHERE dag_id = 'no_result' AND task_id = 'wait'")


def test_success_callbacks_are_called_once(ends: Any) -> None:
    states, records = ends["callbacks"]

    assert states == {"wait": "success", "notified": "success"}
    assert {name: len(entries) for name, entries in records.items()} == {"callback": 1, "notifier": 1}


def test_the_dag_of_the_readme_succeeds_when_the_other_data_asset_is_late(
    airflow: Any, tenant: Sandbox
) -> None:
    tenant.add_asset("store", id="customers", technicalName="customers", dataFreshness=STALE)
    airflow.add_dags(ROOT / "example_dags" / "register_and_refresh.py")
    run_id = trigger(airflow, "register_and_refresh", data_store_id="store", customers_id="customers")
    sensor = "wait_for_orders_and_customers"
    airflow.wait_until(
        lambda: states_of(airflow, run_id).get(sensor) == "deferred", "the sensor waits for the customers"
    )
    tenant.touch("customers", dataFreshness="2999-01-01T00:00:00Z")

    assert set(wait_until_ended(airflow, run_id).values()) == {"success"}
    assert "customers is fresh as of 2999-01-01T00:00:00.000Z" in airflow.log(run_id, "build_report")

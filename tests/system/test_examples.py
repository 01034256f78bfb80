"""The example DAGs as files of a whole Airflow, set up as their own descriptions say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.system.kinds import EXAMPLE_CUSTOMERS_ID, EXAMPLE_ORDERS_ID, EXAMPLE_STORES_ID
from tests.system.whole_airflow import AIRFLOW_3, EXAMPLES, Airflow

WAREHOUSE = "examples-warehouse"
LAKE = "examples-lake"
OLD = "2026-01-01T00:00:00.000Z"
LOADED_UNTIL = "2026-01-31T06:30:00.000Z"
PARAMS: dict[str, dict[str, Any]] = {
    "load_sales": {"loaded_until": LOADED_UNTIL},
    "mapped_upsert": {"data_store_id": WAREHOUSE},
    "register_and_refresh": {"data_store_id": WAREHOUSE, "customers_id": EXAMPLE_CUSTOMERS_ID},
    "scheduled_clean_up": {"data_store_id": WAREHOUSE},
    "sync_catalog": {"data_store_id": LAKE, "delete_unlisted": True},
}
# What a watcher has seen, which it keeps once it has begun.
WATCHED = (
    "SELECT value FROM asset_state_store JOIN asset ON asset.id = asset_id WHERE name = 'qlik_customers'"
)

pytestmark = pytest.mark.timeout(1800)
since_airflow_3 = pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no asset watchers")


@pytest.fixture(scope="module")
def runs(
    airflow: Airflow, tenant: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[str]]]:
    """Run all examples at the same time; return the ids of the runs of each DAG, once all have ended."""
    seed(tenant)
    triggered = ["freshness_from_assets"]
    files = [path for path in EXAMPLES.glob("*.py") if path.name not in ("demo.py", "react_to_freshness.py")]
    if AIRFLOW_3:
        triggered.append("react_to_freshness")
        files.append(hasty_watcher(tmp_path_factory.mktemp("examples")))
    airflow.add_dags(EXAMPLES / "sync_catalog.yaml", *files)
    runs = {dag_id: [run_id] for dag_id, run_id in airflow.run_all(PARAMS).items()}
    (waiting,) = runs["register_and_refresh"]
    airflow.wait_until(
        lambda: "deferred" in {state for _, state, _ in airflow.states(waiting)}, "a sensor waits"
    )
    if AIRFLOW_3:
        airflow.wait_until(lambda: airflow.query(WATCHED), "the watcher has begun")
    tenant.touch(EXAMPLE_CUSTOMERS_ID, dataFreshness=datetime.now(UTC).isoformat())
    airflow.wait_until(lambda: is_stamped(tenant) or forgot_an_update(airflow), "what was loaded is stamped")
    if not is_stamped(tenant):
        runs["load_sales"].append(airflow.run("load_sales", PARAMS["load_sales"]))
        airflow.wait_until(lambda: is_stamped(tenant), "what was loaded again is stamped")
    for dag_id in triggered:
        airflow.wait_until(partial(airflow.runs, dag_id), f"{dag_id} is triggered")
        runs[dag_id] = [run_id for run_id, _ in airflow.runs(dag_id)]
    for run_id in itertools.chain.from_iterable(runs.values()):
        airflow.wait_until_ended(run_id)
    yield runs
    if AIRFLOW_3:
        # So that its watcher polls no more while other tests count requests.
        airflow.command("dags", "pause", "react_to_freshness")


def seed(tenant: Sandbox) -> None:
    """Fill two data stores, and those data assets that the examples name."""
    for store_id in (WAREHOUSE, LAKE):
        tenant.add_store(id=store_id, name=store_id)

    def add(store_id: str, technical_name: str, **fields: Any) -> None:
        tenant.add_asset(store_id, technicalName=technical_name, appType="airflow", **fields)

    add(WAREHOUSE, "dwh.sales.regions", name="Regions", description="Written by a data steward")
    add(WAREHOUSE, "dwh.sales.orders_2019_backup", dataFreshness="2020-01-01T00:00:00Z")
    add(WAREHOUSE, "dwh.sales.legal_archive", dataFreshness="2019-01-01T00:00:00Z", tags=["keep"])
    for number in range(10):
        add(WAREHOUSE, f"dwh.other.{number}")
    add(LAKE, "lake.tmp_export")
    add(LAKE, "lake.audit", tags=["keep"])
    for key in (EXAMPLE_CUSTOMERS_ID, EXAMPLE_ORDERS_ID, EXAMPLE_STORES_ID):
        tenant.add_asset("store", id=key, technicalName=f"dwh.{key}", dataFreshness=OLD)


def hasty_watcher(directory: Path) -> Path:
    """Write the example with a watcher down in such a way that it polls more often than once a minute."""
    text = (EXAMPLES / "react_to_freshness.py").read_text()
    assert "poll_interval=60," in text
    path = directory / "react_to_freshness.py"
    path.write_text(text.replace("poll_interval=60,", "poll_interval=3,"))
    return path


def is_stamped(tenant: Sandbox) -> bool:
    """Return whether what ``load_sales`` updates has been stamped; a run for each asset may do it."""
    return all(tenant.assets[key]["dataFreshness"] > OLD for key in (EXAMPLE_ORDERS_ID, EXAMPLE_STORES_ID))


def forgot_an_update(airflow: Airflow) -> bool:
    """Return whether all updates have led to runs, which have ended, as far as they ever will.

    Before 3.2, Airflow's scheduler drops an update that comes while it creates a run for another one.
    """
    if AIRFLOW_3 or airflow.query("SELECT * FROM dataset_dag_run_queue"):
        return False
    states = [state for dag in ("load_sales", "freshness_from_assets") for _, state in airflow.runs(dag)]
    return len(states) > 1 and set(states) == {"success"}


def by_name(tenant: Sandbox, store_id: str) -> dict[str, Any]:
    """Return the data assets of a data store by technical name; each name is there once."""
    found = [asset for asset in tenant.assets.values() if asset["dataStoreInfo"]["id"] == store_id]
    assert len(found) == len({asset["technicalName"] for asset in found})
    return {asset["technicalName"]: asset for asset in found}


def test_all_examples_succeed(airflow: Airflow, runs: dict[str, list[str]]) -> None:
    states = {dag_id: {airflow.state(run_id) for run_id in run_ids} for dag_id, run_ids in runs.items()}
    assert states == {dag_id: {"success"} for dag_id in runs}


@pytest.mark.skipif(
    not AIRFLOW_3, reason="Airflow 2.11 sometimes counts a task that is scheduled twice as two tries"
)
def test_no_task_needed_a_second_try(airflow: Airflow, runs: dict[str, list[str]]) -> None:
    run_ids = itertools.chain.from_iterable(runs.values())
    tries = {tries for run_id in run_ids for _, _, tries in airflow.states(run_id)}
    assert tries == {1}


def test_the_warehouse_is_as_the_examples_promise(runs: dict[str, list[str]], tenant: Sandbox) -> None:
    warehouse = by_name(tenant, WAREHOUSE)
    assert {"dwh.sales.orders", "dwh.sales.products", "dwh.sales.stores"} <= warehouse.keys()
    assert warehouse["dwh.sales.regions"]["description"] == "Written by a data steward"
    assert warehouse["dwh.sales.regions"]["tags"] == ["sales"]
    assert "dwh.sales.orders_2019_backup" not in warehouse
    assert "dwh.sales.legal_archive" in warehouse


def test_the_lake_is_as_its_file_says(runs: dict[str, list[str]], tenant: Sandbox) -> None:
    assert by_name(tenant, LAKE).keys() == {"lake.events", "lake.sessions", "lake.devices", "lake.audit"}


def test_updates_of_airflow_assets_are_stamped_once(runs: dict[str, list[str]], tenant: Sandbox) -> None:
    orders, stores = tenant.assets[EXAMPLE_ORDERS_ID], tenant.assets[EXAMPLE_STORES_ID]
    assert orders["dataFreshness"] == LOADED_UNTIL
    assert stores["dataFreshness"] > LOADED_UNTIL
    assert orders["version"] == 1
    assert 1 <= stores["version"] <= len(runs["load_sales"])


def test_the_report_is_built_from_what_was_waited_for(airflow: Airflow, runs: dict[str, list[str]]) -> None:
    (run_id,) = runs["register_and_refresh"]
    assert f"{EXAMPLE_CUSTOMERS_ID} is fresh as of " in airflow.log(run_id, "build_report")


@since_airflow_3
def test_the_watched_change_runs_its_dag_once(
    airflow: Airflow, runs: dict[str, list[str]], tenant: Sandbox
) -> None:
    (run_id,) = runs["react_to_freshness"]
    freshness = tenant.assets[EXAMPLE_CUSTOMERS_ID]["dataFreshness"]
    line = f"'dwh.{EXAMPLE_CUSTOMERS_ID}' is fresh as of {freshness}"
    assert line in airflow.log(run_id, "refresh_segments")

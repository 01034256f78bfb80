"""The examples run as they are, say what they need, and spare what others created."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import DAG

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem for path in (ROOT / "example_dags").glob("*.py") if path.name != "demo.py")
ON_AIRFLOW_3 = bool(importlib.util.find_spec("airflow.sdk"))
# What the examples name unless they are told otherwise.
STORE, CUSTOMERS = "your-data-store-id", "id-of-another-teams-data-asset"
DEMO_TIMEOUT = 280


def source(example: str) -> str:
    return (ROOT / "example_dags" / f"{example}.py").read_text()


def load(example: str) -> dict[str, DAG]:
    """Parse an example as Airflow does; return its DAGs by id."""
    if example == "react_to_freshness" and not ON_AIRFLOW_3:
        pytest.skip("Airflow 2 has no asset watchers")
    names = runpy.run_path(str(ROOT / "example_dags" / f"{example}.py"))
    return {name.removesuffix("_dag"): value for name, value in names.items() if name.endswith("_dag")}


@pytest.mark.timeout(DEMO_TIMEOUT + 20)
@pytest.mark.slow
def test_the_demo_runs_every_example_and_leaves_the_catalog_as_expected() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment["COLUMNS"] = "200"
    demo = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "example_dags" / "demo.py")],
        env=environment, capture_output=True, text=True, timeout=DEMO_TIMEOUT, check=False,
    )  # fmt: skip
    assert demo.returncode == 0, f"{demo.stdout[-4000:]}\n{demo.stderr[-4000:]}"
    assert "Every DAG run succeeded, and the catalog is as expected." in demo.stdout
    for example in EXAMPLES:
        assert f"unning {example}" in demo.stdout
    assert "name changed, tags added, description kept" in demo.stdout


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_the_tables_of_the_demo_are_never_cut(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    demo = runpy.run_path(str(ROOT / "example_dags" / "demo.py"))
    name, tags = "dwh.sales.orders_2019_backup", ["sales", "dag:register_and_refresh"]
    old = {"version": 1, "description": "Written by a data steward"}
    demo["show"]("After", {name: {**old, "version": 2, "tags": tags}}, {name: old, "gone": old})

    shown = capsys.readouterr().out
    rows = [line.split("│")[1:-1] for line in shown.splitlines() if line.startswith("│")]
    cells = ["".join(parts).replace(" ", "") for parts in zip(*rows, strict=True)]
    assert cells == [
        f"{name}gone",
        "tagsadded,descriptionkeptdeleted",
        "2",
        "",
        "sales,dag:register_and_refresh",
        "Writtenbyadatasteward",
    ]
    assert min(len(part) for part in rows[0]) > 5


@pytest.mark.parametrize("expectation", ["steward", "backup", "wrote nothing"])
def test_the_demo_would_notice_a_wrong_catalog(expectation: str) -> None:
    demo = runpy.run_path(str(ROOT / "example_dags" / "demo.py"))
    catalog = {"dwh.sales.orders_2019_backup": {"version": 1}}
    held = demo["expectations"](catalog, {}, catalog, datetime.now(UTC))
    [name] = [name for name in held if expectation in name]
    assert not held[name]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_tells_the_reader_in_airflow_what_it_does_needs_and_takes(example: str) -> None:
    variables = re.findall(r'environ\.get\("(\w+)"', source(example))
    for dag in load(example).values():
        assert dag.description
        assert len(dag.description) <= 100
        assert dag.doc_md
        for said in ("qlik_cloud_default", "**Needs**", *dag.params, *variables):
            assert said in dag.doc_md
        assert {"qlik", "example"} <= set(dag.tags)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_needs_nothing_of_airflow_but_its_public_interface(example: str) -> None:
    modules = {
        node.module for node in ast.walk(ast.parse(source(example))) if isinstance(node, ast.ImportFrom)
    }
    allowed = {"airflow.sdk", "airflow.decorators", "airflow.datasets"}
    assert {name for name in modules if name and name.startswith("airflow.")} <= allowed


def test_the_ids_of_assets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QLIK_EXAMPLE_ORDERS_ID", "o-1")
    monkeypatch.setenv("QLIK_EXAMPLE_STORES_ID", "s-1")
    tasks = load("freshness_from_assets")["load_sales"].task_dict
    extras = {name: task.outlets[0].extra for name, task in tasks.items()}
    assert extras == {
        "load_orders": {"qlik_data_asset_id": "o-1"},
        "load_stores": {"qlik_data_asset_id": "s-1"},
    }


def test_the_id_of_the_watcher_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QLIK_EXAMPLE_CUSTOMERS_ID", "c-1")
    timetable: Any = load("react_to_freshness")["react_to_freshness"].timetable
    [asset] = timetable.asset_condition.objects
    assert asset.watchers[0].trigger.data_asset_ids == ["c-1"]


class TestInOneDataStore:
    """A newcomer has one data store and runs all examples in it."""

    @pytest.fixture
    def warehouse(self, qlik_sandbox: Sandbox, qlik_conn_id: str, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
        # Airflow 2 in unit test mode has an executor that it refuses on SQLite; Dag.test() does not use it.
        monkeypatch.setenv("_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK", "1")
        qlik_sandbox.add_store(id=STORE, name="warehouse")
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        elsewhere = qlik_sandbox.add_store(name="crm")
        qlik_sandbox.add_asset(elsewhere, id=CUSTOMERS, technicalName="crm.customers", dataFreshness=later)
        return qlik_sandbox

    @pytest.mark.parametrize("delete_unlisted", [False, True])
    @pytest.mark.slow
    def test_no_example_deletes_what_another_one_created(
        self, warehouse: Sandbox, run_dag: Callable[..., Any], delete_unlisted: bool
    ) -> None:
        warehouse.add_asset(STORE, technicalName="unlisted")
        for example in ("register_and_refresh", "mapped_upsert", "sync_catalog", "scheduled_clean_up"):
            [dag] = load(example).values()
            conf = {"delete_unlisted": delete_unlisted} if example == "sync_catalog" else None
            assert run_dag(dag, conf).state == "success"
        names = {asset["technicalName"] for asset in warehouse.assets.values()}
        made = {f"dwh.sales.{table}" for table in ("orders", "products", "regions", "stores")}
        listed = {"lake.events", "lake.sessions", "lake.devices"}
        assert names - {"unlisted"} == made | listed | {"crm.customers"}
        assert ("unlisted" in names) is not delete_unlisted

    def test_the_plan_of_the_sync_shows_what_would_be_deleted_and_writes_nothing(
        self, warehouse: Sandbox, run_dag: Callable[..., Any]
    ) -> None:
        for name in ("unlisted", "lake.events", "lake.devices"):
            warehouse.add_asset(STORE, technicalName=name)
        before = warehouse.assets
        run = run_dag(load("sync_catalog")["sync_catalog"], {"delete_unlisted": True, "only_plan": True})
        assert run.state == "success"
        assert warehouse.assets == before
        plan = run.get_task_instance("plan").xcom_pull(task_ids="plan")
        assert plan["counts"] == {"created": 1, "updated": 2, "deleted": 1}
        assert plan["dry_run"] is True

"""What the hook returns, returned by a real task and read by the next one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.catalog import DeletionGuards
from airflow_provider_qlik_assets.client import DataAsset
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

START = datetime(2026, 1, 1, tzinfo=UTC)
WHEN = datetime(2026, 5, 1, 10, tzinfo=UTC)
GUARDS = DeletionGuards(max_fraction=1.0)


def asset(technical_name: str, **fields: Any) -> dict[str, Any]:
    return {"technicalName": technical_name, "appType": "app", "dataStoreInfo": {"id": "sales"}, **fields}


def in_lake(technical_name: str) -> dict[str, Any]:
    return asset(technical_name, dataStoreInfo={"id": "lake"})


CALLS: dict[str, Callable[[QlikCloudHook], Any]] = {
    "create": lambda hook: hook.create_data_asset(DataAsset.parse(asset("new"))),
    "get": lambda hook: hook.get_data_asset("a"),
    "update": lambda hook: hook.update_data_asset("b", asset("b", version=0, name="B")),
    "patch": lambda hook: hook.patch_data_asset("c", [{"op": "add", "path": "/description", "value": "C"}]),
    "change": lambda hook: hook.patch_data_asset("c", changes={"dataFreshness": WHEN}),
    "delete": lambda hook: hook.delete_data_assets(["d", "gone"], max_deletions=1),
    "plan": lambda hook: hook.delete_data_assets(["a"], dry_run=True),
    "list": lambda hook: list(hook.list_data_assets("sales", sort=["technicalName"])),
    "find": lambda hook: hook.find_data_asset("sales", "a"),
    "find_none": lambda hook: hook.find_data_asset("sales", "no such name"),
    "upsert": lambda hook: hook.upsert_data_asset(asset("a", dataFreshness=WHEN, properties={"rows": 1.5})),
    "sync": lambda hook: hook.sync_data_assets("lake", [in_lake("x")], delete_unlisted=True, guards=GUARDS),
    "stamp": lambda hook: hook.set_data_freshness("a", WHEN),
}


@pytest.fixture
def tenant(qlik_sandbox: Sandbox) -> Sandbox:
    for store in ("sales", "lake"):
        qlik_sandbox.add_store(id=store, name=store)
    for name in "abcd":
        qlik_sandbox.add_asset(
            "sales", id=name, technicalName=name, appType="app", dataFreshness="2026-01-01T00:00:00Z"
        )
    qlik_sandbox.add_asset("lake", id="z", technicalName="z", appType="app")
    return qlik_sandbox


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("tenant")
@pytest.mark.slow
def test_the_next_task_reads_what_a_hook_method_returned(
    qlik_conn_id: str, run_dag: Callable[[DAG], Any]
) -> None:
    returned: dict[str, Any] = {}
    received: dict[str, Any] = {}

    @task
    def call() -> dict[str, Any]:
        returned.update({name: method(QlikCloudHook(qlik_conn_id)) for name, method in CALLS.items()})
        return returned

    @task
    def read(values: dict[str, Any]) -> None:
        received.update(values)

    with DAG("hook_methods", start_date=START, schedule=None) as dag:
        read(call())

    run = run_dag(dag)

    assert run.state == "success"
    assert received == returned
    assert json.loads(json.dumps(received)) == received
    assert received["find_none"] is None
    for name in ("patch", "change", "upsert", "stamp"):
        assert set(received[name]) == {"id", "action", "version", "changed_fields", "data_asset"}
    assert received["patch"]["changed_fields"] == ["description"]
    assert received["stamp"]["action"] == "unchanged"
    assert received["upsert"]["data_asset"]["dataFreshness"].startswith("2026-05-01T10:00:00")
    assert received["delete"]["counts"] == {"deleted": 1, "missing": 1}
    assert received["delete"]["dry_run"] is False
    assert received["plan"]["dry_run"] is True
    assert received["sync"]["counts"] == {"created": 1, "deleted": 1}
    assert {"technicalName": "new"}.items() <= received["create"].items()
    assert [entry["technicalName"] for entry in received["list"]] == ["a", "b", "c", "new"]


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("qlik_conn_id", "tenant")
def test_the_hook_returns_what_the_operators_return(
    qlik_sandbox: Sandbox, run_dag: Callable[[DAG], Any]
) -> None:
    """Both are done to the same catalog, so that only the shape can differ."""
    of_operators: dict[str, Any] = {}
    hook = QlikCloudHook()

    @task
    def read(name: str, value: Any) -> None:
        of_operators[name] = value

    with DAG("hook_and_operators", start_date=START, schedule=None) as dag:
        operators = {
            "upsert": QlikUpsertDataAssetOperator(task_id="upsert", data_asset=asset("a", name="A")),
            "patch": QlikPatchDataAssetOperator(
                task_id="patch", data_asset_id="b", changes={"description": "B"}
            ),
            "delete": QlikDeleteDataAssetsOperator(
                task_id="delete", data_asset_ids=["d", "gone"], dry_run=True
            ),
            "sync": QlikSyncDataAssetsOperator(
                task_id="sync", data_store_id="lake", data_assets=[in_lake("z")]
            ),
        }
        for name, operator in operators.items():
            read.override(task_id=f"read_{name}")(name, operator.output)

    assert run_dag(dag).state == "success"
    of_hook = {
        "upsert": hook.upsert_data_asset(asset("a", name="A")),
        "patch": hook.patch_data_asset("b", changes={"description": "B"}),
        "delete": hook.delete_data_assets(["d", "gone"], dry_run=True),
        "sync": hook.sync_data_assets("lake", [in_lake("z")]),
    }

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shape(entry) for name, entry in value.items() if name != "counts"}
        return [shape(entry) for entry in value] if isinstance(value, list) else None

    for name, result in of_hook.items():
        assert set(result) == set(of_operators[name]), name
        if "results" in result:
            assert shape(result["results"]) == shape(of_operators[name]["results"]), name


DAG_FILE = """
import json
from datetime import datetime, timezone
from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook

@task
def stamp():
    return QlikCloudHook().set_data_freshness("a", datetime(2026, 5, 1, tzinfo=timezone.utc))

@task
def listed(stamped):
    return [stamped, *QlikCloudHook().list_data_assets("sales")]

@task
def write(entries):
    with open({path!r}, "w") as file:
        json.dump([entry["id"] for entry in entries], file)

with DAG("hook_in_a_process", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None) as dag:
    write(listed(stamp()))
"""


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("qlik_conn_id", "tenant", "airflow_db")
@pytest.mark.slow
def test_another_process_reads_it_too(tmp_path: Path) -> None:
    folder, written = tmp_path / "dags", tmp_path / "written.json"
    folder.mkdir()
    (folder / "hook.py").write_text(DAG_FILE.format(path=str(written)))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "airflow", "dags", "test", "hook_in_a_process"],
        env={**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(folder)},
        capture_output=True, text=True, check=False, timeout=220,
    )  # fmt: skip

    assert written.exists(), run.stdout[-6000:] + run.stderr[-6000:]
    assert json.loads(written.read_text()) == ["a", "a", "b", "c", "d"]

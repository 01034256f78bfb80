"""The operators in real DAG runs: XCom, mapping and templates."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

RunDag = Callable[[DAG], Any]

pytestmark = pytest.mark.usefixtures("qlik_conn_id", "store")


def asset(name: str, **fields: Any) -> dict[str, Any]:
    return {"technicalName": name, "appType": "app", "dataStoreInfo": {"id": "store-1"}, **fields}


@pytest.fixture
def dag(request: pytest.FixtureRequest) -> DAG:
    """DAG of the test's own name, with parameters for templates."""
    return DAG(
        request.node.name.replace("[", ".").removesuffix("]"),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        schedule=None,
        params={"ids": ["a", "b"], "dry_run": False, "name": "Orders", "instant": "2026-02-01T00:00:00Z"},
    )


@pytest.fixture
def assets(qlik_sandbox: Sandbox) -> None:
    for key in "abc":
        qlik_sandbox.add_asset(id=key, technicalName=key, dataFreshness="2026-01-01T00:00:00Z")


def names(sandbox: Sandbox) -> set[str]:
    return {document["technicalName"] for document in sandbox.assets.values()}


def instants(sandbox: Sandbox) -> dict[str, str]:
    return {key: document.get("dataFreshness", "")[:10] for key, document in sandbox.assets.items()}


# --- results of other tasks ------------------------------------------------------------------------------


def test_register_stamp_wait_and_delete(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    seen = []

    @task
    def look(found: dict[str, Any], version: int) -> None:
        seen.append((found, version))

    with dag:
        upsert = QlikUpsertDataAssetOperator(task_id="upsert", data_asset=asset("orders"))
        patch = QlikPatchDataAssetOperator(
            task_id="patch",
            data_asset_id=upsert.output["id"],
            changes={"name": "{{ params.name }}"},
            expected_version=upsert.output["version"],
        )
        stamp = QlikUpdateDataFreshnessOperator(
            task_id="stamp",
            data_asset_ids=[upsert.output["id"]],
            data_freshness="{{ dag_run.start_date }}",
        )
        wait = QlikDataFreshnessSensor(
            task_id="wait", data_asset_ids=upsert.output["id"], fresh_since="{{ dag_run.start_date }}"
        )
        looked = look(wait.output, patch.output["version"])
        delete = QlikDeleteDataAssetsOperator(task_id="delete", data_asset_ids=upsert.output["id"])
        patch >> stamp >> wait
        looked >> delete

    assert run_dag(dag).state == "success"

    ((found, version),) = seen
    assert len(found["freshness"]) == 1
    assert version == 1
    assert qlik_sandbox.assets == {}


def test_whole_result_of_another_task(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, assets: None) -> None:
    @task
    def ids() -> list[str]:
        return ["a", "b"]

    @task
    def wish() -> dict[str, Any]:
        return asset("orders", tags=["from a task"])

    with dag:
        QlikUpdateDataFreshnessOperator(
            task_id="stamp", data_asset_ids=ids(), data_freshness="{{ params.instant }}"
        )
        QlikUpsertDataAssetOperator(task_id="upsert", data_asset=wish())

    assert run_dag(dag).state == "success"

    orders = next(key for key, value in qlik_sandbox.assets.items() if value["technicalName"] == "orders")
    stamped = {key: value for key, value in instants(qlik_sandbox).items() if key != orders}
    assert stamped == {"a": "2026-02-01", "b": "2026-02-01", "c": "2026-01-01"}
    assert qlik_sandbox.assets[orders]["tags"] == ["from a task"]


def test_ids_that_mapped_tasks_return(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, assets: None) -> None:
    @task
    def load(key: str) -> str:
        return key

    with dag:
        QlikUpdateDataFreshnessOperator(
            task_id="stamp",
            data_asset_ids=load.expand(key=["a", "c"]),
            data_freshness="{{ params.instant }}",
        )

    assert run_dag(dag).state == "success"
    assert instants(qlik_sandbox) == {"a": "2026-02-01", "b": "2026-01-01", "c": "2026-02-01"}


def test_xcom_pull_in_a_template(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, assets: None) -> None:
    with dag:
        patch = QlikPatchDataAssetOperator(task_id="patch", data_asset_id="a", changes={"name": "n"})
        delete = QlikDeleteDataAssetsOperator(
            task_id="delete", data_asset_ids=["{{ ti.xcom_pull('patch')['id'] }}"]
        )
        patch >> delete

    assert run_dag(dag).state == "success"
    assert set(qlik_sandbox.assets) == {"b", "c"}


def test_sync_of_what_another_task_returns(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    @task
    def tables() -> list[dict[str, Any]]:
        return [asset("orders"), asset("customers")]

    @task
    def ids(synced: dict[str, Any]) -> list[str]:
        return [row["id"] for row in synced["results"]]

    with dag:
        sync = QlikSyncDataAssetsOperator(task_id="sync", data_store_id="store-1", data_assets=tables())
        QlikUpdateDataFreshnessOperator(
            task_id="stamp",
            data_asset_ids=ids(sync.output),
            data_freshness="{{ params.instant }}",
        )

    assert run_dag(dag).state == "success"
    assert names(qlik_sandbox) == {"orders", "customers"}
    assert set(instants(qlik_sandbox).values()) == {"2026-02-01"}


def test_sync_of_a_file_beside_the_dag(run_dag: RunDag, qlik_sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("- {technicalName: orders, appType: app}")
    (tmp_path / "my_dag.py").write_text(
        "from airflow_provider_qlik_assets._compat import DAG\n"
        "from airflow_provider_qlik_assets.operators.data_assets import QlikSyncDataAssetsOperator\n"
        "with DAG('beside', schedule=None) as dag:\n"
        "    QlikSyncDataAssetsOperator(\n"
        "        task_id='sync', data_store_id='store-1', data_assets='catalog.yaml'\n"
        "    )\n"
    )

    assert run_dag(runpy.run_path(str(tmp_path / "my_dag.py"))["dag"]).state == "success"
    assert names(qlik_sandbox) == {"orders"}


@pytest.mark.parametrize("argument", ["output", "template", "mapped"])
def test_what_a_task_returns_names_no_file(
    dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, tmp_path: Path, argument: str
) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("- {technicalName: orders, appType: app}")

    @task
    def first() -> Any:
        return [str(path)] if argument == "mapped" else str(path)

    with dag:
        found = first()
        if argument == "mapped":
            QlikSyncDataAssetsOperator.partial(task_id="sync", data_store_id="store-1").expand(
                data_assets=found
            )
        else:
            text = "{{ ti.xcom_pull(task_ids='first') }}"
            found >> QlikSyncDataAssetsOperator(
                task_id="sync",
                data_store_id="store-1",
                data_assets=found if argument == "output" else text,
            )

    assert run_dag(dag).state == "failed"
    assert names(qlik_sandbox) == set()


def test_mapped_sync_of_files_that_the_dag_file_names(
    dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("- {technicalName: orders, appType: app}")
    with dag:
        QlikSyncDataAssetsOperator.partial(task_id="sync", data_store_id="store-1").expand(
            data_assets=[str(path)]
        )

    assert run_dag(dag).state == "success"
    assert names(qlik_sandbox) == {"orders"}


def test_mapped_sync(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_store(id="store-2", name="Other")
    with dag:
        QlikSyncDataAssetsOperator.partial(task_id="sync").expand_kwargs(
            [
                {"data_store_id": store, "data_assets": [{"technicalName": store, "appType": "app"}]}
                for store in ("store-1", "store-2")
            ]
        )

    assert run_dag(dag).state == "success"
    assert names(qlik_sandbox) == {"store-1", "store-2"}


# --- templates -------------------------------------------------------------------------------------------


def test_templates_deep_inside(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    with dag:
        QlikUpsertDataAssetOperator(
            task_id="upsert",
            data_asset=asset(
                "{{ params.name | lower }}",
                dataFreshness="{{ params.instant }}",
                tags=["{{ dag.dag_id }}", "daily"],
                properties={"loads": [{"run": "{{ run_id }}", "sizes": [1, "{{ params.ids | length }}"]}]},
            ),
        )

    run = run_dag(dag)

    assert run.state == "success"
    (orders,) = qlik_sandbox.assets.values()
    assert orders["technicalName"] == "orders"
    assert orders["tags"] == [dag.dag_id, "daily"]
    assert orders["properties"] == {"loads": [{"run": run.run_id, "sizes": [1, "2"]}]}


@pytest.mark.parametrize("native", [False, True])
def test_templates_of_every_argument(
    run_dag: RunDag, qlik_sandbox: Sandbox, assets: None, native: bool
) -> None:
    ids = "{{ params.ids }}" if native else "{{ params.ids | tojson }}"
    with DAG(
        f"every_argument_{native}",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        schedule=None,
        render_template_as_native_obj=native,
        params={"ids": ["a", "b"], "dry_run": False, "most": 2, "conn_id": "qlik_cloud_default"},
    ) as dag:
        stamp = QlikUpdateDataFreshnessOperator(
            task_id="stamp",
            data_asset_ids=ids,
            data_freshness="{{ dag_run.start_date.isoformat() }}",
            allow_backwards="{{ params.dry_run }}",
            qlik_conn_id="{{ params.conn_id }}",
        )
        patch = QlikPatchDataAssetOperator(
            task_id="patch",
            data_asset_id="{{ params.ids[0] }}",
            operations=[{"op": "add", "path": "/name", "value": "run {{ run_id }}"}],
            expected_version="{{ ti.xcom_pull('stamp')['results'][0]['version'] }}",
        )
        delete = QlikDeleteDataAssetsOperator(
            task_id="delete",
            data_asset_ids=ids,
            max_deletions="{{ params.most }}",
            dry_run="{{ params.dry_run }}",
        )
        stamp >> patch >> delete

    assert run_dag(dag).state == "success"
    assert set(qlik_sandbox.assets) == {"c"}


@pytest.mark.parametrize(
    "instant", ["{{ ts }}", "{{ dag_run.run_after if dag_run.run_after is defined else dag_run.start_date }}"]
)
def test_instants_of_the_run(run_dag: RunDag, qlik_sandbox: Sandbox, assets: None, instant: str) -> None:
    with DAG(f"instants_{len(instant)}", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        QlikUpdateDataFreshnessOperator(
            task_id="stamp", data_asset_ids=["a"], data_freshness=instant
        ) >> QlikDataFreshnessSensor(task_id="wait", data_asset_ids=["a"], fresh_since=instant, timeout=1)

    assert run_dag(dag).state == "success"


# --- mapping ---------------------------------------------------------------------------------------------


def test_mapped_upsert(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    with dag:
        upsert = QlikUpsertDataAssetOperator.partial(task_id="upsert", if_exists="update").expand(
            data_asset=[asset("orders"), asset("{{ params.name }}-2")]
        )
        QlikUpdateDataFreshnessOperator(
            task_id="stamp",
            data_asset_ids=upsert.output.map(lambda result: result["id"]),
            data_freshness="2026-02-01T00:00:00Z",
        )

    assert run_dag(dag).state == "success"
    assert names(qlik_sandbox) == {"orders", "Orders-2"}
    assert set(instants(qlik_sandbox).values()) == {"2026-02-01"}


def test_mapped_upsert_over_the_result_of_a_task(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    @task
    def tables() -> list[dict[str, Any]]:
        return [asset("orders"), asset("customers")]

    with dag:
        QlikUpsertDataAssetOperator.partial(task_id="upsert").expand(data_asset=tables())

    assert run_dag(dag).state == "success"
    assert names(qlik_sandbox) == {"orders", "customers"}


def test_mapped_patch(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, assets: None) -> None:
    with dag:
        QlikPatchDataAssetOperator.partial(task_id="patch").expand_kwargs(
            [
                {"data_asset_id": "a", "changes": {"name": "{{ params.name }}"}},
                {"data_asset_id": "b", "operations": [{"op": "add", "path": "/name", "value": "B"}]},
            ]
        )

    assert run_dag(dag).state == "success"
    assert [qlik_sandbox.assets[key]["name"] for key in "ab"] == ["Orders", "B"]


def test_mapped_freshness(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, assets: None) -> None:
    with dag:
        QlikUpdateDataFreshnessOperator.partial(
            task_id="stamp", data_freshness="{{ params.instant }}"
        ).expand(data_asset_ids=["a", ["b"]])

    assert run_dag(dag).state == "success"
    assert instants(qlik_sandbox) == {"a": "2026-02-01", "b": "2026-02-01", "c": "2026-01-01"}


@pytest.mark.parametrize("dry_run", [True, "{{ not params.dry_run }}"])
def test_mapped_deletion_that_is_a_dry_run(
    run_dag: RunDag, qlik_sandbox: Sandbox, assets: None, dry_run: Any
) -> None:
    with DAG(
        f"mapped_dry_run_{isinstance(dry_run, str)}",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        schedule=None,
        params={"dry_run": False},
    ) as dag:
        QlikDeleteDataAssetsOperator.partial(task_id="delete", dry_run=dry_run, max_deletions=1).expand(
            data_asset_ids=["a", ["b"]]
        )

    assert run_dag(dag).state == "success"
    assert set(qlik_sandbox.assets) == set("abc")


def test_mapped_deletion_has_its_own_guard(
    dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, assets: None
) -> None:
    with dag:
        QlikDeleteDataAssetsOperator.partial(task_id="delete", max_deletions=1).expand(
            data_asset_ids=[["a", "b"], ["c"]]
        )

    assert run_dag(dag).state == "failed"
    assert set(qlik_sandbox.assets) == {"a", "b"}


def test_mapped_deletion_over_its_flags(
    dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox, assets: None
) -> None:
    @task
    def plan() -> list[dict[str, Any]]:
        return [
            {"data_asset_ids": ["a"], "dry_run": True},
            {"data_asset_ids": ["b"], "dry_run": False, "max_deletions": 1},
        ]

    with dag:
        QlikDeleteDataAssetsOperator.partial(task_id="delete").expand_kwargs(plan())

    assert run_dag(dag).state == "success"
    assert set(qlik_sandbox.assets) == {"a", "c"}

"""What a task pushes: the result once, and the members that are worth an XCom of their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikPatchDataAssetOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

RunDag = Callable[[DAG], Any]

ASSET = {"technicalName": "orders", "appType": "app", "dataStoreInfo": {"id": "store-1"}}

pytestmark = pytest.mark.usefixtures("qlik_conn_id", "store")


@pytest.fixture
def dag(request: pytest.FixtureRequest) -> DAG:
    return DAG(request.node.name, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None)


def xcoms(run: Any) -> dict[str, dict[str, int]]:
    """Return the bytes of each XCom in Airflow's database, by key and task."""
    from airflow.utils.session import create_session  # noqa: PLC0415 - needs the database
    from sqlalchemy import text  # noqa: PLC0415

    statement = text(
        "SELECT task_id, key, length(value) FROM xcom WHERE run_id = :run_id AND dag_id = :dag_id"
    )
    found: dict[str, dict[str, int]] = {}
    with create_session() as session:
        for task_id, key, size in session.execute(statement, {"run_id": run.run_id, "dag_id": run.dag_id}):
            found.setdefault(task_id, {})[key] = size
    return found


def test_many_stamps_push_compact_rows_once(dag: DAG, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    ids = [
        qlik_sandbox.add_asset("store-1", technicalName=f"table_{number}", description="x" * 500)["id"]
        for number in range(100)
    ]
    seen: list[Any] = []

    @task
    def look(stamped: dict[str, Any], counts: dict[str, int]) -> None:
        seen.append((stamped, counts))

    with dag:
        stamp = QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=ids)
        look(stamp.output, stamp.output["counts"])
    run = run_dag(dag)

    assert run.state == "success"
    ((stamped, counts),) = seen
    assert counts == stamped["counts"] == {"updated": 100}
    assert [row["id"] for row in stamped["results"]] == ids
    assert all(row["data_asset"] is None for row in stamped["results"])
    sizes = xcoms(run)["stamp"]
    assert set(sizes) == {"return_value", "counts"}
    assert sizes["return_value"] < 100 * 200


def test_a_single_operator_pushes_the_document_once(dag: DAG, run_dag: RunDag) -> None:
    seen: list[Any] = []

    @task
    def look(*values: Any) -> None:
        seen.extend(values)

    with dag:
        register = QlikUpsertDataAssetOperator(task_id="register", data_asset=ASSET)
        patch = QlikPatchDataAssetOperator(
            task_id="patch", data_asset_id=register.output["id"], changes={"name": "new"}
        )
        look(patch.output, patch.output["action"], patch.output["version"], patch.output["changed_fields"])
    run = run_dag(dag)

    assert run.state == "success"
    patched, action, version, changed = seen
    assert (action, version, changed) == ("updated", patched["version"], ["name"])
    assert patched["data_asset"]["technicalName"] == "orders"
    for pushed in (xcoms(run)["register"], xcoms(run)["patch"]):
        assert set(pushed) == {"return_value", "id", "action", "version", "changed_fields"}


def test_members_of_a_mapped_task(dag: DAG, run_dag: RunDag) -> None:
    seen: list[Any] = []

    @task
    def look(ids: Any) -> None:
        seen.extend(ids)

    with dag:
        register = QlikUpsertDataAssetOperator.partial(task_id="register").expand(
            data_asset=[ASSET, {**ASSET, "technicalName": "customers"}]
        )
        look(register.output["id"])

    assert run_dag(dag).state == "success"
    assert len(set(seen)) == 2


def test_nothing_is_pushed_if_that_is_switched_off(dag: DAG, run_dag: RunDag) -> None:
    with dag:
        QlikUpsertDataAssetOperator(task_id="register", data_asset=ASSET, do_xcom_push=False)
    run = run_dag(dag)

    assert run.state == "success"
    assert xcoms(run) == {}

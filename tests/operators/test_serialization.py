"""What Airflow does to operators and sensors before they run: serialize, copy, pickle."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, BaseOperator
from airflow_provider_qlik_assets.client import DataAsset, JsonPatchOperation
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikCleanUpDataAssetsOperator,
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

ASSET = DataAsset.parse(
    {
        "technical_name": "orders",
        "app_type": "app",
        "data_store_info": {"id": "s"},
        "data_freshness": datetime(2026, 1, 1, tzinfo=UTC),
    }
)
RENAME = [JsonPatchOperation(op="add", path="/name", value="n")]


def cloudpickled(value: Any) -> bytes:
    data: bytes = pytest.importorskip("cloudpickle").dumps(value)
    return data


def make_dag() -> DAG:
    with DAG("everything", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        upsert = QlikUpsertDataAssetOperator(task_id="upsert", data_asset=ASSET)
        QlikUpsertDataAssetOperator.partial(task_id="upserts").expand(data_asset=[ASSET.to_json()])
        QlikPatchDataAssetOperator(
            task_id="patch", data_asset_id=upsert.output["id"], operations=RENAME, expected_version=1
        )
        QlikPatchDataAssetOperator.partial(task_id="patches", changes={"name": "n"}).expand(
            data_asset_id=["a"]
        )
        QlikUpdateDataFreshnessOperator(
            task_id="stamp", data_asset_ids={"b", "a"}, data_freshness=datetime(2026, 1, 1, tzinfo=UTC)
        )
        QlikUpdateDataFreshnessOperator.partial(task_id="stamps").expand(data_asset_ids=["a"])
        QlikDeleteDataAssetsOperator(task_id="delete", data_asset_ids=["a"], dry_run=True)
        QlikDeleteDataAssetsOperator.partial(task_id="deletes", dry_run=True, max_deletions=1).expand(
            data_asset_ids=["a"]
        )
        QlikUpdateDataFreshnessOperator(task_id="stamp_from_events", from_asset_events=True)
        QlikCleanUpDataAssetsOperator(
            task_id="clean_up",
            data_store_ids={"t", "s"},
            stale_after=timedelta(days=30),
            tags=("b", "a"),
            protected_tags={"keep", "a"},
            dry_run=True,
        )
        QlikCleanUpDataAssetsOperator.partial(task_id="clean_ups", stale_after=5).expand(data_store_ids=["s"])
        QlikSyncDataAssetsOperator(
            task_id="sync", data_store_id="s", data_assets=[ASSET], protected_tags={"b", "a"}, dry_run=True
        )
        QlikSyncDataAssetsOperator.partial(task_id="syncs", data_store_id="s").expand(
            data_assets=["a.yaml", "b.yaml"]
        )
        QlikDataFreshnessSensor(
            task_id="wait", data_asset_ids=["a"], fresh_since=datetime(2026, 1, 1, tzinfo=UTC)
        )
        QlikDataFreshnessSensor(
            task_id="wait_long", data_asset_ids=["a"], max_age=timedelta(hours=1), deferrable=True
        )
        QlikDataFreshnessSensor.partial(task_id="waits", max_age=5).expand(data_asset_ids=["a"])
    return dag


def serialized(dag: DAG) -> dict[str, Any]:
    document = _serializer().to_dict(dag)
    copied: dict[str, Any] = json.loads(json.dumps(document))
    return copied


def deserialized(document: dict[str, Any]) -> Any:
    try:
        from airflow.serialization.serialized_objects import DagSerialization  # noqa: PLC0415
    except ImportError:  # Airflow 2
        return _serializer().from_dict(document)
    return DagSerialization.from_dict(document)


def _serializer() -> Any:
    module = importlib.import_module("airflow.serialization.serialized_objects")
    return module.DagSerialization if hasattr(module, "DagSerialization") else module.SerializedDAG


def test_dag_survives_serialization() -> None:
    dag = make_dag()

    restored = deserialized(serialized(dag))

    assert set(restored.task_ids) == set(dag.task_ids)
    for name in dag.task_ids:
        assert list(restored.get_task(name).template_fields) == list(dag.get_task(name).template_fields)


def test_rendered_view_gets_plain_values() -> None:
    restored = deserialized(serialized(make_dag()))

    assert restored.get_task("upsert").data_asset["technicalName"] == "orders"
    assert restored.get_task("patch").operations == [{"op": "add", "path": "/name", "value": "n"}]
    assert restored.get_task("stamp").data_asset_ids == ["a", "b"]
    assert restored.get_task("delete").plan_only is True
    assert restored.get_task("clean_up").data_store_ids == ["s", "t"]
    assert restored.get_task("clean_up").protected_tags == ["a", "keep"]
    assert restored.get_task("sync").data_assets[0]["technicalName"] == "orders"
    assert restored.get_task("sync").protected_tags == ["a", "b"]


def test_serializing_twice_gives_the_same() -> None:
    """Otherwise Airflow would store another version of the DAG each time that it parses the file."""
    first, second = serialized(make_dag()), serialized(make_dag())

    assert json.dumps(first["dag"]["tasks"], sort_keys=True) == json.dumps(
        second["dag"]["tasks"], sort_keys=True
    )


def tasks() -> list[Any]:
    dag = make_dag()
    names = ("upsert", "stamp", "delete", "clean_up", "sync", "wait", "wait_long")
    return [dag.get_task(name) for name in names]


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda task: pickle.loads(pickle.dumps(task)),
        lambda task: pickle.loads(cloudpickled(task)),
    ],
    ids=["copy", "deepcopy", "pickle", "cloudpickle"],
)
@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.task_id)
def test_tasks_can_be_copied(task: BaseOperator, duplicate: Callable[[Any], Any]) -> None:
    copied = duplicate(task)

    assert type(copied) is type(task)
    for name in task.template_fields:
        assert getattr(copied, name) == getattr(task, name)


def test_operator_can_be_copied_after_its_use(qlik_conn_id: str, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="a", technicalName="a")
    operator = QlikUpdateDataFreshnessOperator(task_id="stamp", data_asset_ids=["a"])
    operator.execute({})

    assert pickle.loads(cloudpickled(operator)).execute({})["counts"] == {"updated": 1}
    assert copy.deepcopy(operator).execute({})["counts"] == {"updated": 1}


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickled])
def test_pickled_hook_holds_no_secret(
    qlik_conn_id: str, qlik_sandbox: Sandbox, dumps: Callable[[Any], bytes]
) -> None:
    hook = QlikCloudHook(qlik_conn_id)
    hook.get_conn().me()
    data = dumps(hook)
    hook.close()

    assert qlik_sandbox.api_key.encode() not in data
    copied = pickle.loads(data)
    assert copied.get_conn().me()["id"]
    copied.close()

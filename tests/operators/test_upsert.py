from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException
from airflow_provider_qlik_assets.client import DataAsset
from airflow_provider_qlik_assets.operators.data_assets import QlikUpsertDataAssetOperator
from airflow_provider_qlik_assets.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("qlik_conn_id", "store")

ORDERS = {"technicalName": "orders", "appType": "app", "dataStoreInfo": {"id": "store-1"}}


def upsert(**arguments: Any) -> Any:
    return QlikUpsertDataAssetOperator(task_id="upsert", **arguments).execute({})


def writes(sandbox: Sandbox) -> list[str]:
    return [entry.method for entry in sandbox.journal.requests() if entry.tier == 2]


@pytest.fixture
def orders(qlik_sandbox: Sandbox, store: str) -> dict[str, Any]:
    return qlik_sandbox.add_asset(
        store, id="orders-1", technicalName="orders", appType="app", description="by a steward"
    )


def test_creates(qlik_sandbox: Sandbox) -> None:
    result = upsert(data_asset={**ORDERS, "name": "Orders"})

    (asset,) = qlik_sandbox.assets.values()
    assert asset["name"] == "Orders"
    assert {key: result[key] for key in ("id", "action", "version", "changed_fields")} == {
        "id": asset["id"],
        "action": "created",
        "version": 0,
        "changed_fields": ["appType", "dataStoreInfo", "name", "technicalName"],
    }
    assert result["data_asset"]["technicalName"] == "orders"


def test_updates_only_what_differs(qlik_sandbox: Sandbox, orders: dict[str, Any]) -> None:
    result = upsert(data_asset={**ORDERS, "name": "Orders"})

    assert (result["id"], result["action"], result["changed_fields"]) == ("orders-1", "updated", ["name"])
    assert qlik_sandbox.assets["orders-1"]["description"] == "by a steward"


def test_unchanged_writes_nothing(qlik_sandbox: Sandbox, orders: dict[str, Any]) -> None:
    result = upsert(data_asset=ORDERS)

    assert (result["action"], result["version"], result["changed_fields"]) == ("unchanged", 0, [])
    assert len(qlik_sandbox.journal.requests()) == 1
    assert writes(qlik_sandbox) == []


@pytest.mark.usefixtures("orders")
def test_second_run_writes_nothing(qlik_sandbox: Sandbox) -> None:
    operator = QlikUpsertDataAssetOperator(task_id="upsert", data_asset={**ORDERS, "name": "Orders"})
    operator.execute({})
    qlik_sandbox.journal.clear()

    assert operator.execute({})["action"] == "unchanged"
    assert writes(qlik_sandbox) == []


def test_id_spares_the_listing(qlik_sandbox: Sandbox, orders: dict[str, Any]) -> None:
    result = upsert(data_asset={"id": "orders-1", "name": "Orders"})

    assert result["action"] == "updated"
    assert [(entry.method, entry.path) for entry in qlik_sandbox.journal.requests()] == [
        ("GET", "/api/v1/data-assets/orders-1"),
        ("PATCH", "/api/v1/data-assets/orders-1"),
    ]


def test_freshness_does_not_go_back(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="a", technicalName="a", dataFreshness="2026-02-01T00:00:00.000Z")

    result = upsert(data_asset={"id": "a", "dataFreshness": "2026-01-01T00:00:00Z"})

    assert result["action"] == "unchanged"
    assert writes(qlik_sandbox) == []


def test_typed_data_asset(qlik_sandbox: Sandbox) -> None:
    asset = DataAsset.parse({"technical_name": "t", "app_type": "app", "data_store_info": {"id": "store-1"}})

    assert upsert(data_asset=asset)["action"] == "created"
    assert [asset["technicalName"] for asset in qlik_sandbox.assets.values()] == ["t"]


def test_skips_what_exists(qlik_sandbox: Sandbox, orders: dict[str, Any]) -> None:
    result = upsert(data_asset={**ORDERS, "name": "Orders"}, if_exists="skip")

    assert (result["id"], result["action"]) == ("orders-1", "skipped")
    assert writes(qlik_sandbox) == []


@pytest.mark.usefixtures("orders")
def test_fails_without_retries_if_it_exists(qlik_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match=r"orders-1 \(orders\) already exists.*if_exists"):
        upsert(data_asset=ORDERS, if_exists="fail")

    assert writes(qlik_sandbox) == []


def test_unknown_id_fails_without_retries() -> None:
    with pytest.raises(AirflowFailException, match="nowhere"):
        upsert(data_asset={"id": "nowhere", "name": "n"})


@pytest.mark.parametrize(
    "data_asset", [ORDERS, {**ORDERS, "name": "Orders"}, {**ORDERS, "technicalName": "new"}]
)
def test_result_is_plain_json(orders: dict[str, Any], data_asset: dict[str, Any]) -> None:
    result = upsert(data_asset=data_asset)

    assert json.loads(json.dumps(result)) == result
    assert list(result) == ["id", "action", "version", "changed_fields", "data_asset"]

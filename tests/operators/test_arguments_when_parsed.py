"""Wrong arguments fail when the DAG is parsed; what a task has yet to render does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, BaseOperator
from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)

Upsert, Patch = QlikUpsertDataAssetOperator, QlikPatchDataAssetOperator
Stamp, Delete = QlikUpdateDataFreshnessOperator, QlikDeleteDataAssetsOperator
Sync = QlikSyncDataAssetsOperator

ORDERS = {"technicalName": "orders", "appType": "app", "dataStoreInfo": {"id": "s"}}
RENAME = [{"op": "replace", "path": "/name", "value": "n"}]
FINE: dict[type[BaseOperator], dict[str, Any]] = {
    Upsert: {"data_asset": ORDERS},
    Patch: {"data_asset_id": "a", "changes": {"name": "n"}},
    Stamp: {"data_asset_ids": ["a"]},
    Delete: {"data_asset_ids": ["a"]},
    Sync: {"data_store_id": "s", "data_assets": [{"technicalName": "orders", "appType": "app"}]},
}
OUTPUT = object()  # stands for another task's output

# operator, argument, wrong value, what the message says
WRONG = [
    (Upsert, "data_asset", {**ORDERS, "technicalNam": "t"}, "technicalNam.*technicalName"),
    (Upsert, "data_asset", {**ORDERS, "dataFreshness": "yesterday"}, "not an instant"),
    (Upsert, "data_asset", {**ORDERS, "tags": ["a", "a"]}, "tag twice"),
    (Upsert, "data_asset", {**ORDERS, "name": "n" * 256}, "name is 256 characters"),
    (Upsert, "data_asset", {"technicalName": "t", "appType": "app"}, "dataStoreInfo"),
    (Upsert, "data_asset", {"technicalName": "t", "dataStoreInfo": {"id": "s"}}, "appType"),
    (Upsert, "data_asset", {}, "needs its 'id'"),
    (Upsert, "data_asset", ["a"], "must be an object"),
    (Upsert, "data_asset", None, "must be an object"),
    (Upsert, "data_asset", "orders", "must be an object"),
    (Upsert, "if_exists", "replace", "'update', 'skip' or 'fail'"),
    (Patch, "data_asset_id", "", "is not a valid id"),
    (Patch, "data_asset_id", "..", "is not a valid id"),
    (Patch, "data_asset_id", "*", "name each data asset"),
    (Patch, "data_asset_id", None, "data_asset_id"),
    (Patch, "data_asset_id", ["a", "b"], "data_asset_id"),
    (Patch, "changes", None, "either 'operations' or 'changes'"),
    (Patch, "changes", {}, "'changes' is empty"),
    (Patch, "changes", {"nam": "n"}, "nam.*'name'"),
    (Patch, "changes", {"createdBy": "me"}, "created_by cannot be changed"),
    (Patch, "operations", RENAME, "either 'operations' or 'changes'"),
    (Patch, "expected_version", -1, "expected_version must be a whole number"),
    (Patch, "expected_version", "one", "expected_version must be a whole number"),
    (Stamp, "data_asset_ids", None, "data_asset_ids must be an id or a list of ids"),
    (Stamp, "data_asset_ids", {"id": "a"}, "data_asset_ids must be an id or a list of ids"),
    (Stamp, "data_asset_ids", ["a", ""], "is not a valid id"),
    (Stamp, "data_asset_ids", "*", "name each data asset"),
    (Stamp, "data_freshness", "2026-01-01", "not an instant"),
    (Stamp, "data_freshness", "", "not an instant"),
    (Stamp, "data_freshness", 5, "not int"),
    (Stamp, "allow_backwards", "no", "allow_backwards must be true or false"),
    (Stamp, "allow_backwards", None, "allow_backwards must be true or false"),
    (Delete, "data_asset_ids", ["*"], "name each data asset"),
    (Delete, "data_asset_ids", 7, "data_asset_ids must be an id or a list of ids"),
    (Delete, "max_deletions", 1.5, "max_deletions must be a whole number"),
    (Delete, "max_deletions", True, "max_deletions must be a whole number"),
    (Delete, "dry_run", "yes", "dry_run must be true or false"),
    (Sync, "max_fraction", 2, "max_fraction must be a fraction"),
    (Sync, "protected_tags", [""], "protected_tags must be a list of non-empty strings"),
]  # fmt: skip
WRONG_OPERATIONS = [
    ([], "at least one operation"),
    ([{"op": "test", "path": "/name", "value": "n"}], "only tests"),
    ([{"op": "put", "path": "/name", "value": "n"}], "op"),
    ([{"op": "add", "path": "name", "value": "n"}], "JSON Pointer"),
    ([{"op": "add", "path": "/version", "value": 1}], "Qlik Cloud sets it"),
    ([{"op": "add", "path": "/name"}], "needs a value"),
    ({"op": "add", "path": "/name", "value": "n"}, "list of operations"),
]


@pytest.mark.parametrize("operator", FINE, ids=lambda operator: operator.__name__)
def test_right_arguments(operator: type[BaseOperator]) -> None:
    made = operator(task_id="t", **FINE[operator])

    assert made.task_id == "t"


@pytest.mark.parametrize(("operator", "name", "value", "message"), WRONG)
def test_wrong_argument(operator: type[BaseOperator], name: str, value: Any, message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        operator(task_id="t", **{**FINE[operator], name: value})


@pytest.mark.parametrize(("operations", "message"), WRONG_OPERATIONS)
def test_wrong_operations(operations: Any, message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        Patch(task_id="t", data_asset_id="a", operations=operations)


@pytest.mark.parametrize(("operator", "name"), sorted({(row[0], row[1]) for row in WRONG}, key=str), ids=str)
@pytest.mark.parametrize("unknown", ["{{ params.x }}", "{% if a %}b{% endif %}", OUTPUT])
def test_what_is_not_rendered_yet_is_not_checked(
    operator: type[BaseOperator], name: str, unknown: Any
) -> None:
    arguments: dict[str, Any] = {**FINE[operator], name: OUTPUT}
    if name == "operations":
        arguments["changes"] = None

    with DAG("d", schedule=None):
        made = operator(task_id="t", **_with(arguments, unknown))

    assert "t" in made.dag.task_ids


@pytest.mark.parametrize(
    ("operator", "arguments", "message"),
    [
        (Upsert, {"data_asset": {"technicalNam": "t", "name": OUTPUT}}, "technicalNam"),
        (Upsert, {"data_asset": {"dataStoreInfo": {"idd": "s"}, "name": OUTPUT}}, "idd"),
        (Upsert, {"data_asset": {"name": 5, "description": OUTPUT}}, "name"),
        (Patch, {"changes": {"nam": "n", "description": OUTPUT}}, "nam"),
        (
            Patch,
            {"changes": None, "operations": [{"op": "add", "pth": "/name", "value": OUTPUT}]},
            "pth.*'path'",
        ),
        (Stamp, {"data_asset_ids": OUTPUT, "data_freshness": "now"}, "not an instant"),
        (Delete, {"data_asset_ids": OUTPUT, "max_deletions": "many"}, "max_deletions"),
        (Sync, {"protected_tags": OUTPUT, "max_deletions": "many"}, "max_deletions"),
    ],
)
@pytest.mark.parametrize("unknown", ["{{ params.x }}", OUTPUT])
def test_mistake_next_to_what_is_not_rendered_yet(
    operator: type[BaseOperator], arguments: dict[str, Any], message: str, unknown: Any
) -> None:
    with DAG("d", schedule=None), pytest.raises(QlikValidationError, match=message):
        operator(task_id="t", **{**FINE[operator], **_with(arguments, unknown)})


@pytest.mark.parametrize("operator", FINE, ids=lambda operator: operator.__name__)
def test_constructor_needs_neither_connection_nor_tenant(operator: type[BaseOperator]) -> None:
    task: Any = operator(task_id="t", qlik_conn_id="no_such_connection", **FINE[operator])

    assert task.hook.qlik_conn_id == "no_such_connection"


@pytest.mark.parametrize("operator", FINE, ids=lambda operator: operator.__name__)
def test_arguments_are_not_changed(operator: type[BaseOperator]) -> None:
    arguments = copy.deepcopy(FINE[operator])
    operator(task_id="t", **arguments)

    assert arguments == FINE[operator]


def _with(value: Any, unknown: Any) -> Any:
    """Return a value in which ``OUTPUT`` is replaced."""
    if isinstance(value, dict):
        return {key: _with(item, unknown) for key, item in value.items()}
    if isinstance(value, list):
        return [_with(item, unknown) for item in value]
    if value is OUTPUT:
        return BaseOperator(task_id="other").output if unknown is OUTPUT else unknown
    return value

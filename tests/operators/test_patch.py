from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException
from airflow_provider_qlik_assets.client import JsonPatchOperation
from airflow_provider_qlik_assets.client.errors import QlikConflictError
from airflow_provider_qlik_assets.operators.data_assets import QlikPatchDataAssetOperator
from airflow_provider_qlik_assets.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("qlik_conn_id")


@pytest.fixture(autouse=True)
def asset(qlik_sandbox: Sandbox) -> dict[str, Any]:
    return qlik_sandbox.add_asset(
        id="a",
        technicalName="t",
        name="old",
        description="by a steward",
        tags=["x"],
        properties={"keep": 1, "drop": 2},
        dataFreshness="2026-02-01T00:00:00.000Z",
    )


def patch(**arguments: Any) -> Any:
    arguments.setdefault("data_asset_id", "a")
    return QlikPatchDataAssetOperator(task_id="patch", **arguments).execute({})


def writes(sandbox: Sandbox) -> list[str]:
    return [entry.method for entry in sandbox.journal.requests() if entry.tier == 2]


@pytest.mark.parametrize(
    "arguments",
    [
        {"changes": {"name": "new"}},
        {"operations": [{"op": "replace", "path": "/name", "value": "new"}]},
        {"operations": [JsonPatchOperation(op="add", path="/name", value="new")]},
    ],
)
def test_changes_a_field(qlik_sandbox: Sandbox, arguments: dict[str, Any]) -> None:
    result = patch(**arguments)

    assert (result["id"], result["action"], result["version"], result["changed_fields"]) == (
        "a", "updated", 1, ["name"],
    )  # fmt: skip
    assert result["data_asset"]["name"] == qlik_sandbox.assets["a"]["name"] == "new"
    assert qlik_sandbox.assets["a"]["description"] == "by a steward"


@pytest.mark.parametrize(
    "arguments",
    [
        {"changes": {"name": "old", "properties": {"keep": 1}}},
        {"changes": {"data_freshness": "2026-01-01T00:00:00Z"}},
        {"operations": [{"op": "replace", "path": "/name", "value": "old"}]},
        {"operations": [{"op": "remove", "path": "/spaceId"}]},
        {"changes": {"name": "old"}, "expected_version": 7},
    ],
)
def test_unchanged_writes_nothing(qlik_sandbox: Sandbox, arguments: dict[str, Any]) -> None:
    result = patch(**arguments)

    assert (result["action"], result["version"], result["changed_fields"]) == ("unchanged", 0, [])
    assert len(qlik_sandbox.journal.requests()) == 1


def test_none_clears_and_properties_are_set_key_by_key(qlik_sandbox: Sandbox) -> None:
    patch(changes={"description": None, "properties": {"drop": None, "new": 3}})

    assert "description" not in qlik_sandbox.assets["a"]
    assert qlik_sandbox.assets["a"]["properties"] == {"keep": 1, "new": 3}


def test_appending_is_done_on_each_run(qlik_sandbox: Sandbox) -> None:
    operator = QlikPatchDataAssetOperator(
        task_id="patch",
        data_asset_id="a",
        operations=[{"op": "add", "path": "/properties/log", "value": []}],
    )
    operator.execute({})
    append = {"op": "add", "path": "/properties/log/-", "value": "entry"}
    patch(operations=[append])
    patch(operations=[append])

    assert qlik_sandbox.assets["a"]["properties"]["log"] == ["entry", "entry"]


@pytest.mark.parametrize("version", [0, "0"])
def test_expected_version(version: int | str) -> None:
    assert patch(changes={"name": "new"}, expected_version=version)["action"] == "updated"


@pytest.mark.parametrize("version", [0, "0", 7])
def test_other_version_is_a_conflict(qlik_sandbox: Sandbox, version: int | str) -> None:
    qlik_sandbox.touch("a", description="by somebody else")

    with pytest.raises(QlikConflictError, match=f"has version 1, not {version}"):
        patch(changes={"name": "new"}, expected_version=version)

    assert writes(qlik_sandbox) == []


def test_operation_that_does_not_fit_fails_without_retries(qlik_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="does not fit the data asset"):
        patch(operations=[{"op": "add", "path": "/properties/keep/deep", "value": 1}])

    assert writes(qlik_sandbox) == []


def test_a_document_that_an_operation_does_not_fit_is_not_logged(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.touch("a", properties={"large": "y" * 100_000})
    with pytest.raises(AirflowFailException) as caught:
        patch(operations=[{"op": "add", "path": "/properties/keep/deep", "value": 1}])

    assert len("".join(traceback.format_exception(caught.value))) < 20_000


def test_unknown_id_fails_without_retries() -> None:
    with pytest.raises(AirflowFailException, match="nowhere"):
        patch(data_asset_id="nowhere", changes={"name": "n"})


def test_result_is_plain_json() -> None:
    result = patch(changes={"data_freshness": "2026-03-01T00:00:00Z"})

    assert json.loads(json.dumps(result)) == result
    assert list(result) == ["id", "action", "version", "changed_fields", "data_asset"]

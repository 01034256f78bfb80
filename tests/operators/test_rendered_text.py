"""Templates render to text unless the DAG asks otherwise: what the operators make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException, BaseOperator
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("qlik_conn_id")

Upsert, Patch = QlikUpsertDataAssetOperator, QlikPatchDataAssetOperator
Stamp, Delete = QlikUpdateDataFreshnessOperator, QlikDeleteDataAssetsOperator

TEMPLATED: dict[type[BaseOperator], dict[str, Any]] = {
    Upsert: {"data_asset": {"id": "a", "name": "new"}},
    Patch: {"data_asset_id": "a", "changes": {"name": "new"}},
    Stamp: {"data_asset_ids": ["a"], "data_freshness": "2026-02-01T00:00:00Z"},
    Delete: {"data_asset_ids": ["a"]},
}


@pytest.fixture(autouse=True)
def assets(qlik_sandbox: Sandbox) -> None:
    for key in "ab":
        qlik_sandbox.add_asset(id=key, technicalName=key, version=10, dataFreshness="2026-01-01T00:00:00Z")


def run(operator: type[BaseOperator], variables: dict[str, Any], **arguments: Any) -> Any:
    """Run an operator as a task does: constructed with templates, then rendered."""
    task: Any = operator(task_id="t", **{**TEMPLATED[operator], **arguments})
    task.render_template_fields(variables)
    return task.execute({})


@pytest.mark.parametrize(
    ("operator", "arguments", "variables"),
    [
        (Upsert, {"data_asset": "{{ x | tojson }}"}, {"x": {"id": "a", "name": "new"}}),
        (Upsert, {"data_asset": {"id": "{{ x }}", "name": "{{ y }}"}}, {"x": "a", "y": "new"}),
        (Upsert, {"if_exists": "{{ x }}"}, {"x": "update"}),
        (Upsert, {"qlik_conn_id": "{{ x }}"}, {"x": "qlik_cloud_default"}),
        (Patch, {"changes": "{{ x | tojson }}"}, {"x": {"name": "new"}}),
        (Patch, {"changes": {"properties": {"deep": [{"in": "{{ x }}"}]}}}, {"x": "it"}),
        (
            Patch,
            {"changes": None, "operations": "{{ x | tojson }}"},
            {"x": [{"op": "add", "path": "/name", "value": "new"}]},
        ),
        (
            Patch,
            {"changes": None, "operations": [{"op": "add", "path": "/name", "value": "{{ x }}"}]},
            {"x": "new"},
        ),
        (Patch, {"data_asset_id": "{{ x }}"}, {"x": "a"}),
        (Patch, {"expected_version": "{{ x }}"}, {"x": 10}),
        (Stamp, {"data_asset_ids": "{{ x }}"}, {"x": "a"}),
        (Stamp, {"data_asset_ids": "{{ x | tojson }}"}, {"x": ["a", "b"]}),
        (Stamp, {"data_asset_ids": ["{{ x }}", "b"]}, {"x": "a"}),
        (Stamp, {"data_freshness": "{{ x }}"}, {"x": "2026-03-01 00:00:00+00:00"}),
        (Delete, {"data_asset_ids": "{{ x | tojson }}"}, {"x": ["a", "b"]}),
        (Delete, {"max_deletions": "{{ x }}"}, {"x": 10}),
        (Delete, {"dry_run": "{{ x }}"}, {"x": False}),
    ],
)
def test_rendered_text_works(
    qlik_sandbox: Sandbox, operator: type[BaseOperator], arguments: Any, variables: dict[str, Any]
) -> None:
    result = run(operator, variables, **arguments)

    json.dumps(result)
    assert len([entry for entry in qlik_sandbox.journal.requests() if entry.tier == 2]) >= 1


@pytest.mark.parametrize(
    ("operator", "arguments", "value", "message"),
    [
        (Upsert, {"data_asset": "{{ x }}"}, {"id": "a"}, "data_asset was rendered to text.*tojson"),
        (Upsert, {"data_asset": "{{ x }}"}, None, "data_asset became 'None'"),
        (Upsert, {"data_asset": "{{ x | tojson }}"}, {"nam": 1}, "'nam'"),
        (Upsert, {"if_exists": "{{ x }}"}, None, "if_exists became 'None'"),
        (Patch, {"data_asset_id": "{{ x }}"}, None, "data_asset_id became 'None'"),
        (Patch, {"data_asset_id": "{{ x }}"}, "", "data_asset_id became ''"),
        (Patch, {"changes": "{{ x }}"}, {"name": "n"}, "changes was rendered to text.*tojson"),
        (Patch, {"expected_version": "{{ x }}"}, None, "expected_version became 'None'"),
        (Patch, {"expected_version": "{{ x }}"}, "", "expected_version became ''"),
        (Patch, {"expected_version": "{{ x }}"}, 1.5, "expected_version must be a whole number, not '1.5'"),
        (Stamp, {"data_asset_ids": "{{ x }}"}, ["a", "b"], "data_asset_ids was rendered to text.*tojson"),
        (Stamp, {"data_asset_ids": "{{ x }}"}, None, "data_asset_ids became 'None'"),
        (Stamp, {"data_asset_ids": ["a", "{{ x }}"]}, "", r"data_asset_ids\[1\] became ''"),
        (Stamp, {"data_freshness": "{{ x }}"}, "", "data_freshness became ''"),
        (Stamp, {"data_freshness": "{{ x }}"}, None, "data_freshness became 'None'"),
        (Stamp, {"data_freshness": "{{ x }}"}, "2026-01-31", "'2026-01-31' is not an instant"),
        (Stamp, {"allow_backwards": "{{ x }}"}, None, "allow_backwards became 'None'"),
        (Delete, {"data_asset_ids": "{{ x }}"}, ["a"], "data_asset_ids was rendered to text.*tojson"),
        (Delete, {"data_asset_ids": "{{ x }}"}, "*", "name each data asset"),
        (Delete, {"max_deletions": "{{ x }}"}, None, "max_deletions became 'None'"),
        (Delete, {"max_deletions": "{{ x }}"}, "ten", "max_deletions must be a whole number, not 'ten'"),
        (Delete, {"dry_run": "{{ x }}"}, None, "dry_run became 'None'"),
        (Delete, {"dry_run": "{{ x }}"}, "maybe", "dry_run must be true or false, not 'maybe'"),
    ],
)
def test_wrong_text_is_named_before_anything_is_sent(
    qlik_sandbox: Sandbox, operator: type[BaseOperator], arguments: Any, value: Any, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        run(operator, {"x": value}, **arguments)

    assert not qlik_sandbox.journal.requests()


def test_dry_run_rendered_to_false_deletes(qlik_sandbox: Sandbox) -> None:
    """The text "False" is true in Python."""
    assert run(Delete, {"x": False}, dry_run="{{ x }}")["dry_run"] is False
    assert "a" not in qlik_sandbox.assets


def test_text_that_is_nested_without_end_fails_without_retries() -> None:
    with pytest.raises(AirflowFailException, match="was rendered to text that is not JSON"):
        run(Upsert, {"x": "[" * 100_000}, data_asset="{{ x }}")

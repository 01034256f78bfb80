"""Forms in which nothing, templates and outputs of tasks come: lazy sequences, JSON, undefined, own marks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from jinja2 import Undefined

from airflow_provider_qlik_assets._compat import DAG, AirflowFailException, task
from airflow_provider_qlik_assets.client import DataAsset
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikCleanUpDataAssetsOperator,
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

pytestmark = pytest.mark.timeout(300)

RunDag = Callable[[DAG], Any]

FRESH = "2026-01-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def surroundings(qlik_sandbox: Sandbox, qlik_conn_id: str) -> None:
    """Two data assets, which a clean-up would delete if their tag did not protect them."""
    store = qlik_sandbox.add_store(id="store-1", name="Sales")
    for key in "ab":
        qlik_sandbox.add_asset(
            data_store_id=store, id=key, technicalName=key, appType="app", description="old",
            dataFreshness=FRESH, tags=["keep"],
        )  # fmt: skip


def new_dag(dag_id: str, **arguments: Any) -> DAG:
    return DAG(dag_id, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None, **arguments)


class Errors:
    """What ended tasks, up to the explanation; give it as ``on_failure_callback``."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __call__(self, context: Any) -> None:
        assert isinstance(context["exception"], AirflowFailException)
        self.found.append(str(context["exception"]).partition(" when")[0])


@task
def given(value: Any) -> Any:
    return value


@task
def row(key: str) -> dict[str, Any]:
    return {"technicalName": key, "appType": "app", "description": None}


def clean_up(task_id: str, **arguments: Any) -> Any:
    return QlikCleanUpDataAssetsOperator(
        task_id=task_id, data_store_ids=["store-1"], stale_after=60, max_deletions=None, max_fraction=None,
        **arguments,
    )  # fmt: skip


# --- the outputs of mapped tasks are fetched item by item ------------------------------------------------


def test_what_is_nothing_in_the_output_of_a_mapped_task_is_named(
    run_dag: RunDag, qlik_sandbox: Sandbox
) -> None:
    errors = Errors()
    with new_dag("rows_of_mapped") as dag:
        rows = row.expand(key=["a", "b"])
        for index, output in enumerate((rows, rows.map(dict), rows.concat(rows), rows.zip(rows).map(list))):
            QlikSyncDataAssetsOperator(
                task_id=f"sync_{index}", data_store_id="store-1", data_assets=output,
                on_failure_callback=errors,
            )  # fmt: skip

    run_dag(dag)
    assert len(errors.found) == 4
    assert all("description became None" in error for error in errors.found)
    assert {asset["description"] for asset in qlik_sandbox.assets.values()} == {"old"}


def test_the_output_of_a_mapped_task_is_a_list(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    with new_dag("list_of_mapped") as dag:
        texts = given.expand(value=["x", "y"])
        (
            QlikUpsertDataAssetOperator(
                task_id="upsert", data_asset={"id": "a", "tags": texts, "properties": {"deep": [texts]}}
            )
            >> QlikPatchDataAssetOperator(
                task_id="patch", data_asset_id="b",
                operations=[{"op": "add", "path": "/tags", "value": texts.map(str.upper)}],
            )
        )  # fmt: skip

    assert run_dag(dag).state == "success"
    a, b = (qlik_sandbox.assets[key] for key in "ab")
    assert (a["tags"], a["properties"], b["tags"]) == (["x", "y"], {"deep": [["x", "y"]]}, ["X", "Y"])


# --- nothing in other forms ------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
def test_null_of_the_filter_tojson_is_nothing(native: bool, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    """The error for what is not JSON recommends that filter."""
    errors = Errors()
    pulled = "{{ ti.xcom_pull(task_ids='given') | tojson }}"
    with new_dag(f"null_{native}", render_template_as_native_obj=native) as dag:
        given(None) >> [
            QlikDeleteDataAssetsOperator(task_id="d", data_asset_ids=pulled, on_failure_callback=errors),
            clean_up("c", protected_tags=pulled, on_failure_callback=errors),
        ]

    run_dag(dag)
    assert sorted(errors.found) == ["data_asset_ids became None", "protected_tags became None"]
    assert sorted(qlik_sandbox.assets) == ["a", "b"]


def test_undefined_of_native_rendering_is_nothing(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    errors = Errors()
    with new_dag("undefined", render_template_as_native_obj=True, template_undefined=Undefined) as dag:
        clean_up("c", protected_tags="{{ nope }}", on_failure_callback=errors)
        QlikDeleteDataAssetsOperator(task_id="d", data_asset_ids="{{ nope }}", on_failure_callback=errors)
        QlikUpsertDataAssetOperator(
            task_id="u", data_asset={"id": "a", "description": "{{ nope }}"}, on_failure_callback=errors
        )

    run_dag(dag)
    assert sorted(errors.found) == [
        "data_asset.description became Undefined",
        "data_asset_ids became Undefined",
        "protected_tags became Undefined",
    ]
    assert sorted(qlik_sandbox.assets) == ["a", "b"]


def test_text_that_native_rendering_makes_none_is_named(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    errors = Errors()
    with new_dag("native_text", render_template_as_native_obj=True) as dag:
        QlikUpsertDataAssetOperator(
            task_id="u", data_asset={"id": "a", "description": "None"}, on_failure_callback=errors
        )

    run_dag(dag)
    assert errors.found == ["data_asset.description became None"]
    assert qlik_sandbox.assets["a"]["description"] == "old"


# --- templates in other forms ----------------------------------------------------------------------------


def test_a_dag_may_have_marks_of_its_own(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    errors = Errors()
    marks = {"variable_start_string": "[[", "variable_end_string": "]]"}
    with new_dag("marks", jinja_environment_kwargs=marks, params={"when": "2026-02-01T00:00:00Z"}) as dag:
        QlikUpdateDataFreshnessOperator(
            task_id="stamp", data_asset_ids=["a"], data_freshness="[[ params.when ]]"
        )
        QlikUpsertDataAssetOperator(
            task_id="u", data_asset={"id": "b", "description": "[[ none ]]"}, on_failure_callback=errors
        )
        clean_up("c", protected_tags="[[ none ]]", on_failure_callback=errors)

    run_dag(dag)
    assert sorted(errors.found) == ["data_asset.description became 'None'", "protected_tags became 'None'"]
    assert qlik_sandbox.assets["a"]["dataFreshness"] == "2026-02-01T00:00:00.000Z"
    assert qlik_sandbox.assets["b"]["description"] == "old"


def test_outputs_and_literals_side_by_side_in_expand_kwargs(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    errors = Errors()
    with new_dag("side_by_side", params={"text": "rendered", "none": None}) as dag:
        QlikUpsertDataAssetOperator.partial(task_id="u", on_failure_callback=errors).expand_kwargs(
            [
                given({"data_asset": {"id": "a", "description": None}}),
                {"data_asset": DataAsset(id="a", name="{{ params.text }}", description=None)},
                {"data_asset": {"id": "b", "name": "{{ params.none }}"}},
            ]
        )

    run_dag(dag)
    assert sorted(errors.found) == ["data_asset.description became None", "data_asset.name became 'None'"]
    assert qlik_sandbox.assets["a"]["name"] == "rendered"
    assert "description" not in qlik_sandbox.assets["a"]


# --- subclasses ------------------------------------------------------------------------------------------


class Noted(QlikUpsertDataAssetOperator):
    template_fields = (*QlikUpsertDataAssetOperator.template_fields, "note")

    def __init__(self, *, note: Any, **kwargs: Any) -> None:
        self.note = note
        super().__init__(**kwargs)

    def execute(self, context: Any) -> Any:
        return {**super().execute(context), "note": self.note}


@pytest.mark.parametrize("note", ["{{ params.note or '' }}", {"{{ name }}": 1}])
def test_what_a_subclass_adds_is_its_own(note: Any, run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    errors = Errors()
    with new_dag("subclass", params={"note": None}) as dag:
        Noted(task_id="a", note=note, data_asset={"id": "a", "description": "new"})
        Noted(
            task_id="b", note=note, data_asset={"id": "b", "description": "{{ params.note }}"},
            on_failure_callback=errors,
        )  # fmt: skip

    run_dag(dag)
    assert errors.found == ["data_asset.description became 'None'"]
    assert [qlik_sandbox.assets[key]["description"] for key in "ab"] == ["new", "old"]


@pytest.mark.parametrize(("options", "fails"), [({}, True), ({"template_undefined": Undefined}, False)])
def test_a_misspelled_variable_fails_the_task_unless_the_dag_allows_it(
    qlik_sandbox: Sandbox, run_dag: RunDag, options: dict[str, Any], fails: bool
) -> None:
    with new_dag(f"undefined_{fails}", **options) as dag:
        data_asset = {"id": "a", "description": "{{ misspelled }}"}
        QlikUpsertDataAssetOperator(task_id="upsert", data_asset=data_asset)

    assert run_dag(dag).state == ("failed" if fails else "success")
    assert qlik_sandbox.assets["a"].get("description", "") == ("old" if fails else "")

"""Templates, and what other tasks return, in every argument of every operator and of the sensor.

What another task returned is data: it is never rendered. What became nothing is an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, AirflowFailException, AirflowSkipException, task
from airflow_provider_qlik_assets.client import DataAsset, JsonPatchOperation
from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.operators import data_assets
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikSyncDataAssetsOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

# The first run of a Dag starts much of Airflow.
pytestmark = pytest.mark.timeout(300)

RunDag = Callable[[DAG], Any]

OPERATORS: list[Any] = [
    *(getattr(data_assets, name) for name in data_assets.__all__),
    QlikDataFreshnessSensor,
]
SECRETS = ("password-of-another-connection", "secret-of-a-variable")
TEXT = "{{ conn.other.password }} {{ var.value.other }} {# x #}"
Upsert, Patch, Sync = QlikUpsertDataAssetOperator, QlikPatchDataAssetOperator, QlikSyncDataAssetsOperator
Stamp, Delete = QlikUpdateDataFreshnessOperator, QlikDeleteDataAssetsOperator
Sensor = QlikDataFreshnessSensor
MAPPED: list[Any] = [TEXT, [TEXT, {"description": TEXT}], {"description": TEXT, "tags": [TEXT, [TEXT]]}]
# Of these, only one may be given.
EXCLUSIVE = {Sensor: {"max_age"}}
FRESH = "2026-01-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def surroundings(
    qlik_sandbox: Sandbox,
    qlik_conn_id: str,
    set_connection: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Secrets that templates could show, and two data assets."""
    set_connection("other", conn_type="http", password=SECRETS[0])
    monkeypatch.setenv("AIRFLOW_VAR_OTHER", SECRETS[1])
    # Airflow 2 refuses to run a sensor with SQLite: it looks at the configured executor.
    monkeypatch.setenv("_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK", "1")
    store = qlik_sandbox.add_store(id="store-1", name="Sales")
    for key in "ab":
        qlik_sandbox.add_asset(
            data_store_id=store, id=key, technicalName=key, appType="app", description="old",
            dataFreshness=FRESH, tags=["t"],
        )  # fmt: skip


def arguments_of(operator: Any) -> dict[str, str]:
    """Return the arguments by template field."""
    return {field: operator.argument_names.get(field, field) for field in operator.template_fields}


def new_dag(dag_id: str, **arguments: Any) -> DAG:
    return DAG(dag_id, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None, **arguments)


def by_operator(argument: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(argument, OPERATORS, ids=lambda operator: operator.__name__)


class Errors:
    """Errors that ended tasks; give it as ``on_failure_callback``."""

    def __init__(self) -> None:
        self.found: list[BaseException] = []

    def __call__(self, context: Any) -> None:
        self.found.append(context["exception"])


@task
def mapped_values(index: int) -> list[Any]:
    return [MAPPED[index]]


@task
def nothing() -> None:
    return None


@task
def skipped() -> str:
    raise AirflowSkipException


@task
def several_nothings() -> list[Any]:
    return [None]


# --- what another task returned --------------------------------------------------------------------------


@by_operator("operator")
@pytest.mark.slow
def test_what_a_task_returned_is_never_rendered(
    operator: Any, run_dag: RunDag, qlik_sandbox: Sandbox
) -> None:
    seen: list[dict[str, Any]] = []
    fields = arguments_of(operator)

    def look(context: Any) -> None:
        seen.append({field: getattr(context["task"], field) for field in fields})

    with new_dag(f"mapped_{operator.__name__}") as dag:
        for index in range(len(MAPPED)):
            output = mapped_values.override(task_id=f"values_{index}")(index)
            operator.partial(task_id=f"run_{index}", pre_execute=look, do_xcom_push=False).expand(
                **dict.fromkeys(fields.values(), output)
            )

    assert run_dag(dag).state == "failed"
    assert sorted(seen, key=str) == sorted((dict.fromkeys(fields, value) for value in MAPPED), key=str)
    assert not qlik_sandbox.journal.requests()


@pytest.mark.parametrize("native", [False, True])
def test_text_that_a_task_returned_arrives_in_qlik_as_it_is(
    native: bool, run_dag: RunDag, qlik_sandbox: Sandbox
) -> None:
    @task
    def documents() -> list[Any]:
        return [{"id": "a", "description": TEXT, "tags": [TEXT], "properties": {TEXT: {"deep": [TEXT]}}}]

    @task
    def rows() -> list[Any]:
        return [[{"technicalName": "b", "appType": "app", "description": TEXT}]]

    @task
    def operations() -> list[Any]:
        return [[{"op": "add", "path": "/name", "value": TEXT}]]

    @task
    def changes() -> list[Any]:
        return [{"technicalDescription": TEXT}]

    with new_dag(f"arrives_{native}", render_template_as_native_obj=native) as dag:
        (
            Upsert.partial(task_id="upsert").expand(data_asset=documents())
            >> Patch.partial(task_id="patch", data_asset_id="a").expand(operations=operations())
            >> Patch.partial(task_id="change", data_asset_id="a").expand(changes=changes())
        )
        Sync.partial(task_id="sync", data_store_id="store-1").expand(data_assets=rows())

    assert run_dag(dag).state == "success"
    a, b = (qlik_sandbox.assets[key] for key in "ab")
    assert (a["description"], a["tags"], a["name"], a["technicalDescription"]) == (TEXT, [TEXT], TEXT, TEXT)
    assert a["properties"] == {TEXT: {"deep": [TEXT]}}
    assert b["description"] == TEXT


def test_what_the_dag_file_maps_is_rendered(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    """Templates, models and sets of the DAG file itself, in what is mapped and in what is not."""
    with new_dag("own", params={"text": "rendered"}) as dag:
        (
            Upsert.partial(task_id="upsert").expand(
                data_asset=[
                    DataAsset(id="a", description="{{ params.text }}"),
                    {"id": "b", "tags": {"{{ params.text }}", "x"}, "description": None},
                ]
            )
            >> Patch.partial(
                task_id="patch",
                operations=({"op": "add", "path": "/name", "value": v} for v in ["{{ params.text }}"]),
            ).expand(data_asset_id=["a"])
            >> Patch.partial(task_id="kwargs").expand_kwargs(
                [
                    {
                        "data_asset_id": "b",
                        "operations": [JsonPatchOperation(op="add", path="/name", value="{{ params.text }}")],
                    }
                ]
            )
        )

    assert run_dag(dag).state == "success"
    a, b = (qlik_sandbox.assets[key] for key in "ab")
    assert (a["description"], a["name"], b["name"]) == ("rendered", "rendered", "rendered")
    assert sorted(b["tags"]) == ["rendered", "x"]
    assert "description" not in b


def test_a_stamp_without_instant_in_returned_arguments_is_now(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    """What a row does not hold was left out; what it holds as None became nothing."""
    errors = Errors()

    @task
    def rows() -> list[Any]:
        return [{"data_asset_ids": "a"}, {"data_asset_ids": "b", "data_freshness": None}]

    with new_dag("returned_arguments") as dag:
        Stamp.partial(task_id="stamp", on_failure_callback=errors).expand_kwargs(rows())

    run_dag(dag)
    assert qlik_sandbox.assets["a"]["dataFreshness"] > FRESH
    assert qlik_sandbox.assets["b"]["dataFreshness"] == FRESH
    assert [str(error).partition(" when")[0] for error in errors.found] == ["data_freshness became None"]


# --- what became nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
@by_operator("operator")
def test_every_argument_that_became_nothing_is_named(
    operator: Any, native: bool, run_dag: RunDag, qlik_sandbox: Sandbox
) -> None:
    errors = Errors()
    names = sorted(set(arguments_of(operator).values()) - EXCLUSIVE.get(operator, set()))
    common: dict[str, Any] = {
        "on_failure_callback": errors,
        "retries": 1,
        "retry_delay": timedelta(0),
        "trigger_rule": "none_failed",
    }
    with new_dag(f"nothing_{operator.__name__}_{native}", render_template_as_native_obj=native) as dag:
        operator(task_id="of_jinja", **common, **dict.fromkeys(names, "{{ none }}"))
        if not native:
            operator(task_id="of_a_task", **common, **dict.fromkeys(names, nothing()))
            operator(task_id="of_a_skipped_task", **common, **dict.fromkeys(names, skipped()))
            operator.partial(task_id="of_mapping", **common).expand(
                **dict.fromkeys(names, several_nothings())
            )

    run_dag(dag)
    assert len(errors.found) == (1 if native else 4)
    for error in errors.found:
        assert isinstance(error, AirflowFailException), error
        found = sorted(part.split(" became ")[0] for part in str(error).partition(" when")[0].split(", "))
        assert found == names
    assert not qlik_sandbox.journal.requests()


FINE: dict[Any, dict[str, Any]] = {
    Upsert: {"data_asset": {"id": "a"}},
    Patch: {"data_asset_id": "a", "changes": {"name": "n"}},
    Stamp: {"data_asset_ids": ["a"]},
    Delete: {"data_asset_ids": ["a"]},
    Sync: {"data_store_id": "store-1", "data_assets": []},
    data_assets.QlikCleanUpDataAssetsOperator: {"data_store_ids": ["store-1"], "stale_after": 60},
    Sensor: {"data_asset_ids": ["a"], "fresh_since": FRESH},
}
REPLACED = {"operations": "changes", "max_age": "fresh_since"}


@pytest.mark.parametrize("template", ["{{ x }}", "{{ x or '' }}"])
@pytest.mark.parametrize(
    ("operator", "name"),
    [
        (operator, name) for operator in OPERATORS for name in arguments_of(operator).values()
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)  # fmt: skip
def test_one_argument_that_became_nothing_is_named(
    operator: Any, name: str, template: str, qlik_sandbox: Sandbox
) -> None:
    fine = {key: value for key, value in FINE[operator].items() if key != REPLACED.get(name)}
    made = operator(task_id="t", **{**fine, name: template})
    made.render_template_fields({"x": None})

    with pytest.raises(AirflowFailException) as error:
        made.execute({})

    if template == "{{ x }}" or name not in {"data_asset", "data_assets", "changes", "operations"}:
        assert str(error.value).startswith(f"{name} became ")
    assert not qlik_sandbox.journal.requests()


ROW = {"technicalName": "a", "appType": "app"}
ADD = {"op": "add", "path": "/properties"}
NOTHING_INSIDE: list[tuple[Any, dict[str, Any], str]] = [
    (Upsert, {"data_asset": {"id": "a", "dataFreshness": "{{ x }}"}}, ".dataFreshness"),
    (Upsert, {"data_asset": {"id": "a", "description": "{{ x }}"}}, ".description"),
    (Upsert, {"data_asset": {"id": "{{ '' }}", "name": "n"}}, ".id"),
    (Upsert, {"data_asset": {"id": "a", "properties": {"rows": ["{{ x }}"]}}}, ".properties.rows[0]"),
    (Upsert, {"data_asset": "{{ {'id': 'a', 'name': x} | tojson }}"}, ".name"),
    (
        Upsert,
        {"data_asset": "{{ {'id': 'a', 'properties': {'dataFreshness': x}} | tojson }}"},
        ".properties.dataFreshness",
    ),
    (Patch, {"changes": "{{ {'dataFreshness': x} | tojson }}", "data_asset_id": "a"}, ".dataFreshness"),
    (Patch, {"operations": [{**ADD, "value": "{{ x }}"}], "data_asset_id": "a"}, "[0].value"),
    (Sync, {"data_assets": [{**ROW, "tags": ["{{ x }}"]}], "data_store_id": "store-1"}, "[0].tags[0]"),
    (Delete, {"data_asset_ids": ["a", "{{ x }}"]}, "[1]"),
    (Delete, {"data_asset_ids": "{{ ['a', x] | tojson }}"}, "[1]"),
    (Sensor, {"data_store_ids": ["{{ '' }}"], "data_asset_ids": ["a"], "max_age": 5}, "[0]"),
]


@pytest.mark.parametrize(("operator", "arguments", "path"), NOTHING_INSIDE)
def test_a_value_inside_that_became_nothing_is_named(
    operator: Any, arguments: dict[str, Any], path: str, qlik_sandbox: Sandbox
) -> None:
    made = operator(task_id="t", **arguments)
    made.render_template_fields({"x": None})

    with pytest.raises(AirflowFailException) as error:
        made.execute({})

    assert str(error.value).startswith(f"{next(iter(arguments))}{path} became ")
    assert not qlik_sandbox.journal.requests()


def test_empty_text_is_a_value_of_other_fields(qlik_sandbox: Sandbox) -> None:
    made = Upsert(
        task_id="t", data_asset={"id": "a", "description": "{{ '' }}", "properties": {"id": "{{ '' }}"}}
    )
    made.render_template_fields({})

    made.execute({})

    assert "description" not in qlik_sandbox.assets["a"]
    assert qlik_sandbox.assets["a"]["properties"] == {"id": ""}


def test_a_row_without_freshness_leaves_it_as_it_is(run_dag: RunDag, qlik_sandbox: Sandbox) -> None:
    """A task reads rows from a database, where NULL is common."""

    @task
    def rows() -> list[dict[str, Any]]:
        return [{"technicalName": key, "appType": "app", "name": "N", "dataFreshness": None} for key in "ab"]

    @task
    def document() -> dict[str, Any]:
        return {"id": "a", "name": "M", "data_freshness": None}

    with new_dag("rows") as dag:
        sync = Sync(task_id="sync", data_store_id="store-1", data_assets=rows())
        output = document()
        sync >> Upsert(task_id="upsert", data_asset=output)
        text = Upsert(task_id="text", data_asset="{{ ti.xcom_pull('document') | tojson }}")
        [sync, output] >> text

    assert run_dag(dag).state == "success"
    assert [asset["name"] for asset in qlik_sandbox.assets.values()] == ["M", "N"]
    assert {asset["dataFreshness"] for asset in qlik_sandbox.assets.values()} == {FRESH}


def test_none_in_the_dag_file_clears_all_but_the_freshness(qlik_sandbox: Sandbox) -> None:
    Upsert(task_id="upsert", data_asset={"id": "a", "description": None, "dataFreshness": None}).execute({})
    Sync(
        task_id="sync",
        data_store_id="store-1",
        data_assets=[{"technicalName": "b", "appType": "app", "description": None, "data_freshness": None}],
    ).execute({})
    assert [asset.get("description") for asset in qlik_sandbox.assets.values()] == [None, None]
    assert {asset["dataFreshness"] for asset in qlik_sandbox.assets.values()} == {FRESH}

    Patch(task_id="p", data_asset_id="a", changes={"dataFreshness": None}).execute({})
    assert "dataFreshness" not in qlik_sandbox.assets["a"]


# --- names -----------------------------------------------------------------------------------------------


TEMPLATES_IN_NAMES: list[tuple[Any, dict[str, Any], str]] = [
    (Upsert, {"data_asset": {"id": "a", "properties": {"rows_{{ ds }}": 1}}}, "data_asset.properties"),
    (Upsert, {"data_asset": DataAsset(id="a", properties={"{{ ds }}": 1})}, "data_asset.properties"),
    (Patch, {"data_asset_id": "a", "changes": {"properties": {"{% if %}": 1}}}, "changes.properties"),
    (
        Patch,
        {"data_asset_id": "a", "operations": [{**ADD, "value": {"{{ ds }}": 1}}]},
        r"operations\[0\].value",
    ),
    (Sync, {"data_store_id": "s", "data_assets": [{**ROW, "{{ ds }}": 1}]}, r"data_assets\[0\]"),
]


@pytest.mark.parametrize(("operator", "arguments", "place"), TEMPLATES_IN_NAMES)
def test_a_template_in_a_name_is_refused_when_the_dag_is_parsed(
    operator: Any, arguments: dict[str, Any], place: str
) -> None:
    with pytest.raises(QlikValidationError, match=f"^{place} has a template in the name"):
        operator(task_id="t", **arguments)


# --- as given --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [["a", "{{ ds }}"], ("a", "b")])
def test_arguments_are_kept_as_the_very_objects(given: Any) -> None:
    document = {"id": "a", "tags": given, "properties": {"x": {"y": given}}}
    changes = {"tags": given}

    assert Delete(task_id="t", data_asset_ids=given).data_asset_ids is given
    assert Upsert(task_id="t", data_asset=document).data_asset is document
    assert Patch(task_id="t", data_asset_id="a", changes=changes).changes is changes

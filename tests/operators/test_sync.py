from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException
from airflow_provider_qlik_assets.client.errors import QlikPartialFailureError, QlikValidationError
from airflow_provider_qlik_assets.operators.data_assets import QlikSyncDataAssetsOperator
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

pytestmark = pytest.mark.usefixtures("qlik_conn_id", "store")


def wish(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"technicalName": name, "appType": "airflow", **fields}


def wishes(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [wish(f"table_{index}", **fields) for index in range(number)]


def operator(data_assets: Any, **arguments: Any) -> QlikSyncDataAssetsOperator:
    return QlikSyncDataAssetsOperator(
        **{"task_id": "sync", "data_store_id": "store-1", "data_assets": data_assets, **arguments}
    )


def sync(data_assets: Any, **arguments: Any) -> dict[str, Any]:
    return operator(data_assets, **arguments).execute({})


def rendered(variables: Any, **arguments: Any) -> dict[str, Any]:
    """Run the operator as a task does: constructed with templates, then rendered."""
    task = operator(**{"data_assets": wishes(1), **arguments})
    task.render_template_fields(variables)
    return task.execute({})


@pytest.fixture
def task_log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Messages that the operator logs; its loggers differ between Airflow versions."""
    messages: list[str] = []

    class Log:
        def info(self, message: str, *arguments: Any) -> None:
            messages.append(message % arguments)

    monkeypatch.setattr(QlikSyncDataAssetsOperator, "log", Log())
    return messages


def names(sandbox: Sandbox) -> set[str]:
    return {asset["technicalName"] for asset in sandbox.assets.values()}


# --- results ---------------------------------------------------------------------------------------------


def test_result_is_plain_json_without_the_data_assets(qlik_sandbox: Sandbox) -> None:
    same = qlik_sandbox.add_asset("store-1", technicalName="same", appType="airflow")

    result = sync([wish("same"), wish("new", name="n")])

    assert json.loads(json.dumps(result)) == result
    assert (result["counts"], result["dry_run"]) == ({"unchanged": 1, "created": 1}, False)
    unchanged, created = sorted(result["results"], key=lambda row: row["action"], reverse=True)
    assert unchanged == {
        "id": same["id"], "technical_name": "same", "action": "unchanged", "version": 0,
        "changed_fields": [], "data_asset": None,
    }  # fmt: skip
    assert created["id"] in qlik_sandbox.assets
    assert created["data_asset"] is None


def test_result_of_thousands_is_of_reasonable_size(qlik_sandbox: Sandbox) -> None:
    for entry in wishes(300, description="x" * 1000):
        qlik_sandbox.add_asset("store-1", **entry)

    result = sync(wishes(300, description="x" * 1000))

    assert len(json.dumps(result)) < 300 * 200


def test_deleted_data_assets_are_in_the_result(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset("store-1", technicalName="unlisted", name="as it was")

    result = sync(wishes(1), delete_unlisted=True, max_fraction=None)

    assert names(qlik_sandbox) == {"table_0"}
    (row,) = [row for row in result["results"] if row["action"] == "deleted"]
    assert row["data_asset"]["name"] == "as it was"


def test_second_run_writes_nothing(qlik_sandbox: Sandbox) -> None:
    sync(wishes(3))
    qlik_sandbox.journal.clear()

    assert sync(wishes(3))["counts"] == {"unchanged": 3}
    assert {entry.method for entry in qlik_sandbox.journal.requests()} == {"GET"}


def test_dry_run_returns_the_plan_and_writes_nothing(qlik_sandbox: Sandbox, task_log: list[str]) -> None:
    qlik_sandbox.add_asset("store-1", technicalName="table_0", appType="airflow", name="old")

    result = sync(wishes(2, name="new"), dry_run=True)

    assert {entry.method for entry in qlik_sandbox.journal.requests()} == {"GET"}
    assert json.loads(json.dumps(result)) == result
    assert (result["counts"], result["dry_run"]) == ({"created": 1, "updated": 1}, True)
    assert result["plan"]["to_update"][0]["changes"] == [{"field": "name", "before": "old", "after": "new"}]
    assert 'name: "old" → "new"' in task_log[0]
    assert "nothing is written" in task_log[0]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_plan_that_deletes_too_much_fails_the_task_and_is_logged(
    qlik_sandbox: Sandbox, task_log: list[str], dry_run: bool
) -> None:
    qlik_sandbox.add_asset("store-1", technicalName="precious")

    with pytest.raises(AirflowFailException, match=r"max_fraction allows 20\.0%"):
        sync(wishes(1), delete_unlisted=True, dry_run=dry_run)

    assert names(qlik_sandbox) == {"precious"}
    assert "delete     precious" in task_log[0]


def test_protected_tags(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset("store-1", technicalName="kept", tags=["keep"])

    result = sync(wishes(1), delete_unlisted=True, protected_tags="keep", max_fraction=None)

    assert result["counts"] == {"created": 1, "skipped": 1}
    assert "kept" in names(qlik_sandbox)


# --- failures --------------------------------------------------------------------------------------------


def test_failures_that_no_retry_can_heal_fail_without_retries(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=400, method="POST"))

    with pytest.raises(AirflowFailException, match="1 of 5 data assets failed"):
        sync(wishes(5))

    assert len(qlik_sandbox.assets) == 4


def test_failures_that_may_pass_are_left_to_retries(qlik_sandbox: Sandbox, impatient_conn_id: str) -> None:
    sync(wishes(5))
    qlik_sandbox.add_fault(Fault(kind="status", status=400, method="PATCH"))
    qlik_sandbox.add_fault(Fault(kind="status", status=500, method="PATCH", path="*", times=None))

    with pytest.raises(QlikPartialFailureError, match="5 of 5 data assets failed"):
        sync(wishes(5, name="new"), qlik_conn_id=impatient_conn_id)

    qlik_sandbox.clear_faults()
    assert sync(wishes(5, name="new"))["counts"] == {"updated": 5}


def test_no_secret_in_the_message(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=401, times=None))

    with pytest.raises(AirflowFailException, match="401") as raised:
        sync(wishes(5))

    assert qlik_sandbox.api_key not in str(raised.value)


# --- arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ({"data_assets": "{{ x | tojson }}"}, {"x": [wish("a")]}),
        ({"data_assets": [wish("{{ x }}")]}, {"x": "a"}),
        ({"data_assets": [wish("a")], "data_store_id": "{{ x }}"}, {"x": "store-1"}),
        ({"data_assets": [wish("a")], "qlik_conn_id": "{{ x }}"}, {"x": "qlik_cloud_default"}),
        ({"data_assets": [wish("a")], "dry_run": "{{ x }}"}, {"x": False}),
        (
            {"data_assets": [wish("a")], "delete_unlisted": "{{ x }}", "protected_tags": "{{ y | tojson }}"},
            {"x": True, "y": ["keep"]},
        ),
        (
            {"data_assets": [wish("a")], "max_deletions": "{{ x }}", "max_fraction": "{{ y }}"},
            {"x": 5, "y": 0.5},
        ),
    ],
)
def test_templates(qlik_sandbox: Sandbox, arguments: dict[str, Any], variables: dict[str, Any]) -> None:
    assert rendered(variables, **arguments)["counts"] == {"created": 1}
    assert names(qlik_sandbox) == {"a"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_deletions": "{{ x }}"}, "max_deletions became 'None'"),
        ({"max_fraction": "{{ x }}"}, "max_fraction became 'None'"),
        ({"protected_tags": "{{ x }}"}, "protected_tags became 'None'"),
        ({"delete_unlisted": "{{ x }}"}, "delete_unlisted became 'None'"),
        ({"data_store_id": "{{ y }}"}, "data_store_id became ''"),
        ({"data_store_id": "*{{ y }}"}, r"'\*' is not the id of a data store"),
        ({"data_assets": "{{ x }}"}, "data_assets became 'None'"),
        ({"data_assets": "[{{ x }}]"}, "not JSON"),
    ],
)
def test_templates_that_render_to_nothing_are_refused(
    qlik_sandbox: Sandbox, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        rendered({"x": None, "y": ""}, **arguments)

    assert not qlik_sandbox.journal.requests()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_store_id": "*"}, "name the data store"),
        ({"data_assets": "orders"}, "give a list, or the path of a file"),
        ({"data_assets": Path("orders.txt")}, "give a list, or the path of a file"),
        ({"data_assets": None}, "data_assets must be a list"),
        ({"data_assets": {"a": 1}}, "data_assets must be a list"),
        ({"data_assets": [wish("a"), wish("a")]}, "has the same technicalName"),
        ({"data_assets": [wish("a", nmae="n"), {"appType": "x"}]}, "2 of 2 desired data assets are invalid"),
        ({"data_assets": [wish("a", dataStoreInfo={"id": "other"})]}, "names another data store"),
        ({"data_assets": [wish("{{ a }}", nmae="n")]}, "unknown field 'nmae'"),
        ({"data_assets": '[{"appType": "x"}]'}, "technicalName is missing"),
        ({"max_deletions": -1}, "max_deletions must be a whole number"),
        ({"max_fraction": 20}, "max_fraction must be a fraction from 0 to 1"),
        ({"protected_tags": None}, "protected_tags"),
        ({"dry_run": "maybe"}, "dry_run must be true or false"),
        ({"delete_unlisted": None}, "delete_unlisted must be true or false"),
    ],
)
def test_wrong_arguments_fail_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        operator(**{"data_assets": wishes(1), **arguments})


def test_nothing_is_wished_and_everything_would_go(qlik_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="would delete the whole data store"):
        sync([], delete_unlisted=True)

    assert not qlik_sandbox.journal.requests()


# --- files -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root of the DAG bundle; tasks that were not made by a DAG file look there, too."""
    from airflow_provider_qlik_assets._compat import conf  # noqa: PLC0415

    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
    assert conf.get("core", "dags_folder") == str(tmp_path)
    return tmp_path


@pytest.mark.parametrize("place", [str, lambda path: path], ids=["text", "Path"])
@pytest.mark.parametrize("name", ["catalog.yaml", "catalog.yml", "catalog.json"])
def test_an_absolute_path(
    qlik_sandbox: Sandbox, tmp_path: Path, name: str, place: Callable[[Path], Any]
) -> None:
    (tmp_path / name).write_text(json.dumps({"data_assets": wishes(2)}))

    assert sync(place(tmp_path / name))["counts"] == {"created": 2}


def test_a_path_relative_to_the_bundle(qlik_sandbox: Sandbox, folder: Path) -> None:
    (folder / "catalog").mkdir()
    (folder / "catalog" / "sales.yaml").write_text("- {technicalName: orders, appType: airflow}")

    assert sync("catalog/sales.yaml")["counts"] == {"created": 1}
    assert names(qlik_sandbox) == {"orders"}


def test_the_bundle_of_the_task_instance_counts(qlik_sandbox: Sandbox, tmp_path: Path) -> None:
    class Bundle:
        path = tmp_path

    class TaskInstance:
        bundle_instance = Bundle

        @staticmethod
        def xcom_push(key: str, value: object) -> None:
            """Airflow's."""

    (tmp_path / "sales.yaml").write_text("- {technicalName: orders, appType: airflow}")

    result = operator("sales.yaml").execute({"ti": TaskInstance})  # type: ignore[typeddict-item]

    assert result["counts"] == {"created": 1}


def test_a_path_from_a_template(qlik_sandbox: Sandbox, folder: Path) -> None:
    (folder / "sales.yaml").write_text("- {technicalName: orders, appType: airflow}")

    assert rendered({"name": "sales"}, data_assets="{{ name }}.yaml")["counts"] == {"created": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "- {technicalName: s3cret, appType: a}\n- {nmae: s3cret}",
            r"entry 1: an unknown field \(did you mean 'name'",
        ),
        ("- s3cret: x", "entry 0: an unknown field"),
        ("- s3cret", "entry 0: a data asset must be an object"),
        ("s3cret: {appType: airflow}", "data_assets must be a list of data assets"),
        ("s3cret: 1\ndata_assets: []", "Next to data_assets there is an unknown key"),
        ("- {technicalName: s3cret}", "entry 0: appType is missing"),
        ("- {technicalName: [s3cret], appType: a}", "entry 0: technicalName: input should be a valid string"),
        ("- {technicalName: t, appType: a, dataFreshness: s3cret}", "entry 0: dataFreshness: not an instant"),
        (
            "- {technicalName: t, appType: a, dataFreshness: '9999-01-01T00:00:00Z'}",
            "more than a day in the future",
        ),
        ("- {technicalName: t, appType: a, dataStoreInfo: {s3cret: 1}}", "an unknown field"),
        (
            "- {technicalName: t, appType: a, tags: {s3cret: 1}}",
            "entry 0: tags: input should be a valid list",
        ),
        (
            "- {technicalName: t, appType: a, properties: {s3cret: 2026-01-01}}",
            "properties: input was not a valid",
        ),
        ("- {technicalName: t, appType: a, properties: {s3cret: .nan}}", "properties contains NaN"),
        ("- &a {technicalName: s3cret, appType: a}\n- *a", "entry 1: entry 0 has the same technicalName"),
        ("- [s3cret", "malformed at line"),
        ("", "data_assets must be a list of data assets"),
    ],
)
def test_a_wrong_file_fails_without_retries_and_is_not_quoted(
    qlik_sandbox: Sandbox, folder: Path, text: str, message: str
) -> None:
    (folder / "sales.yaml").write_text(text)

    with pytest.raises(AirflowFailException, match=message) as raised:
        sync("sales.yaml")

    assert not qlik_sandbox.journal.requests()
    assert "s3cret" not in str(raised.value)
    assert "9999" not in str(raised.value)


def test_a_file_that_is_not_there_says_where_it_was_looked_for(folder: Path) -> None:
    with pytest.raises(AirflowFailException, match="no such file") as raised:
        sync("sales.yaml")

    assert str(folder) in str(raised.value)


def test_an_absolute_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match=r"no such file\."):
        sync(tmp_path / "sales.yaml")

"""The operator that cleans up: its arguments, its templates, its result and its end."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import DAG, AirflowFailException, BaseOperator
from airflow_provider_qlik_assets.client.errors import QlikServerError, QlikValidationError
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikCleanUpDataAssetsOperator,
    QlikPatchDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

pytestmark = pytest.mark.usefixtures("qlik_conn_id", "store")

FINE = {"data_store_ids": ["store-1"], "stale_after": timedelta(days=30)}


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@pytest.fixture(autouse=True)
def assets(qlik_sandbox: Sandbox, store: str) -> None:
    """Two stale data assets among ten, and one that is stale but to be kept."""
    for name, days, tags in [("a", 31, ["tmp"]), ("b", 400, []), ("kept", 400, ["keep"])]:
        qlik_sandbox.add_asset(
            store, id=name, technicalName=f"tmp_{name}", dataFreshness=days_ago(days), tags=tags
        )
    for number in range(7):
        qlik_sandbox.add_asset(
            store, id=f"fresh {number}", technicalName=f"t{number}", dataFreshness=days_ago(1)
        )


def operator(**arguments: Any) -> QlikCleanUpDataAssetsOperator:
    return QlikCleanUpDataAssetsOperator(
        task_id="clean_up", **{**FINE, "protected_tags": ["keep"], **arguments}
    )


def deleted(sandbox: Sandbox) -> set[str]:
    everything = {"a", "b", "kept", *(f"fresh {number}" for number in range(7))}
    return everything - set(sandbox.assets)


# --- what it does ----------------------------------------------------------------------------------------


def test_deletes_what_is_stale_and_not_protected(qlik_sandbox: Sandbox) -> None:
    result = operator().execute({})

    assert deleted(qlik_sandbox) == {"a", "b"}
    assert (result["counts"], result["dry_run"]) == ({"deleted": 2}, False)
    assert len(qlik_sandbox.journal.requests("DELETE")) == 1


def test_result_is_plain_json_and_says_why() -> None:
    result = operator().execute({})

    assert json.loads(json.dumps(result)) == result
    assert list(result) == ["counts", "results", "dry_run"]
    oldest = result["results"][0]
    assert list(oldest) == [
        "id", "technical_name", "action", "version", "changed_fields", "data_asset", "why"
    ]  # fmt: skip
    assert (oldest["id"], oldest["action"], oldest["data_asset"]["technicalName"]) == (
        "b",
        "deleted",
        "tmp_b",
    )
    assert oldest["why"]["rule"] == "dataFreshness"
    # The tenant tells its time in whole seconds.
    assert 400 * 86_400 - 2 < oldest["why"]["age_seconds"] < 400 * 86_400 + 60


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Read the log so far; on Airflow 3 an operator's own does not go through ``logging``."""
    caplog.set_level(logging.INFO)
    return lambda: caplog.text + capsys.readouterr().out


def test_log_says_what_and_why(log: Callable[[], str]) -> None:
    operator().execute({})

    text = log()
    assert "2 of 10 data assets are stale, not counting 1 protected by a tag" in text
    assert re.search(
        r"Data asset b \(tmp_b\) deleted, version 0: dataFreshness is \S+, 400.0 days ago\.", text
    )


@pytest.mark.parametrize("dry_run", [True, "True"])
def test_dry_run_deletes_nothing(qlik_sandbox: Sandbox, log: Callable[[], str], dry_run: Any) -> None:
    result = operator(dry_run=dry_run).execute({})

    assert deleted(qlik_sandbox) == set()
    assert (result["counts"], result["dry_run"]) == ({"deleted": 2}, True)
    text = log()
    assert "Data asset b (tmp_b) would be deleted, version 0: dataFreshness is" in text
    assert "Dry run: nothing was deleted" in text


def test_second_run_deletes_nothing() -> None:
    operator().execute({})

    assert operator().execute({}) == {"counts": {}, "results": [], "dry_run": False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_deletions": 1}, "max_deletions allows 1"),
        ({"max_fraction": 0.19}, "max_fraction allows 19.0%"),
        ({"protected_tags": []}, "3 of 10 data assets would be deleted.*max_fraction allows 20.0%"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_guards_fail_without_retries_and_before_the_first_deletion(
    qlik_sandbox: Sandbox, arguments: dict[str, Any], message: str, dry_run: bool
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        operator(**arguments, dry_run=dry_run).execute({})

    assert deleted(qlik_sandbox) == set()


# --- arguments when the DAG is parsed --------------------------------------------------------------------

OUTPUT = object()  # stands for another task's output

WRONG = [
    ("data_store_ids", "*", "every data store"),
    ("data_store_ids", ["store-1", "*"], "every data store"),
    ("data_store_ids", [], "data_store_ids is empty"),
    ("data_store_ids", None, "data_store_ids must be a string or a list of strings"),
    ("data_store_ids", [".."], "is not a valid id"),
    ("stale_after", 0, "stale_after must be a timedelta or a number of seconds above 0"),
    ("stale_after", timedelta(days=-1), "stale_after must be a timedelta"),
    ("stale_after", "a month", "stale_after must be a timedelta"),
    ("stale_after", None, "stale_after must be a timedelta"),
    ("undated", "delete", "undated must be 'skip' or 'use_last_modified'"),
    ("undated", None, "undated must be 'skip' or 'use_last_modified'"),
    ("app_types", [], "app_types is empty"),
    ("tags", [], "tags is empty"),
    ("tags", ["tmp", ""], "tags must be a list of non-empty strings"),
    ("tags", 5, "tags must be a string or a list of strings"),
    ("owner_ids", (), "owner_ids is empty"),
    ("technical_name_pattern", "*.bak", "is not a supported regular expression"),
    ("technical_name_pattern", "", "must be a regular expression of 1 to"),
    ("protected_tags", None, "protected_tags must be a string or a list of strings"),
    ("protected_tags", [None], "protected_tags must be a list of non-empty strings"),
    ("max_deletions", -1, "max_deletions must be a whole number"),
    ("max_deletions", "many", "max_deletions must be a whole number"),
    ("max_fraction", 20, "max_fraction must be a fraction from 0 to 1"),
    ("dry_run", "maybe", "dry_run must be true or false"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_wrong_argument(name: str, value: Any, message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        operator(**{name: value})


@pytest.mark.parametrize("name", sorted({name for name, _, _ in WRONG}))
@pytest.mark.parametrize("unknown", ["{{ params.x }}", OUTPUT])
def test_what_is_not_rendered_yet_is_not_checked(name: str, unknown: Any) -> None:
    with DAG("d", schedule=None):
        made = operator(**{name: BaseOperator(task_id="other").output if unknown is OUTPUT else unknown})

    assert made.task_id in made.dag.task_ids


@pytest.mark.parametrize("stale_after", [timedelta(days=30), 2_592_000, 2_592_000.0, "2592000"])
def test_ages_are_timedeltas_or_seconds(qlik_sandbox: Sandbox, stale_after: Any) -> None:
    operator(stale_after=stale_after).execute({})

    assert deleted(qlik_sandbox) == {"a", "b"}


def test_one_of_each_may_be_given_alone(qlik_sandbox: Sandbox) -> None:
    operator(data_store_ids="store-1", tags="tmp", protected_tags="keep", app_types="sandbox").execute({})

    assert deleted(qlik_sandbox) == {"a"}


# --- templates -------------------------------------------------------------------------------------------


def run(variables: dict[str, Any], **arguments: Any) -> Any:
    """Run the operator as a task does: constructed with templates, then rendered."""
    task = operator(**arguments)
    task.render_template_fields(variables)  # type: ignore[arg-type]
    return task.execute({})


@pytest.mark.parametrize(
    ("arguments", "x"),
    [
        ({"data_store_ids": "{{ x }}"}, "store-1"),
        ({"data_store_ids": "{{ x | tojson }}"}, ["store-1"]),
        ({"stale_after": "{{ x * 86400 }}"}, 30),
        ({"undated": "{{ x }}"}, "skip"),
        ({"app_types": ["{{ x }}"]}, "sandbox"),
        ({"owner_ids": "{{ x }}"}, "user-seed"),
        ({"technical_name_pattern": "{{ x }}_.*"}, "tmp"),
        ({"protected_tags": "{{ x | tojson }}"}, ["keep", "legal"]),
        ({"max_deletions": "{{ x }}"}, 2),
        ({"max_fraction": "{{ x }}"}, 0.2),
        ({"dry_run": "{{ x }}"}, False),
        ({"qlik_conn_id": "{{ x }}"}, "qlik_cloud_default"),
    ],
)
def test_rendered_text_works(qlik_sandbox: Sandbox, arguments: dict[str, Any], x: Any) -> None:
    run({"x": x}, **arguments)

    assert deleted(qlik_sandbox) == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "x", "message"),
    [
        ({"data_store_ids": "{{ x }}"}, "*", "every data store"),
        ({"data_store_ids": "{{ x }}"}, None, "data_store_ids became 'None'"),
        ({"data_store_ids": "{{ x | tojson }}"}, [], "data_store_ids is empty"),
        ({"stale_after": "{{ x }}"}, None, "stale_after became 'None'"),
        ({"undated": "{{ x }}"}, None, "undated became 'None'"),
        ({"tags": "{{ x | tojson }}"}, [], "tags is empty"),
        ({"protected_tags": "{{ x }}"}, None, "protected_tags became 'None'"),
        ({"protected_tags": ["{{ x }}"]}, None, r"protected_tags\[0\] became 'None'"),
        ({"protected_tags": "{{ x }}"}, ["keep"], "protected_tags was rendered to text.*tojson"),
        ({"technical_name_pattern": "{{ x }}"}, "(", "is not a supported regular expression"),
        ({"dry_run": "{{ x }}"}, None, "dry_run became 'None'"),
    ],
)
def test_wrong_text_is_named_before_anything_is_sent(
    qlik_sandbox: Sandbox, arguments: dict[str, Any], x: Any, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        run({"x": x}, **arguments)

    assert len(qlik_sandbox.journal) == 0


@pytest.mark.parametrize("nothing", [None, "", " "])
@pytest.mark.parametrize(
    "name", ["app_types", "tags", "owner_ids", "technical_name_pattern", "max_deletions", "max_fraction"]
)
def test_a_limit_that_renders_to_nothing_is_no_missing_limit(
    qlik_sandbox: Sandbox, name: str, nothing: Any
) -> None:
    with pytest.raises(AirflowFailException, match=f"^{name} became"):
        run({"x": nothing}, **{name: "{{ x }}"})

    assert len(qlik_sandbox.journal) == 0


@pytest.mark.parametrize("name", ["max_deletions", "max_fraction"])
def test_none_sets_no_limit(qlik_sandbox: Sandbox, name: str) -> None:
    operator(**{"max_deletions": 2, "max_fraction": 0.2, name: None}).execute({})

    assert deleted(qlik_sandbox) == {"a", "b"}


# --- a wait for the quota --------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"dataFreshness": days_ago(0)}, {"tags": ["keep"]}])
def test_what_is_changed_while_the_deletion_waits_survives(
    set_connection: Callable[..., str], qlik_sandbox: Sandbox, change: dict[str, Any]
) -> None:
    limits = {"tier2_limit": 1, "rate_limit_window": 3}
    set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra=limits)
    QlikPatchDataAssetOperator(task_id="use_up", data_asset_id="fresh 1", changes={"name": "New"}).execute({})
    qlik_sandbox.journal.clear()

    def change_after_the_listing() -> None:
        while not qlik_sandbox.journal.requests("GET"):
            time.sleep(0.01)
        time.sleep(0.5)
        qlik_sandbox.touch("a", **change)

    other = threading.Thread(target=change_after_the_listing)
    other.start()
    result = operator().execute({})
    other.join()

    assert deleted(qlik_sandbox) == {"b"}
    assert {row["id"]: row["action"] for row in result["results"]} == {"a": "skipped", "b": "deleted"}


# --- how it ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refusal_fails_without_retries(qlik_sandbox: Sandbox, impatient_conn_id: str, status: int) -> None:
    body = {"errors": [{"code": "X-1", "title": "Refused"}], "traceId": "trace-1"}
    qlik_sandbox.add_fault(Fault(kind="status", status=status, times=None, body=body))

    with pytest.raises(AirflowFailException, match="trace-1") as raised:
        operator(qlik_conn_id=impatient_conn_id).execute({})

    assert qlik_sandbox.api_key not in str(raised.value)


def test_an_outage_is_left_to_retries(qlik_sandbox: Sandbox, impatient_conn_id: str) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=503))
    task = operator(qlik_conn_id=impatient_conn_id)

    with pytest.raises(QlikServerError):
        task.execute({})
    assert task.execute({})["counts"] == {"deleted": 2}


def test_a_data_store_that_does_not_exist_fails_without_retries(qlik_sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="There is no data store with the id nowhere"):
        operator(data_store_ids=["store-1", "nowhere"]).execute({})

    assert deleted(qlik_sandbox) == set()


# --- in a DAG run ----------------------------------------------------------------------------------------


def test_plan_first_and_then_delete(run_dag: Callable[[DAG], Any], qlik_sandbox: Sandbox) -> None:
    with DAG(
        "plan_first",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        schedule=None,
        params={"store": "store-1", "days": 30},
    ) as dag:
        rules: dict[str, Any] = {
            "data_store_ids": ["{{ params.store }}"],
            "stale_after": "{{ params.days * 86400 }}",
            "protected_tags": ["keep"],
        }
        plan = QlikCleanUpDataAssetsOperator(task_id="plan", dry_run=True, **rules)
        delete = QlikCleanUpDataAssetsOperator(
            task_id="delete", max_deletions="{{ ti.xcom_pull('plan')['counts']['deleted'] }}", **rules
        )
        plan >> delete

    assert run_dag(dag).state == "success"
    assert deleted(qlik_sandbox) == {"a", "b"}


def test_mapped_over_data_stores(run_dag: Callable[[DAG], Any], qlik_sandbox: Sandbox) -> None:
    other = qlik_sandbox.add_store(id="store-2", name="Other")
    for number in range(5):
        instant = days_ago(400 if number == 0 else 1)
        qlik_sandbox.add_asset(other, id=f"other {number}", technicalName=f"o{number}", dataFreshness=instant)
    with DAG("mapped_clean_up", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        QlikCleanUpDataAssetsOperator.partial(
            task_id="clean_up", stale_after=timedelta(days=30), protected_tags=["keep"]
        ).expand(data_store_ids=["store-1", ["store-2"]])

    assert run_dag(dag).state == "success"
    assert deleted(qlik_sandbox) == {"a", "b"}
    assert "other 0" not in qlik_sandbox.assets
    assert "other 1" in qlik_sandbox.assets

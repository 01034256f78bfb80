from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException
from airflow_provider_qlik_assets.operators.data_assets import QlikDeleteDataAssetsOperator
from airflow_provider_qlik_assets.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("qlik_conn_id")


@pytest.fixture(autouse=True)
def assets(qlik_sandbox: Sandbox) -> None:
    for key in "abc":
        qlik_sandbox.add_asset(id=key, technicalName=f"name of {key}")


def delete(ids: Any, **arguments: Any) -> Any:
    return QlikDeleteDataAssetsOperator(task_id="delete", data_asset_ids=ids, **arguments).execute({})


def test_deletes_in_one_request(qlik_sandbox: Sandbox) -> None:
    result = delete(["a", "b", "a"])

    assert set(qlik_sandbox.assets) == {"c"}
    assert result["counts"] == {"deleted": 2}
    assert len(qlik_sandbox.journal.requests("DELETE")) == 1


def test_result_shows_the_data_asset_as_it_was() -> None:
    result = delete(["a", "gone"])

    assert json.loads(json.dumps(result)) == result
    assert list(result) == ["counts", "results", "dry_run"]
    assert result["results"][0]["data_asset"]["technicalName"] == "name of a"
    assert result["results"][1] == {
        "id": "gone", "technical_name": None, "action": "missing", "version": None, "changed_fields": [],
        "data_asset": None,
    }  # fmt: skip


def test_second_run_deletes_nothing(qlik_sandbox: Sandbox) -> None:
    delete(["a"])
    qlik_sandbox.journal.clear()

    assert delete(["a"])["counts"] == {"missing": 1}
    assert not qlik_sandbox.journal.requests("DELETE")


@pytest.mark.parametrize("dry_run", [True, "True"])
def test_dry_run_deletes_nothing(qlik_sandbox: Sandbox, dry_run: Any) -> None:
    result = delete(["a", "gone"], dry_run=dry_run)

    assert set(qlik_sandbox.assets) == set("abc")
    assert not qlik_sandbox.journal.requests("DELETE")
    assert (result["dry_run"], result["counts"]) == (True, {"deleted": 1, "missing": 1})


@pytest.mark.parametrize("dry_run", [False, "False"])
def test_no_dry_run(qlik_sandbox: Sandbox, dry_run: Any) -> None:
    assert delete(["a"], dry_run=dry_run)["dry_run"] is False
    assert "a" not in qlik_sandbox.assets


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("maximum", [1, "1"])
def test_guard_stops_before_the_first_deletion(qlik_sandbox: Sandbox, maximum: Any, dry_run: bool) -> None:
    with pytest.raises(AirflowFailException, match=r"2 data assets.*max_deletions allows 1.*nothing was"):
        delete(["a", "b"], max_deletions=maximum, dry_run=dry_run)

    assert set(qlik_sandbox.assets) == set("abc")


def test_guard_counts_what_exists(qlik_sandbox: Sandbox) -> None:
    assert delete(["a", "gone"], max_deletions=1)["counts"] == {"deleted": 1, "missing": 1}


def test_guard_of_zero_allows_none() -> None:
    with pytest.raises(AirflowFailException, match="max_deletions allows 0"):
        delete(["a"], max_deletions=0)


def test_no_ids_is_no_failure(qlik_sandbox: Sandbox) -> None:
    assert delete([]) == {"counts": {}, "results": [], "dry_run": False}
    assert not qlik_sandbox.journal.requests()

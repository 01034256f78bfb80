"""What the task after an operator gets, in a whole Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.system.whole_airflow import Airflow

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def ids(airflow: Airflow, tenant: Sandbox, run_id: str) -> dict[str, str]:
    """Ids of the data assets that the run registered, by technical name."""
    return {asset["technicalName"]: key for key, asset in tenant.assets.items()}


@pytest.fixture(scope="module")
def run_id(airflow: Airflow) -> str:
    """Id of a run of ``dags/handing_over.py`` that has ended."""
    airflow.add_dags("handing_over.py")
    run_id = airflow.run("handing_over")
    states = airflow.wait_until_ended(run_id)
    assert {state for _, state, _ in states} == {"success"}, states
    return run_id


def test_an_upsert_hands_on_a_dict(airflow: Airflow, run_id: str, ids: dict[str, str]) -> None:
    got = airflow.recorded(run_id, "upsert")
    assert got["type"] == "dict"
    assert (got["value"]["id"], got["value"]["action"]) == (ids["handed.orders"], "created")


def test_a_member_of_a_result_can_be_handed_on_alone(
    airflow: Airflow, run_id: str, ids: dict[str, str]
) -> None:
    assert airflow.recorded(run_id, "id") == {"type": "str", "value": ids["handed.orders"]}


def test_a_stamp_hands_on_a_dict(airflow: Airflow, run_id: str) -> None:
    got: dict[str, Any] = airflow.recorded(run_id, "stamp")
    assert got["type"] == "dict"
    assert got["value"]["counts"] == {"updated": 1}


def test_a_mapped_upsert_hands_on_a_list_of_dicts(airflow: Airflow, run_id: str, ids: dict[str, str]) -> None:
    names = ("handed.products", "handed.regions", "handed.stores")
    got = airflow.recorded(run_id, "mapped")
    assert [(result["id"], result["action"]) for result in got["value"]] == [
        (ids[name], "created") for name in names
    ]

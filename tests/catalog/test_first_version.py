"""Tenants whose versions begin with 0 or with 1: a version of 0 is no reason to take it for missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import set_data_freshness
from airflow_provider_qlik_assets.catalog.deletion import delete_data_assets
from airflow_provider_qlik_assets.catalog.patch import patch_data_asset
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.catalog.sync.apply import sync_data_assets
from airflow_provider_qlik_assets.catalog.upsert import upsert_data_asset
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikConflictError
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

KEY = {"technicalName": "orders", "appType": "sandbox", "dataStoreInfo": {"id": "store"}}
INSTANT = "2026-01-31T06:30:00.000Z"


@pytest.fixture(autouse=True, params=[0, 1])
def first(sandbox: Sandbox, request: pytest.FixtureRequest) -> int:
    """Add a data asset; return its version."""
    version: int = request.param
    sandbox.settings.first_version = version
    assert sandbox.add_asset("store", id="a", technicalName="orders")["version"] == version
    return version


Change = Callable[[QlikCloudClient, int], Result]
CHANGES: dict[str, Change] = {
    "patch": lambda client, first: patch_data_asset(client, "a", changes={"name": "New"}),
    "patch of that version": lambda client, first: patch_data_asset(
        client, "a", changes={"name": "New"}, expected_version=first
    ),
    "stamp": lambda client, first: set_data_freshness(client, "a", INSTANT),
    "upsert": lambda client, first: upsert_data_asset(client, {**KEY, "name": "New"}),
    "sync": lambda client, first: sync_data_assets(client, "store", [{**KEY, "name": "New"}])[0],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_is_changed_once(sandbox: Sandbox, client: QlikCloudClient, change: Change, first: int) -> None:
    result = change(client, first)

    assert (result.action, result.to_json()["version"]) == ("updated", first + 1)
    (patch,) = sandbox.journal.requests("PATCH")
    assert patch.body[0] == {"op": "test", "path": "/version", "value": first}
    assert sandbox.assets["a"]["version"] == first + 1


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_it_is_changed_once_if_the_answer_is_lost(
    sandbox: Sandbox, client: QlikCloudClient, change: Change, when: Any, first: int
) -> None:
    sandbox.add_fault(Fault(kind="drop", method="PATCH", when=when))

    assert change(client, first).action == "updated"
    assert sandbox.assets["a"]["version"] == first + 1


def test_another_version_is_a_conflict(sandbox: Sandbox, client: QlikCloudClient, first: int) -> None:
    sandbox.touch("a", description="by somebody else")

    with pytest.raises(QlikConflictError):
        patch_data_asset(client, "a", changes={"name": "New"}, expected_version=first)

    assert sandbox.assets["a"]["version"] == first + 1


def test_it_is_replaced(sandbox: Sandbox, client: QlikCloudClient, first: int) -> None:
    replaced = client.update_data_asset("a", {**KEY, "name": "New", "version": first})

    assert (replaced.version, sandbox.assets["a"]["name"]) == (first + 1, "New")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_new_one_whose_answer_is_lost_is_created_once(
    sandbox: Sandbox, client: QlikCloudClient, when: Any, first: int
) -> None:
    sandbox.add_fault(Fault(kind="drop", method="POST", when=when))

    result = upsert_data_asset(client, {**KEY, "technicalName": "new"})

    assert (result.action, result.to_json()["version"]) == ("created", first)
    assert len(sandbox.assets) == 2


def test_it_is_deleted(sandbox: Sandbox, client: QlikCloudClient) -> None:
    assert [result.action for result in delete_data_assets(client, ["a"])] == ["deleted"]
    assert sandbox.assets == {}

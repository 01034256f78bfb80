"""Upserts: create, update, leave alone, and always the same end however often."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import find_data_asset, upsert_data_asset
from airflow_provider_qlik_assets.client import (
    QlikCloudClient,
    QlikDataAssetExistsError,
    QlikNotFoundError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

EARLY, LATE = "2026-01-31T06:30:00.000Z", "2026-02-01T06:30:00.000Z"
WISH = {"dataStoreInfo": {"id": "store"}, "technicalName": "orders", "appType": "dbt"}


def writes(sandbox: Sandbox) -> list[str]:
    return [entry.method for entry in sandbox.journal.requests() if entry.method != "GET"]


def test_what_is_absent_is_created(sandbox: Sandbox, client: QlikCloudClient) -> None:
    result = upsert_data_asset(client, {**WISH, "name": "Orders", "description": None})

    (asset,) = sandbox.assets.values()
    assert (result.id, result.action) == (asset["id"], "created")
    assert result.changed_fields == ("appType", "dataStoreInfo", "name", "technicalName")
    assert asset["name"] == "Orders"
    assert writes(sandbox) == ["POST"]


def test_what_differs_is_updated_and_the_rest_survives(sandbox: Sandbox, client: QlikCloudClient) -> None:
    before = sandbox.add_asset(
        "store",
        technicalName="orders",
        appType="dbt",
        description="by a steward",
        tags=["certified"],
        properties={"team": "a", "cost": {"n": 1}},
    )

    result = upsert_data_asset(client, {**WISH, "name": "Orders", "properties": {"team": "b"}})

    after = sandbox.assets[before["id"]]
    assert (result.id, result.action) == (before["id"], "updated")
    assert result.changed_fields == ("name", "properties")
    assert {name for name in after if after[name] != before.get(name)} == {
        "name",
        "properties",
        "version",
        "lastModifiedBy",
        "lastModifiedTime",
    }
    assert after["properties"] == {"team": "b", "cost": {"n": 1}}


@pytest.mark.parametrize("unset", ["absent", "null", "empty text"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"name": None, "tags": [], "properties": {}},
        {"tags": ["b", "a"], "dataFreshness": "2026-01-31T07:30:00.0005+01:00"},
        {"properties": {"a": 1, "b": None, "c": {"d": None}}},
        {"properties": {"b": None}},
        {"name": "", "description": ""},
        {"dataStoreInfo": {"id": "store", "name": "ignored"}},
        {"version": 99, "createdBy": "me"},
    ],
    ids=str,
)
def test_doing_it_again_writes_nothing(
    sandbox: Sandbox, client: QlikCloudClient, given: Any, unset: Any
) -> None:
    sandbox.settings.unset_fields = unset
    first = upsert_data_asset(client, {**WISH, **given})
    sandbox.journal.clear()

    again = upsert_data_asset(client, {**WISH, **given})

    assert (again.id, again.action, again.changed_fields) == (first.id, "unchanged", ())
    assert writes(sandbox) == []


def test_freshness_never_goes_back(sandbox: Sandbox, client: QlikCloudClient) -> None:
    upsert_data_asset(client, {**WISH, "dataFreshness": LATE})

    result = upsert_data_asset(client, {**WISH, "dataFreshness": EARLY, "name": "Orders"})

    (asset,) = sandbox.assets.values()
    assert (asset["dataFreshness"], asset["name"]) == (LATE, "Orders")
    assert result.changed_fields == ("name",)


def test_none_clears_a_field_but_leaves_the_freshness(sandbox: Sandbox, client: QlikCloudClient) -> None:
    upsert_data_asset(client, {**WISH, "name": "Orders", "tags": ["a"], "dataFreshness": LATE})

    upsert_data_asset(client, {**WISH, "name": None, "tags": None, "dataFreshness": None})

    (asset,) = sandbox.assets.values()
    assert not asset.keys() & {"name", "tags"}
    assert asset["dataFreshness"] == LATE


@pytest.mark.parametrize(("if_exists", "action"), [("skip", "skipped"), ("update", "updated")])
def test_what_to_do_with_an_existing_one_may_be_chosen(
    sandbox: Sandbox, client: QlikCloudClient, if_exists: Any, action: str
) -> None:
    upsert_data_asset(client, WISH)

    assert upsert_data_asset(client, {**WISH, "name": "n"}, if_exists).action == action
    assert len(writes(sandbox)) == (1 if action == "skipped" else 2)


def test_an_existing_one_may_be_an_error(sandbox: Sandbox, client: QlikCloudClient) -> None:
    first = upsert_data_asset(client, WISH)

    with pytest.raises(QlikDataAssetExistsError, match=rf"Data asset {first.id} \(orders\) already exists"):
        upsert_data_asset(client, {**WISH, "name": "n"}, "fail")

    assert writes(sandbox) == ["POST"]


@pytest.mark.parametrize("if_exists", ["skip", "fail"])
def test_an_absent_one_is_created_whatever_was_chosen(client: QlikCloudClient, if_exists: Any) -> None:
    assert upsert_data_asset(client, WISH, if_exists).action == "created"


def test_an_id_means_that_data_asset(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_asset(id="a1", technicalName="other name")

    result = upsert_data_asset(client, {"id": "a1", "technicalName": "orders"})

    assert (result.action, sandbox.assets["a1"]["technicalName"]) == ("updated", "orders")
    assert sandbox.journal.requests("GET", "/api/v1/data-stores") == []


def test_an_id_that_does_not_exist_is_an_error(sandbox: Sandbox, client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError):
        upsert_data_asset(client, {**WISH, "id": "nowhere"})

    assert sandbox.assets == {}


@pytest.mark.parametrize("unknown", ["refused", "empty"])
def test_a_store_that_does_not_exist_is_an_error(
    sandbox: Sandbox, client: QlikCloudClient, unknown: Any
) -> None:
    sandbox.settings.unknown_store = unknown

    with pytest.raises(QlikNotFoundError, match="nowhere"):
        upsert_data_asset(client, {**WISH, "dataStoreInfo": {"id": "nowhere"}})


@pytest.mark.parametrize(
    ("asset", "if_exists", "message"),
    [
        ({"technicalName": "a", "appType": "b"}, "update", "needs its 'id', or 'dataStoreInfo'"),
        ({"dataStoreInfo": {"id": "s"}, "appType": "b"}, "update", "needs its 'id', or 'dataStoreInfo'"),
        ({"dataStoreInfo": {"id": "s"}, "technicalName": "a"}, "update", "needs 'appType'"),
        (WISH, "replace", "if_exists is 'replace': use 'update', 'skip' or 'fail'"),
        ({**WISH, "tags": ["a", "a"]}, "update", "tags contains a tag twice"),
        ([], "update", "must be an object"),
    ],
)
def test_what_cannot_be_found_or_created_is_refused_at_once(
    sandbox: Sandbox, client: QlikCloudClient, asset: Any, if_exists: Any, message: str
) -> None:
    with pytest.raises(QlikValidationError, match=message):
        upsert_data_asset(client, asset, if_exists)

    assert len(sandbox.journal) == 0


def test_of_several_with_the_name_the_oldest_is_used(
    sandbox: Sandbox, client: QlikCloudClient, caplog: pytest.LogCaptureFixture
) -> None:
    for key, day in (("a1", 3), ("a2", 1), ("a3", 2)):
        sandbox.add_asset("store", id=key, technicalName="orders", createdTime=f"2026-01-0{day}T00:00:00Z")

    found = find_data_asset(client, "store", "orders")

    assert found is not None
    assert found.id == "a2"
    assert "has 3 data assets with the technical name 'orders' (ids a2, a3, a1)" in caplog.text


def test_a_name_that_nobody_has_is_not_found(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_asset("store", technicalName="Orders")

    assert find_data_asset(client, "store", "orders") is None

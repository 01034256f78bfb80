"""The endpoints of data stores, where they differ from those of data assets."""

from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

STORES = "/api/v1/data-stores"


def test_a_store_lives_through_all_endpoints(sandbox: Sandbox, api) -> None:
    created = api("POST", STORES, json={"type": "snowflake", "technicalName": "wh", "uri": "snowflake://wh"})
    assert created.status_code == 201
    path = f"{STORES}/{created.json()['id']}"
    assert api("GET", path).json() == created.json()
    put = api("PUT", path, json={"type": "snowflake", "technicalName": "wh2", "version": 0})
    assert (put.status_code, put.json()["technicalName"], "uri" in put.json()) == (200, "wh2", False)
    patched = api("PATCH", path, json=[{"op": "add", "path": "/name", "value": "Warehouse"}])
    assert (patched.status_code, patched.json()["name"], patched.json()["version"]) == (200, "Warehouse", 2)
    assert api("PUT", path, json={"type": "x", "technicalName": "wh", "version": 1}).status_code == 409
    assert api("DELETE", STORES, json={"ids": [created.json()["id"]]}).status_code == 204
    assert sandbox.stores == {}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 201),
        ({"type": "x" * 64}, 201),
        ({"type": "x" * 65}, 400),
        ({"type": ""}, 400),
        ({"type": None}, 400),
        ({"technicalName": "x" * 256}, 400),
        ({"technicalName": None}, 400),
        ({"uri": "x" * 512}, 201),
        ({"uri": "x" * 513}, 400),
        ({"appType": "x"}, 400),
    ],
)
def test_create_checks_its_fields(api, fields: dict[str, Any], status: int) -> None:
    assert api("POST", STORES, json={"type": "x", "technicalName": "y", **fields}).status_code == status


def test_only_empty_stores_can_be_deleted(sandbox: Sandbox, api) -> None:
    full, empty = sandbox.add_store(name="full"), sandbox.add_store(name="empty")
    asset = sandbox.add_asset(full, technicalName="orders")["id"]
    assert api("DELETE", STORES, json={"ids": [empty, full]}).status_code == 409
    assert len(sandbox.stores) == 2
    api("DELETE", "/api/v1/data-assets", json={"ids": [asset]})
    assert api("DELETE", STORES, json={"ids": [empty, full]}).status_code == 204


def test_stores_are_listed_in_pages(sandbox: Sandbox, api) -> None:
    for number in range(3):
        sandbox.add_store(name=f"s{number}")
    answer = api("GET", STORES, params={"limit": 2, "sort": "-name", "projections": "name", "page": 1}).json()
    assert [store["name"] for store in answer["data"]] == ["s0"]
    assert (answer["page"], answer["limit"], answer["pages"], answer["total"]) == (1, 2, 2, 3)


def test_deleting_the_assets_of_stores_is_there_and_journalled(sandbox: Sandbox, api) -> None:
    stores = [sandbox.add_store(name=f"s{number}") for number in range(3)]
    for store in stores:
        sandbox.add_asset(store, technicalName="orders")
    assert api("DELETE", f"{STORES}/{stores[0]},{stores[1]}/data-assets").status_code == 204
    assert len(sandbox.assets) == 1
    assert api("DELETE", f"{STORES}/nowhere/data-assets").status_code == 404
    assert api("DELETE", f"{STORES}/*/data-assets").status_code == 204
    assert sandbox.assets == {}
    assert len(sandbox.journal.requests("DELETE", f"{STORES}/*/data-assets")) == 3

"""Switches that make a tenant odder than its documents, and the page that documents them all."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_qlik_assets.sandbox import Fault, Sandbox, SandboxSettings

STORES = "/api/v1/data-stores"


def test_the_page_documents_every_switch(sandbox: Sandbox) -> None:
    description = requests.get(f"{sandbox.url}/sandbox/openapi.json", timeout=10).json()
    lines = description["info"]["description"].splitlines()
    schema = description["components"]["schemas"]["SandboxSettings"]["properties"]

    assert schema.keys() == SandboxSettings.model_fields.keys()
    for name, field in SandboxSettings.model_fields.items():
        assert field.description, name
        assert schema[name]["description"] == field.description
        assert f"| `{name}` | `{field.default!r}` | {field.description} |" in lines


@pytest.mark.parametrize("first", [0, 1, 7])
def test_the_first_version_can_be_chosen(sandbox: Sandbox, api, first: int) -> None:
    sandbox.settings.first_version = first
    created = api.create().json()
    assert created["version"] == first
    body = {"technicalName": "orders", "appType": "dbt", "version": first}
    assert api.asset("PUT", created["id"], json=body).json()["version"] == first + 1
    key = sandbox.add_store(name="s")
    assert sandbox.stores[key]["version"] == first


def test_unset_texts_can_be_empty(sandbox: Sandbox, api) -> None:
    sandbox.settings.unset_fields = "empty text"
    created = api.create(name="Orders").json()
    texts = ("name", "description", "technicalDescription")
    assert {name: created[name] for name in texts} == {
        "name": "Orders",
        "description": "",
        "technicalDescription": "",
    }
    assert "tags" not in created
    key = created["id"]
    assert api.asset("GET", key, params={"projections": "description"}).json()["description"] == ""
    patch = [
        {"op": "test", "path": "/description", "value": ""},
        {"op": "replace", "path": "/description", "value": "all"},
    ]
    assert api.asset("PATCH", key, json=patch).json()["description"] == "all"
    assert "technicalDescription" not in sandbox.assets[key]


@pytest.mark.parametrize(("often", "count"), [("never", 0), ("sometimes", 3), ("always", 6)])
def test_errors_have_meta_as_often_as_wanted(sandbox: Sandbox, api, often: Any, count: int) -> None:
    sandbox.settings.meta_in_errors = often
    entries = [api.asset("GET", "nowhere").json()["errors"][0] for _ in range(6)]
    assert sum("meta" in entry for entry in entries) == count


def test_the_body_of_a_fault_is_its_own(sandbox: Sandbox, api) -> None:
    sandbox.settings.meta_in_errors = "always"
    body = {"errors": [{"code": "C"}]}
    sandbox.add_fault(Fault(kind="status", status=400, body=body))
    assert api.list().json() == body


def test_a_sort_by_two_fields_can_be_refused(sandbox: Sandbox, api) -> None:
    sandbox.settings.sort_by_two = False
    assert api.list(sort="name,id").status_code == 400
    assert api.list(sort="name").status_code == 200


def test_ties_can_be_unstable(sandbox: Sandbox, api) -> None:
    sandbox.settings.unstable_ties = True
    for number in range(40):
        sandbox.add_asset(technicalName=f"t{number}", name="x" if number % 2 else "y")

    def listed(sort: str | None) -> list[tuple[str, str]]:
        return [(one["name"], one["id"]) for one in api.list(sort=sort, limit=100).json()["data"]]

    one, other = listed("name"), listed("name")
    assert [name for name, _ in one] == [name for name, _ in other] == ["x"] * 20 + ["y"] * 20
    assert one != other
    assert listed("name,id") == listed("name,id") == sorted(one)
    assert listed(None) == listed(None)


def test_an_echo_repeats_the_request(sandbox: Sandbox) -> None:
    sandbox.add_fault(Fault(kind="echo", path="/oauth/token"))
    body = {"client_id": sandbox.client_id, "client_secret": "s3cret", "grant_type": "client_credentials"}
    response = requests.post(f"{sandbox.url}/oauth/token", json=body, timeout=10)
    assert response.status_code == 400
    assert "s3cret" in response.json()["errors"][0]["detail"]


def test_a_status_of_3xx_need_not_say_where_to_go(sandbox: Sandbox, api) -> None:
    sandbox.add_fault(Fault(kind="status", status=302))
    response = api.list()
    assert (response.status_code, "Location" in response.headers) == (302, False)


@pytest.mark.parametrize("stores", ["s", "*"])
@pytest.mark.parametrize("assets", ["a", "*"])
def test_there_are_no_data_sets(sandbox: Sandbox, api, stores: str, assets: str) -> None:
    sandbox.add_store(id="s", name="s")
    sandbox.add_asset("s", id="a", technicalName="t")
    path = f"{STORES}/{stores}/data-assets/{assets}/data-sets"
    page = api("GET", path).json()
    assert (page["data"], page["pages"], page["total"]) == ([], 0, 0)
    assert api("DELETE", path).status_code == 204
    assert api("GET", f"{STORES}/nowhere/data-assets/*/data-sets").status_code == 404
    assert api("GET", f"{STORES}/*/data-assets/nowhere/data-sets").status_code == 404


def test_a_touch_may_say_when_it_was(sandbox: Sandbox) -> None:
    key = sandbox.add_asset(technicalName="t")["id"]
    touched = sandbox.touch(key, name="x", lastModifiedTime="2026-01-01T00:00:00Z")
    assert (touched["lastModifiedTime"], touched["version"]) == ("2026-01-01T00:00:00.000Z", 1)

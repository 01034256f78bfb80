"""JSON Patch over HTTP."""

from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox


@pytest.fixture
def key(sandbox: Sandbox) -> str:
    store = sandbox.add_store(id="w", name="warehouse")
    asset = sandbox.add_asset(
        store,
        id="a",
        technicalName="orders",
        appType="dbt",
        name="Orders",
        tags=["a", "b"],
        properties={"x/y": 1},
    )
    key: str = asset["id"]
    return key


@pytest.mark.parametrize(
    ("operations", "changed"),
    [
        ([], {}),
        ([{"op": "add", "path": "/description", "value": "d"}], {"description": "d"}),
        ([{"op": "add", "path": "/name", "value": "n"}], {"name": "n"}),
        ([{"op": "replace", "path": "/name", "value": "n", "comment": "ignored"}], {"name": "n"}),
        ([{"op": "replace", "path": "/name", "value": None}], {"name": None}),
        ([{"op": "remove", "path": "/name"}], {"name": None}),
        ([{"op": "add", "path": "/tags/-", "value": "c"}], {"tags": ["a", "b", "c"]}),
        ([{"op": "remove", "path": "/tags/0"}], {"tags": ["b"]}),
        ([{"op": "replace", "path": "/properties/x~1y", "value": None}], {"properties": {"x/y": None}}),
        ([{"op": "move", "from": "/name", "path": "/description"}], {"name": None, "description": "Orders"}),
        ([{"op": "copy", "from": "/tags/0", "path": "/description"}], {"description": "a"}),
        ([{"op": "test", "path": "/version", "value": 0}, {"op": "remove", "path": "/name"}], {"name": None}),
        (
            [{"op": "add", "path": "/dataFreshness", "value": "2024-01-01T00:00:00+00:00"}],
            {"dataFreshness": "2024-01-01T00:00:00.000Z"},
        ),
        ([{"op": "replace", "path": "/dataStoreInfo", "value": {"id": "w"}}], {}),
        ([{"op": "remove", "path": "/dataStoreInfo"}], {"dataStoreInfo": None}),
        ([{"op": "remove", "path": "/ownerId"}], {}),
    ],
)
def test_patch_changes(sandbox: Sandbox, api, key: str, operations: Any, changed: dict[str, Any]) -> None:
    old = sandbox.assets[key]
    response = api.asset("PATCH", key, json=operations)
    assert response.status_code == 200
    new = sandbox.assets[key]
    assert {k: v for k, v in response.json().items() if k != "sandboxInternal"} == new
    different = {k: new.get(k) for k in old.keys() | new.keys() if old.get(k) != new.get(k)}
    assert different.pop("version") == old["version"] + 1
    assert different.pop("lastModifiedBy") == "user-full-access"
    different.pop("lastModifiedTime", None)
    assert different == changed


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ({"op": "remove", "path": "/name"}, 400),
        ("remove", 400),
        ([["remove"]], 400),
        ([{"op": "explode", "path": "/name"}], 400),
        ([{"op": "remove"}], 400),
        ([{"op": "remove", "path": "name"}], 400),
        ([{"op": "remove", "path": "/na~me"}], 400),
        ([{"op": "replace", "path": "", "value": {}}], 400),
        ([{"op": "add", "path": "/name"}], 400),
        ([{"op": "test", "path": "/name"}], 400),
        ([{"op": "move", "path": "/name"}], 400),
        ([{"op": "copy", "path": "/name", "from": 1}], 400),
        ([{"op": "replace", "path": "/tags/-", "value": "c"}], 400),
        ([{"op": "replace", "path": "/name", "value": 1}], 400),
        ([{"op": "replace", "path": "/name", "value": "x" * 256}], 400),
        ([{"op": "remove", "path": "/technicalName"}], 400),
        ([{"op": "add", "path": "/tags/-", "value": "a"}], 400),
        ([{"op": "add", "path": "/dataFreshness", "value": "today"}], 400),
        ([{"op": "add", "path": "/colour", "value": "red"}], 400),
        ([{"op": "replace", "path": "/id", "value": "b"}], 400),
        ([{"op": "replace", "path": "/version", "value": 7}], 400),
        ([{"op": "replace", "path": "/version", "value": False}], 400),
        ([{"op": "remove", "path": "/version"}], 400),
        ([{"op": "replace", "path": "/createdBy", "value": "me"}], 400),
        ([{"op": "remove", "path": "/lastModifiedTime"}], 400),
        ([{"op": "remove", "path": "/description"}], 409),
        ([{"op": "remove", "path": "/properties/a/b"}], 409),
        ([{"op": "replace", "path": "/description", "value": "d"}], 409),
        ([{"op": "move", "from": "/description", "path": "/name"}], 409),
        ([{"op": "copy", "from": "/description", "path": "/name"}], 409),
        ([{"op": "add", "path": "/tags/9", "value": "c"}], 409),
        ([{"op": "add", "path": "/tags/x", "value": "c"}], 409),
        ([{"op": "add", "path": "/name/x", "value": "c"}], 409),
        ([{"op": "add", "path": "/version/x", "value": "c"}], 409),
        ([{"op": "move", "from": "/properties", "path": "/properties/x"}], 409),
        ([{"op": "test", "path": "/version", "value": 1}], 409),
        ([{"op": "test", "path": "/description", "value": None}], 409),
        ([{"op": "replace", "path": "/dataStoreInfo", "value": {"id": "nowhere"}}], 404),
    ],
)
def test_patch_refuses_and_changes_nothing(
    sandbox: Sandbox, api, key: str, operations: Any, status: int
) -> None:
    old = sandbox.assets
    first = {"op": "add", "path": "/technicalDescription", "value": "applied first, then undone"}
    sent = [first, *operations] if isinstance(operations, list) else operations
    response = api.asset("PATCH", key, json=sent)
    assert response.status_code == status, response.text
    assert response.json()["traceId"]
    assert sandbox.assets == old


@pytest.mark.parametrize("status", [400, 409, 412])
def test_a_failing_test_answers_the_chosen_status(sandbox: Sandbox, api, key: str, status: Any) -> None:
    sandbox.settings.failed_test_status = status
    response = api.asset("PATCH", key, json=[{"op": "test", "path": "/name", "value": "other"}])
    assert response.status_code == status


def test_patch_answers_204_without_body_if_the_switch_says_so(sandbox: Sandbox, api, key: str) -> None:
    sandbox.settings.patch_answers_204 = True
    response = api.asset("PATCH", key, json=[{"op": "replace", "path": "/name", "value": "n"}])
    assert (response.status_code, response.content) == (204, b"")
    assert sandbox.assets[key]["name"] == "n"


def test_replace_of_an_unset_property_works_if_the_switch_says_so(sandbox: Sandbox, api, key: str) -> None:
    sandbox.settings.replace_unset = "allowed"
    response = api.asset("PATCH", key, json=[{"op": "replace", "path": "/description", "value": "d"}])
    assert response.json()["description"] == "d"


def test_unset_properties_that_are_shown_as_null_can_be_tested_for_null(
    sandbox: Sandbox, api, key: str
) -> None:
    sandbox.settings.unset_fields = "null"
    test = {"op": "test", "path": "/description", "value": None}
    add, replace = ({"op": op, "path": "/description", "value": "d"} for op in ("add", "replace"))
    assert api.asset("PATCH", key, json=[test, replace]).status_code == 409
    assert api.asset("PATCH", key, json=[test, add]).json()["description"] == "d"


def test_only_json_is_accepted_as_content_type(api, key: str) -> None:
    response = api.asset("PATCH", key, data=b"[]", headers={"Content-Type": "application/json-patch+json"})
    assert response.status_code == 400
    response = api.asset(
        "PATCH", key, data=b"[]", headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )
    assert response.status_code == 200

"""The five endpoints of data assets."""

from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

READ_ONLY = ["tenantId", "createdBy", "createdTime", "lastModifiedBy", "lastModifiedTime"]


def problem(response: Any) -> str:
    """Return the details of an error reply, after checking its shape."""
    body = response.json()
    assert isinstance(body["traceId"], str)
    assert body["traceId"]
    assert body["errors"]
    for error in body["errors"]:
        assert error["status"] == str(response.status_code)
        assert error["code"]
        assert error["title"]
    return " ".join(error["detail"] for error in body["errors"])


def test_create_answers_201_with_the_stored_document(sandbox: Sandbox, api) -> None:
    store = sandbox.add_store(name="warehouse", type="snowflake")
    sent = {
        "technicalName": "orders",
        "appType": "dbt",
        "name": "Orders ü",
        "tags": ["gold", "pii"],
        "properties": {"rows": 3, "nested": {"null": None}},
        "dataFreshness": "2024-01-01T01:00:00.1239+01:00",
        "dataStoreInfo": {"id": store},
    }
    response = api.create(**sent)
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    key = document["id"]
    assert document.pop("sandboxInternal")
    assert sandbox.assets == {key: document}
    assert document["version"] == 0
    assert document["dataFreshness"] == "2024-01-01T00:00:00.123Z"
    assert document["dataStoreInfo"] == {"id": store, "name": "warehouse", "type": "snowflake"}
    assert {name: document[name] for name in ("name", "tags", "properties")} == {
        name: sent[name] for name in ("name", "tags", "properties")
    }
    assert document["createdTime"] == document["lastModifiedTime"]
    assert document["ownerId"] == document["createdBy"] == document["lastModifiedBy"] == "user-full-access"


def test_read_only_fields_are_ignored_on_create(api) -> None:
    sent = dict.fromkeys(READ_ONLY, "2000-01-01T00:00:00.000Z")
    document = api.create(**sent).json()
    assert not [name for name in READ_ONLY if document[name] == sent[name]]


@pytest.mark.parametrize(
    "fields",
    [
        {"technicalName": "x"},
        {"technicalName": "x" * 255},
        {"appType": ""},
        {"name": ""},
        {"name": "ü" * 255},
        {"description": "x" * 1024},
        {"technicalDescription": "x" * 1024},
        {"tags": []},
        {"id": None, "version": None, "name": None, "tags": None, "dataStoreInfo": None},
        {"properties": {"": [1, None, {"a": 1.5}]}},
    ],
)
def test_create_accepts(api, fields: dict[str, Any]) -> None:
    assert api.create(**fields).status_code == 201


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"technicalName": None}, "technicalName"),
        ({"technicalName": ""}, "technicalName"),
        ({"technicalName": "x" * 256}, "technicalName"),
        ({"technicalName": 1}, "technicalName"),
        ({"appType": None}, "appType"),
        ({"name": "x" * 256}, "name"),
        ({"description": "x" * 1025}, "description"),
        ({"technicalDescription": "x" * 1025}, "technicalDescription"),
        ({"tags": "gold"}, "tags"),
        ({"tags": ["gold", 1]}, "tags/1"),
        ({"tags": ["gold", "gold"]}, "tags"),
        ({"id": "mine"}, "id"),
        ({"version": 0}, "version"),
        ({"version": 1}, "version"),
        ({"properties": []}, "properties"),
        ({"dataFreshness": "yesterday"}, "dataFreshness"),
        ({"dataFreshness": 1704067200}, "dataFreshness"),
        ({"dataStoreInfo": {}}, "dataStoreInfo/id"),
        ({"dataStoreInfo": "warehouse"}, "dataStoreInfo"),
        ({"dataStoreInfo": {"id": "x", "colour": "red"}}, "dataStoreInfo/colour"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_create_refuses(sandbox: Sandbox, api, fields: dict[str, Any], named: str) -> None:
    response = api.create(**fields)
    assert response.status_code == 400
    assert named in problem(response)
    assert sandbox.assets == {}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff", "application/json"),
        (b'{"technicalName":"x","appType":"y","properties":{"a":NaN}}', "application/json"),
        (b'{"technicalName":"x","appType":"y","properties":{"a":"\\ud800"}}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"technicalName":"x","appType":"y"}', "text/plain"),
        (b'{"technicalName":"x","appType":"y"}', ""),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(api, body: bytes, content_type: str) -> None:
    response = api("POST", "/api/v1/data-assets", data=body, headers={"Content-Type": content_type})
    assert response.status_code == 400
    assert problem(response)


def test_unknown_fields_are_ignored_if_the_switch_says_so(sandbox: Sandbox, api) -> None:
    sandbox.settings.unknown_request_fields = "ignored"
    store = sandbox.add_store(name="w")
    response = api.create(colour="red", dataStoreInfo={"id": store, "colour": "red"})
    assert response.status_code == 201
    assert "colour" not in response.json()


def test_an_asset_of_an_unknown_store_is_refused(api) -> None:
    response = api.create(dataStoreInfo={"id": "nowhere"})
    assert response.status_code == 404
    assert "nowhere" in problem(response)


def test_a_taken_natural_key_is_refused(sandbox: Sandbox, api) -> None:
    store, other = sandbox.add_store(name="w"), sandbox.add_store(name="v")
    assert api.create(dataStoreInfo={"id": store}).status_code == 201
    assert api.create(dataStoreInfo={"id": store}).status_code == 409
    assert api.create(dataStoreInfo={"id": other}).status_code == 201
    assert api.create().status_code == 201
    assert api.create().status_code == 201


def test_a_natural_key_is_free_again_after_a_rename_or_deletion(sandbox: Sandbox, api) -> None:
    store = sandbox.add_store(name="w")
    key = api.create(dataStoreInfo={"id": store}).json()["id"]
    rename = [{"op": "replace", "path": "/technicalName", "value": "renamed"}]
    assert api.asset("PATCH", key, json=rename).status_code == 200
    again = api.create(dataStoreInfo={"id": store})
    assert again.status_code == 201
    assert api.asset("PATCH", again.json()["id"], json=rename).status_code == 409
    assert api("DELETE", "/api/v1/data-assets", json={"ids": [key]}).status_code == 204
    assert api.asset("PATCH", again.json()["id"], json=rename).status_code == 200


def test_a_natural_key_is_free_again_after_a_reset(sandbox: Sandbox, api) -> None:
    for _ in range(2):
        sandbox.reset()
        sandbox.add_store(id="w", name="w")
        assert api.create(dataStoreInfo={"id": "w"}).status_code == 201


def test_a_taken_natural_key_is_accepted_if_the_switch_says_so(sandbox: Sandbox, api) -> None:
    sandbox.settings.duplicate_technical_name = "allowed"
    store = sandbox.add_store(name="w")
    assert [api.create(dataStoreInfo={"id": store}).status_code for _ in range(2)] == [201, 201]


@pytest.mark.parametrize("key", ["plain", "a/b", "50%", "%2F", "ü€😀", "a b+c", "a?b#c", "*", "a,b"])
def test_any_id_can_be_read_percent_encoded(sandbox: Sandbox, api, key: str) -> None:
    sandbox.add_asset(id=key, technicalName="orders")
    assert api.asset("GET", key).json()["id"] == key


def test_an_unknown_id_answers_404(api) -> None:
    for method, body in (
        ("GET", None),
        ("PUT", {"technicalName": "x", "appType": "y", "version": 1}),
        ("PATCH", []),
    ):
        response = api.asset(method, "nobody", json=body)
        assert response.status_code == 404
        assert "nobody" in problem(response)


def test_projections_limit_the_fields(sandbox: Sandbox, api) -> None:
    sandbox.settings.undocumented_field = False
    key = sandbox.add_asset(technicalName="orders", name="Orders")["id"]
    assert api.asset("GET", key, params={"projections": "name,version"}).json() == {
        "name": "Orders",
        "version": 0,
    }
    assert api.asset("GET", key, params={"projections": "colour"}).status_code == 400
    sandbox.settings.unknown_projection = "ignored"
    sandbox.settings.id_in_projections = "always"
    answer = api.asset("GET", key, params={"projections": ["colour", "name"]}).json()
    assert answer == {"id": key, "name": "Orders"}


def test_unset_fields_and_the_undocumented_field_follow_the_switches(sandbox: Sandbox, api) -> None:
    key = sandbox.add_asset(technicalName="orders")["id"]
    answer = api.asset("GET", key).json()
    assert "description" not in answer
    assert "sandboxInternal" in answer
    sandbox.settings.unset_fields = "null"
    sandbox.settings.undocumented_field = False
    answer = api.asset("GET", key).json()
    assert answer["description"] is None
    assert "sandboxInternal" not in answer
    assert api.asset("GET", key, params={"projections": "tags"}).json() == {"tags": None}


def test_put_replaces_everything_that_can_be_set(sandbox: Sandbox, api) -> None:
    old = sandbox.add_asset(technicalName="orders", name="Orders", tags=["gold"], ownerId="someone")
    body = {"technicalName": "orders", "appType": "new", "version": 0, "createdBy": "me", "id": old["id"]}
    response = api.asset("PUT", old["id"], json=body)
    assert response.status_code == 200
    new = sandbox.assets[old["id"]]
    assert "name" not in new
    assert "tags" not in new
    assert (new["appType"], new["version"], new["ownerId"]) == ("new", 1, "someone")
    assert (new["createdBy"], new["createdTime"]) == (old["createdBy"], old["createdTime"])
    assert new["lastModifiedBy"] == "user-full-access"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"version": None}, "version"),
        ({"version": "0"}, "version"),
        ({"version": False}, "version"),
        ({"version": 0.0}, "version"),
        ({"version": 2**63}, "version"),
        ({"id": "other"}, "id"),
        ({"technicalName": None}, "technicalName"),
        ({"sandboxInternal": {}}, "sandboxInternal"),
    ],
)
def test_put_refuses(sandbox: Sandbox, api, changes: dict[str, Any], named: str) -> None:
    old = sandbox.add_asset(technicalName="orders")
    body = {"technicalName": "orders", "appType": "new", "version": old["version"], **changes}
    response = api.asset("PUT", old["id"], json=body)
    assert response.status_code == 400
    assert named in problem(response)
    assert sandbox.assets[old["id"]] == old


@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize("version", [1, 3])
def test_put_with_another_version_is_refused(sandbox: Sandbox, api, status: Any, version: int) -> None:
    sandbox.settings.stale_version_status = status
    old = sandbox.add_asset(technicalName="orders", version=2)
    body = {"technicalName": "orders", "appType": "new", "version": version}
    assert api.asset("PUT", old["id"], json=body).status_code == status
    assert sandbox.assets[old["id"]] == old


@pytest.mark.parametrize(("raises", "version"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_unchanged_write_raises_the_version_or_not(
    sandbox: Sandbox, api, method: str, raises: bool, version: int
) -> None:
    sandbox.settings.unchanged_write_raises_version = raises
    store = sandbox.add_store(name="w")
    old = sandbox.add_asset(
        store, technicalName="orders", appType="dbt", dataFreshness="2024-01-01T00:00:00Z"
    )
    put = {
        "technicalName": "orders",
        "appType": "dbt",
        "version": old["version"],
        "dataFreshness": "2024-01-01T01:00:00.0009+01:00",
        "dataStoreInfo": {"id": store},
    }
    patch = [{"op": "replace", "path": "/appType", "value": "dbt"}]
    response = api.asset(method, old["id"], json=put if method == "PUT" else patch)
    assert response.status_code == 200
    assert response.json()["version"] == sandbox.assets[old["id"]]["version"] == version


def test_touch_is_a_change_by_somebody_else(sandbox: Sandbox) -> None:
    old = sandbox.add_asset(technicalName="orders", name="Orders", lastModifiedTime="2020-01-01T00:00:00Z")
    new = sandbox.touch(old["id"], dataFreshness="2024-01-01T00:00:00Z", name=None)
    assert new == sandbox.assets[old["id"]]
    assert new["version"] == old["version"] + 1
    assert new["lastModifiedTime"] > old["lastModifiedTime"] == "2020-01-01T00:00:00.000Z"
    assert new["lastModifiedBy"] != old["lastModifiedBy"]
    assert "name" not in new


def test_assets_is_a_copy(sandbox: Sandbox) -> None:
    asset = sandbox.add_asset(technicalName="orders", tags=["a"])
    asset["tags"].append("b")
    sandbox.assets[asset["id"]]["tags"].append("c")
    assert sandbox.assets[asset["id"]]["tags"] == ["a"]


def test_delete_removes_the_named_assets(sandbox: Sandbox, api) -> None:
    keys = [sandbox.add_asset(technicalName=f"t{number}")["id"] for number in range(3)]
    response = api("DELETE", "/api/v1/data-assets", json={"ids": keys[:2]})
    assert (response.status_code, response.content) == (204, b"")
    assert list(sandbox.assets) == keys[2:]
    assert api("DELETE", "/api/v1/data-assets", json={}).status_code == 204


@pytest.mark.parametrize(("switch", "status", "left"), [("refused", 404, 1), ("ignored", 204, 0)])
def test_deleting_unknown_ids(sandbox: Sandbox, api, switch: Any, status: int, left: int) -> None:
    sandbox.settings.unknown_delete_ids = switch
    key = sandbox.add_asset(technicalName="orders")["id"]
    assert api("DELETE", "/api/v1/data-assets", json={"ids": ["gone", key]}).status_code == status
    assert len(sandbox.assets) == left


@pytest.mark.parametrize(
    "body", [{"ids": ["a", "a"]}, {"ids": "a"}, {"ids": [1]}, {"ids": None}, {"id": []}, []]
)
def test_delete_refuses(api, body: Any) -> None:
    assert api("DELETE", "/api/v1/data-assets", json=body).status_code == 400


@pytest.mark.parametrize(("most", "status"), [(100, 400), (101, 204), (None, 204)])
def test_delete_takes_so_many_ids(sandbox: Sandbox, api, most: int | None, status: int) -> None:
    sandbox.settings.max_delete_ids = most
    keys = [sandbox.add_asset(technicalName=f"t{number}")["id"] for number in range(101)]
    assert api("DELETE", "/api/v1/data-assets", json={"ids": keys}).status_code == status
    assert len(sandbox.assets) == (101 if status == 400 else 0)


def test_a_path_or_method_that_is_not_there_has_an_error_body(api) -> None:
    missing = api("GET", "/api/v1/colours")
    assert missing.status_code == 404
    assert problem(missing)
    refused = api("PUT", "/api/v1/data-assets", json={})
    assert refused.status_code == 405
    assert problem(refused)
    assert refused.headers["Allow"] == "DELETE, POST"

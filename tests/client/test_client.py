"""The endpoints of data assets: what is sent, what comes back, what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    QlikBadRequestError,
    QlikCloudClient,
    QlikConflictError,
    QlikConnectionError,
    QlikNotFoundError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

ODD_IDS = [
    "a/b",
    "../x",
    "..a",
    "%",
    "%2F",
    "a?b#c",
    "ключ",
    "a b",
    "é",
    "x" * 1000,
    "a;b=c",
    "*",
    "a,b",
    "+",
]


def test_create_sends_what_was_given_and_returns_what_came_of_it(
    sandbox: Sandbox, client: QlikCloudClient, store_id: str
) -> None:
    created = client.create_data_asset(
        {"technicalName": "orders", "appType": "dbt", "name": None, "dataStoreInfo": {"id": store_id}}
    )

    assert sandbox.journal.requests()[0].body == {
        "technicalName": "orders",
        "appType": "dbt",
        "dataStoreInfo": {"id": store_id},
    }
    assert created.to_json()["sandboxInternal"] == {"shard": 7}
    assert (created.version, created.data_store_info and created.data_store_info.name) == (0, "Store")


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        ({"appType": "dbt"}, "is missing technicalName"),
        ({}, "is missing technicalName, appType"),
        ({"technicalName": "a", "appType": None}, "is missing appType"),
        ({"technicalName": "a", "appType": "b", "id": "a1"}, "must not have an 'id' or a 'version'"),
        ({"technicalName": "a", "appType": "b", "version": 0}, "must not have an 'id' or a 'version'"),
        ({"technicalName": "a", "appType": "b", "version": 1}, "must not have an 'id' or a 'version'"),
        (None, "must be an object"),
    ],
)
def test_what_cannot_be_created_is_not_sent(
    sandbox: Sandbox, client: QlikCloudClient, asset: Any, message: str
) -> None:
    with pytest.raises(QlikValidationError, match=message):
        client.create_data_asset(asset)

    assert len(sandbox.journal) == 0


def test_create_is_never_repeated_when_its_outcome_is_unknown(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.add_fault(Fault(kind="drop", when="after"))

    with pytest.raises(QlikConnectionError):
        client.create_data_asset({"technicalName": "a", "appType": "b"})

    assert len(sandbox.journal) == 1


@pytest.mark.parametrize("data_asset_id", ODD_IDS)
def test_an_id_of_any_characters_is_that_asset(
    sandbox: Sandbox, client: QlikCloudClient, data_asset_id: str
) -> None:
    sandbox.add_asset(id=data_asset_id, technicalName="orders")

    assert client.get_data_asset(data_asset_id).id == data_asset_id
    client.patch_data_asset(data_asset_id, [{"op": "add", "path": "/name", "value": "n"}])
    client.update_data_asset(data_asset_id, {"technicalName": "t", "appType": "a", "version": 1})
    client.delete_data_assets([data_asset_id])
    assert sandbox.assets == {}


@pytest.mark.parametrize("data_asset_id", ["", " ", ".", "..", "a\r\nb", "\0", "x" * 2000, None, 5])
@pytest.mark.parametrize(
    "call",
    [
        lambda client, key: client.get_data_asset(key),
        lambda client, key: client.update_data_asset(key, {}),
        lambda client, key: client.patch_data_asset(key, []),
        lambda client, key: client.delete_data_assets([key]),
    ],
    ids=["get", "update", "patch", "delete"],
)
def test_what_is_no_id_is_not_sent(
    sandbox: Sandbox, client: QlikCloudClient, data_asset_id: Any, call: Any
) -> None:
    with pytest.raises(QlikValidationError):
        call(client, data_asset_id)

    assert len(sandbox.journal) == 0


def test_get_returns_the_fields_asked_for(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_asset(id="a1", technicalName="orders")

    asset = client.get_data_asset("a1", projections=["technicalName", "version"])

    assert sandbox.journal.requests()[0].query == {"projections": "id,technicalName,version"}
    assert asset.model_fields_set == {"id", "technical_name", "version"}


def test_what_does_not_exist_is_its_own_error(client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError):
        client.get_data_asset("nowhere")


# --- full updates ----------------------------------------------------------------------------------------

WISH = {"technicalName": "orders", "appType": "dbt", "name": "Orders", "version": 0}


@pytest.fixture
def asset_id(sandbox: Sandbox) -> str:
    return str(sandbox.add_asset(id="a1", technicalName="orders", description="old")["id"])


def test_update_replaces_all(sandbox: Sandbox, client: QlikCloudClient, asset_id: str) -> None:
    after = client.update_data_asset(asset_id, WISH)

    assert after.version == 1
    assert "description" not in sandbox.assets[asset_id]
    assert sandbox.journal.requests()[0].body == {**WISH, "id": "a1"}


def test_what_was_read_may_be_sent_back(sandbox: Sandbox, client: QlikCloudClient, asset_id: str) -> None:
    before = sandbox.assets[asset_id]

    client.update_data_asset(asset_id, client.get_data_asset(asset_id))

    assert sandbox.assets[asset_id]["description"] == before["description"]


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        ({"technicalName": "a", "appType": "b"}, "is missing version"),
        ({**WISH, "id": "a2"}, "The 'id' in the data asset must be 'a1' or left out, not 'a2'"),
        ({}, "is missing technicalName, appType, version"),
    ],
)
def test_an_update_that_cannot_succeed_is_not_sent(
    sandbox: Sandbox, client: QlikCloudClient, asset: Any, message: str
) -> None:
    with pytest.raises(QlikValidationError, match=message):
        client.update_data_asset("a1", asset)

    assert len(sandbox.journal) == 0


@pytest.mark.parametrize("status", [400, 409, 412])
def test_an_update_of_another_version_is_refused(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str, status: Any
) -> None:
    sandbox.settings.stale_version_status = status

    with pytest.raises(QlikConflictError if status != 400 else QlikBadRequestError) as caught:
        client.update_data_asset(asset_id, {**WISH, "version": 7})

    assert caught.value.http_status == status
    assert len(sandbox.journal) == 1


@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize("fault", [{"kind": "drop"}, {"kind": "truncate"}, {"kind": "html", "status": 502}])
def test_an_update_whose_answer_was_lost_is_done_once(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str, status: Any, fault: dict[str, Any]
) -> None:
    sandbox.settings.stale_version_status = status
    sandbox.add_fault(Fault(**fault, method="PUT", when="after"))

    after = client.update_data_asset(asset_id, {**WISH, "tags": ["b", "a"], "properties": {"n": {"x": 1}}})

    assert (after.version, after.name) == (1, "Orders")
    assert sandbox.assets[asset_id]["version"] == 1


@pytest.mark.parametrize("status", [400, 409])
def test_an_update_that_lost_to_another_one_is_an_error(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str, status: Any
) -> None:
    sandbox.settings.stale_version_status = status
    sandbox.add_fault(Fault(kind="drop", method="PUT"))
    sandbox.touch(asset_id, name="Another name")

    with pytest.raises((QlikConflictError, QlikBadRequestError)):
        client.update_data_asset(asset_id, WISH)

    assert sandbox.assets[asset_id]["name"] == "Another name"


# --- patches ---------------------------------------------------------------------------------------------


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


@pytest.mark.parametrize("answers_204", [False, True])
def test_patch_returns_the_data_asset_afterwards(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str, answers_204: bool
) -> None:
    sandbox.settings.patch_answers_204 = answers_204

    after = client.patch_data_asset(asset_id, [add("/name", "n")])

    assert (after.id, after.name, after.version) == ("a1", "n", 1)
    assert len(sandbox.journal) == (2 if answers_204 else 1)
    assert sandbox.journal.requests("PATCH")[0].headers["content-type"] == "application/json"


def test_a_patch_that_cannot_succeed_is_not_sent(sandbox: Sandbox, client: QlikCloudClient) -> None:
    with pytest.raises(QlikValidationError):
        client.patch_data_asset("a1", [{"op": "append", "path": "/tags", "value": "a"}])

    assert len(sandbox.journal) == 0


@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize("answers_204", [False, True])
@pytest.mark.parametrize(
    "operations",
    [
        [add("/name", "n")],
        [{"op": "test", "path": "/version", "value": 0}, add("/name", "n")],
        [{"op": "test", "path": "/version", "value": 0}, {"op": "remove", "path": "/description"}],
    ],
    ids=["idempotent", "guarded", "guarded removal"],
)
def test_a_patch_whose_answer_was_lost_is_done_once(
    *,
    sandbox: Sandbox,
    client: QlikCloudClient,
    asset_id: str,
    status: Any,
    answers_204: bool,
    operations: Any,
) -> None:
    sandbox.settings.patch_answers_204 = answers_204
    sandbox.settings.failed_test_status = status
    sandbox.settings.unchanged_write_raises_version = False
    sandbox.add_fault(Fault(kind="drop", method="PATCH", when="after"))

    assert client.patch_data_asset(asset_id, operations).version == 1

    assert sandbox.assets[asset_id]["version"] == 1


def test_a_patch_that_is_not_safe_to_repeat_is_sent_once(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str
) -> None:
    sandbox.touch(asset_id, tags=["a"])
    sandbox.add_fault(Fault(kind="drop", method="PATCH", when="after"))

    with pytest.raises(QlikConnectionError, match="may or may not have been made"):
        client.patch_data_asset(asset_id, [add("/tags/-", "b")])

    assert sandbox.assets[asset_id]["tags"] == ["a", "b"]


def test_a_failed_test_is_a_conflict(sandbox: Sandbox, client: QlikCloudClient, asset_id: str) -> None:
    with pytest.raises(QlikConflictError, match="409"):
        client.patch_data_asset(asset_id, [{"op": "test", "path": "/version", "value": 7}, add("/name", "n")])

    assert len(sandbox.journal) == 1


@pytest.mark.parametrize("status", [400, 409])
def test_a_failed_test_after_a_lost_request_is_still_a_conflict(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str, status: Any
) -> None:
    sandbox.settings.failed_test_status = status
    sandbox.add_fault(Fault(kind="drop", method="PATCH"))

    with pytest.raises((QlikConflictError, QlikBadRequestError)):
        client.patch_data_asset(asset_id, [{"op": "test", "path": "/version", "value": 7}, add("/name", "n")])

    assert "name" not in sandbox.assets[asset_id]


# --- deletions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [[], ["a", "a"], [str(number) for number in range(101)], "abc", "a"])
def test_what_is_no_batch_to_delete_is_not_sent(sandbox: Sandbox, client: QlikCloudClient, ids: Any) -> None:
    with pytest.raises(QlikValidationError, match="a list of 1 to 100 different ids"):
        client.delete_data_assets(ids)

    assert len(sandbox.journal) == 0


@pytest.mark.parametrize("unknown", ["refused", "ignored"])
def test_a_deletion_whose_answer_was_lost_is_done(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str, unknown: Any
) -> None:
    sandbox.settings.unknown_delete_ids = unknown
    sandbox.add_fault(Fault(kind="drop", method="DELETE", when="after"))

    client.delete_data_assets([asset_id])

    assert sandbox.assets == {}


def test_a_deletion_of_what_does_not_exist_is_an_error(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str
) -> None:
    with pytest.raises(QlikNotFoundError):
        client.delete_data_assets([asset_id, "nowhere"])

    assert list(sandbox.assets) == [asset_id]


def test_a_deletion_that_was_lost_and_found_some_gone_deletes_the_rest(
    sandbox: Sandbox, client: QlikCloudClient, asset_id: str
) -> None:
    sandbox.add_fault(Fault(kind="drop", method="DELETE"))

    client.delete_data_assets([asset_id, "nowhere"])

    assert sandbox.assets == {}

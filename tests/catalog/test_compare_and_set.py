"""Read, decide, write with a test of the version: bounded, and honest about writes without an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.compare_and_set import change
from airflow_provider_qlik_assets.client import (
    ApiKey,
    DataAsset,
    QlikBadRequestError,
    QlikCloudClient,
    QlikConflictError,
    QlikNotFoundError,
    QlikResponseError,
    QlikServerError,
)
from airflow_provider_qlik_assets.client.json_patch import JsonPatchOperation
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

NAME = JsonPatchOperation(op="add", path="/name", value="wished")


def name_it(current: DataAsset) -> list[JsonPatchOperation]:
    return [] if current.name == "wished" else [NAME]


class Crowd:
    """Somebody who changes the data asset after each of the first readings; decides as ``name_it``."""

    def __init__(self, sandbox: Sandbox, times: int) -> None:
        self.sandbox = sandbox
        self.left = times

    def __call__(self, current: DataAsset) -> list[JsonPatchOperation]:
        if self.left:
            self.left -= 1
            self.sandbox.touch("a", description=f"{self.left} changes are left")
        return name_it(current)


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def client(qlik_sandbox: Sandbox, sleeps: list[float]) -> Iterator[QlikCloudClient]:
    qlik_sandbox.add_asset(id="a", technicalName="orders")
    key = ApiKey(qlik_sandbox.api_key)
    with QlikCloudClient(
        qlik_sandbox.url, key, rate_limit_store=MemoryStore(), sleep=sleeps.append
    ) as client:
        yield client


def requests(sandbox: Sandbox) -> list[str]:
    return [entry.method for entry in sandbox.journal.requests()]


def test_one_read_and_one_write_guarded_by_the_version(
    qlik_sandbox: Sandbox, client: QlikCloudClient
) -> None:
    result = change(client, "a", name_it)

    assert (result.action, result.changed_fields) == ("updated", ("name",))
    assert result.data_asset is not None
    assert (result.data_asset.name, result.data_asset.version) == ("wished", 1)
    assert requests(qlik_sandbox) == ["GET", "PATCH"]
    [patch] = qlik_sandbox.journal.requests("PATCH")
    assert patch.body == [{"op": "test", "path": "/version", "value": 0}, NAME.to_json()]


def test_nothing_is_written_if_nothing_is_missing(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    result = change(client, "a", lambda current: [])

    assert (result.action, result.changed_fields) == ("unchanged", ())
    assert requests(qlik_sandbox) == ["GET"]


def test_a_data_asset_that_the_caller_has_is_not_read(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    current = DataAsset.from_json(qlik_sandbox.assets["a"])

    assert change(client, "a", name_it, current=current).action == "updated"
    assert requests(qlik_sandbox) == ["PATCH"]


def test_a_stale_reading_of_the_caller_is_read_again(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    current = DataAsset.from_json(qlik_sandbox.assets["a"])
    qlik_sandbox.touch("a", description="theirs")

    change(client, "a", name_it, current=current)

    assert qlik_sandbox.assets["a"].items() >= {"name": "wished", "description": "theirs"}.items()
    assert requests(qlik_sandbox) == ["PATCH", "GET", "PATCH"]


@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize("conflicts", [1, 3])
def test_it_decides_anew_after_each_conflict(
    qlik_sandbox: Sandbox, client: QlikCloudClient, status: Any, conflicts: int
) -> None:
    qlik_sandbox.settings.failed_test_status = status

    result = change(client, "a", Crowd(qlik_sandbox, conflicts))

    assert (result.action, result.changed_fields) == ("updated", ("name",))
    asset = qlik_sandbox.assets["a"]
    assert (asset["name"], asset["description"]) == ("wished", "0 changes are left")
    assert requests(qlik_sandbox) == ["GET", "PATCH"] * (conflicts + 1)


def test_what_somebody_else_did_meanwhile_is_unchanged(
    qlik_sandbox: Sandbox, client: QlikCloudClient
) -> None:
    current = DataAsset.from_json(qlik_sandbox.assets["a"])
    qlik_sandbox.touch("a", name="wished")

    result = change(client, "a", name_it, current=current)

    assert (result.action, result.changed_fields) == ("unchanged", ())
    assert qlik_sandbox.assets["a"]["version"] == 1


def test_attempts_are_bounded_if_others_always_change_it(
    qlik_sandbox: Sandbox, client: QlikCloudClient, sleeps: list[float]
) -> None:
    with pytest.raises(QlikConflictError):
        change(client, "a", Crowd(qlik_sandbox, 1000))

    assert len(qlik_sandbox.journal.requests("PATCH")) == 20
    assert "name" not in qlik_sandbox.assets["a"]
    assert len(sleeps) == 19
    assert all(0 <= pause <= 2 for pause in sleeps)


def test_a_data_asset_without_version_is_not_written(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    body = {"id": "a", "technicalName": "orders"}
    qlik_sandbox.add_fault(Fault(kind="status", method="GET", status=200, body=body))

    with pytest.raises(QlikResponseError, match="without 'version'"):
        change(client, "a", name_it)

    assert requests(qlik_sandbox) == ["GET"]


def test_a_data_asset_that_does_not_exist(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError):
        change(client, "nowhere", name_it)

    assert requests(qlik_sandbox) == ["GET"]


def test_a_data_asset_that_is_deleted_meanwhile(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    def decide(current: DataAsset) -> list[JsonPatchOperation]:
        client.delete_data_assets(["a"])
        return [NAME]

    with pytest.raises(QlikNotFoundError):
        change(client, "a", decide)


def test_a_patch_that_is_refused_as_malformed_is_not_repeated(
    qlik_sandbox: Sandbox, client: QlikCloudClient
) -> None:
    wrong = JsonPatchOperation(op="add", path="/noSuchField", value=1)

    with pytest.raises(QlikBadRequestError, match="noSuchField"):
        change(client, "a", lambda current: [wrong])

    assert len(qlik_sandbox.journal.requests("PATCH")) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_that_stays_is_raised_and_nothing_is_changed(
    qlik_sandbox: Sandbox, client: QlikCloudClient, status: int
) -> None:
    before = qlik_sandbox.assets
    qlik_sandbox.add_fault(Fault(kind="status", status=status, method="PATCH", times=None))

    with pytest.raises(QlikServerError, match=str(status)):
        change(client, "a", name_it)

    assert qlik_sandbox.assets == before


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 500}, {"kind": "html", "status": 200}, {"kind": "drop"}],
    ids=lambda fault: fault["kind"],
)
def test_a_write_whose_answer_is_lost_is_found_done(
    qlik_sandbox: Sandbox, client: QlikCloudClient, fault: dict[str, Any]
) -> None:
    qlik_sandbox.add_fault(Fault(method="PATCH", when="after", **fault))

    result = change(client, "a", name_it)

    assert (result.action, result.changed_fields) == ("updated", ("name",))
    asset = qlik_sandbox.assets["a"]
    assert (asset["name"], asset["version"]) == ("wished", 1)


def test_an_append_whose_answer_is_lost_is_not_done_again(
    qlik_sandbox: Sandbox, client: QlikCloudClient
) -> None:
    """``decide`` cannot tell here whether the tag is its own; the reading after the write does."""
    qlik_sandbox.touch("a", tags=["theirs"])
    qlik_sandbox.add_fault(Fault(kind="status", status=500, method="PATCH", when="after"))
    append = JsonPatchOperation(op="add", path="/tags/-", value="own")

    result = change(client, "a", lambda current: [append])

    assert (result.action, result.changed_fields) == ("updated", ("tags",))
    assert qlik_sandbox.assets["a"]["tags"] == ["theirs", "own"]
    assert len(qlik_sandbox.journal.requests("PATCH")) == 1

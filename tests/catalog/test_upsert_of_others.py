"""Upserts while somebody else changes, creates or deletes the same, and requests that get lost."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import upsert_data_asset
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikBadRequestError,
    QlikCloudClient,
    QlikConflictError,
    QlikDataAssetExistsError,
    QlikResponseError,
    QlikServerError,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

FORK = multiprocessing.get_context("fork")
EARLY, LATE = "2026-01-31T06:30:00.000Z", "2026-02-01T06:30:00.000Z"
WISH = {"dataStoreInfo": {"id": "store"}, "technicalName": "orders", "appType": "dbt"}


def writes(sandbox: Sandbox) -> list[str]:
    return [entry.method for entry in sandbox.journal.requests() if entry.method != "GET"]


class Meddling:
    """A client before whose writes somebody else does something.

    :param meddle: what is done before the write of each number, from 1.
    """

    def __init__(self, client: QlikCloudClient, meddle: Callable[[int], object]) -> None:
        self._client = client
        self._meddle = meddle
        self._writes = 0

    def __getattr__(self, name: str) -> Any:
        if name in {"create_data_asset", "patch_data_asset", "delete_data_assets"}:
            self._writes += 1
            self._meddle(self._writes)
        return getattr(self._client, name)


@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize("times", [1, 3])
def test_a_change_by_somebody_else_between_reading_and_writing_survives(
    sandbox: Sandbox, client: QlikCloudClient, status: Any, times: int
) -> None:
    sandbox.settings.failed_test_status = status
    asset = sandbox.add_asset("store", technicalName="orders", appType="dbt")

    def meddle(number: int) -> None:
        if number <= times:
            sandbox.touch(asset["id"], description=f"by a steward, {number}")

    result = upsert_data_asset(Meddling(client, meddle), {**WISH, "name": "Orders"})  # type: ignore[arg-type]

    after = sandbox.assets[asset["id"]]
    assert result.action == "updated"
    assert (after["name"], after["description"]) == ("Orders", f"by a steward, {times}")
    assert after["version"] == asset["version"] + times + 1


def test_what_somebody_else_did_already_is_not_done_again(sandbox: Sandbox, client: QlikCloudClient) -> None:
    asset = sandbox.add_asset("store", technicalName="orders", appType="dbt")
    meddling: Any = Meddling(client, lambda number: sandbox.touch(asset["id"], name="Orders"))

    result = upsert_data_asset(meddling, {**WISH, "name": "Orders"})

    assert result.action == "unchanged"
    assert sandbox.assets[asset["id"]]["version"] == asset["version"] + 1


def test_newer_freshness_of_somebody_else_survives(sandbox: Sandbox, client: QlikCloudClient) -> None:
    asset = sandbox.add_asset("store", technicalName="orders", appType="dbt")
    meddling: Any = Meddling(client, lambda number: sandbox.touch(asset["id"], dataFreshness=LATE))

    result = upsert_data_asset(meddling, {**WISH, "dataFreshness": EARLY})

    assert (result.action, sandbox.assets[asset["id"]]["dataFreshness"]) == ("unchanged", LATE)


def test_others_who_never_stop_are_an_error_in_the_end(sandbox: Sandbox, client: QlikCloudClient) -> None:
    asset = sandbox.add_asset("store", technicalName="orders", appType="dbt")
    meddling: Any = Meddling(client, lambda number: sandbox.touch(asset["id"], description=f"{number}"))

    with pytest.raises(QlikConflictError):
        upsert_data_asset(meddling, {**WISH, "name": "Orders"})

    assert len(writes(sandbox)) == 20


def test_a_value_that_the_tenant_refuses_is_not_tried_again(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    asset = sandbox.add_asset("store", technicalName="orders", appType="dbt")

    with pytest.raises(QlikBadRequestError):
        upsert_data_asset(client, {"id": asset["id"], "technicalName": None})

    assert writes(sandbox) == ["PATCH"]


@pytest.mark.parametrize("duplicates", ["refused", "allowed"])
@pytest.mark.parametrize(("if_exists", "action"), [("update", "updated"), ("skip", "skipped")])
def test_somebody_else_who_creates_it_first_wins(
    sandbox: Sandbox, client: QlikCloudClient, duplicates: Any, if_exists: Any, action: str
) -> None:
    sandbox.settings.duplicate_technical_name = duplicates

    def meddle(number: int) -> None:
        if number == 1:
            # Clearly older, so that no tie of a millisecond decides.
            first = {"technicalName": "orders", "createdTime": "2026-01-01T00:00:00Z"}
            sandbox.add_asset("store", id="theirs", description="theirs", **first)

    result = upsert_data_asset(Meddling(client, meddle), {**WISH, "name": "Orders"}, if_exists)  # type: ignore[arg-type]

    (asset,) = sandbox.assets.values()
    assert (result.id, result.action) == (asset["id"], action) == ("theirs", action)
    assert (asset["description"], asset.get("name")) == ("theirs", "Orders" if action == "updated" else None)


@pytest.mark.parametrize("duplicates", ["refused", "allowed"])
def test_somebody_else_who_creates_it_first_may_be_an_error(
    sandbox: Sandbox, client: QlikCloudClient, duplicates: Any
) -> None:
    sandbox.settings.duplicate_technical_name = duplicates

    def meddle(number: int) -> None:
        if number == 1:
            first = {"technicalName": "orders", "createdTime": "2026-01-01T00:00:00Z"}
            sandbox.add_asset("store", id="theirs", **first)

    with pytest.raises(QlikDataAssetExistsError):
        upsert_data_asset(Meddling(client, meddle), WISH, "fail")  # type: ignore[arg-type]

    assert list(sandbox.assets) == ["theirs"]


def test_the_second_one_that_somebody_else_deleted_already_is_gone(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.settings.duplicate_technical_name = "allowed"

    def meddle(number: int) -> None:
        if number == 1:
            # Not in the same millisecond as ours, or the ids would decide.
            earlier = "2026-01-01T00:00:00Z"
            sandbox.add_asset(
                "store", id="theirs", technicalName="orders", appType="dbt", createdTime=earlier
            )
        else:
            (ours,) = sandbox.assets.keys() - {"theirs"}
            client.delete_data_assets([ours])

    result = upsert_data_asset(Meddling(client, meddle), WISH)  # type: ignore[arg-type]

    assert (result.id, result.action) == ("theirs", "unchanged")
    assert list(sandbox.assets) == ["theirs"]


def test_a_conflict_that_is_not_about_the_name_is_raised(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=409, method="POST", times=None))

    with pytest.raises(QlikConflictError):
        upsert_data_asset(client, WISH)

    assert writes(sandbox) == ["POST"] * 3


@pytest.mark.parametrize("fault", [{"kind": "drop"}, {"kind": "status", "status": 503}, {"kind": "html"}])
def test_a_wish_is_not_lost_to_another_creator_after_a_lost_request(
    sandbox: Sandbox, client: QlikCloudClient, fault: Any
) -> None:
    """The look-up after a lost request finds another task's data asset: it is not taken for ours."""
    sandbox.add_fault(Fault(**fault, method="POST"))

    def meddle(number: int) -> None:
        if number == 1:
            first = {"technicalName": "orders", "createdTime": "2026-01-01T00:00:00Z"}
            sandbox.add_asset("store", id="theirs", name="theirs", **first)

    result = upsert_data_asset(Meddling(client, meddle), {**WISH, "name": "Orders"})  # type: ignore[arg-type]

    assert (result.action, sandbox.assets["theirs"]["name"]) == ("updated", "Orders")
    assert len(sandbox.assets) == 1


@pytest.mark.parametrize("if_exists", ["update", "skip", "fail"])
def test_a_create_whose_answer_was_lost_is_ours(
    sandbox: Sandbox, client: QlikCloudClient, if_exists: Any
) -> None:
    sandbox.add_fault(Fault(kind="drop", method="POST", when="after"))

    result = upsert_data_asset(client, {**WISH, "properties": {"a": None, "b": 1}}, if_exists)

    assert (result.action, list(sandbox.assets)) == ("created", [result.id])
    assert writes(sandbox) == ["POST"]


def test_a_tenant_that_keeps_failing_is_an_error(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, method="POST", times=None))

    with pytest.raises(QlikServerError):
        upsert_data_asset(client, WISH)

    assert writes(sandbox) == ["POST"] * 3


def test_a_data_asset_without_a_version_is_not_changed(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=200, body={"id": "a1", "technicalName": "orders"}))

    with pytest.raises(QlikResponseError, match="came without 'version'"):
        upsert_data_asset(client, {"id": "a1", "name": "n"})

    assert writes(sandbox) == []


def test_a_data_asset_without_an_id_is_a_clear_error(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=200, body={"technicalName": "orders", "version": 1}))

    with pytest.raises(QlikResponseError, match="without an id"):
        upsert_data_asset(client, {"id": "a1", "name": "n"})


def test_a_change_that_is_answered_without_an_id_is_found_made(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.add_asset("store", id="a1", technicalName="orders", appType="dbt")
    sandbox.add_fault(Fault(kind="status", method="PATCH", status=200, body={}, when="after"))

    results = [upsert_data_asset(client, {**WISH, "name": "n"}) for _ in range(2)]

    assert [result.action for result in results] == ["updated", "unchanged"]
    assert results[0].data_asset is not None
    assert results[0].data_asset.version == 1
    assert writes(sandbox) == ["PATCH"]


# --- many creators at once -------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicates", ["refused", "allowed"])
def test_threads_that_create_the_same_end_with_one(
    sandbox: Sandbox, connect: Callable[..., QlikCloudClient], duplicates: Any
) -> None:
    sandbox.settings.duplicate_technical_name = duplicates
    start = threading.Barrier(6)
    results = []

    def create(number: int) -> None:
        client = connect(sleep=time.sleep)
        client.me()
        start.wait()
        wish = {**WISH, "properties": {f"p{number}": number}}
        results.append(upsert_data_asset(client, wish, visible_after=1.0))

    threads = [threading.Thread(target=create, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (asset,) = sandbox.assets.values()
    assert {result.id for result in results} == {asset["id"]}
    assert [result.action for result in results].count("created") == 1
    assert asset["properties"] == {f"p{number}": number for number in range(6)}


def create_in_a_process(url: str, key: str, number: int, start: Any, queue: Any) -> None:
    with QlikCloudClient(url, ApiKey(key), rate_limit_store="memory:") as client:
        client.me()
        start.wait()
        wish = {**WISH, "properties": {f"p{number}": number}}
        result = upsert_data_asset(client, wish, visible_after=1.0)
        queue.put((result.id, result.action))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("duplicates", ["refused", "allowed"])
def test_processes_that_create_the_same_end_with_one(sandbox: Sandbox, duplicates: Any) -> None:
    sandbox.settings.duplicate_technical_name = duplicates
    start, queue = FORK.Barrier(4), FORK.Queue()
    children = [
        FORK.Process(target=create_in_a_process, args=(sandbox.url, sandbox.api_key, number, start, queue))
        for number in range(4)
    ]
    for child in children:
        child.start()
    results = [queue.get(timeout=30) for _ in children]
    for child in children:
        child.join(30)

    (asset,) = sandbox.assets.values()
    assert {key for key, _ in results} == {asset["id"]}
    assert [action for _, action in results].count("created") == 1
    assert asset["properties"] == {f"p{number}": number for number in range(4)}

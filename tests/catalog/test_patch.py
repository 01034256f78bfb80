"""Patches: field values or JSON Patch operations, each applied exactly once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import patch_data_asset
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.client import (
    DataAsset,
    QlikBadRequestError,
    QlikCloudClient,
    QlikCloudError,
    QlikConflictError,
    QlikConnectionError,
    QlikNotFoundError,
    QlikPermissionError,
    QlikValidationError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

EARLY, LATE = "2026-01-31T06:30:00.000Z", "2026-02-01T06:30:00.000Z"


@pytest.fixture(autouse=True)
def asset(sandbox: Sandbox) -> Any:
    return sandbox.add_asset(
        "store", id="a1", technicalName="orders", name="Orders", tags=["a"], properties={"n": 1}
    )


def op(name: str, path: str, *value: Any, **members: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **({"value": value[0]} if value else {}), **members}


def writes(sandbox: Sandbox) -> int:
    return len(sandbox.journal.requests("PATCH"))


class Meddling:
    """A client before whose patches somebody else does something.

    :param meddle: what is done before the patch of each number, from 1.
    """

    def __init__(self, client: QlikCloudClient, meddle: Callable[[int], Any]) -> None:
        self._client = client
        self._meddle = meddle
        self._patches = 0

    def __getattr__(self, name: str) -> Any:
        if name == "patch_data_asset":
            self._patches += 1
            self._meddle(self._patches)
        return getattr(self._client, name)


@pytest.mark.parametrize("answers_204", [False, True])
@pytest.mark.parametrize("unset", ["absent", "null", "empty text"])
@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ({"changes": {"name": "n", "description": "d"}}, ("description", "name")),
        ({"changes": {"name": None}}, ("name",)),
        ({"changes": {"properties": {"n": None, "m": {"x": [1]}}}}, ("properties",)),
        ({"changes": {"data_freshness": EARLY}}, ("dataFreshness",)),
        ({"operations": [op("replace", "/name", "n")]}, ("name",)),
        ({"operations": [op("replace", "/description", "d")]}, ("description",)),
        ({"operations": [op("remove", "/name")]}, ("name",)),
        ({"operations": [op("test", "/name", "Orders"), op("add", "/name", "n")]}, ("name",)),
        ({"operations": [op("move", "/description", **{"from": "/name"})]}, ("description", "name")),
        ({"operations": [op("add", "/dataFreshness", "2026-01-31 07:30:00+01:00")]}, ("dataFreshness",)),
        ({"operations": [op("replace", "/properties/n", True)]}, ("properties",)),
    ],
)
def test_what_differs_is_written_once(
    *,
    sandbox: Sandbox,
    client: QlikCloudClient,
    answers_204: bool,
    unset: Any,
    arguments: Any,
    changed: tuple[str, ...],
) -> None:
    sandbox.settings.patch_answers_204 = answers_204
    sandbox.settings.unset_fields = unset

    result = patch_data_asset(client, "a1", **arguments)

    assert (result.action, result.changed_fields) == ("updated", changed)
    assert result.data_asset is not None
    # What only Qlik knows, an empty answer does not tell; the rest is known without reading it again.
    assert result.data_asset.version == (None if answers_204 else 1)
    assert sandbox.assets["a1"]["version"] == 1
    assert [request.method for request in sandbox.journal.requests()] == ["GET", "PATCH"]
    read = client.get_data_asset("a1")
    assert not overlay(read, DataAsset.parse(result.data_asset.to_request()))
    found, told = (
        {name for name, value in asset.to_request().items() if value != ""} - {"version"}
        for asset in (read, result.data_asset)
    )
    assert found == told


@pytest.mark.parametrize("unset", ["absent", "null", "empty text"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"changes": {"name": "Orders", "tags": ["a"], "properties": {"n": 1.0}}},
        {"changes": {"description": None, "properties": {"m": None}}},
        {"operations": [op("replace", "/name", "Orders")]},
        {"operations": [op("add", "/description", None)]},
        {"operations": [op("remove", "/description"), op("remove", "/properties/m")]},
        {"operations": [op("test", "/version", 99), op("add", "/name", "Orders")]},
        {"changes": {"name": "Orders"}, "expected_version": 99},
    ],
    ids=str,
)
def test_what_is_as_wished_is_not_written(
    sandbox: Sandbox, client: QlikCloudClient, unset: Any, arguments: Any
) -> None:
    sandbox.settings.unset_fields = unset

    assert patch_data_asset(client, "a1", **arguments).action == "unchanged"
    assert writes(sandbox) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give either 'operations' or 'changes'"),
        ({"operations": [op("remove", "/name")], "changes": {"name": "n"}}, "Give either 'operations'"),
        ({"operations": []}, "needs at least one operation"),
        ({"operations": [op("test", "/name", "n")]}, "The patch contains only tests"),
        ({"operations": [op("add", "/version", 5)]}, "cannot be changed: Qlik Cloud sets it"),
        ({"operations": op("remove", "/name")}, "must be a list of operations"),
        ({"operations": [op("add", "/tags/7", "a")]}, "does not fit the data asset"),
        ({"operations": [op("add", "/dataFreshness", "now")]}, "'now' is not an instant"),
        ({"changes": {}}, "'changes' is empty"),
        ({"changes": {"version": 3, "id": "a1", "name": "n"}}, "id, version cannot be changed"),
        ({"changes": {"createdBy": "me"}}, "created_by cannot be changed: Qlik Cloud sets it"),
        ({"changes": {"nmae": "n"}}, "unknown field 'nmae'"),
        (
            {"changes": {"name": "n"}, "expected_version": "3"},
            "expected_version must be a whole number, not '3'",
        ),
        (
            {"changes": {"name": "n"}, "expected_version": True},
            "expected_version must be a whole number, not True",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_written(
    sandbox: Sandbox, client: QlikCloudClient, arguments: Any, message: str
) -> None:
    with pytest.raises(QlikValidationError, match=message):
        patch_data_asset(client, "a1", **arguments)

    assert writes(sandbox) == 0


def test_freshness_never_goes_back_with_changes(sandbox: Sandbox, client: QlikCloudClient) -> None:
    patch_data_asset(client, "a1", changes={"dataFreshness": LATE})

    assert patch_data_asset(client, "a1", changes={"dataFreshness": EARLY}).action == "unchanged"


def test_operations_are_applied_as_they_are(sandbox: Sandbox, client: QlikCloudClient) -> None:
    for _ in range(2):
        patch_data_asset(client, "a1", operations=[op("add", "/tags/0", "b"), op("remove", "/tags/0")])
        patch_data_asset(client, "a1", operations=[op("add", "/properties/list", [1])])
        patch_data_asset(client, "a1", operations=[op("add", "/properties/list/-", 2)])

    assert sandbox.assets["a1"]["properties"]["list"] == [1, 2]
    assert sandbox.assets["a1"]["tags"] == ["a"]


@pytest.mark.parametrize("name", ["add", "replace"])
@pytest.mark.parametrize("instant", ["9999-12-31T00:00:00Z", "yesterday", 5])
def test_operations_set_no_freshness_that_is_no_stamp(
    sandbox: Sandbox, client: QlikCloudClient, name: str, instant: Any
) -> None:
    with pytest.raises(QlikValidationError, match=r"more than a day in the future|instant"):
        patch_data_asset(client, "a1", operations=[op(name, "/dataFreshness", instant)])

    assert not writes(sandbox)


def test_a_data_asset_that_does_not_exist_is_an_error(client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError):
        patch_data_asset(client, "nowhere", changes={"name": "n"})


@pytest.mark.parametrize(("expected", "action"), [(0, "updated"), (None, "updated")])
def test_the_expected_version_is_changed(client: QlikCloudClient, expected: Any, action: str) -> None:
    assert patch_data_asset(client, "a1", changes={"name": "n"}, expected_version=expected).action == action


@pytest.mark.parametrize("arguments", [{"changes": {"name": "n"}}, {"operations": [op("add", "/name", "n")]}])
def test_another_version_than_expected_is_a_conflict(
    sandbox: Sandbox, client: QlikCloudClient, arguments: Any
) -> None:
    sandbox.touch("a1", description="d")

    with pytest.raises(QlikConflictError, match=r"Data asset a1 \(orders\) has version 1, not 0"):
        patch_data_asset(client, "a1", **arguments, expected_version=0)

    assert writes(sandbox) == 0


def test_another_version_than_expected_while_writing_is_a_conflict(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    meddling: Any = Meddling(client, lambda number: sandbox.touch("a1", description="d"))

    with pytest.raises(QlikConflictError, match="has version 1, not 0"):
        patch_data_asset(meddling, "a1", changes={"name": "n"}, expected_version=0)

    assert sandbox.assets["a1"]["name"] == "Orders"


@pytest.mark.parametrize("status", [400, 409, 412])
def test_a_test_that_fails_is_an_error(sandbox: Sandbox, client: QlikCloudClient, status: Any) -> None:
    sandbox.settings.failed_test_status = status

    with pytest.raises((QlikConflictError, QlikBadRequestError)):
        patch_data_asset(client, "a1", operations=[op("test", "/name", "other"), op("add", "/name", "n")])

    assert writes(sandbox) == 1
    assert sandbox.assets["a1"]["name"] == "Orders"


@pytest.mark.parametrize("status", [400, 409, 412])
def test_a_change_by_somebody_else_meanwhile_survives(
    sandbox: Sandbox, client: QlikCloudClient, status: Any
) -> None:
    sandbox.settings.failed_test_status = status

    def meddle(number: int) -> None:
        if number < 4:
            sandbox.touch("a1", description=f"{number}")

    result = patch_data_asset(Meddling(client, meddle), "a1", operations=[op("add", "/tags/-", "b")])  # type: ignore[arg-type]

    assert (result.action, sandbox.assets["a1"]["tags"]) == ("updated", ["a", "b"])
    assert sandbox.assets["a1"]["description"] == "3"


def test_the_same_addition_of_somebody_else_is_not_taken_for_ours(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.touch("a1", properties={"list": []})

    def meddle(number: int) -> None:
        if number == 1:
            sandbox.touch("a1", properties={"list": ["x"]})

    patch_data_asset(Meddling(client, meddle), "a1", operations=[op("add", "/properties/list/-", "x")])  # type: ignore[arg-type]

    assert sandbox.assets["a1"]["properties"]["list"] == ["x", "x"]


NOT_IDEMPOTENT = [
    [op("add", "/properties/list/-", "x")],
    [op("add", "/properties/list/0", "x")],
    [op("test", "/name", "Orders"), op("add", "/properties/list/-", "x"), op("replace", "/name", "n")],
    [op("move", "/properties/list/0", **{"from": "/properties/other"})],
    [op("copy", "/properties/list/-", **{"from": "/name"})],
    [op("remove", "/properties/filled/0")],
]


@pytest.mark.parametrize("operations", NOT_IDEMPOTENT, ids=lambda operations: operations[-1]["op"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize("times", [1, 3])
def test_operations_with_an_unknown_outcome_are_applied_exactly_once(
    *, sandbox: Sandbox, client: QlikCloudClient, operations: Any, when: Any, status: Any, times: int
) -> None:
    start = {"list": [], "other": 5, "filled": [1, 2]}
    before = sandbox.touch("a1", properties=start)
    sandbox.add_asset("store", id="a2", technicalName="other", name="Orders", tags=["a"], properties=start)
    patch_data_asset(client, "a2", operations=operations)
    sandbox.settings.failed_test_status = status
    sandbox.add_fault(Fault(kind="drop", method="PATCH", when=when, times=times))

    result = patch_data_asset(client, "a1", operations=operations)

    assert result.action == "updated"
    assert sandbox.assets["a1"]["properties"] == sandbox.assets["a2"]["properties"]
    assert sandbox.assets["a1"]["version"] == before["version"] + 1


def test_an_unknown_outcome_that_somebody_else_covered_is_an_error(
    sandbox: Sandbox, connect: Callable[..., QlikCloudClient]
) -> None:
    """Whether the lost patch was done does not show any more, and doing it again could double it."""
    client = connect(retry=RetryPolicy(max_retries=0))
    sandbox.add_fault(Fault(kind="drop", method="PATCH", when="after"))

    class Covering(QlikCloudClient):
        def __init__(self) -> None:
            pass

        def get_data_asset(self, *arguments: Any, **options: Any) -> Any:
            if writes(sandbox):
                sandbox.touch("a1", tags=["covered"])
            return client.get_data_asset(*arguments, **options)

        def patch_data_asset(self, *arguments: Any, **options: Any) -> Any:
            return client.patch_data_asset(*arguments, **options)

    with pytest.raises(QlikConnectionError):
        patch_data_asset(Covering(), "a1", operations=[op("add", "/tags/-", "b")])

    assert sandbox.assets["a1"]["tags"] == ["covered"]


def test_a_request_that_keeps_being_lost_is_an_error_and_nothing_is_doubled(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.add_fault(Fault(kind="drop", method="PATCH", times=None))

    with pytest.raises(QlikConnectionError):
        patch_data_asset(client, "a1", operations=[op("add", "/tags/-", "b")])

    assert sandbox.assets["a1"]["tags"] == ["a"]


def test_what_the_user_may_not_do_is_an_error_at_once(
    sandbox: Sandbox, connect: Callable[..., QlikCloudClient]
) -> None:
    sandbox.add_fault(Fault(kind="status", status=403, method="PATCH", times=None))

    with pytest.raises(QlikPermissionError):
        patch_data_asset(connect(), "a1", changes={"name": "n"})

    assert writes(sandbox) == 1


@pytest.mark.parametrize("status", [400, 409])
def test_threads_that_append_are_all_heard(
    sandbox: Sandbox, connect: Callable[..., QlikCloudClient], status: Any
) -> None:
    sandbox.settings.failed_test_status = status
    sandbox.touch("a1", properties={"list": []})
    errors: list[QlikCloudError] = []

    def append() -> None:
        client = connect()
        try:
            for _ in range(3):
                patch_data_asset(client, "a1", operations=[op("add", "/properties/list/-", "x")])
        except QlikCloudError as error:
            errors.append(error)

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sandbox.assets["a1"]["properties"]["list"] == ["x"] * 12

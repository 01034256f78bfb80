"""The checks of the soak notice what they are there for."""

from __future__ import annotations

from typing import Any

from tests.soak.checks import busiest, check
from tests.soak.records import STRANGER, Change, Key, Life, Operation, Records, Request

FIRST: Key = (0, 1)
SECOND: Key = (1, 1)
STALE = "2026-01-01T00:00:00.000Z"
FRESH = "2026-01-01T01:00:00.000Z"
CLEAN_UP: dict[str, Any] = {"kind": "clean_up", "stores": ["store"], "now": FRESH, "stale_after": 60.0}


def document(version: int = 1, **fields: Any) -> dict[str, Any]:
    return {"version": version, "technicalName": "name", "dataStoreInfo": {"id": "store"}, **fields}


def life(*versions: tuple[float, Key, dict[str, Any] | None], key: str = "id") -> Life:
    return Life(key, [Change(at, key, by, fields) for at, by, fields in versions])


def operation(
    key: Key, end: float | None = 20.0, results: Any = (), outcome: str = "done", **wish: Any
) -> Operation:
    done = {"at": end, "outcome": outcome, "error": "", "results": list(results), "warnings": []}
    return Operation(
        key, {"kind": "upsert", "store": "store", "names": ["name"], **wish}, 0.0, end=done if end else None
    )


def request(
    by: Key, arrived: float, method: str, *, status: int = 200, fault: Any = None, body: Any = None
) -> Request:
    path = "/api/v1/data-assets" if method in {"POST", "DELETE"} else "/api/v1/data-assets/id"
    tier = 1 if method == "GET" else 2
    fields = {"arrived": arrived, "method": method, "path": path, "status": status, "tier": tier}
    return Request(by, {**fields, "fault": fault, "body": body})


def broken(operations: list[Operation], requests: list[Request], *lives: Life) -> list[str]:
    """Return the promises that were broken."""
    records = Records(
        {operation.key: operation for operation in operations}, requests, {life.id: life for life in lives}
    )
    return [violation.promise for violation in check(records).violations]


def create(by: Key, arrived: float, **more: Any) -> Request:
    return request(by, arrived, "POST", **{"status": 201, "body": document(), **more})


def test_a_number_that_falls_or_vanishes_is_a_lost_update() -> None:
    lost: list[dict[str, Any]] = [{"properties": {"worker_0": 4}}, {"properties": {}}, {}]
    for after in lost:
        asset = life((1, STRANGER, document(properties={"worker_0": 5})), (2, SECOND, document(2, **after)))
        assert broken([operation(SECOND)], [], asset) == ["no lost update"]


def test_what_is_confirmed_must_have_been_written() -> None:
    asset = life((1, STRANGER, document(properties={"worker_0": 1})))
    results, fields = [("id", "updated")], {"properties": {"worker_0": 2}}
    assert broken([operation((0, 2), results=results, fields=fields)], [], asset) == ["no lost update"]
    assert (
        broken([operation(FIRST, results=results, fields={"properties": {"worker_0": 1}})], [], asset) == []
    )


def test_freshness_that_goes_back_or_is_cleared() -> None:
    for after in ({"dataFreshness": STALE}, {}):
        asset = life((1, STRANGER, document(dataFreshness=FRESH)), (2, SECOND, document(2, **after)))
        assert broken([operation(SECOND)], [], asset) == ["freshness never goes back"]


def test_two_of_a_name_remain() -> None:
    both = life((1, FIRST, document()), key="a"), life((2, SECOND, document()), key="b")
    operations = [operation(FIRST), operation(SECOND)]
    sent = [create(FIRST, 0.9), create(SECOND, 1.9)]
    assert broken(operations, sent, *both) == ["one data asset of a name"]
    assert broken(operations, [sent[0], create(SECOND, 1.9, fault="drop")], *both) == []
    assert broken([operations[0], operation(SECOND, end=None)], sent, *both) == []
    assert broken([operation(FIRST, end=None), operations[1]], sent, *both) == ["one data asset of a name"]
    withdrawn = life((2, SECOND, document()), (5, SECOND, None), key="b")
    deletion = request(SECOND, 4.9, "DELETE", status=204, body={"ids": ["b"]})
    assert broken(operations, [*sent, deletion], both[0], withdrawn) == []


def test_whoever_looks_at_two_of_a_name_has_to_say_so() -> None:
    both = life((1, STRANGER, document()), key="a"), life((2, FIRST, document()), key="b")
    look = operation(SECOND, end=40.0, kind="find")
    look.began = 30.0
    operations = [operation(FIRST), look]
    sent = [create(FIRST, 1.9, fault="drop")]
    assert broken(operations, sent, *both) == ["two of a name are reported"]
    assert look.end is not None
    look.end["warnings"] = ["two: a, b"]
    assert broken(operations, sent, *both) == []


def deleted(refreshed: float, looked: float) -> list[str]:
    """Return what is broken if a clean-up deletes at 10 what was refreshed and looked at at some times."""
    asset = life(
        (1, STRANGER, document(dataFreshness=STALE)),
        (refreshed, STRANGER, document(2, dataFreshness=FRESH)),
        (10, FIRST, None),
    )
    look = request(FIRST, looked, "GET")
    deletion = request(FIRST, 9.9, "DELETE", status=204, body={"ids": ["id"]})
    return broken([operation(FIRST, **CLEAN_UP)], [look, deletion], asset)


def test_a_clean_up_that_deletes_what_was_refreshed() -> None:
    assert deleted(refreshed=5, looked=9.5) == ["nothing refreshed is deleted"]
    assert deleted(refreshed=9.5, looked=8.0) == ["nothing refreshed is deleted"]
    assert deleted(refreshed=9.6, looked=9.5) == []
    assert deleted(refreshed=9.95, looked=9.5) == []


def test_a_deletion_that_nobody_asked_for() -> None:
    asset = life((1, STRANGER, document()), (10, FIRST, None))
    deletion = request(FIRST, 9.9, "DELETE", status=204, body={"ids": ["id"]})
    assert broken([operation(FIRST)], [deletion], asset) == ["nothing refreshed is deleted"]
    assert broken([operation(FIRST, kind="delete", ids=["id"])], [deletion], asset) == []


def test_an_error_that_is_not_typed() -> None:
    assert broken([operation(FIRST, outcome="untyped")], []) == ["every error is typed"]


def test_an_error_that_nothing_has_caused() -> None:
    assert broken([operation(FIRST, outcome="QlikValidationError")], []) == ["no error without a cause"]
    assert broken([operation(FIRST, outcome="QlikServerError")], []) == []


def test_a_request_over_the_quota() -> None:
    assert broken([], [request(FIRST, 1.0, "PATCH", status=429)]) == ["all quotas are kept"]
    assert broken([], [request(FIRST, 1.0, "PATCH", status=429, fault="status")]) == []
    assert broken([], [request(FIRST, 1 + n / 1000, "PATCH") for n in range(41)]) == ["all quotas are kept"]
    assert busiest([0.0, 9.9, 10.0, 10.1], 10.0) == 3

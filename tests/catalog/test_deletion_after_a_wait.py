"""Deletions that wait for the quota: what others change during the wait counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import Result, Sync, clean_up_data_assets
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import (
    QlikCloudClient,
    QlikCloudError,
    QlikPermissionError,
    QlikRateLimitError,
    QlikServerError,
    RateLimits,
)
from airflow_provider_qlik_assets.client.rate_limit.limiter import Tier
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.catalog.clean_ups import FRESH, LISTING, add, rules
from tests.clients import Clock, Connect

GUARDS = DeletionGuards(None, None, frozenset({"keep"}))
ONE_WRITE = RateLimits(tier2_limit=1, window=60)
LISTED = {"technicalName": "listed", "appType": "sandbox"}

Delete = Callable[[QlikCloudClient], Sequence[Result]]
Meddle = Callable[[Callable[[], Any]], QlikCloudClient]


def clean_up(client: QlikCloudClient) -> Sequence[Result]:
    return clean_up_data_assets(client, rules(), GUARDS)


def sync(client: QlikCloudClient) -> Sequence[Result]:
    sync = Sync(client, "store", [LISTED], delete_unlisted=True, guards=GUARDS)
    return [result for result in sync.apply(sync.plan()) if result.action != "unchanged"]


@pytest.fixture(params=[clean_up, sync])
def delete(request: pytest.FixtureRequest) -> Delete:
    """What deletes all data assets but the one named "listed"."""
    found: Delete = request.param
    return found


@pytest.fixture
def meddle(sandbox: Sandbox, connect: Connect, clock: Clock) -> Meddle:
    """Make a client whose quota of writes is used up; something happens while it waits for the first time."""
    add(sandbox, "listed", freshness=FRESH)

    def make(happens: Callable[[], Any]) -> QlikCloudClient:
        left = [happens]

        def sleep(seconds: float) -> None:
            if left:
                left.pop()()
            clock.sleep(seconds)

        client = connect(rate_limits=ONE_WRITE, sleep=sleep)
        client.patch_data_asset("listed", [{"op": "add", "path": "/name", "value": "Listed"}])
        sandbox.journal.clear()
        return client

    return make


def actions(results: Sequence[Result]) -> dict[str, str]:
    return {result.id: result.action for result in results}


def gets(sandbox: Sandbox, path: str = "/api/v1/data-assets/*") -> int:
    return len(sandbox.journal.requests("GET", path))


@pytest.mark.parametrize(
    "change", [{"dataFreshness": FRESH}, {"tags": ["keep"]}, {"description": "by a steward"}]
)
@pytest.mark.parametrize("number", [1, 2])
def test_what_is_changed_during_the_wait_survives(
    sandbox: Sandbox, delete: Delete, meddle: Meddle, change: dict[str, Any], number: int
) -> None:
    names = [f"{count:03}" for count in range(number)]
    add(sandbox, *names)

    results = delete(meddle(lambda: sandbox.touch("000", **change)))

    assert actions(results) == {**dict.fromkeys(names, "deleted"), "000": "skipped"}
    assert set(sandbox.assets) == {"listed", "000"}
    (skipped,) = (result for result in results if result.id == "000")
    assert skipped.data_asset is not None
    assert skipped.data_asset.version == sandbox.assets["000"]["version"] == 1


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_deleted_during_the_wait_is_missing(
    sandbox: Sandbox,
    delete: Delete,
    meddle: Meddle,
    connect: Connect,
    number: int,
) -> None:
    names = [f"{count:03}" for count in range(number)]
    add(sandbox, *names)

    results = delete(meddle(lambda: connect(rate_limit_store="memory:").delete_data_assets(["000"])))

    assert actions(results) == {**dict.fromkeys(names, "deleted"), "000": "missing"}
    assert set(sandbox.assets) == {"listed"}


@pytest.mark.parametrize(
    "change", [{"dataFreshness": FRESH}, {"tags": ["vip"]}, {"description": "by a steward"}]
)
@pytest.mark.parametrize("number", [1, 2])
def test_what_is_changed_survives_also_if_the_user_sees_no_version(
    sandbox: Sandbox,
    delete: Delete,
    meddle: Meddle,
    monkeypatch: pytest.MonkeyPatch,
    *,
    change: dict[str, Any],
    number: int,
) -> None:
    names = [f"{count:03}" for count in range(number)]
    add(sandbox, *names)
    client = meddle(lambda: sandbox.touch("000", **change))
    hidden = {"version": None, "last_modified_time": None, "last_modified_by": None}
    read, listed = client.get_data_asset, client.list_data_assets
    monkeypatch.setattr(client, "get_data_asset", lambda *given: read(*given).model_copy(update=hidden))
    monkeypatch.setattr(
        client, "list_data_assets", lambda *given: (it.model_copy(update=hidden) for it in listed(*given))
    )

    assert actions(delete(client)) == {**dict.fromkeys(names, "deleted"), "000": "skipped"}
    assert set(sandbox.assets) == {"listed", "000"}


def test_what_only_a_look_without_a_request_wanted_to_delete_is_not_taken_for_deleted(
    sandbox: Sandbox, connect: Connect, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 voids the grant during the first look; the second look does not select it any more."""
    add(sandbox, "a", "b", "c")
    sandbox.add_fault(Fault(kind="status", status=503, method="DELETE", when="before"))
    client, other = connect(), connect(rate_limit_store="memory:")
    monkeypatch.setattr(client._limiter, "_clock", clock)
    send = client.delete_data_assets

    def void_the_grant() -> None:
        clock.sleep(5)
        client._limiter.penalize(Tier.TWO, 1.0)

    happens = iter(
        [
            void_the_grant,
            lambda: sandbox.touch("a", description="by a steward"),
            lambda: other.delete_data_assets(["a"]),
        ]
    )

    def delete_data_assets(ids: list[str], last_look: Any) -> None:
        def look(ids: list[str], unanswered: int) -> Any:
            next(happens)()
            return last_look(ids, unanswered)

        send(ids, look)

    monkeypatch.setattr(client, "delete_data_assets", delete_data_assets)

    assert actions(clean_up(client)) == {"a": "missing", "b": "deleted", "c": "deleted"}


def test_what_is_stale_at_first_and_changed_before_the_second_hundred_survives(
    sandbox: Sandbox, delete: Delete, meddle: Meddle
) -> None:
    names = [f"{count:03}" for count in range(150)]
    add(sandbox, *names)
    client = meddle(lambda: None)
    hundreds = iter([lambda: None, lambda: sandbox.touch("149", dataFreshness=FRESH)])
    send = client.delete_data_assets

    def delete_data_assets(*arguments: Any, **options: Any) -> None:
        next(hundreds)()
        send(*arguments, **options)

    client.delete_data_assets = delete_data_assets  # type: ignore[method-assign]

    assert actions(delete(client)) == {**dict.fromkeys(names, "deleted"), "149": "skipped"}


@pytest.mark.parametrize(
    ("others", "deletions", "requests"),
    [
        (0, 1, (1, 0)),
        (0, 2, (0, 1)),
        (0, 98, (0, 1)),
        (150, 3, (3, 0)),  # two pages take three requests
        (150, 4, (0, 2)),  # and fewer if all are found before the end
        (350, 5, (5, 0)),
    ],
)
def test_the_look_takes_the_least_requests(
    sandbox: Sandbox, client: QlikCloudClient, others: int, deletions: int, requests: tuple[int, int]
) -> None:
    add(sandbox, *(f"{count:03}" for count in range(deletions)), createdTime="2026-02-01T00:00:00Z")
    names = [f"other {count:03}" for count in range(others)]
    add(sandbox, "listed", *names, freshness=FRESH, createdTime="2026-01-01T00:00:00Z", tags=["keep"])
    pages = -(-(deletions + others + 1) // 100)
    first = pages + (pages > 1)

    clean_up(client)

    assert len(sandbox.journal.requests("DELETE")) == 1
    assert (gets(sandbox), gets(sandbox, LISTING) - first) == requests


@pytest.mark.parametrize("unknown_delete_ids", ["refused", "ignored"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop"},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503},
        {"kind": "html", "status": 502},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('status', '')}".strip(),
)
def test_a_deletion_whose_answer_is_lost_was_done(
    sandbox: Sandbox,
    client: QlikCloudClient,
    delete: Delete,
    fault: dict[str, Any],
    unknown_delete_ids: Any,
) -> None:
    sandbox.settings.unknown_delete_ids = unknown_delete_ids
    add(sandbox, "listed", freshness=FRESH)
    add(sandbox, "a", "b")
    sandbox.add_fault(Fault(method="DELETE", when="after", **fault))

    assert actions(delete(client)) == {"a": "deleted", "b": "deleted"}
    assert set(sandbox.assets) == {"listed"}
    assert len(sandbox.journal.requests("DELETE")) == 1


def test_what_is_refreshed_before_a_repeated_deletion_survives_as_far_as_the_first_allows_and_is_named(
    sandbox: Sandbox,
    connect: Connect,
    clock: Clock,
    delete: Delete,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add(sandbox, "listed", freshness=FRESH)
    add(sandbox, "a", "b")
    sandbox.add_fault(Fault(kind="status", status=503, method="DELETE", when="before"))

    def sleep(seconds: float) -> None:
        sandbox.touch("a", dataFreshness=FRESH)
        clock.sleep(seconds)

    assert actions(delete(connect(sleep=sleep))) == {"a": "skipped", "b": "deleted"}
    assert set(sandbox.assets) == {"listed", "a"}
    assert "a deletion that was not answered and may still be carried out: a." in caplog.text


def test_an_error_in_the_look_is_raised_and_nothing_is_sent(
    sandbox: Sandbox, delete: Delete, meddle: Meddle
) -> None:
    add(sandbox, "a", "b")
    fault = Fault(kind="status", status=403, method="GET", times=None)

    with pytest.raises(QlikPermissionError, match=r"0 of 2 deleted, 2 not\."):
        delete(meddle(lambda: sandbox.add_fault(fault)))

    assert sandbox.journal.requests("DELETE") == []


def test_an_error_in_the_look_of_the_second_hundred_says_how_many_were_deleted(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    add(sandbox, *(f"{number:03}" for number in range(150)))
    results: list[Result] = []

    def note(result: Result) -> None:
        if not results:
            sandbox.add_fault(Fault(kind="status", status=500, method="GET"))
        results.append(result)

    with pytest.raises(QlikServerError, match=r"^100 of 150 deleted, 50 not\."):
        clean_up_data_assets(client, rules(), GUARDS, on_result=note)

    assert [result.action for result in results] == ["deleted"] * 100
    assert len(sandbox.assets) == 50


def test_a_look_that_fails_after_an_attempt_that_may_have_deleted_does_not_hide_that(
    sandbox: Sandbox, connect: Connect, clock: Clock, delete: Delete
) -> None:
    """An operator that waits for the quota in the triggerer would begin anew, and take them for missing."""
    add(sandbox, "listed", freshness=FRESH)
    add(sandbox, "a", "b")
    client = connect(rate_limits=RateLimits(tier2_limit=1, window=3000), max_rate_limit_wait=60)
    sandbox.add_fault(Fault(kind="status", status=503, method="DELETE", when="after"))

    results = delete(client)

    assert actions(results) == {"a": "deleted", "b": "deleted"}
    assert set(sandbox.assets) == {"listed"}


def test_a_wait_that_is_not_allowed_is_said_before_any_look(
    sandbox: Sandbox, connect: Connect, delete: Delete
) -> None:
    add(sandbox, "listed", freshness=FRESH)
    add(sandbox, "a", "b")
    client = connect(rate_limits=ONE_WRITE, max_rate_limit_wait=1)
    client.patch_data_asset("listed", [{"op": "add", "path": "/name", "value": "Listed"}])
    sandbox.journal.clear()

    with pytest.raises(QlikRateLimitError, match=r"0 of 2 deleted, 2 not\."):
        delete(client)

    assert len(sandbox.journal) == 1


@pytest.mark.parametrize("kind", [{"status": 500}, {"status": 403}])
def test_an_error_that_stays_is_raised_and_nothing_is_deleted(
    sandbox: Sandbox, client: QlikCloudClient, delete: Delete, kind: dict[str, Any]
) -> None:
    add(sandbox, "listed", freshness=FRESH)
    add(sandbox, "a", "b")
    sandbox.add_fault(Fault(kind="status", method="DELETE", times=None, **kind))

    with pytest.raises(QlikCloudError, match=r"0 of 2 deleted, 2 not\."):
        delete(client)

    assert set(sandbox.assets) == {"listed", "a", "b"}

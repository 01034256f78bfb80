"""What others do during a clean-up, and what fails on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.clean_up import clean_up_data_assets
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikCloudClient,
    QlikCloudError,
    QlikPermissionError,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.catalog.clean_ups import FRESH, NO_LIMITS, add, rules, run


class WatchedClient(QlikCloudClient):
    """A client before whose last look, and between that and the deletion, something may happen."""

    before_look: Callable[[], Any] = staticmethod(lambda: None)
    before_deletion: Callable[[], Any] = staticmethod(lambda: None)

    def delete_data_assets(self, data_asset_ids: Any, last_look: Any = None) -> None:
        def look(ids: list[str], unanswered: int) -> list[str]:
            self.before_look()
            left: list[str] = last_look(ids, unanswered)
            self.before_deletion()
            return left

        super().delete_data_assets(data_asset_ids, look if last_look else None)


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    key = ApiKey(sandbox.api_key)
    with WatchedClient(sandbox.url, key, rate_limit_store="memory:", sleep=lambda seconds: None) as client:
        yield client


@pytest.mark.parametrize(
    "change",
    [
        {"dataFreshness": FRESH},
        {"tags": ["tmp", "keep"]},
        {"tags": ["other"]},
        {"technicalName": "renamed"},
        {"appType": "dbt"},
        {"ownerId": "bob"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_no_longer_selected_survives(
    sandbox: Sandbox, client: WatchedClient, change: dict[str, Any]
) -> None:
    add(sandbox, "a", "b", appType="airflow", tags=["tmp"], ownerId="ann")
    client.before_look = lambda: sandbox.touch("a", **change)

    actions = run(
        client,
        guards=DeletionGuards(None, None, frozenset({"keep"})),
        tags=["tmp"],
        app_types=["airflow"],
        owner_ids=["ann"],
        technical_name_pattern="[ab]",
    )

    assert actions == {"a": "skipped", "b": "deleted"}
    assert set(sandbox.assets) == {"a"}


def test_what_becomes_stale_meanwhile_is_left_for_the_next_run(
    sandbox: Sandbox, client: WatchedClient
) -> None:
    add(sandbox, "a")
    client.before_look = lambda: add(sandbox, "b")

    assert run(client) == {"a": "deleted"}
    assert set(sandbox.assets) == {"b"}


@pytest.mark.parametrize("unknown_delete_ids", ["refused", "ignored"])
def test_what_somebody_else_deleted_meanwhile_is_missing(
    sandbox: Sandbox, client: WatchedClient, unknown_delete_ids: Any
) -> None:
    sandbox.settings.unknown_delete_ids = unknown_delete_ids
    add(sandbox, "a", "b")
    client.before_look = lambda: QlikCloudClient.delete_data_assets(client, ["a"])

    assert run(client) == {"a": "missing", "b": "deleted"}


def test_what_disappears_at_the_last_moment_is_missing(sandbox: Sandbox, client: WatchedClient) -> None:
    add(sandbox, "a", "b")
    others = ["a"]
    client.before_deletion = lambda: others and QlikCloudClient.delete_data_assets(client, [others.pop()])

    assert run(client) == {"a": "missing", "b": "deleted"}


def test_both_looks_are_at_all_fields(sandbox: Sandbox, client: QlikCloudClient) -> None:
    """A tenant that leaves fields out of projections must not make a protected data asset look untagged."""
    add(sandbox, "a")

    run(client)

    assert ["projections" in entry.query for entry in sandbox.journal.requests("GET")] == [False, False]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("answer_is_lost", [False, True])
def test_what_was_moved_to_another_data_store_is_skipped(
    sandbox: Sandbox, client: WatchedClient, number: int, *, answer_is_lost: bool
) -> None:
    sandbox.add_store(id="other", name="Other")
    names = ["a", "b", "c"][:number]
    add(sandbox, *names)
    looks = [] if answer_is_lost else ["first"]

    def move() -> None:
        if looks:
            sandbox.touch("a", dataStoreInfo={"id": "other"})
        looks.append("another")

    client.before_look = move
    if answer_is_lost:
        sandbox.add_fault(Fault(kind="drop", method="DELETE", when="before"))

    assert run(client) == {**dict.fromkeys(names, "deleted"), "a": "skipped"}
    assert set(sandbox.assets) == {"a"}


def test_what_the_listing_does_not_show_and_exists_unchanged_is_deleted(
    sandbox: Sandbox, client: WatchedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a tenant whose listings lag behind."""
    add(sandbox, "a", "b")
    first = client.list_data_assets

    def hide() -> None:
        monkeypatch.setattr(
            client, "list_data_assets", lambda *given: (it for it in first(*given) if it.id != "a")
        )

    client.before_look = hide

    assert run(client) == {"a": "deleted", "b": "deleted"}
    assert not sandbox.assets


def test_an_error_of_who_is_told_keeps_no_other_result_from_being_told(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    add(sandbox, "a", "b", "c")
    told = []

    def note(result: Any) -> None:
        told.append(result.id)
        if result.id == "a":
            raise RuntimeError("cannot be recorded")

    with pytest.raises(RuntimeError, match="cannot be recorded"):
        clean_up_data_assets(client, rules(), NO_LIMITS, on_result=note)

    assert told == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("method", "kind"), [("GET", {"status": 503}), ("DELETE", {"status": 503}), ("DELETE", {"status": 403})]
)
def test_an_error_that_stays_is_raised_and_nothing_is_deleted(
    sandbox: Sandbox, client: QlikCloudClient, method: str, kind: dict[str, Any]
) -> None:
    add(sandbox, "a")
    sandbox.add_fault(Fault(kind="status", method=method, times=None, **kind))

    with pytest.raises(QlikCloudError):
        run(client)

    assert set(sandbox.assets) == {"a"}


def test_a_user_without_the_right_is_refused(sandbox: Sandbox) -> None:
    add(sandbox, "a")
    key = ApiKey(sandbox.read_only_api_key)

    with (
        QlikCloudClient(sandbox.url, key, rate_limit_store="memory:") as client,
        pytest.raises(QlikPermissionError),
    ):
        run(client)


def test_a_listing_is_a_hundred_per_request(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, *(f"{number:04}" for number in range(999)), freshness=FRESH)

    run(client)

    assert len(sandbox.journal) <= 11

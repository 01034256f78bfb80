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
    QlikServerError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.catalog.clean_ups import FRESH, LISTING, NO_LIMITS, add, rules, run


class WatchedClient(QlikCloudClient):
    """A client before whose second listing, and before each of whose deletions, something may happen."""

    before_second_listing: Callable[[], Any] = staticmethod(lambda: None)
    before_deletion: Callable[[], Any] = staticmethod(lambda: None)
    listings = 0

    def list_data_assets(self, *arguments: Any, **options: Any) -> Any:
        self.listings += 1
        if self.listings == 2:
            self.before_second_listing()
        return super().list_data_assets(*arguments, **options)

    def delete_data_assets(self, data_asset_ids: Any) -> None:
        self.before_deletion()
        super().delete_data_assets(data_asset_ids)


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
    client.before_second_listing = lambda: sandbox.touch("a", **change)

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
    client.before_second_listing = lambda: add(sandbox, "b")

    assert run(client) == {"a": "deleted"}
    assert set(sandbox.assets) == {"b"}


@pytest.mark.parametrize("unknown_delete_ids", ["refused", "ignored"])
def test_what_somebody_else_deleted_meanwhile_is_missing(
    sandbox: Sandbox, client: WatchedClient, unknown_delete_ids: Any
) -> None:
    sandbox.settings.unknown_delete_ids = unknown_delete_ids
    add(sandbox, "a", "b")
    client.before_second_listing = lambda: QlikCloudClient.delete_data_assets(client, ["a"])

    assert run(client) == {"a": "missing", "b": "deleted"}


def test_what_disappears_at_the_last_moment_is_missing(sandbox: Sandbox, client: WatchedClient) -> None:
    add(sandbox, "a", "b")
    others = ["a"]
    client.before_deletion = lambda: others and QlikCloudClient.delete_data_assets(client, [others.pop()])

    assert run(client) == {"a": "missing", "b": "deleted"}


def test_if_deleting_takes_long_the_rest_is_looked_at_again(sandbox: Sandbox, client: WatchedClient) -> None:
    add(sandbox, *(f"{number:03}" for number in range(150)))
    seconds = iter([0.0, 0.0, 61.0, 61.0, 61.0])
    client.before_deletion = lambda: sandbox.touch("149", dataFreshness=FRESH)

    results = list(clean_up_data_assets(client, rules(), NO_LIMITS, clock=lambda: next(seconds)))

    assert set(sandbox.assets) == {"149"}
    assert [result.id for result in results if result.action == "skipped"] == ["149"]
    assert client.listings == 3


def test_an_error_in_that_look_says_how_many_were_deleted(sandbox: Sandbox, client: WatchedClient) -> None:
    add(sandbox, *(f"{number:03}" for number in range(150)))
    seconds = iter([0.0, 0.0, 61.0])
    client.before_deletion = lambda: sandbox.add_fault(Fault(kind="status", status=500, method="GET"))

    with pytest.raises(QlikServerError, match=r"^100 of 150 deleted, 50 not\."):
        list(clean_up_data_assets(client, rules(), NO_LIMITS, clock=lambda: next(seconds)))


def test_a_full_look_at_all_fields_precedes_the_deletion(sandbox: Sandbox, client: QlikCloudClient) -> None:
    """A tenant that leaves fields out of projections must not make a protected data asset look untagged."""
    add(sandbox, "a")

    run(client)

    assert ["projections" in entry.query for entry in sandbox.journal.requests(path=LISTING)] == [True, False]


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
    add(sandbox, *(f"{number:04}" for number in range(1000)), freshness=FRESH)

    run(client)

    assert len(sandbox.journal) <= 11


def test_the_share_counts_again_what_is_there_at_the_last_moment(
    sandbox: Sandbox, client: WatchedClient
) -> None:
    add(sandbox, "a")
    add(sandbox, *"bcdefghij", freshness=FRESH)
    client.before_second_listing = lambda: QlikCloudClient.delete_data_assets(client, list("bcdefg"))

    with pytest.raises(QlikValidationError, match="1 of 4 data assets would be deleted"):
        run(client, guards=DeletionGuards(None, 0.2))

    assert "a" in sandbox.assets

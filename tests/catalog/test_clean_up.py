"""Cleaning up: what is selected and why, and what survives."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.clean_up import clean_up_data_assets
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import (
    DataAsset,
    QlikCloudClient,
    QlikNotFoundError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.catalog.clean_ups import DAY, FRESH, NO_LIMITS, NOW, STALE, add, rules, run

# --- selecting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "selected"),
    [
        (timedelta(days=30), False),
        (timedelta(days=30, milliseconds=1), True),
        (timedelta(days=4000), True),
        (timedelta(), False),
        (timedelta(days=-400), False),
    ],
)
def test_older_than_allowed_is_stale(
    sandbox: Sandbox, client: QlikCloudClient, age: timedelta, selected: bool
) -> None:
    add(sandbox, "a", freshness=(NOW - age).isoformat())

    assert run(client) == ({"a": "deleted"} if selected else {})
    assert ("a" in sandbox.assets) is not selected


@pytest.mark.parametrize("unset", ["absent", "null", "empty text"])
@pytest.mark.parametrize(
    ("undated", "modified", "selected"),
    [
        ("skip", STALE, False),
        ("use_last_modified", STALE, True),
        ("use_last_modified", FRESH, False),
    ],
)
def test_what_was_never_stamped_is_an_explicit_choice(
    sandbox: Sandbox, client: QlikCloudClient, *, undated: Any, modified: str, selected: bool, unset: Any
) -> None:
    sandbox.settings.unset_fields = unset
    add(sandbox, "a", freshness=None, lastModifiedTime=modified)

    assert run(client, undated=undated) == ({"a": "deleted"} if selected else {})


def test_what_is_fresh_is_not_stale_because_nobody_changed_its_entry(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    add(sandbox, "a", freshness=FRESH, lastModifiedTime=STALE)

    assert run(client, undated="use_last_modified") == {}


@pytest.mark.parametrize(
    ("given", "selected"),
    [
        ({}, {"a", "b", "c"}),
        ({"app_types": ["airflow"]}, {"a", "b"}),
        ({"app_types": ["airflow", "dbt"]}, {"a", "b", "c"}),
        ({"tags": ["tmp"]}, {"b", "c"}),
        ({"tags": ["tmp", "test"]}, {"a", "b", "c"}),
        ({"owner_ids": ["ann"]}, {"a", "c"}),
        ({"technical_name_pattern": "[ab]"}, {"a", "b"}),
        ({"technical_name_pattern": "A"}, set()),
        ({"app_types": ["airflow"], "tags": ["tmp"]}, {"b"}),
        ({"app_types": ["airflow"], "tags": ["tmp"], "owner_ids": ["ann"]}, set()),
        ({"tags": ["nobody has this"]}, set()),
    ],
)
def test_all_narrowings_must_be_met(
    sandbox: Sandbox, client: QlikCloudClient, given: dict[str, Any], selected: set[str]
) -> None:
    add(sandbox, "a", appType="airflow", tags=["test"], ownerId="ann")
    add(sandbox, "b", appType="airflow", tags=["tmp", "x"], ownerId="bob")
    add(sandbox, "c", appType="dbt", tags=["tmp"], ownerId="ann")

    assert set(run(client, **given)) == selected
    assert set(sandbox.assets) == {"a", "b", "c"} - selected


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("tmp_.*", {"tmp_orders"}),
        ("tmp_", set()),
        (r".*\.bak", {"orders.bak"}),
        (r"tmp_orders|orders\.bak", {"tmp_orders", "orders.bak"}),
        ("(?i)TMP.*", {"tmp_orders"}),
    ],
)
def test_a_pattern_matches_the_whole_name(
    sandbox: Sandbox, client: QlikCloudClient, pattern: str, selected: set[str]
) -> None:
    add(sandbox, "tmp_orders", "not_tmp_orders", "orders.bak", "orders_bak")

    assert set(run(client, technical_name_pattern=pattern)) == selected


def test_other_data_stores_are_left_alone(sandbox: Sandbox, client: QlikCloudClient) -> None:
    for store_id in ("second", "other"):
        sandbox.add_store(id=store_id, name=store_id)
    add(sandbox, "a")
    add(sandbox, "b", data_store_id="second")
    add(sandbox, "c", data_store_id="other")

    assert set(run(client, data_store_ids=["store", "second"])) == {"a", "b"}
    assert set(sandbox.assets) == {"c"}


def test_what_a_tenant_lists_of_another_data_store_is_not_selected() -> None:
    asset = DataAsset.parse({"id": "a", "dataFreshness": STALE, "dataStoreInfo": {"id": "other"}})

    assert rules().staleness(asset) is None
    assert rules(data_store_ids=["other"]).staleness(asset) is not None


def test_a_data_store_that_does_not_exist_stops_before_any_deletion(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    add(sandbox, "a")

    with pytest.raises(QlikNotFoundError):
        run(client, data_store_ids=["store", "nowhere"])

    assert set(sandbox.assets) == {"a"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data_store_ids": []}, "data_store_ids is empty"),
        ({"data_store_ids": "store"}, "data_store_ids must be a list of ids, not 'store'"),
        ({"data_store_ids": {"store": 1}}, "data_store_ids must be a list of ids"),
        ({"data_store_ids": None}, "data_store_ids must be a list of ids"),
        *(
            ({"stale_after": age}, "stale_after must be a number of seconds above 0, not ")
            for age in (-1e9, -1, 0, math.nan, math.inf, True, "60", None, timedelta(days=1))
        ),
        ({"data_store_ids": ["*"]}, "every data store"),
        ({"data_store_ids": ["store", "*"]}, "every data store"),
        ({"data_store_ids": [""]}, "is not a valid id"),
        ({"undated": "delete"}, "undated must be 'skip' or"),
        ({"app_types": []}, "app_types is empty"),
        *(
            ({name: value}, f"{name} must be a list of non-empty strings, not ")
            for name in ("app_types", "tags", "owner_ids")
            for value in ("airflow", b"airflow", {"airflow": 1}, ["airflow", ""], [None], 5)
        ),
        ({"now": datetime(2026, 7, 1)}, "now must be an instant with a time zone"),  # noqa: DTZ001
        ({"now": "2026-07-01T00:00:00Z"}, "now must be an instant with a time zone"),
        ({"tags": ()}, "tags is empty"),
        ({"owner_ids": set()}, "owner_ids is empty"),
        ({"technical_name_pattern": ""}, "1 to 1000 characters"),
        ({"technical_name_pattern": "a" * 1001}, "1 to 1000 characters"),
        ({"technical_name_pattern": "*.bak"}, r"'\*.bak' is not a supported regular expression.*'tmp_\.\*'"),
        ({"technical_name_pattern": "a{99999999999}"}, "is not a supported regular expression"),
        (
            {"technical_name_pattern": "(?!tmp_).*"},
            r"is not a supported regular expression: \(\?! cannot",
        ),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        rules(**given)


def test_a_clock_of_this_host_that_is_ahead_makes_nothing_stale(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    now = datetime.now(UTC)
    add(sandbox, "fresh", freshness=(now - timedelta(minutes=1)).isoformat())
    add(sandbox, "stale", freshness=(now - timedelta(days=31)).isoformat())

    assert run(client, now=now + timedelta(days=40)) == {"stale": "deleted"}


# --- guards ----------------------------------------------------------------------------------------------


def test_protected_tags_protect_whatever_is_selected(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, "a", tags=["tmp"])
    add(sandbox, "b", tags=["tmp", "keep"])

    assert run(client, guards=DeletionGuards(None, None, frozenset({"keep"})), tags=["tmp"]) == {
        "a": "deleted"
    }
    assert set(sandbox.assets) == {"b"}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("guards", "message"),
    [
        (DeletionGuards(2, None), "3 data assets would be deleted, but max_deletions allows 2"),
        (DeletionGuards(None, 0.29), r"3 of 10 .*max_fraction allows 29.0%"),
    ],
)
def test_too_much_stops_before_the_first_deletion(
    sandbox: Sandbox, client: QlikCloudClient, guards: DeletionGuards, message: str, dry_run: bool
) -> None:
    add(sandbox, "a", "b", "c")
    add(sandbox, *"defghij", freshness=FRESH)

    with pytest.raises(QlikValidationError, match=message):
        run(client, guards=guards, dry_run=dry_run)

    assert len(sandbox.assets) == 10
    assert sandbox.journal.requests("DELETE") == []


def test_the_share_is_of_all_data_assets_of_the_data_stores(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    add(sandbox, "a", tags=["tmp"])
    add(sandbox, *"bcdefghij", freshness=FRESH)

    assert run(client, guards=DeletionGuards(None, 0.1), tags=["tmp"]) == {"a": "deleted"}


def test_nothing_is_deleted_before_all_is_listed(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, *(f"asset {number}" for number in range(250)))

    run(client)

    methods = [entry.method for entry in sandbox.journal.requests()]
    assert methods.index("DELETE") > 4  # three pages, the first one again, and the last look
    assert methods.count("DELETE") == 3


# --- a dry run -------------------------------------------------------------------------------------------


def test_a_dry_run_reads_once_and_deletes_nothing(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, "a", "b")
    add(sandbox, "c", freshness=FRESH)

    assert run(client, dry_run=True) == {"a": "deleted", "b": "deleted"}
    assert len(sandbox.assets) == 3
    assert [entry.method for entry in sandbox.journal.requests()] == ["GET"]


def test_nothing_to_clean_up_is_one_listing(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, "a", freshness=FRESH)

    assert run(client) == {}
    assert len(sandbox.journal) == 1


def test_running_again_deletes_nothing_more(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, "a")
    run(client)
    sandbox.journal.clear()

    assert run(client) == {}
    assert sandbox.journal.requests("DELETE") == []


# --- results ---------------------------------------------------------------------------------------------


def test_results_say_what_why_and_how_old_the_stalest_first(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    add(sandbox, "a", freshness="2026-05-02T00:00:00Z")
    add(sandbox, "b", freshness="2026-04-02T00:00:00Z", description="by a steward")
    add(sandbox, "c", freshness=None, lastModifiedTime="2026-03-03T00:00:00Z")

    told: list[Any] = []
    results = clean_up_data_assets(
        client, rules(undated="use_last_modified"), NO_LIMITS, on_result=told.append
    )

    assert told == results

    assert [result.id for result in results] == ["c", "b", "a"]
    assert [result.to_json()["why"] for result in results] == [
        {"rule": "lastModifiedTime", "instant": "2026-03-03T00:00:00.000Z", "age_seconds": 120 * DAY},
        {"rule": "dataFreshness", "instant": "2026-04-02T00:00:00.000Z", "age_seconds": 90 * DAY},
        {"rule": "dataFreshness", "instant": "2026-05-02T00:00:00.000Z", "age_seconds": 60 * DAY},
    ]
    assert str(results[1]) == (
        "Data asset b (b) deleted, version 0: dataFreshness is 2026-04-02T00:00:00.000Z, 90.0 days ago"
    )
    assert results[1].to_json()["data_asset"]["description"] == "by a steward"


def test_the_log_says_how_many_and_which_are_the_stalest(
    sandbox: Sandbox, client: QlikCloudClient, caplog: pytest.LogCaptureFixture
) -> None:
    add(sandbox, "a", "b", tags=["keep"])
    add(sandbox, "c")
    add(sandbox, "d", freshness=FRESH)

    with caplog.at_level(logging.INFO):
        run(client, dry_run=True, guards=DeletionGuards(None, None, frozenset({"keep"})))

    assert (
        "1 of 4 data assets are stale, not counting 2 protected by a tag: c (dataFreshness is" in caplog.text
    )

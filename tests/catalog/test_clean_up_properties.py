"""Whatever the catalog holds and whatever the rules: only what must go goes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_qlik_assets.catalog.clean_up import CleanUpRules, clean_up_data_assets
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient, QlikValidationError
from airflow_provider_qlik_assets.sandbox import Sandbox

NOW = datetime(2026, 7, 1, tzinfo=UTC)
STALE_AFTER = 10 * 86_400.0
FRESH = NOW.isoformat()
TAGS = ["tmp", "keep", "legal", "sales"]
STORES = ["s1", "s2", "s3"]

an_instant = st.integers(-5, 40).map(lambda days: (NOW - timedelta(days=days, seconds=1)).isoformat())
an_asset = st.fixed_dictionaries(
    {
        "store": st.sampled_from(STORES),
        "appType": st.sampled_from(["airflow", "dbt"]),
        "ownerId": st.sampled_from(["ann", "bob"]),
        "tags": st.lists(st.sampled_from(TAGS), unique=True, max_size=3),
        "dataFreshness": st.one_of(st.none(), an_instant),
        "lastModifiedTime": an_instant,
        "prefix": st.sampled_from(["tmp_", "dwh."]),
    }
)
a_catalog = st.lists(an_asset, min_size=1, max_size=12)
rules_of = st.fixed_dictionaries(
    {
        "data_store_ids": st.lists(st.sampled_from(STORES), unique=True, min_size=1),
        "undated": st.sampled_from(["skip", "use_last_modified"]),
        "app_types": st.sampled_from([None, ["airflow"], ["airflow", "dbt"]]),
        "tags": st.one_of(st.none(), st.lists(st.sampled_from(TAGS), unique=True, min_size=1)),
        "owner_ids": st.sampled_from([None, ["ann"]]),
        "technical_name_pattern": st.sampled_from([None, "tmp_.*", r"dwh\.[0-5]"]),
    }
)
guards_of = st.builds(
    DeletionGuards,
    max_deletions=st.one_of(st.none(), st.integers(0, 12)),
    max_fraction=st.one_of(st.none(), st.floats(0, 1)),
    protected_tags=st.frozensets(st.sampled_from(["keep", "legal"])),
)
each_example = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class MeddledClient(QlikCloudClient):
    """A client before whose deletions somebody refreshes some data assets and re-tags others."""

    sandbox: Sandbox
    refreshed: list[str]
    kept: list[str]

    def delete_data_assets(self, *arguments: Any) -> None:
        for key in self.refreshed:
            self.sandbox.touch(key, dataFreshness=FRESH)
        for key in self.kept:
            self.sandbox.touch(key, tags=["keep"])
        super().delete_data_assets(*arguments)


@pytest.fixture
def client(qlik_sandbox: Sandbox) -> Iterator[MeddledClient]:
    key = ApiKey(qlik_sandbox.api_key)
    with MeddledClient(qlik_sandbox.url, key, rate_limit_store="memory:") as client:
        client.sandbox = qlik_sandbox
        yield client


def seed(client: MeddledClient, catalog: list[dict[str, Any]]) -> None:
    """Fill an empty tenant; ids are the numbers of the data assets."""
    sandbox = client.sandbox
    sandbox.reset()
    client.refreshed, client.kept = [], []
    for store_id in STORES:
        sandbox.add_store(id=store_id, name=store_id)
    for number, asset in enumerate(catalog):
        fields = {name: value for name, value in asset.items() if value is not None}
        store, prefix = fields.pop("store"), fields.pop("prefix")
        sandbox.add_asset(store, id=str(number), technicalName=f"{prefix}{number}", **fields)


def may_go(asset: dict[str, Any], given: dict[str, Any], guards: DeletionGuards) -> bool:
    """Say the same as the rules, written down independently of them."""
    instant = asset.get("dataFreshness")
    if instant is None and given["undated"] == "use_last_modified":
        instant = asset["lastModifiedTime"]
    tags = set(asset.get("tags", []))
    conditions = [
        instant is not None and datetime.fromisoformat(instant) < NOW - timedelta(seconds=STALE_AFTER),
        asset["dataStoreInfo"]["id"] in given["data_store_ids"],
        given["app_types"] is None or asset["appType"] in given["app_types"],
        given["owner_ids"] is None or asset["ownerId"] in given["owner_ids"],
        given["tags"] is None or tags & set(given["tags"]),
        not given["technical_name_pattern"]
        or re.match(given["technical_name_pattern"] + "$", asset["technicalName"]),
        not tags & guards.protected_tags,
    ]
    return all(conditions)


def in_stores(assets: dict[str, Any], given: dict[str, Any]) -> int:
    return sum(asset["dataStoreInfo"]["id"] in given["data_store_ids"] for asset in assets.values())


@each_example
@given(catalog=a_catalog, given_rules=rules_of, guards=guards_of)
def test_exactly_what_may_go_goes_and_never_more_than_the_guards_allow(
    client: MeddledClient, catalog: list[dict[str, Any]], given_rules: dict[str, Any], guards: DeletionGuards
) -> None:
    seed(client, catalog)
    before = client.sandbox.assets
    going = {key for key, asset in before.items() if may_go(asset, given_rules, guards)}
    total = in_stores(before, given_rules)
    too_many = guards.max_deletions is not None and len(going) > guards.max_deletions
    too_large = guards.max_fraction is not None and len(going) / max(1, total) > guards.max_fraction
    rules = CleanUpRules(stale_after=STALE_AFTER, now=NOW, **given_rules)

    try:
        results = clean_up_data_assets(client, rules, guards)
    except QlikValidationError:
        assert too_many or too_large
        assert client.sandbox.assets == before
        assert client.sandbox.journal.requests("DELETE") == []
    else:
        assert not too_many
        assert not too_large
        assert {result.id for result in results if result.action == "deleted"} == going
        assert client.sandbox.assets == {key: asset for key, asset in before.items() if key not in going}


@each_example
@given(
    catalog=a_catalog,
    given_rules=rules_of,
    refreshed=st.sets(st.integers(0, 11)),
    kept=st.sets(st.integers(0, 11)),
)
def test_what_is_refreshed_or_protected_before_the_deletion_survives(
    client: MeddledClient,
    catalog: list[dict[str, Any]],
    given_rules: dict[str, Any],
    refreshed: set[int],
    kept: set[int],
) -> None:
    seed(client, catalog)
    guards = DeletionGuards(None, None, frozenset({"keep"}))
    before = client.sandbox.assets
    client.refreshed = [str(number) for number in refreshed if number < len(catalog)]
    client.kept = [str(number) for number in kept if number < len(catalog)]
    touched = {*client.refreshed, *client.kept}
    going = {key for key, asset in before.items() if may_go(asset, given_rules, guards)}
    rules = CleanUpRules(stale_after=STALE_AFTER, now=NOW, **given_rules)

    results = {result.id: result.action for result in clean_up_data_assets(client, rules, guards)}

    assert set(client.sandbox.assets) == before.keys() - (going - touched)
    assert results == {key: "skipped" if key in touched else "deleted" for key in going}


@each_example
@given(catalog=a_catalog, given_rules=rules_of, guards=guards_of)
def test_a_dry_run_says_what_the_run_does_and_a_second_run_does_nothing(
    client: MeddledClient, catalog: list[dict[str, Any]], given_rules: dict[str, Any], guards: DeletionGuards
) -> None:
    seed(client, catalog)
    rules = CleanUpRules(stale_after=STALE_AFTER, now=NOW, **given_rules)

    def run(dry_run: bool) -> Any:
        try:
            return [
                (result.id, result.action)
                for result in clean_up_data_assets(client, rules, guards, dry_run=dry_run)
            ]
        except QlikValidationError as error:
            return str(error)

    planned = run(dry_run=True)
    assert len(client.sandbox.assets) == len(catalog)
    assert run(dry_run=False) == planned
    if not isinstance(planned, str):
        assert run(dry_run=False) == []

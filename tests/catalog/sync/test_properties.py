"""Whatever is there and whatever is wished: the wish is reached, and nothing else is touched."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airflow_provider_qlik_assets.catalog import DeletionGuards, Plan, Sync, make_plan
from airflow_provider_qlik_assets.catalog.creation import new_document
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.catalog.sync.desired import parse_desired
from airflow_provider_qlik_assets.client import DataAsset, QlikCloudClient, QlikValidationError
from airflow_provider_qlik_assets.sandbox import Sandbox

Json = dict[str, Any]
Store = dict[str, Json]
"""Documents of data assets by id."""

NAMES = [f"n{number}" for number in range(8)]
texts = st.sampled_from(["", "a", "b", "Größe ~/x"])
instants = st.sampled_from(
    ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z"]
)
tags = st.lists(st.sampled_from(["x", "y", "keep"]), unique=True)
values = st.sampled_from([0, 1, True, False, "s", [1], {"deep": None}])
keys = st.sampled_from(["k", "a/b", "t~1"])
NO_FRESHNESS = ("dataFreshness", None)


def fields(nothing: bool) -> st.SearchStrategy[Json]:
    """Values of optional fields; where ``nothing``, also ``None``, which clears all but the freshness."""
    maybe = (lambda given: st.none() | given) if nothing else (lambda given: given)
    return st.fixed_dictionaries(
        {},
        optional={
            "name": maybe(texts),
            "description": maybe(texts),
            "tags": maybe(tags),
            "dataFreshness": maybe(instants),
            "properties": maybe(st.dictionaries(keys, maybe(values))),
        },
    )


wish_lists = st.lists(
    st.builds(
        lambda name, given: {"technicalName": name, "appType": "airflow", **given},
        st.sampled_from(NAMES),
        fields(nothing=True),
    ),
    unique_by=lambda wish: wish["technicalName"],
)
stores = st.lists(
    st.builds(
        lambda name, age, given: {"technicalName": name, "createdTime": f"2025-01-0{age}T00:00:00Z", **given},
        st.sampled_from(NAMES),
        st.integers(1, 3),
        fields(nothing=False),
    ),
    max_size=10,
)
all_guards = st.builds(
    DeletionGuards,
    max_deletions=st.none() | st.integers(0, 5),
    max_fraction=st.none() | st.floats(0, 1),
    protected_tags=st.frozensets(st.sampled_from(["keep", "x"])),
)


def stored(documents: list[Json]) -> Store:
    return {
        str(number): {
            "id": str(number),
            "version": 1,
            "appType": "airflow",
            "dataStoreInfo": {"id": "store"},
            "undocumented": number,
            **document,
        }
        for number, document in enumerate(documents)
    }


def plan_for(store: Store, wishes: list[Json], **options: Any) -> Plan:
    actual = [DataAsset.from_json(document) for document in store.values()]
    return make_plan("store", parse_desired(wishes, "store"), actual, **options)


def applied(store: Store, plan: Plan) -> Store:
    """Return what a tenant holds after a plan was carried out."""
    after = copy.deepcopy(store)
    for number, wish in enumerate(plan.to_create):
        key = f"new {number}"
        after[key] = {"id": key, "version": 1, "createdTime": "2026-11-01T00:00:00Z", **new_document(wish)}
    for update in plan.to_update:
        assert update.actual.id is not None
        operations = [operation.to_json() for operation in overlay(update.actual, update.desired)]
        after[update.actual.id] = jsonpatch.apply_patch(after[update.actual.id], operations)
    for asset in plan.to_delete:
        assert asset.id is not None
        del after[asset.id]
    return after


def holds(document: Json, wish: Json) -> bool:
    """Return whether a document is as wished; written apart from the code under test."""

    def same(field: str, wanted: Any, found: Any) -> bool:
        if field == "tags":
            return set(wanted or []) == set(found or [])
        if field == "dataFreshness":
            return wanted is None or (found or "") >= wanted
        if field == "properties":
            if wanted is None:
                return not found
            present = {key: value for key, value in (found or {}).items() if value is not None}
            # By repr(), since True is 1 in Python and not in JSON.
            return all(repr(present.get(key)) == repr(value) for key, value in wanted.items())
        return (wanted or None) == (found or None)

    return all(same(field, wanted, document.get(field)) for field, wanted in wish.items())


def counting(store: Store, name: str) -> Json:
    """Return the data asset of a name that counts."""
    return min(
        (document for document in store.values() if document["technicalName"] == name),
        key=lambda document: (document["createdTime"], document["id"]),
    )


@given(stores, wish_lists)
def test_applying_a_plan_reaches_the_wish(documents: list[Json], wishes: list[Json]) -> None:
    store = stored(documents)

    after = applied(store, plan_for(store, wishes))

    assert [wish for wish in wishes if not holds(counting(after, wish["technicalName"]), wish)] == []


@given(stores, wish_lists, st.booleans())
def test_the_second_plan_is_empty(documents: list[Json], wishes: list[Json], delete_unlisted: bool) -> None:
    store = stored(documents)

    after = applied(store, plan_for(store, wishes, delete_unlisted=delete_unlisted))

    assert plan_for(after, wishes, delete_unlisted=delete_unlisted).is_empty


@given(stores, wish_lists)
def test_fields_that_are_not_given_are_untouched(documents: list[Json], wishes: list[Json]) -> None:
    store = stored(documents)
    # No freshness is the freshness that is there: an SQL NULL erases nothing.
    wished = {
        wish["technicalName"]: {name: value for name, value in wish.items() if (name, value) != NO_FRESHNESS}
        for wish in wishes
    }

    after = applied(store, plan_for(store, wishes))

    for key, before in store.items():
        given_fields = wished.get(before["technicalName"], {}).keys()
        for field in before.keys() - given_fields:
            assert after[key].get(field) == before[field]
        for name in (before.get("properties") or {}).keys() - (
            wished.get(before["technicalName"], {}).get("properties") or {}
        ).keys():
            if "properties" not in given_fields or wished[before["technicalName"]]["properties"] is not None:
                assert after[key]["properties"][name] == before["properties"][name]


@given(stores, wish_lists)
def test_without_deleting_everything_survives(documents: list[Json], wishes: list[Json]) -> None:
    store = stored(documents)

    assert applied(store, plan_for(store, wishes)).keys() >= store.keys()


@given(stores, wish_lists, all_guards)
def test_what_is_deleted_is_neither_wished_nor_protected(
    documents: list[Json], wishes: list[Json], guards: DeletionGuards
) -> None:
    store = stored(documents)
    names = {wish["technicalName"] for wish in wishes}

    plan = plan_for(store, wishes, delete_unlisted=True, guards=guards)
    after = applied(store, plan)

    for key, document in store.items():
        survives = document["technicalName"] in names or guards.protected_tags & set(document.get("tags", []))
        assert (key in after) == bool(survives)


@given(stores, wish_lists)
def test_every_data_asset_is_accounted_for_once(documents: list[Json], wishes: list[Json]) -> None:
    store = stored(documents)
    plan = plan_for(store, wishes, delete_unlisted=True)

    known = [row["id"] for row in plan.to_rows() if row["id"] is not None]

    assert sorted(known) == sorted(store)
    assert plan.total == len(store)


@pytest.mark.timeout(300)
@settings(
    max_examples=settings().max_examples * 2 // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(documents=stores, wishes=wish_lists, guards=all_guards, delete_unlisted=st.booleans())
def test_the_same_holds_over_http(
    *,
    sandbox: Sandbox,
    client: QlikCloudClient,
    documents: list[Json],
    wishes: list[Json],
    guards: DeletionGuards,
    delete_unlisted: bool,
) -> None:
    assume(wishes or not delete_unlisted)
    sandbox.reset()
    sandbox.settings.duplicate_technical_name = "allowed"
    sandbox.add_store(id="store", name="Store")
    for number, document in enumerate(documents):
        sandbox.add_asset("store", id=str(number), **document)
    before = sandbox.assets
    sync = Sync(client, "store", wishes, delete_unlisted=delete_unlisted, guards=guards)
    plan = sync.plan()

    try:
        results = sync.apply(plan)
    except QlikValidationError:
        assert sandbox.assets == before
        deletions = len(plan.to_delete)
        most, share = guards.max_deletions, guards.max_fraction
        assert (most is not None and deletions > most) or (
            share is not None and deletions / len(before) > share
        )
        return

    after = sandbox.assets
    assert [wish for wish in wishes if not holds(counting(after, wish["technicalName"]), wish)] == []
    gone = {asset.id for asset in plan.to_delete}
    assert after.keys() >= before.keys() - gone
    assert not gone & after.keys()
    untouched = before.keys() - gone - {update.actual.id for update in plan.to_update}
    assert {key: after[key] for key in untouched} == {key: before[key] for key in untouched}
    assert {result.id for result in results} >= after.keys() - (
        set() if delete_unlisted else {key for key, asset in before.items()}
    )
    again = Sync(client, "store", wishes, delete_unlisted=delete_unlisted, guards=guards)
    assert again.plan().is_empty

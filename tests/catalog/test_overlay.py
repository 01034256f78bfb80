"""Laying a wish over a data asset: which operations are missing, and that they do just that."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.client import DataAsset
from airflow_provider_qlik_assets.client.json_patch import same_json

Json = dict[str, Any]
EARLY, LATE = "2026-01-31T06:30:00.000Z", "2026-02-01T06:30:00.000Z"


def missing(actual: Json, wish: Json, **options: Any) -> list[Json]:
    operations = overlay(DataAsset.from_json(actual), DataAsset.parse(wish), **options)
    return [operation.to_json() for operation in operations]


def add(path: str, value: Any) -> Json:
    return {"op": "add", "path": path, "value": value}


def remove(path: str) -> Json:
    return {"op": "remove", "path": path}


MOVE = add("/dataStoreInfo", {"id": "t"})
CUT = add("/dataFreshness", "2026-01-31T06:30:00.001Z")
DEEP = add("/properties/a", {"b": True})


@pytest.mark.parametrize(
    ("actual", "wish", "expected"),
    [
        ({"name": "a"}, {}, []),
        ({"name": "a"}, {"name": "a"}, []),
        ({"name": "a"}, {"name": "b"}, [add("/name", "b")]),
        ({}, {"name": "b"}, [add("/name", "b")]),
        ({"name": None}, {"name": "b"}, [add("/name", "b")]),
        ({"name": "a"}, {"name": None}, [remove("/name")]),
        ({"name": "a"}, {"name": ""}, [remove("/name")]),
        ({}, {"name": None}, []),
        ({"name": None}, {"name": ""}, []),
        ({"name": ""}, {"name": None}, []),
        ({"name": "a", "description": "d"}, {"name": "a"}, []),
        ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, []),
        ({"tags": ["a"]}, {"tags": ["b", "a"]}, [add("/tags", ["b", "a"])]),
        ({"tags": ["a"]}, {"tags": []}, [remove("/tags")]),
        ({}, {"tags": []}, []),
        ({"tags": []}, {"tags": None}, []),
        ({"dataStoreInfo": {"id": "s", "name": "S"}}, {"dataStoreInfo": {"id": "s", "name": "T"}}, []),
        ({"dataStoreInfo": {"id": "s"}}, {"dataStoreInfo": {"id": "t", "type": "x"}}, [MOVE]),
        ({"dataStoreInfo": {"id": "s"}}, {"dataStoreInfo": None}, [remove("/dataStoreInfo")]),
        ({"dataFreshness": EARLY}, {"dataFreshness": LATE}, [add("/dataFreshness", LATE)]),
        ({"dataFreshness": LATE}, {"dataFreshness": EARLY}, []),
        ({"dataFreshness": LATE}, {"dataFreshness": EARLY, "name": "n"}, [add("/name", "n")]),
        ({}, {"dataFreshness": EARLY}, [add("/dataFreshness", EARLY)]),
        ({"dataFreshness": EARLY}, {"dataFreshness": "2026-01-31 07:30:00.0009+01:00"}, []),
        ({"dataFreshness": EARLY}, {"dataFreshness": "2026-01-31T06:30:00.001999Z"}, [CUT]),
        ({"dataFreshness": LATE}, {"dataFreshness": None}, [remove("/dataFreshness")]),
        ({"properties": {"a": 1}}, {"properties": {"b": 2}}, [add("/properties/b", 2)]),
        ({"properties": {"a": 1}}, {"properties": {"a": 1.0}}, []),
        ({"properties": {"a": 1}}, {"properties": {"a": True}}, [add("/properties/a", True)]),
        ({"properties": {"a": {"b": 1}}}, {"properties": {"a": {"b": True}}}, [DEEP]),
        ({"properties": {"a": [0]}}, {"properties": {"a": [False]}}, [add("/properties/a", [False])]),
        ({"properties": {"a": 1, "b": 2}}, {"properties": {"a": None}}, [remove("/properties/a")]),
        ({"properties": {"a": None}}, {"properties": {"a": None}}, [remove("/properties/a")]),
        ({"properties": {"a": 1}}, {"properties": {"c": None}}, []),
        ({"properties": {}}, {"properties": {"a/b~c": 1}}, [add("/properties/a~1b~0c", 1)]),
        ({"properties": {"": 1}}, {"properties": {"": 2}}, [add("/properties/", 2)]),
        ({}, {"properties": {"a": 1, "b": None}}, [add("/properties", {"a": 1})]),
        ({}, {"properties": {"b": None}}, []),
        ({}, {"properties": {}}, []),
        ({"properties": {"a": 1}}, {"properties": {}}, []),
        ({"properties": {"a": 1}}, {"properties": None}, [remove("/properties")]),
        ({"version": 1}, {"id": "x", "version": 7, "createdBy": "me"}, []),
    ],
)  # fmt: skip
def test_what_is_missing(actual: Json, wish: Json, expected: list[Json]) -> None:
    assert missing(actual, wish) == expected


def test_freshness_goes_back_when_that_is_allowed() -> None:
    found = missing({"dataFreshness": LATE}, {"dataFreshness": EARLY}, allow_backwards=True)

    assert found == [add("/dataFreshness", EARLY)]


TEXTS = st.none() | st.sampled_from(["", "a", "b"])
VALUES = st.recursive(
    st.booleans() | st.integers(0, 2) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=5,
)
KEYS = st.sampled_from(["k", "l", "", "a/b", "~0", "0", "-"])
INSTANTS = st.sampled_from([EARLY, LATE, "2026-01-31T07:30:00+01:00", "2026-01-31T06:30:00.0009Z"])
ASSETS = st.fixed_dictionaries(
    {},
    optional={
        "name": TEXTS,
        "description": TEXTS,
        "spaceId": TEXTS,
        "tags": st.none() | st.lists(st.sampled_from("abc"), unique=True),
        "properties": st.none() | st.dictionaries(KEYS, VALUES | st.none(), max_size=4),
        "dataFreshness": st.none() | INSTANTS,
        "dataStoreInfo": st.none() | st.fixed_dictionaries({"id": st.sampled_from(["s", "t"])}),
    },
)


@given(ASSETS, ASSETS, st.booleans())
def test_the_operations_give_what_was_wished_and_nothing_else(
    actual: Json, wish: Json, allow_backwards: bool
) -> None:
    before, wished = DataAsset.from_json(actual), DataAsset.parse(wish)
    operations = missing(actual, wish, allow_backwards=allow_backwards)

    after = jsonpatch.apply_patch(before.to_json(), operations)

    result = DataAsset.from_json(after)
    assert missing(after, wish, allow_backwards=allow_backwards) == []
    for field in DataAsset.model_fields.keys() - wished.given_fields:
        assert getattr(result, field) == getattr(before, field)
    for field in wished.given_fields - {"properties", "data_freshness"}:
        found, wanted = (getattr(asset, field) or None for asset in (result, wished))
        assert set(found or ()) == set(wanted or ()) if field == "tags" else found == wanted
    if wished.properties is not None:
        untouched = {
            key: value for key, value in (before.properties or {}).items() if key not in wished.properties
        }
        given = {key: value for key, value in wished.properties.items() if value is not None}
        assert same_json(result.properties or {}, {**untouched, **given})
    if "data_freshness" in wished.model_fields_set:
        instants = [before.data_freshness, wished.data_freshness]
        newest = wished.data_freshness if allow_backwards or None in instants else max(filter(None, instants))
        assert result.data_freshness == newest


@given(ASSETS, ASSETS)
def test_the_operations_are_no_more_than_one_for_each_field_or_property(actual: Json, wish: Json) -> None:
    paths = [operation["path"] for operation in missing(actual, wish)]

    assert len(paths) == len(set(paths))
    assert {path.split("/")[1] for path in paths} <= {to_camel(field) for field in wish}

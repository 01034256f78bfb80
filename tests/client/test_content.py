"""Whether a data asset is what a request left behind, and one home for what Qlik Cloud sets by itself."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.client.content import is_as_sent, is_unchanged
from airflow_provider_qlik_assets.client.models import (
    FILLED_IN_FIELDS,
    READ_ONLY_FIELDS,
    SET_BY_QLIK,
    DataAsset,
)
from airflow_provider_qlik_assets.sandbox import documents

SENT = {"technicalName": "orders", "appType": "dbt", "dataStoreInfo": {"id": "s"}}
SET_BY_QLIK_ITSELF = {
    "id": "a1",
    "version": 1,
    "tenantId": "t",
    "createdBy": "ann",
    "createdTime": "2026-01-01T00:00:00.000Z",
    "lastModifiedBy": "bob",
    "lastModifiedTime": "2026-01-02T00:00:00.000Z",
    "ownerId": "ann",
    "spaceId": "space",
}


def holds(sent: dict[str, Any], found: dict[str, Any]) -> bool:
    asset = DataAsset.from_json({**SENT, **SET_BY_QLIK_ITSELF, **found})
    return is_as_sent(asset, {**SENT, **sent})


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({}, {}),
        ({"id": "a1", "version": 7}, {"version": 8}),
        ({}, {"dataStoreInfo": {"id": "s", "name": "Store", "type": "snowflake"}}),
        ({}, {"name": "", "tags": [], "properties": {}}),
        ({"name": "", "tags": [], "properties": {}}, {}),
        ({"tags": ["b", "a"]}, {"tags": ["a", "b"]}),
        ({"dataFreshness": "2026-01-01T00:00:00.000Z"}, {"dataFreshness": "2026-01-01T01:00:00+01:00"}),
        ({"ownerId": "ann", "spaceId": "space"}, {}),
        ({}, {"aFieldThatNobodyKnows": 1}),
    ],
)
def test_what_was_sent_and_what_qlik_sets_is_as_sent(sent: dict[str, Any], found: dict[str, Any]) -> None:
    assert holds(sent, found)


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({}, {"name": "theirs"}),
        ({"name": "ours"}, {}),
        ({"name": "ours"}, {"name": "theirs"}),
        ({}, {"tags": ["a"]}),
        ({"properties": {"n": 1}}, {"properties": {"n": True}}),
        ({"properties": {"n": 1}}, {"properties": {"n": 1, "theirs": 2}}),
        ({"dataFreshness": "2026-01-01T00:00:00.000Z"}, {"dataFreshness": "2026-01-01T00:00:00.001Z"}),
        ({"ownerId": "bob"}, {}),
        ({"spaceId": "another"}, {}),
        ({}, {"dataStoreInfo": {"id": "another"}}),
    ],
)
def test_what_somebody_else_changed_is_not_as_sent(sent: dict[str, Any], found: dict[str, Any]) -> None:
    assert not holds(sent, found)


def test_the_sandbox_sets_the_same_fields() -> None:
    """It says on its own what Qlik Cloud does."""
    assert {DataAsset.model_fields[name].alias for name in READ_ONLY_FIELDS} == documents.READ_ONLY_FIELDS
    assert {"id", "version"} == SET_BY_QLIK - READ_ONLY_FIELDS
    assert not SET_BY_QLIK & FILLED_IN_FIELDS


@pytest.mark.parametrize("odd", [{"description": "x" * 1500}, {"tags": ["a", "a"]}, {"technicalName": ""}])
def test_what_qlik_answers_is_compared_whatever_its_limits(odd: dict[str, Any]) -> None:
    body = {"technicalName": "orders", "appType": "dbt"}

    assert not is_as_sent(DataAsset.from_json({"id": "a", **body, **odd}), body)


def unchanged(before: dict[str, Any], now: dict[str, Any]) -> bool:
    first, second = (
        DataAsset.from_json({**SENT, **SET_BY_QLIK_ITSELF, **document}) for document in (before, now)
    )
    return is_unchanged(second, first)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {}),
        ({"name": "", "tags": None}, {"tags": [], "properties": {}}),
        ({"tags": ["b", "a"]}, {"tags": ["a", "b"]}),
        ({"dataFreshness": "2026-01-01T00:00:00.000Z"}, {"dataFreshness": "2026-01-01T01:00:00+01:00"}),
        ({}, {"dataStoreInfo": {"id": "s", "name": "Renamed", "type": "snowflake"}}),
        ({}, {"aFieldThatOnlyOneReadTells": 1}),
        ({"aFieldThatOnlyOneReadTells": 1}, {}),
        ({"unknown": {"a": [1]}}, {"unknown": {"a": [1]}}),
    ],
)
def test_what_nobody_changed_is_unchanged(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert unchanged(before, now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        *(({}, {field: "x"}) for field in ("name", "description", "technicalDescription", "appId")),
        *(({}, {field: "x"}) for field in ("technicalName", "appType", "ownerId", "spaceId", "createdBy")),
        ({"description": "x"}, {}),
        ({}, {"version": 2}),
        ({}, {"lastModifiedTime": "2026-01-02T00:00:00.001Z"}),
        ({}, {"dataFreshness": "2026-01-02T00:00:00.000Z"}),
        ({}, {"dataStoreInfo": {"id": "other"}}),
        ({"tags": ["a"]}, {"tags": ["a", "b"]}),
        ({"properties": {"a": 1}}, {"properties": {"a": True}}),
        ({"unknown": 1}, {"unknown": 2}),
    ],
)
def test_what_differs_in_any_way_is_changed(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert not unchanged(before, now)

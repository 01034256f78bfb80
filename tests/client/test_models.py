"""Data assets as values: what is accepted, how mistakes are named, what is sent and what is kept."""

from __future__ import annotations

import copy
import pickle
import time
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import DataAsset, DataStoreInfo, QlikValidationError
from airflow_provider_qlik_assets.client.validation import check_id

HUGE = "x" * 10_000_000

REPLY = {
    "id": "a1",
    "technicalName": "orders",
    "appType": "dbt",
    "tags": ["b", "a"],
    "properties": {"nested": {"list": [1, None, True]}},
    "dataFreshness": "2026-01-31T06:30:00.123Z",
    "dataStoreInfo": {"id": "s1", "name": "Store", "type": "snowflake"},
    "description": None,
    "version": 7,
    "createdTime": "2026-01-30T00:00:00.000Z",
    "futureField": {"deep": ["kept", {"as": "it is"}]},
    "anotherOne": None,
}


def refusal(value: Any) -> str:
    with pytest.raises(QlikValidationError) as caught:
        DataAsset.parse(value)
    return str(caught.value)


def test_a_reply_comes_out_as_it_went_in() -> None:
    assert DataAsset.from_json(copy.deepcopy(REPLY)).to_json() == REPLY


def test_unknown_parts_of_the_data_store_are_dropped() -> None:
    asset = DataAsset.from_json({"dataStoreInfo": {"id": "s1", "uri": "new"}})

    assert asset.to_json() == {"dataStoreInfo": {"id": "s1"}}


def test_unknown_and_read_only_fields_are_never_sent() -> None:
    body = DataAsset.from_json(REPLY).to_request()

    assert body == {
        "id": "a1",
        "technicalName": "orders",
        "appType": "dbt",
        "tags": ["b", "a"],
        "properties": {"nested": {"list": [1, None, True]}},
        "dataFreshness": "2026-01-31T06:30:00.123Z",
        "dataStoreInfo": {"id": "s1"},
        "version": 7,
    }


def test_both_spellings_of_a_field_are_accepted() -> None:
    assert DataAsset.parse({"technical_name": "a", "app_type": "b"}) == DataAsset.parse(
        {"technicalName": "a", "appType": "b"}
    )


def test_only_given_fields_count() -> None:
    asset = DataAsset.parse({"id": "a1", "version": 3, "name": None, "createdBy": "me"})

    assert asset.given_fields == {"name"}


def test_a_data_asset_is_its_own_parse() -> None:
    asset = DataAsset(technical_name="orders")

    assert DataAsset.parse(asset) is asset


def test_a_data_asset_survives_pickling_with_its_unknown_fields() -> None:
    asset = DataAsset.from_json(REPLY)

    assert pickle.loads(pickle.dumps(asset)).to_json() == REPLY


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "A data asset must be an object (dict), not list."),
        ("orders", "A data asset must be an object (dict), not str."),
        (None, "A data asset must be an object (dict), not NoneType."),
        ({"name": 5}, "name: input should be a valid string"),
        ({"tags": "a,b"}, "tags: input should be a valid list"),
        ({"tags": ["a", None]}, "tags.1: input should be a valid string"),
        ({"tags": ["a", "b", "a"]}, "tags contains a tag twice"),
        ({"version": "7"}, "version: input should be a valid integer"),
        ({"version": True}, "version: input should be a valid integer"),
        ({"version": 1.5}, "version: input should be a valid integer"),
        ({"properties": ["a"]}, "properties: input should be a valid dictionary"),
        ({"properties": {1: "a"}}, "properties.1.[key]: input should be a valid string"),
        ({"properties": {"a": object()}}, "properties.a: input was not a valid JSON value"),
        ({"dataStoreInfo": "s1"}, "dataStoreInfo: input should be a valid dictionary"),
        ({"dataStoreInfo": {}}, "dataStoreInfo has no id"),
        ({"dataStoreInfo": {"name": "Store"}}, "dataStoreInfo has no id"),
        ({"dataStoreInfo": {"id": ""}}, "dataStoreInfo.id: string should have at least 1 character"),
        ({"technicalName": ""}, "technicalName is empty"),
        ({"id": ""}, "id is empty"),
        ({"technicalName": "x" * 256}, "technicalName is 256 characters long, but at most 255 are allowed"),
        ({"name": "x" * 256}, "name is 256 characters long, but at most 255 are allowed"),
        ({"description": "x" * 1025}, "description is 1025 characters long, but at most 1024 are allowed"),
        ({"technicalDescription": "x" * 1025}, "technicalDescription is 1025 characters long"),
        ({"dataFreshness": "yesterday"}, "dataFreshness: 'yesterday' is not an instant"),
        ({"dataFreshness": "2026-01-31T06:30:00"}, "is not an instant: give a date, a time and a UTC offset"),
        ({"dataFreshness": 1769841000}, "An instant must be a datetime or an RFC 3339 string, not int"),
        ({1: "a"}, "1: keys should be strings"),
    ],
)
def test_a_mistake_is_named(value: Any, message: str) -> None:
    assert message.lower() in refusal(value).lower()


@pytest.mark.parametrize(
    ("field", "suggestion"),
    [
        ("appTyp", "'appType'"),
        ("app_typ", "'appType'"),
        ("datafreshness", "'dataFreshness'"),
        ("Technical_Name", "'technicalName'"),
        ("data_store", "'dataStoreInfo'"),
    ],
)
def test_an_unknown_field_gets_the_nearest_name(field: str, suggestion: str) -> None:
    assert refusal({field: "a"}) == (
        f"Invalid data asset: unknown field {field!r} (did you mean {suggestion}?)."
    )


@pytest.mark.parametrize("field", ["dataStoreInfo", "data_store_info"])
def test_an_unknown_field_of_the_data_store_gets_the_nearest_name_there(field: str) -> None:
    assert f"unknown field '{field}.ID' (did you mean 'id'?)" in refusal({field: {"ID": "s"}})


def test_a_field_that_resembles_none_gets_no_suggestion() -> None:
    assert refusal({"zzz": "a"}) == "Invalid data asset: unknown field 'zzz'."


def test_a_field_given_in_both_spellings_is_refused() -> None:
    assert "technical_name" in refusal({"technicalName": "a", "technical_name": "b"})


def test_all_mistakes_are_named_at_once() -> None:
    message = refusal({"name": 5, "tags": "a", "colour": 1})

    assert all(name in message for name in ("name", "tags", "colour"))


def deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = {"level": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"technicalName": HUGE},
        {"name": HUGE.encode()},
        {HUGE: 1},
        {"properties": {HUGE: object()}},
        {"properties": {"a": deep(2_000)}},
        {"dataFreshness": HUGE},
        {"dataStoreInfo": HUGE},
        {"dataStoreInfo": {HUGE: 1}},
        {"tags": [1] * 20_000},
        {"tags": [HUGE, HUGE]},
        {str(number): 1 for number in range(10_000)},
    ],
    ids=lambda value: next(iter(value))[:20],
)
def test_a_huge_mistake_gets_a_short_message_with_little_work(value: Any) -> None:
    started = time.process_time()
    message = refusal(value)

    assert len(message) < 1000
    assert "x" * 100 not in message
    assert time.process_time() - started < 1.5


def test_a_reply_with_another_type_than_documented_is_refused() -> None:
    with pytest.raises(QlikValidationError, match="technicalName: input should be a valid string"):
        DataAsset.from_json({"technicalName": 5})


def test_the_store_id_is_known_only_with_a_store() -> None:
    assert DataAsset().store_id is None
    assert DataAsset(data_store_info=DataStoreInfo(id="s1")).store_id == "s1"


@pytest.mark.parametrize("value", ["a", "a/b", "../x", "%", "%2F", "ключ", "a b", "a" * 1024, "*", "..."])
def test_an_id_may_be_nearly_anything(value: str) -> None:
    assert check_id(value) == value


@pytest.mark.parametrize(
    "value", ["", " ", "\t", ".", "..", "a\n", "a\0b", "\x7f", "a" * 1025, "a" * 10_000_000, "\ud800"]
)
def test_what_is_no_id_is_refused_in_short(value: str) -> None:
    with pytest.raises(QlikValidationError, match="is not a valid id") as caught:
        check_id(value)

    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("value", [None, 5, b"a", ["a"]])
def test_an_id_is_a_string(value: Any) -> None:
    with pytest.raises(QlikValidationError, match="An id must be a string, not"):
        check_id(value)

"""Wishes are checked as a whole: every mistake is reported, with the entry that it is in."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.sync.desired import check_store_id, parse_desired
from airflow_provider_qlik_assets.client import DataAsset, QlikValidationError


def entry(name: str = "orders", /, **fields: Any) -> dict[str, Any]:
    return {"technicalName": name, "appType": "airflow", **fields}


def problems(*entries: Any, store: str | None = "store") -> str:
    with pytest.raises(QlikValidationError) as raised:
        parse_desired(list(entries), store)
    return str(raised.value)


@pytest.mark.parametrize(
    "wished",
    [
        entry(),
        {"technical_name": "orders", "app_type": "airflow"},
        DataAsset(technical_name="orders", app_type="airflow"),
        entry(dataStoreInfo={"id": "store"}),
    ],
)
def test_every_wish_is_for_the_data_store(wished: Any) -> None:
    (wish,) = parse_desired([wished], "store")

    assert (wish.technical_name, wish.app_type, wish.store_id) == ("orders", "airflow", "store")


@pytest.mark.parametrize("wrap", [list, tuple, iter, lambda entries: {"data_assets": entries}])
def test_lists_of_any_kind(wrap: Any) -> None:
    assert [wish.technical_name for wish in parse_desired(wrap([entry("b"), entry("a")]), "store")] == [
        "b",
        "a",
    ]


def test_an_object_may_hold_anchors() -> None:
    assert len(parse_desired({"x-defaults": {"appType": "a"}, "data_assets": [entry()]}, "store")) == 1


def test_an_object_with_another_key_is_refused() -> None:
    with pytest.raises(
        QlikValidationError, match="unknown key 'data_asset': remove it, or begin its name with"
    ):
        parse_desired({"data_assets": [entry()], "data_asset": []}, "store")


def test_no_wish_is_a_list_too() -> None:
    assert parse_desired([], "store") == []


@pytest.mark.parametrize("entries", ["orders", None, 5, {"orders": entry()}, entry(), b"[]"])
def test_what_is_no_list_is_refused(entries: Any) -> None:
    with pytest.raises(QlikValidationError, match="data_assets must be a list of data assets"):
        parse_desired(entries, "store")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"technicalName": "orders"}, "entry 1 ('orders'): appType is missing"),
        (entry(appType=""), "appType is missing"),
        ({"appType": "airflow"}, "entry 1: technicalName is missing"),
        (entry(technicalName=""), "technicalName is empty"),
        (entry(technicalName=None), "technicalName is missing"),
        (entry(nmae="x"), "unknown field 'nmae' (did you mean 'name'?)"),
        (entry(name="x" * 256), "name is 256 characters long, but at most 255 are allowed"),
        (entry(description="x" * 1025), "description is 1025 characters long, but at most 1024 are allowed"),
        (entry(tags=["a", "a"]), "tags contains a tag twice"),
        (entry(tags="a"), "tags: "),
        (entry(dataFreshness="yesterday"), "dataFreshness: 'yesterday' is not an instant"),
        (entry(dataStoreInfo={"id": "other"}), "dataStoreInfo names another data store"),
        (entry(dataStoreInfo=None), "dataStoreInfo names another data store"),
        (entry(id="1", version=3), "id, version cannot be set: Qlik Cloud sets it"),
        (entry(createdTime="2026-01-01T00:00:00Z"), "created_time cannot be set"),
        (entry(properties={"share": math.nan}), "properties contains NaN or infinity"),
        (entry(properties={"a": [{"b": 2**64}]}), "properties contains an integer of more than 64 bits"),
        (entry(properties={"\ud800": 1}), "properties contains a null character or half of a surrogate pair"),
        (entry(name="a\0b"), "name contains a null character"),
        (entry(name="\ud800"), "name contains a null character or half of a surrogate pair"),
        ("orders", "entry 1: a data asset must be an object (dict), not str"),
        (None, "entry 1: a data asset must be an object (dict), not NoneType"),
    ],
)
def test_a_mistake_is_named_with_its_entry(wrong: Any, message: str) -> None:
    text = problems(entry("first"), wrong)

    assert text.startswith("1 of 2 desired data assets are invalid; nothing was sent. entry 1")
    assert message in text


def test_several_mistakes_of_one_entry_are_reported_together() -> None:
    text = problems(entry(nmae="x", name="n" * 300, version=1, tags=[1]))

    for part in (
        "unknown field 'nmae'",
        "tags.0: ",
        "name is 300 characters long",
        "version cannot be set",
    ):
        assert part in text


def test_a_name_of_the_wrong_type_is_not_called_missing() -> None:
    text = problems({"technicalName": 5, "appType": "airflow", "name": "n" * 300})

    assert "technicalName: " in text
    assert "missing" not in text
    assert "name is 300 characters long" in text


def test_mistakes_of_several_entries_are_reported_together() -> None:
    text = problems(entry("a", nmae=1), entry("b"), entry("c", tags=["x", "x"]), entry("a"))

    assert text.startswith("3 of 4 desired data assets are invalid")
    assert "entry 0 ('a'): unknown field 'nmae'" in text
    assert "entry 2 ('c'): tags contains a tag twice" in text
    assert "entry 3 ('a'): entry 0 has the same technicalName" in text


def test_names_are_case_sensitive() -> None:
    assert len(parse_desired([entry("orders"), entry("Orders")], "store")) == 2


def test_the_same_name_in_both_spellings_is_a_duplicate() -> None:
    assert "entry 0 has the same technicalName" in problems(
        entry("a"), {"technical_name": "a", "app_type": "airflow"}
    )


def test_a_thousand_mistakes_make_a_message_that_can_be_read() -> None:
    text = problems(*(entry("x" * 200 + str(number), **{"u" * 5000: 1}) for number in range(1000)))

    assert text.startswith("20 of the first 20 of 1000 desired data assets are invalid; nothing was sent.")
    assert text.endswith("The other entries were not checked.")
    assert len(text) < 10_000


def test_values_are_not_repeated() -> None:
    assert "s3cret" not in problems(entry(properties={"token": {"s3cret"}}), entry("b", tags={"s3cret": 1}))


def test_the_data_store_need_not_be_known_yet() -> None:
    (wish,) = parse_desired([entry(dataStoreInfo={"id": "any"})], None)

    assert wish.store_id == "any"


@pytest.mark.parametrize("bad", ["*", "", None, 5, ".."])
def test_what_names_no_single_data_store_is_refused(bad: Any) -> None:
    with pytest.raises(QlikValidationError):
        check_store_id(bad)


def test_after_twenty_mistakes_no_more_are_looked_for() -> None:
    entries = [entry(str(number)) for number in range(50)] + [{}] * 100_000
    started = time.process_time()

    text = problems(*entries)

    assert text.startswith("20 of the first 70 of 100050 desired data assets are invalid")
    assert time.process_time() - started < 1

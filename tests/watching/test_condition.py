from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pendulum
import pytest

from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.client.auth import ApiKey
from airflow_provider_qlik_assets.client.errors import QlikNotFoundError, QlikValidationError
from airflow_provider_qlik_assets.sandbox import Sandbox
from airflow_provider_qlik_assets.watching.condition import (
    FreshnessCondition,
    freshness_to_json,
)

SINCE = "2026-01-31T06:30:00Z"
EARLIER = pendulum.datetime(2026, 1, 31, 6, 29, 59, 999_000)
EQUAL = pendulum.datetime(2026, 1, 31, 6, 30)
LATER = pendulum.datetime(2026, 1, 31, 6, 30, 0, 1_000)


@pytest.fixture
def client(qlik_sandbox: Sandbox) -> Iterator[QlikCloudClient]:
    with QlikCloudClient(qlik_sandbox.url, ApiKey(qlik_sandbox.api_key)) as client:
        yield client


@pytest.mark.parametrize(
    ("match", "instants", "met"),
    [
        ("all", [EQUAL, LATER], True),
        ("all", [EQUAL, EARLIER], False),
        ("all", [EQUAL, None], False),
        ("any", [EARLIER, EQUAL], True),
        ("any", [None, LATER], True),
        ("any", [EARLIER, None], False),
    ],
)
def test_is_met(match: str, instants: list[pendulum.DateTime | None], met: bool) -> None:
    condition = FreshnessCondition.parse(["a", "b"], SINCE, match)

    assert condition.is_met(dict(zip("ab", instants, strict=True))) is met


def test_an_instant_is_compared_to_the_millisecond() -> None:
    """Qlik Cloud cuts what it is given, so a stamp must count for the instant that it was made from."""
    condition = FreshnessCondition.parse("a", "2026-01-31T06:30:00.000999Z")

    assert condition.is_met({"a": EQUAL})


def test_ids_count_once() -> None:
    assert FreshnessCondition.parse(["a", "b", "a"], SINCE).data_asset_ids == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], SINCE), "empty"),
        ((["*"], SINCE), "name each data asset"),
        ((["a"], "yesterday"), "not an instant"),
        ((["a"], "2026-01-31T06:30:00"), "offset"),
        ((["a"], SINCE, "some"), "'all' or 'any', not 'some'"),
        ((["a"], SINCE, ["all"]), "'all' or 'any', not"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(QlikValidationError, match=message):
        FreshnessCondition.parse(*arguments)


def test_reads_one_asset_with_one_small_request(client: QlikCloudClient, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="a", technicalName="a", dataFreshness=SINCE)
    qlik_sandbox.add_asset(id="b", technicalName="b")

    assert FreshnessCondition.parse(["a", "b"], SINCE).read(client) == {"a": EQUAL, "b": None}
    assert [entry.query for entry in qlik_sandbox.journal.requests()] == [
        {"projections": "id,technicalName,dataFreshness"}
    ] * 2


def test_missing_asset_is_an_error(client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError, match="nowhere"):
        FreshnessCondition.parse("nowhere", SINCE).read(client)


def test_missing_asset_is_waited_for(client: QlikCloudClient) -> None:
    assert FreshnessCondition.parse("nowhere", SINCE, missing_ok=True).read(client) == {"nowhere": None}


@pytest.mark.parametrize(
    ("match", "described"),
    [
        ("all", "not fresh since 2026-01-31T06:30Z: a 2026-01-31T06:29:59.999Z, orders never stamped"),
        ("any", "fresh: c 2026-01-31T06:30Z"),
    ],
)
def test_what_is_fresh_is_described_by_technical_name(match: str, described: str) -> None:
    condition = FreshnessCondition.parse(["a", "b", "c"], SINCE, match)

    assert condition.describe({"a": EARLIER, "b": None, "c": EQUAL}, {"b": "orders"}) == described


def test_data_assets_of_the_same_technical_name_are_told_apart() -> None:
    condition = FreshnessCondition.parse(["a", "b"], SINCE)

    described = condition.describe({"a": EQUAL, "b": None}, {"a": "orders", "b": "orders"})

    assert described == "not fresh since 2026-01-31T06:30Z: orders (b) never stamped"


def test_technical_names_are_read_with_the_freshness(client: QlikCloudClient, qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="a", technicalName="orders")
    names: dict[str, str] = {}

    FreshnessCondition.parse("a", SINCE).read(client, names=names)

    assert names == {"a": "orders"}


def test_long_list_of_stale_assets_is_cut() -> None:
    ids = [f"a{number}" for number in range(13)]
    text = FreshnessCondition.parse(ids, SINCE).describe(dict.fromkeys(ids), {})

    assert "a9 never stamped" in text
    assert "a10" not in text
    assert text.endswith("and 3 more")


def test_freshness_is_plain_json() -> None:
    freshness = {"a": EARLIER, "b": None}
    document = json.loads(json.dumps(freshness_to_json(freshness)))

    assert document == {"a": "2026-01-31T06:29:59.999Z", "b": None}

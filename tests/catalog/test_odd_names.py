"""Technical names as they occur: whatever is in them, they name one data asset."""

from __future__ import annotations

import pytest

from airflow_provider_qlik_assets.catalog.sync.apply import sync_data_assets
from airflow_provider_qlik_assets.catalog.upsert import upsert_data_asset
from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.sandbox import Sandbox

NAMES = [
    "project'.'dataset'.'table",
    "DWH.SALES.ORDERS",
    "..",
    " leading and trailing ",
    "Finance/2026 Q1 (final) [2].xlsx",
    "Größe_注文_заказ_😀",
    "e\u0301 and \u00e9",
    'quote " backslash \\ percent %2F plus +',
    "a,b;c&d=e?f#g",
    "null",
    "None",
    "0",
    "*",
    "x" * 255,
    "ж" * 255,
]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_created_found_and_changed(sandbox: Sandbox, client: QlikCloudClient, name: str) -> None:
    key = {"technicalName": name, "appType": "sandbox", "dataStoreInfo": {"id": "store"}}

    results = [upsert_data_asset(client, key), upsert_data_asset(client, {**key, "name": "New"})]

    assert [result.action for result in results] == ["created", "updated"]
    assert [(asset["technicalName"], asset["name"]) for asset in sandbox.assets.values()] == [(name, "New")]


def test_all_of_them_are_in_sync(sandbox: Sandbox, client: QlikCloudClient) -> None:
    desired = [{"technicalName": name, "appType": "sandbox"} for name in NAMES]

    actions = [[result.action for result in sync_data_assets(client, "store", desired)] for _ in range(2)]

    assert actions == [["created"] * len(NAMES), ["unchanged"] * len(NAMES)]
    assert {asset["technicalName"] for asset in sandbox.assets.values()} == set(NAMES)

"""A create whose answer was lost while somebody else created the same data asset."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import upsert_data_asset
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikCloudClient,
    QlikConnectionError,
    QlikDataAssetExistsError,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

KEY = {"technicalName": "orders", "appType": "t"}


@pytest.fixture
def store_id(qlik_sandbox: Sandbox) -> str:
    return qlik_sandbox.add_store(name="warehouse")


@pytest.fixture
def client(qlik_sandbox: Sandbox) -> QlikCloudClient:
    return QlikCloudClient(qlik_sandbox.url, ApiKey(qlik_sandbox.api_key), rate_limit_store="memory:")


def lose_answer(
    client: QlikCloudClient,
    monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
    *created: dict[str, Any],
    is_carried_out: bool = False,
) -> None:
    """Let the next create end without an answer, after these data assets of others came into being."""
    carry_out = client.create_data_asset

    def create(body: Any) -> Any:
        if is_carried_out:
            carry_out(body)
        for fields in created:
            sandbox.add_asset(**fields)
        raise QlikConnectionError("The connection broke.", request_sent=True)

    monkeypatch.setattr(client, "create_data_asset", create)


def test_the_wish_is_laid_over_what_somebody_else_created(
    qlik_sandbox: Sandbox, client: QlikCloudClient, store_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(
        client, monkeypatch, qlik_sandbox, {"data_store_id": store_id, **KEY, "properties": {"theirs": 1}}
    )
    result = upsert_data_asset(client, {**KEY, "dataStoreInfo": {"id": store_id}, "properties": {"ours": 2}})
    assert result.action == "updated"
    [asset] = qlik_sandbox.assets.values()
    assert asset["properties"] == {"theirs": 1, "ours": 2}


def test_what_somebody_else_created_counts_as_existing(
    qlik_sandbox: Sandbox, client: QlikCloudClient, store_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(client, monkeypatch, qlik_sandbox, {"data_store_id": store_id, **KEY, "name": "Theirs"})
    wish = {**KEY, "dataStoreInfo": {"id": store_id}, "name": "Ours"}
    with pytest.raises(QlikDataAssetExistsError):
        upsert_data_asset(client, wish, if_exists="fail")


def test_a_create_that_was_carried_out_is_reported_as_such(
    qlik_sandbox: Sandbox, client: QlikCloudClient, store_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answer(client, monkeypatch, qlik_sandbox, is_carried_out=True)
    wish = {**KEY, "dataStoreInfo": {"id": store_id}, "name": "Ours"}
    assert upsert_data_asset(client, wish, if_exists="fail").action == "created"
    assert len(qlik_sandbox.assets) == 1


def test_what_may_be_that_of_another_task_is_not_deleted_but_reported(
    qlik_sandbox: Sandbox,
    client: QlikCloudClient,
    store_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody can tell which of two equal ones the lost create left behind, and one may be in use."""
    qlik_sandbox.settings.duplicate_technical_name = "allowed"
    theirs = {"data_store_id": store_id, **KEY, "createdTime": "2026-01-01T00:00:00.000Z", "id": "first"}
    lose_answer(client, monkeypatch, qlik_sandbox, theirs, is_carried_out=True)

    result = upsert_data_asset(client, {**KEY, "dataStoreInfo": {"id": store_id}, "name": "Ours"})

    assert (result.id, result.action) == ("first", "updated")
    assert len(qlik_sandbox.assets) == 2
    (other,) = qlik_sandbox.assets.keys() - {"first"}
    assert f"has 2 data assets with the technical name 'orders' (ids first, {other})" in caplog.text

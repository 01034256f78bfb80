"""What stops a stamp, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import set_data_freshness
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness_of_many
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikCloudClient,
    QlikPermissionError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

EARLY, LATE = "2026-01-31T06:30:00.000Z", "2026-02-01T06:30:00.000Z"


@pytest.fixture
def client(qlik_sandbox: Sandbox) -> Iterator[QlikCloudClient]:
    for name in ("a", "b"):
        qlik_sandbox.add_asset(id=name, technicalName=name, dataFreshness=EARLY)
    with QlikCloudClient(
        qlik_sandbox.url, ApiKey(qlik_sandbox.api_key), rate_limit_store="memory:"
    ) as client:
        yield client


def stamps(sandbox: Sandbox) -> list[Any]:
    return [asset.get("dataFreshness") for asset in sandbox.assets.values()]


def test_no_instant_does_not_clear_the_freshness(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    nothing: Any = None

    with pytest.raises(QlikValidationError, match="not NoneType"):
        set_data_freshness(client, "a", nothing)

    assert stamps(qlik_sandbox) == [EARLY, EARLY]


def test_a_bad_id_stops_before_any_request(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    with pytest.raises(QlikValidationError, match="name each one"):
        list(set_data_freshness_of_many(client, ["a", "*"], LATE))

    assert len(qlik_sandbox.journal) == 0


def test_a_refusal_stops_at_once(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=403, method="PATCH"))

    with pytest.raises(QlikPermissionError):
        list(set_data_freshness_of_many(client, ["a", "b"], LATE))

    assert stamps(qlik_sandbox) == [EARLY, EARLY]

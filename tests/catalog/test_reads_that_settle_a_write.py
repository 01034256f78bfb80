"""A write was made, or may have been, and the read after it fails: the error says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import Sync, patch_data_asset, set_data_freshness, upsert_data_asset
from airflow_provider_qlik_assets.catalog.freshness import set_data_freshness_of_many
from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikCloudClient,
    QlikCloudError,
    QlikConflictError,
    QlikPermissionError,
    QlikStoppedError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.rate_limit.memory import MemoryStore
from airflow_provider_qlik_assets.failures import is_permanent
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

INSTANT = "2026-01-01T00:00:00Z"
DESIRED = {"dataStoreInfo": {"id": "store"}, "technicalName": "orders", "appType": "dbt", "name": "n"}
WORK: dict[str, Callable[[QlikCloudClient], Any]] = {
    "stamp": lambda client: set_data_freshness(client, "x", INSTANT),
    "stamps": lambda client: set_data_freshness_of_many(client, ["x", "y"], INSTANT),
    "patch": lambda client: patch_data_asset(client, "x", changes={"name": "n"}),
    "upsert": lambda client: upsert_data_asset(client, DESIRED, visible_after=0),
}


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def client(qlik_sandbox: Sandbox, sleeps: list[float]) -> Iterator[QlikCloudClient]:
    qlik_sandbox.add_store(id="store", name="Store")
    qlik_sandbox.add_asset("store", id="x", technicalName="orders", appType="dbt")
    with QlikCloudClient(
        qlik_sandbox.url,
        ApiKey(qlik_sandbox.api_key),
        rate_limit_store=MemoryStore(),
        retry=RetryPolicy(max_retries=0, max_retry_wait=0),
        sleep=sleeps.append,
    ) as client:
        yield client


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("lost", [{"kind": "status", "status": 500}, {"kind": "drop"}], ids=str)
@pytest.mark.parametrize("read", [401, 403, 404, 429, 503])
def test_a_read_that_fails_does_not_hide_a_write(
    qlik_sandbox: Sandbox, client: QlikCloudClient, work: str, lost: dict[str, Any], read: int
) -> None:
    if work == "stamps":
        qlik_sandbox.add_asset("store", id="y", technicalName="y", dataFreshness=INSTANT)
    qlik_sandbox.add_fault(Fault(method="PATCH", when="after", path="*/x", **lost))
    reads = 0 if work == "upsert" else 1
    qlik_sandbox.add_fault(
        Fault(kind="status", status=read, method="GET", path="*/data-assets/x", times=None, skip=reads)
    )

    with pytest.raises(QlikCloudError, match="may or may not have been made") as raised:
        WORK[work](client)

    assert not is_permanent(raised.value)
    assert qlik_sandbox.assets["x"]["version"] == 1


def test_a_stop_does_not_hide_a_write(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=500, method="PATCH", when="after"))
    send = client.patch_data_asset

    def patch(*arguments: Any, **options: Any) -> Any:
        try:
            return send(*arguments, **options)
        finally:
            client.stop()

    client.patch_data_asset = patch  # type: ignore[method-assign]

    with pytest.raises(QlikStoppedError, match="may or may not have been made"):
        set_data_freshness(client, "x", INSTANT)


@pytest.mark.parametrize("read", [403, 503])
def test_a_replacement_that_was_repeated(qlik_sandbox: Sandbox, client: QlikCloudClient, read: int) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=503, method="PUT", when="after"))
    qlik_sandbox.add_fault(Fault(kind="status", status=read, method="GET", times=None))
    document = {"technicalName": "orders", "appType": "new", "version": 0}

    with (
        client.with_options(retry=RetryPolicy(max_retries=1)) as repeating,
        pytest.raises(QlikConflictError, match="may or may not have been made"),
    ):
        repeating.update_data_asset("x", document)

    assert qlik_sandbox.assets["x"]["appType"] == "new"


def test_a_write_that_was_answered_without_a_document(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    qlik_sandbox.settings.patch_answers_204 = True
    qlik_sandbox.add_fault(Fault(kind="status", status=403, method="GET", times=None))

    with pytest.raises(QlikPermissionError, match="The change was made"):
        client.patch_data_asset("x", [{"op": "add", "path": "/name", "value": "n"}])

    assert qlik_sandbox.assets["x"]["name"] == "n"


def test_a_read_that_lags_behind_a_conflict(
    qlik_sandbox: Sandbox, client: QlikCloudClient, sleeps: list[float]
) -> None:
    before = qlik_sandbox.assets["x"]
    qlik_sandbox.touch("x", name="theirs")
    qlik_sandbox.add_fault(Fault(kind="status", status=200, method="GET", body=before, times=3))

    set_data_freshness(client, "x", INSTANT)

    assert qlik_sandbox.assets["x"]["name"] == "theirs"
    assert len(qlik_sandbox.journal.requests("PATCH")) == 2
    assert len(sleeps) == 2


# --- creating --------------------------------------------------------------------------------------------


def sync(client: QlikCloudClient) -> None:
    work = Sync(client, "store", [NEW], visible_after=0)
    work.apply(work.plan())


NEW = {**DESIRED, "technicalName": "new"}
CREATE: dict[str, Callable[[QlikCloudClient], Any]] = {
    "upsert": lambda client: upsert_data_asset(client, NEW, visible_after=0),
    "sync": sync,
}


@pytest.fixture
def with_duplicates(qlik_sandbox: Sandbox, client: QlikCloudClient) -> None:
    qlik_sandbox.settings.duplicate_technical_name = "allowed"


@pytest.mark.usefixtures("with_duplicates")
@pytest.mark.parametrize("work", CREATE)
@pytest.mark.parametrize("read", [401, 403, 404, 429, 503])
def test_a_read_that_fails_does_not_hide_a_create_whose_answer_was_lost(
    qlik_sandbox: Sandbox, client: QlikCloudClient, work: str, read: int
) -> None:
    qlik_sandbox.add_fault(Fault(kind="drop", method="POST", when="after"))
    qlik_sandbox.add_fault(Fault(kind="status", status=read, method="GET", times=None, skip=1))

    with pytest.raises(QlikCloudError, match="may or may not have been made") as raised:
        CREATE[work](client)

    assert not is_permanent(raised.value)
    assert len(qlik_sandbox.journal.requests("POST")) == 1


@pytest.mark.usefixtures("with_duplicates")
@pytest.mark.parametrize("work", CREATE)
@pytest.mark.parametrize("read", [401, 403, 404, 429, 503])
def test_an_error_after_a_create_names_what_was_created(
    qlik_sandbox: Sandbox, client: QlikCloudClient, work: str, read: int
) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=read, method="GET", times=None, skip=1))

    with pytest.raises(QlikCloudError) as raised:
        CREATE[work](client)

    (created,) = (key for key in qlik_sandbox.assets if key != "x")
    assert "Created before that: " in str(raised.value)
    assert created in str(raised.value)


@pytest.mark.usefixtures("with_duplicates")
@pytest.mark.parametrize("work", CREATE)
def test_a_stop_after_a_create_names_what_was_created(
    qlik_sandbox: Sandbox, client: QlikCloudClient, work: str
) -> None:
    stop = iter([False, True])
    check = client.stop_flag.check

    def stops(not_sent: str) -> None:
        """Stop before the second GET."""
        if not_sent.startswith("GET") and next(stop, True):
            client.stop()
        check(not_sent)

    client.stop_flag.check = stops  # type: ignore[assignment, method-assign]

    with pytest.raises(QlikStoppedError) as raised:
        CREATE[work](client)

    (created,) = (key for key in qlik_sandbox.assets if key != "x")
    assert created in str(raised.value)

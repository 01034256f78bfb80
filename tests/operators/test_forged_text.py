"""Whatever names and details a tenant shows, they cannot forge the log of a task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowException
from airflow_provider_qlik_assets.catalog.clean_up import CleanUpResult, Staleness
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client import DataAsset, QlikCloudError
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.operators import data_assets as operators
from airflow_provider_qlik_assets.operators.base import QlikOperator
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor
from tests.forged import FORGED, FORGED_JSON, LONG, check_error, check_message, check_records

pytestmark = pytest.mark.usefixtures("qlik_conn_id")

STORE = "store"
OLD = "2020-01-01T00:00:00Z"
NAMES = [FORGED, f"{FORGED}2", f"{FORGED}3"]


@pytest.fixture
def tenant(qlik_sandbox: Sandbox) -> Sandbox:
    """A data store with odd names, one of them twice, and odd errors for some."""
    qlik_sandbox.add_store(id=STORE, name=FORGED)
    for key, name in zip("abcd", [*NAMES, NAMES[0]], strict=True):
        fields = {"technicalName": name, "name": FORGED, "description": FORGED, "tags": [FORGED]}
        qlik_sandbox.add_asset(STORE, id=key, dataFreshness=OLD, properties={FORGED: FORGED}, **fields)
    return qlik_sandbox


def entry(technical_name: str, **fields: Any) -> dict[str, Any]:
    return {"dataStoreInfo": {"id": STORE}, "technicalName": technical_name, "appType": "x", **fields}


def refused(sandbox: Sandbox, status: int, **fields: Any) -> None:
    error = {"code": FORGED, "title": FORGED, "detail": LONG}
    body = {"errors": [error] * 3, "traceId": FORGED}
    sandbox.add_fault(Fault(kind="status", status=status, body=body, times=None, **fields))


TASKS: dict[str, Callable[[], Any]] = {
    "upsert": lambda: operators.QlikUpsertDataAssetOperator(
        task_id="t", data_asset=entry(NAMES[0], name="other", properties={f"{FORGED}x": FORGED})
    ),
    "upsert of a new one": lambda: operators.QlikUpsertDataAssetOperator(
        task_id="t", data_asset=entry(f"{FORGED}new")
    ),
    "upsert that must not exist": lambda: operators.QlikUpsertDataAssetOperator(
        task_id="t", data_asset=entry(NAMES[0]), if_exists="fail"
    ),
    "patch": lambda: operators.QlikPatchDataAssetOperator(
        task_id="t", data_asset_id="a", changes={"properties": {f"{FORGED}x": FORGED}}
    ),
    "patch that does not fit": lambda: operators.QlikPatchDataAssetOperator(
        task_id="t", data_asset_id="a", operations=[{"op": "remove", "path": f"/properties/{FORGED}y"}]
    ),
    "stamp": lambda: operators.QlikUpdateDataFreshnessOperator(
        task_id="t", data_asset_ids=["a", "b", "none"]
    ),
    "sync": lambda: operators.QlikSyncDataAssetsOperator(
        task_id="t",
        data_store_id=STORE,
        data_assets=[
            {"technicalName": NAMES[1], "appType": "x", "properties": {f"{FORGED}x": FORGED}},
            {"technicalName": f"{FORGED}new", "appType": "x"},
            {"technicalName": NAMES[0], "appType": "x"},
        ],
        delete_unlisted=True,
        protected_tags=[FORGED],
        dry_run=True,
    ),
    "sync with deletions": lambda: operators.QlikSyncDataAssetsOperator(
        task_id="t",
        data_store_id=STORE,
        data_assets=[{"technicalName": f"{FORGED}new", "appType": "x"}],
        delete_unlisted=True,
        max_fraction=None,
    ),
    "clean-up": lambda: operators.QlikCleanUpDataAssetsOperator(
        task_id="t", data_store_ids=[STORE], stale_after=60, max_fraction=None
    ),
    "delete": lambda: operators.QlikDeleteDataAssetsOperator(task_id="t", data_asset_ids=["a", "b", "none"]),
    "sensor": lambda: QlikDataFreshnessSensor(
        task_id="t", data_asset_ids=["a", "none"], fresh_since="2026-01-01T00:00:00Z"
    ),
}  # fmt: skip


def run(task: Any) -> None:
    try:
        if isinstance(task, QlikOperator):
            task.execute({})
        else:
            task.poke({})
    except (QlikCloudError, AirflowException) as error:
        check_error(error)


@pytest.mark.parametrize("task", TASKS)
def test_odd_names_forge_no_line(tenant: Sandbox, caplog: pytest.LogCaptureFixture, task: str) -> None:
    with caplog.at_level(logging.INFO):
        run(TASKS[task]())

    assert len(tenant.journal) > 0
    check_records(caplog.records)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", ["GET", "PATCH", "POST", "DELETE"])
@pytest.mark.parametrize("status", [400, 404])
def test_odd_errors_forge_no_line(
    tenant: Sandbox, caplog: pytest.LogCaptureFixture, task: str, method: str, status: int
) -> None:
    refused(tenant, status, method=method)
    with caplog.at_level(logging.INFO):
        run(TASKS[task]())

    check_records(caplog.records)


@pytest.mark.parametrize(
    "text",
    [
        f'data_assets:\n- technicalName: x\n  "{"k" * 50}\\e[31m\\u202e": 1\n',
        '"a\\e[31m": {"a": 1, "a": 2}\n',
        "data_assets: [\x1b\n",
        "- &x [*x]\n",
        '"\\u2028[forged]": []\n',
        '- technicalName: "\\e\\u202e\\n[forged]"\n  appType: 5\n',
    ],
)
@pytest.mark.parametrize("name", ["catalog.yaml", "\x1b[31m\n[forged]\u202e.yaml"])
def test_files_forge_no_line(tmp_path: Path, text: str, name: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises((QlikCloudError, AirflowException)) as raised:
        operators.QlikSyncDataAssetsOperator(task_id="t", data_store_id=STORE, data_assets=str(file)).execute(
            {}
        )
    check_error(raised.value)


@pytest.mark.parametrize("argument", ["data_asset_ids", "data_freshness", "allow_future"])
def test_arguments_forge_no_line(argument: str) -> None:
    arguments: dict[str, Any] = {"data_asset_ids": ["a"], argument: FORGED_JSON}
    with pytest.raises((QlikCloudError, AirflowException)) as raised:
        operators.QlikUpdateDataFreshnessOperator(task_id="t", **arguments).execute({})
    check_error(raised.value)


def test_events_of_a_trigger_forge_no_line(tenant: Sandbox) -> None:
    for task in (TASKS["stamp"](), TASKS["sensor"]()):
        with pytest.raises(AirflowException) as raised:
            task.execute_complete({}, event={"status": FORGED_JSON, "x": LONG})
        check_error(raised.value)


def test_the_user_of_a_tenant_forges_no_message_of_a_connection_test(
    tenant: Sandbox, qlik_conn_id: str
) -> None:
    user = {"id": LONG, "name": LONG, "tenantId": LONG}
    for body in (user, {**user, "tenantId": 5}, {FORGED: FORGED}):
        tenant.add_fault(Fault(kind="status", status=200, body=body, path="/api/v1/users/me"))
        check_message(QlikCloudHook(qlik_conn_id).test_connection()[1])
    refused(tenant, 403)
    check_message(QlikCloudHook(qlik_conn_id).test_connection()[1])


def test_results_show_themselves_on_one_line() -> None:
    asset = DataAsset.from_json({"id": LONG, "technicalName": FORGED_JSON, "version": 1})
    check_message(str(Result(LONG, "updated", asset, changed_fields=(FORGED_JSON, LONG))))
    why = Staleness("dataFreshness", datetime.now(UTC), 1.0)
    check_message(str(CleanUpResult(LONG, "deleted", asset, why=why)))

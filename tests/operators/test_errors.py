"""How an operator ends when Qlik Cloud refuses, fails, or cannot be asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException, BaseOperator
from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikConflictError,
    QlikConnectionError,
    QlikNotFoundError,
    QlikRateLimitError,
    QlikResponseError,
    QlikServerError,
)
from airflow_provider_qlik_assets.operators.data_assets import (
    QlikDeleteDataAssetsOperator,
    QlikPatchDataAssetOperator,
    QlikUpdateDataFreshnessOperator,
    QlikUpsertDataAssetOperator,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

Task = tuple[type[BaseOperator], dict[str, Any]]
OPERATORS: list[Task] = [
    (QlikUpsertDataAssetOperator, {"data_asset": {"id": "a", "name": "n"}}),
    (QlikPatchDataAssetOperator, {"data_asset_id": "a", "changes": {"name": "n"}}),
    (QlikUpdateDataFreshnessOperator, {"data_asset_ids": "a"}),
    (QlikDeleteDataAssetsOperator, {"data_asset_ids": "a"}),
]
each_operator = pytest.mark.parametrize(
    "task", OPERATORS, ids=[operator.__name__ for operator, _ in OPERATORS]
)


@pytest.fixture(autouse=True)
def asset(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(id="a", technicalName="t")


def execute(task: Task, conn_id: str) -> Any:
    operator, arguments = task
    return operator(task_id="t", qlik_conn_id=conn_id, **arguments).execute({})


@each_operator
@pytest.mark.parametrize(
    ("status", "next_step"),
    [(400, "Correct the named field"), (401, "Check the API key"), (403, "Give the user")],
)
def test_refusal_fails_without_retries(
    qlik_sandbox: Sandbox,
    impatient_conn_id: str,
    task: Task,
    status: int,
    next_step: str,
) -> None:
    body = {"errors": [{"code": "X-1", "title": "Refused", "detail": "because"}], "traceId": "trace-1"}
    qlik_sandbox.add_fault(Fault(kind="status", status=status, times=None, body=body))

    with pytest.raises(AirflowFailException) as raised:
        execute(task, impatient_conn_id)

    message = str(raised.value)
    for part in ("trace-1", "/api/v1/data-assets/a", str(status), "X-1 Refused: because", next_step):
        assert part in message
    assert qlik_sandbox.api_key not in message
    assert isinstance(raised.value.__cause__, QlikApiError)
    assert raised.value.__cause__.http_status == status


@each_operator
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind="status", status=429, times=None, headers={"Retry-After": "1"}), QlikRateLimitError),
        (Fault(kind="status", status=500, times=None), QlikServerError),
        (Fault(kind="html", status=502, times=None), QlikServerError),
        (Fault(kind="status", status=503, times=None), QlikServerError),
        (Fault(kind="html", status=200, times=None), QlikResponseError),
        (Fault(kind="drop", times=None), QlikConnectionError),
    ],
    ids=lambda part: f"{part.kind}-{part.status}" if isinstance(part, Fault) else part.__name__,
)
def test_what_may_pass_is_left_to_retries(
    qlik_sandbox: Sandbox,
    impatient_conn_id: str,
    task: Task,
    fault: Fault,
    error: type[Exception],
) -> None:
    qlik_sandbox.add_fault(fault)

    with pytest.raises(error) as raised:
        execute(task, impatient_conn_id)

    assert qlik_sandbox.api_key not in str(raised.value)


@pytest.mark.parametrize("task", OPERATORS[:3])
def test_missing_asset_fails_without_retries(qlik_conn_id: str, qlik_sandbox: Sandbox, task: Task) -> None:
    qlik_sandbox.reset()

    with pytest.raises(AirflowFailException, match=r"Check the id.*\(Qlik trace id \w+\)$") as raised:
        execute(task, qlik_conn_id)

    assert isinstance(raised.value.__cause__, QlikNotFoundError)


def test_conflict_is_left_to_retries(qlik_sandbox: Sandbox, qlik_conn_id: str) -> None:
    qlik_sandbox.add_fault(Fault(kind="status", status=409, times=None, method="PATCH"))

    with pytest.raises(QlikConflictError):
        execute(OPERATORS[1], qlik_conn_id)


@each_operator
def test_writes_without_rights_fail_without_retries(
    qlik_sandbox: Sandbox,
    set_connection: Callable[..., str],
    task: Task,
) -> None:
    conn_id = set_connection(host=qlik_sandbox.url, password=qlik_sandbox.read_only_api_key)

    with pytest.raises(AirflowFailException, match=r"403 Forbidden.*role"):
        execute(task, conn_id)


@each_operator
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": "http://tenant.example", "password": "top-secret"}, "https"),
        ({"host": "tenant.example"}, "password"),
        ({"host": "https://tenant.example", "password": "top-secret", "extra": {"verfy": True}}, "verify"),
    ],
)
def test_wrong_connection_fails_without_retries(
    set_connection: Callable[..., str],
    task: Task,
    fields: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(AirflowFailException, match=message) as raised:
        execute(task, set_connection(**fields))

    assert "top-secret" not in str(raised.value)


@each_operator
def test_missing_connection_fails_without_retries(task: Task) -> None:
    with pytest.raises(AirflowFailException, match=r"no_such_connection.*Define the connection"):
        execute(task, "no_such_connection")


@each_operator
def test_operator_works_again_after_an_error(
    qlik_sandbox: Sandbox, impatient_conn_id: str, task: Task
) -> None:
    operator, arguments = task
    again = operator(task_id="t", qlik_conn_id=impatient_conn_id, **arguments)
    qlik_sandbox.add_fault(Fault(kind="status", status=500))
    with pytest.raises(QlikServerError):
        again.execute({})

    again.execute({})


@each_operator
@pytest.mark.parametrize("status", [None, 403, 500])
def test_client_is_closed_whatever_happens(
    qlik_sandbox: Sandbox, impatient_conn_id: str, task: Task, status: int | None
) -> None:
    operator: Any = task[0](task_id="t", qlik_conn_id=impatient_conn_id, **task[1])
    client = operator.hook.get_conn()
    if status:
        qlik_sandbox.add_fault(Fault(kind="status", status=status))

    with contextlib.suppress(AirflowFailException, QlikServerError):
        operator.execute({})

    assert operator.hook.get_conn() is not client

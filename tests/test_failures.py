from __future__ import annotations

import pytest

from airflow_provider_qlik_assets._compat import AirflowFailException
from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikCloudError,
    QlikConfigurationError,
    QlikConflictError,
    QlikConnectionError,
    QlikDataAssetExistsError,
    QlikNotFoundError,
    QlikPartialFailureError,
    QlikPermissionError,
    QlikRateLimitError,
    QlikResponseError,
    QlikServerError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.failures import permanent_errors_fail_the_task


def of_status(kind: type[QlikApiError], status: int) -> QlikApiError:
    return kind("GET", "https://t.example/api/v1/x", status, trace_id="trace-1")


@pytest.mark.parametrize(
    "error",
    [
        of_status(QlikBadRequestError, 400),
        of_status(QlikAuthenticationError, 401),
        of_status(QlikPermissionError, 403),
        of_status(QlikNotFoundError, 404),
        QlikConfigurationError("The extra verify is wrong."),
        QlikValidationError("name is 300 characters long."),
        QlikDataAssetExistsError.without_request(409, "It exists."),
        QlikPartialFailureError(
            {"a": of_status(QlikBadRequestError, 400), "b": of_status(QlikPermissionError, 403)}, total=2
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_permanent_error_ends_the_task_without_retries(error: QlikCloudError) -> None:
    with pytest.raises(AirflowFailException) as raised, permanent_errors_fail_the_task():
        raise error

    assert str(raised.value) == str(error)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        of_status(QlikConflictError, 409),
        of_status(QlikRateLimitError, 429),
        of_status(QlikServerError, 500),
        QlikConnectionError("no connection", request_sent=False),
        QlikResponseError("HTML", http_status=200),
        QlikCloudError("2 data assets do not exist"),
        QlikPartialFailureError(
            {"a": of_status(QlikBadRequestError, 400), "b": of_status(QlikServerError, 503)}, total=2
        ),
        RuntimeError("bug"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, permanent_errors_fail_the_task():
        raise error

    assert raised.value is error


def test_no_error() -> None:
    done = []
    with permanent_errors_fail_the_task():
        done.append("work")

    assert done == ["work"]

"""Changing many data assets: order, threads, and what a failure stops; no request is needed for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.many import change_many
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.catalog.workers import WORKERS
from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.client.errors import (
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikCloudError,
    QlikConfigurationError,
    QlikConnectionError,
    QlikNotFoundError,
    QlikPartialFailureError,
    QlikPermissionError,
    QlikRateLimitError,
    QlikResponseError,
    QlikServerError,
)

Change = Callable[[QlikCloudClient, str], Result]
URL = "https://t.example/api/v1/data-assets"


def refused(kind: Any, status: int, trace_id: str = "trace-1") -> QlikCloudError:
    error: QlikCloudError = kind("PATCH", URL, status, trace_id=trace_id)
    return error


def failing(errors: dict[str, QlikCloudError], begun: list[str] | None = None) -> Change:
    """Return a change that some errors prevent."""

    def change(client: QlikCloudClient, data_asset_id: str) -> Result:
        if begun is not None:
            begun.append(data_asset_id)
        if data_asset_id in errors:
            raise errors[data_asset_id]
        return Result(data_asset_id, "updated")

    return change


def ids(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def outcome(client: QlikCloudClient, change: Change, count: int) -> tuple[list[str], Any]:
    """Return the ids of what was yielded, and the error at the end."""
    done: list[str] = []
    try:
        done.extend(result.id for result in change_many(client, change, ids(count), what="Test"))
    except QlikCloudError as error:
        return done, error
    return done, None


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_results_come_in_the_order_given(client: QlikCloudClient, count: int) -> None:
    assert outcome(client, failing({}), count) == (ids(count), None)


def test_several_are_changed_at_a_time(client: QlikCloudClient) -> None:
    together = threading.Barrier(WORKERS, timeout=20)

    def meet(client: QlikCloudClient, data_asset_id: str) -> Result:
        together.wait()
        return Result(data_asset_id, "updated")

    assert outcome(client, meet, WORKERS) == (ids(WORKERS), None)


def test_the_only_one_is_changed_without_another_connection(client: QlikCloudClient) -> None:
    clients = []

    def change(client: QlikCloudClient, data_asset_id: str) -> Result:
        clients.append(client)
        return Result(data_asset_id, "updated")

    outcome(client, change, 1)

    assert clients == [client]


@pytest.mark.parametrize(
    "error",
    [
        refused(QlikBadRequestError, 400),
        refused(QlikPermissionError, 403),
        refused(QlikNotFoundError, 404),
        refused(QlikServerError, 503),
        QlikConnectionError("no answer", request_sent=True),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("failed", ["0", "3"])
def test_one_failure_stops_no_other_and_is_raised_at_the_end(
    client: QlikCloudClient, error: QlikCloudError, failed: str
) -> None:
    done, raised = outcome(client, failing({failed: error}), 30)

    assert done == [name for name in ids(30) if name != failed]
    assert raised is error


def test_all_failures_are_in_one_error_in_the_order_given(client: QlikCloudClient) -> None:
    errors = {
        "7": refused(QlikServerError, 500, "trace-7"),
        "2": refused(QlikPermissionError, 403, "trace-2"),
    }
    done, raised = outcome(client, failing(errors), 10)

    assert done == [name for name in ids(10) if name not in errors]
    assert isinstance(raised, QlikPartialFailureError)
    assert list(raised.failures.items()) == [("2", errors["2"]), ("7", errors["7"])]
    assert "trace-2" in str(raised)
    assert "trace-7" in str(raised)


def test_a_failure_is_logged_when_it_happens(
    client: QlikCloudClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        outcome(client, failing({"1": refused(QlikNotFoundError, 404, "trace-9")}), 2)

    assert "Test: 1 failed. Qlik trace id trace-9" in caplog.text


def test_very_many_failures_fill_no_log(client: QlikCloudClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        outcome(client, failing(dict.fromkeys(ids(500), refused(QlikPermissionError, 403))), 500)

    assert len(caplog.records) < 50


@pytest.mark.parametrize(
    "error",
    [
        refused(QlikAuthenticationError, 401),
        refused(QlikRateLimitError, 429),
        QlikConfigurationError("The host is wrong."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_after_what_would_hit_all_others_no_other_is_begun(
    client: QlikCloudClient, error: QlikCloudError
) -> None:
    begun: list[str] = []
    done, raised = outcome(client, failing({"100": error}, begun), 5000)

    assert raised is error
    assert len(begun) < 200
    assert set(ids(100)) <= set(done)


@pytest.mark.parametrize(
    "error",
    [
        refused(QlikServerError, 503),
        QlikConnectionError("no answer", request_sent=False),
        QlikResponseError("HTML", http_status=200),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_is_not_sat_out_one_by_one(client: QlikCloudClient, error: QlikCloudError) -> None:
    begun: list[str] = []
    _, raised = outcome(client, failing(dict.fromkeys(ids(1000), error), begun), 1000)

    assert raised is error
    assert len(begun) < 50


@pytest.mark.parametrize(
    "errors",
    [
        dict.fromkeys(ids(399), refused(QlikPermissionError, 403)),
        dict.fromkeys(ids(400)[::2], refused(QlikServerError, 500)),
    ],
    ids=["refusals", "failures between successes"],
)
def test_what_is_no_outage_ends_nothing(client: QlikCloudClient, errors: dict[str, QlikCloudError]) -> None:
    done, raised = outcome(client, failing(errors), 400)

    assert len(done) + len(raised.failures) == 400


def test_a_bug_is_raised_as_it_is_and_no_other_is_begun(client: QlikCloudClient) -> None:
    begun: list[str] = []

    def crash(client: QlikCloudClient, data_asset_id: str) -> Result:
        begun.append(data_asset_id)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outcome(client, crash, 1000)

    assert len(begun) < 100

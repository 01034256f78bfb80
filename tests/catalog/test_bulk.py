"""Changing many data assets: order, threads, and what a failure stops; no request is needed for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog.bulk import WORKERS, change_many, run_bulk
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
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
from airflow_provider_qlik_assets.client.verdicts import ENDING_ERRORS

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
    """Return the ids of what was reported as done, sorted, and the error at the end."""
    done: list[str] = []
    error: QlikCloudError | None = None
    try:
        change_many(client, change, ids(count), what="Test", on_result=lambda result: done.append(result.id))
    except QlikCloudError as raised:
        error = raised
    return sorted(done, key=int), error


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_results_come_in_the_order_given(client: QlikCloudClient, count: int) -> None:
    results = change_many(client, failing({}), ids(count), what="Test")

    assert [result.id for result in results] == ids(count)


def test_each_result_is_reported_when_it_is_known(client: QlikCloudClient) -> None:
    reported = threading.Event()

    def change(client: QlikCloudClient, data_asset_id: str) -> Result:
        if data_asset_id == "0":
            assert reported.wait(20)
        return Result(data_asset_id, "updated")

    change_many(client, change, ids(2), what="Test", on_result=lambda result: reported.set())


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

    assert "Test: 1 failed. PATCH https://" in caplog.text
    assert "(Qlik trace id trace-9)" in caplog.text


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


def test_what_is_under_way_when_a_bug_ends_the_work_is_noted(
    client: QlikCloudClient, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(2, timeout=20)
    crashed = threading.Event()
    noted: list[str] = []

    def change(client: QlikCloudClient, data_asset_id: str) -> Result:
        together.wait()
        if data_asset_id == "0":
            crashed.set()
            raise ZeroDivisionError
        assert crashed.wait(20)
        return Result(data_asset_id, "updated")

    with caplog.at_level(logging.WARNING), pytest.raises(ZeroDivisionError):
        run_bulk(
            client,
            change,
            ids(2),
            what="Test",
            done="done",
            on_result=lambda job, result: noted.append(job),
            on_error=lambda job, error: None,
        )

    assert noted == ["1"]
    assert "Test: 1 of 2 done" in caplog.text


def one_of_each_kind() -> list[QlikCloudError]:
    """Return an error of each class that this package has."""
    kinds: list[Any] = [QlikCloudError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    arguments: dict[Any, tuple[tuple[Any, ...], dict[str, Any]]] = {
        QlikApiError: (("PATCH", URL, 418), {}),
        QlikConnectionError: (("no answer",), {"request_sent": True}),
        QlikResponseError: (("HTML",), {"http_status": 200}),
        QlikPartialFailureError: (({},), {"total": 1}),
        QlikCloudError: (("why",), {}),
    }
    errors = []
    for kind in kinds:
        values, options = next(arguments[base] for base in kind.__mro__ if base in arguments)
        errors.append(kind(*values, **options))
    return errors


@pytest.mark.parametrize(
    "error",
    [error for error in one_of_each_kind() if not isinstance(error, ENDING_ERRORS)],
    ids=lambda error: type(error).__name__,
)
def test_whatever_one_of_many_raises_the_others_go_on(client: QlikCloudClient, error: QlikCloudError) -> None:
    done, raised = outcome(client, failing({"3": error}), 30)

    assert done == [name for name in ids(30) if name != "3"]
    assert raised is error


def test_what_was_done_is_said_at_the_end(client: QlikCloudClient) -> None:
    _, raised = outcome(client, failing({"3": refused(QlikNotFoundError, 404)}), 30)

    assert str(raised).startswith("29 of 30 done, 1 not.")

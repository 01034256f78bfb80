"""Errors: their classes, what they say, and that they survive the way between processes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import (
    QlikApiError,
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikCloudClient,
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
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.errors import ErrorDetail, shorten
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

URL = "https://t.example/api/v1/data-assets/a1"


def answered(sandbox: Sandbox, client: QlikCloudClient, **fault: Any) -> QlikApiError:
    """Return the error of a request that was answered like this."""
    sandbox.add_fault(Fault(kind="status", times=None, **fault))
    with pytest.raises(QlikApiError) as caught:
        client.get_data_asset("a1")
    return caught.value


@pytest.fixture
def client(connect: Any) -> QlikCloudClient:
    return connect(retry=RetryPolicy(max_retries=0, max_retry_wait=0.0))


@pytest.mark.parametrize(
    ("status", "kind", "phrase"),
    [
        (400, QlikBadRequestError, "400 Bad Request"),
        (401, QlikAuthenticationError, "401 Unauthorized"),
        (403, QlikPermissionError, "403 Forbidden"),
        (404, QlikNotFoundError, "404 Not Found"),
        (405, QlikApiError, "405 Method Not Allowed"),
        (409, QlikConflictError, "409 Conflict"),
        (412, QlikConflictError, "412 Precondition Failed"),
        (418, QlikApiError, "418 I'm a Teapot"),
        (429, QlikRateLimitError, "429 Too Many Requests"),
        (499, QlikApiError, "499"),
        (500, QlikServerError, "500 Internal Server Error"),
        (502, QlikServerError, "502 Bad Gateway"),
        (503, QlikServerError, "503 Service Unavailable"),
        (504, QlikServerError, "504 Gateway Timeout"),
        (599, QlikServerError, "599"),
    ],
)
def test_a_status_has_its_class_and_its_message(
    sandbox: Sandbox, client: QlikCloudClient, status: int, kind: type[QlikApiError], phrase: str
) -> None:
    entry = {"code": "DA-7", "title": "Refused", "detail": "Because.", "status": str(status)}

    error = answered(sandbox, client, status=status, body={"errors": [entry], "traceId": "t-1"})

    url = f"{sandbox.url}/api/v1/data-assets/a1"
    assert type(error) is kind
    assert (error.method, error.url, error.http_status) == ("GET", url, status)
    assert error.errors == (ErrorDetail("DA-7", "Refused", "Because.", str(status)),)
    assert error.trace_id == "t-1"
    advice = error.context if status == 429 else kind.next_step  # after a 429 the wait is named
    assert str(error) == f"GET {url} answered {phrase}: DA-7 Refused: Because. {advice} (Qlik trace id t-1)"


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ({"code": "HTTP-401", "title": "Unauthorized", "detail": "The key expired."}, ": The key expired. "),
        ({"code": "HTTP-401", "title": "Unauthorized."}, " Unauthorized. "),
        ({"code": "HTTP-401", "title": "Expired.", "detail": "expired"}, ": Expired. "),
        ({"code": "HTTP-403", "title": "UNAUTHORIZED", "detail": "No."}, ": HTTP-403: No. "),
        ({"code": "DA-7", "title": "Refused.", "detail": "Because."}, ": DA-7 Refused: Because. "),
        ({"code": "HTTP-401", "title": "Unauthorized", "detail": "unauthorized."}, " Unauthorized. "),
        ({"detail": "Unauthorized"}, " Unauthorized. "),
    ],
)
def test_a_message_does_not_repeat_the_status(
    sandbox: Sandbox, client: QlikCloudClient, entry: dict[str, str], shown: str
) -> None:
    error = answered(sandbox, client, status=401, body={"errors": [entry]})

    assert f"answered 401 Unauthorized{shown if shown[0] == ':' else '. '}Check the API key" in str(error)
    assert error.errors[0].code == entry.get("code", "")


def test_more_advice_stands_ahead_of_the_trace_id(sandbox: Sandbox, client: QlikCloudClient) -> None:
    error = answered(sandbox, client, status=404, body={"errors": [], "traceId": "t-1"})

    assert (
        error.with_advice("Or wait.")
        == f"{str(error).removesuffix(' (Qlik trace id t-1)')} Or wait. (Qlik trace id t-1)"
    )


def test_retry_after_is_kept(sandbox: Sandbox, client: QlikCloudClient) -> None:
    assert answered(sandbox, client, status=503, headers={"Retry-After": "17"}).retry_after == 17.0


ENTRY = {"code": "C", "title": "T"}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"errors": [ENTRY, {"title": "U", "detail": "D"}]}, "500 Internal Server Error: C T; U: D. "),
        ({"errors": [{"detail": "D"}]}, "Error: D. "),
        ({"errors": [{"code": 7, "title": None}]}, "Error: 7. "),
        ({"errors": []}, "500 Internal Server Error. "),
        ({"errors": None}, "500 Internal Server Error. "),
        ({}, "500 Internal Server Error. "),
        ("", "500 Internal Server Error. "),
        ([], "the answer is not JSON from Qlik Cloud: '[]'. "),
        (["a"], """the answer is not JSON from Qlik Cloud: '["a"]'. """),
        ('"text"', """the answer is not JSON from Qlik Cloud: '"text"'. """),
        ("null", "the answer is not JSON from Qlik Cloud: 'null'. "),
        (
            "<html><body>\n  Down\n</body>",
            "the answer is not JSON from Qlik Cloud: '<html><body> Down </body>'. ",
        ),
        ({"errors": ["text"]}, """not JSON from Qlik Cloud: '{"errors": ["text"]}'. """),
        ({"errors": {"code": "C"}}, """not JSON from Qlik Cloud: '{"errors": {"code": "C"}}'. """),
        ({"errors": 5}, """not JSON from Qlik Cloud: '{"errors": 5}'. """),
        ("\0\x1b[31m", "not JSON from Qlik Cloud: "),
    ],
)
def test_error_bodies_of_any_shape_are_shown(
    sandbox: Sandbox, client: QlikCloudClient, body: Any, shown: str
) -> None:
    assert shown in str(answered(sandbox, client, status=500, body=body))


def test_status_and_meta_of_an_entry_are_kept_and_not_shown(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    meta = {"argument": "tags", "more": [1, None, {"deep": "odd \u2028"}]}
    entry = {**ENTRY, "status": "400", "meta": meta}
    error = answered(
        sandbox, client, status=400, body={"errors": [entry, {"code": "D", "status": 400}, ENTRY]}
    )

    assert [(detail.status, detail.meta) for detail in error.errors] == [
        ("400", meta),
        ("400", None),
        ("", None),
    ]
    assert "argument" not in str(error)
    assert pickle.loads(pickle.dumps(error)).errors == error.errors
    assert len({*error.errors}) == 3


@pytest.mark.parametrize("meta", [{"key": "KEY"}, {"KEY": 1}, "KEY", ["a", {"b": "Bearer KEY"}]])
def test_meta_repeats_no_secret(sandbox: Sandbox, client: QlikCloudClient, meta: Any) -> None:
    body = json.dumps({"errors": [{**ENTRY, "meta": meta}]}).replace("KEY", sandbox.api_key)
    error = answered(sandbox, client, status=400, body=json.loads(body))

    assert error.errors[0].meta == json.loads(json.dumps(meta).replace("KEY", "***"))


def test_meta_that_is_too_long_is_left_out(sandbox: Sandbox, client: QlikCloudClient) -> None:
    error = answered(sandbox, client, status=400, body={"errors": [{**ENTRY, "meta": {"a": "x" * 5000}}]})

    assert error.errors == (ErrorDetail("C", "T"),)


HUGE = "x" * 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        HUGE,
        {"errors": [{"code": HUGE, "title": HUGE, "detail": HUGE}]},
        {"errors": [ENTRY] * 10_000},
        {"errors": [ENTRY], "traceId": HUGE},
        {"errors": [ENTRY], "traceId": {"deep": [HUGE]}},
    ],
)
def test_a_huge_error_body_gives_a_short_message(
    sandbox: Sandbox, client: QlikCloudClient, body: Any
) -> None:
    assert len(str(answered(sandbox, client, status=400, body=body))) < 800


def test_a_message_does_not_show_the_query(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_fault(Fault(kind="status", status=403))

    with pytest.raises(QlikPermissionError) as caught:
        client.get_data_asset("a1", projections=["id"])

    assert "projections" not in str(caught.value)


ERRORS = [
    QlikCloudError("m"),
    QlikConfigurationError("m"),
    QlikValidationError("m"),
    QlikConnectionError("m", request_sent=True),
    QlikResponseError("m", http_status=200),
    QlikServerError("GET", URL, 503, errors=[ErrorDetail("C", "T")], trace_id="t", retry_after=3.0),
    QlikRateLimitError.not_sent("the quota is used up", 7.0),
    QlikDataAssetExistsError.without_request(409, "It already exists."),
    QlikPartialFailureError({}, total=3),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_an_error_survives_pickling(error: QlikCloudError, duplicate: Any) -> None:
    received = duplicate(error)

    assert type(received) is type(error)
    assert str(received) == str(error)
    assert received.__dict__ == error.__dict__


def test_every_error_is_a_qlik_cloud_error_and_wrong_input_a_value_error() -> None:
    assert all(isinstance(error, QlikCloudError) for error in ERRORS)
    assert [type(error) for error in ERRORS if isinstance(error, ValueError)] == [
        QlikConfigurationError,
        QlikValidationError,
    ]


def test_an_error_without_a_request_says_what_was_found_and_what_to_do() -> None:
    assert str(QlikDataAssetExistsError.without_request(409, "It already exists.")) == (
        'It already exists. Use if_exists="update" to change it or if_exists="skip" to leave it as it is.'
    )


def test_a_request_that_was_held_back_says_how_long_to_wait() -> None:
    error = QlikRateLimitError.not_sent("the quota of tier 2 is used up", 12.34)

    assert str(error).startswith(
        "The request was not sent: the quota of tier 2 is used up, and the wait of about 12.3 s"
    )
    assert (error.http_status, error.retry_after) == (429, 12.34)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n b\t c", "a b c"), ("x" * 10, "x" * 10), ("x" * 11, "x" * 9 + "…"), ("", "")],
)
def test_texts_are_shortened_to_one_line(text: str, expected: str) -> None:
    assert shorten(text, 10) == expected


def test_partial_failure_names_each_data_asset_with_its_error() -> None:
    one, other = (
        QlikServerError("GET", URL, 503, trace_id="trace-1"),
        QlikConnectionError("m", request_sent=True),
    )

    error = QlikPartialFailureError({"orders": one, "customers": other}, total=7)

    assert error.failures == {"orders": one, "customers": other}
    assert str(error).startswith("2 of 7 data assets failed; running it again does only what is left.")
    assert "orders: GET https://" in str(error)
    assert "(Qlik trace id trace-1) | customers: m" in str(error)


def test_partial_failure_keeps_the_trace_id_of_a_long_error() -> None:
    error = QlikServerError("GET", f"{URL}/{'x' * 2000}", 503, trace_id="trace-1")

    message = str(QlikPartialFailureError({"orders": error}, total=2))

    assert message.endswith("(Qlik trace id trace-1)")
    assert len(message) < 1200


def test_partial_failure_of_thousands_is_a_short_message() -> None:
    failures = {f"table_{number}": QlikServerError("GET", URL, 503) for number in range(5000)}

    message = str(QlikPartialFailureError(failures, total=5000))

    assert message.endswith("| and 4980 more.")
    assert len(message) < 5000

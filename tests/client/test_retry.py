"""The one rule on repetitions, and what a Retry-After header says."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_qlik_assets.client import (
    QlikApiError,
    QlikCloudError,
    QlikConnectionError,
    QlikResponseError,
    QlikServerError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.client.retry import Failure, parse_retry_after
from airflow_provider_qlik_assets.client.verdicts import outcome_is_unknown

NOW = datetime(2026, 1, 31, 6, 30, tzinfo=UTC)

# Status of the answer (None: no complete one), and whether the request is repeated if it was sent and is
# safe, sent and unsafe, not sent.
RULE = [
    (None, True, False, True),
    (429, True, True, True),
    (502, True, False, None),
    (503, True, False, None),
    (504, True, False, None),
    *((status, False, False, None) for status in (400, 401, 403, 404, 405, 408, 409, 410, 412, 422, 425)),
    *((status, False, False, None) for status in (300, 304, 500, 501, 505, 511, 599)),
]


def wait(failure: Failure, *, policy: RetryPolicy | None = None, **options: Any) -> float | None:
    options = {
        "attempt": 1,
        "waited": 0.0,
        "safe_to_repeat": True,
        "uniform": lambda low, high: high,
        **options,
    }
    return (policy or RetryPolicy()).wait_before_repeat(failure, **options)


@pytest.mark.parametrize(
    ("status", "sent", "safe", "repeated"),
    [
        (status, sent, safe, expected)
        for status, sent_safe, sent_unsafe, not_sent in RULE
        for sent, safe, expected in (
            (True, True, sent_safe),
            (True, False, sent_unsafe),
            (False, True, not_sent),
            (False, False, not_sent),
        )
        if expected is not None
    ],
)
def test_what_is_repeated(status: int | None, sent: bool, safe: bool, repeated: bool) -> None:
    failure = Failure("", http_status=status, request_sent=sent)

    assert (wait(failure, safe_to_repeat=safe) is not None) is repeated


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60), (5000, 60)]
)
def test_the_wait_doubles_up_to_a_minute(attempt: int, longest: float) -> None:
    policy = RetryPolicy(max_retries=10_000)

    assert wait(Failure("", 503), policy=policy, attempt=attempt) == longest


def test_the_wait_is_anywhere_between_nothing_and_the_longest() -> None:
    generator = random.Random(0)
    waits = [
        RetryPolicy().wait_before_repeat(
            Failure("", 503), attempt=4, waited=0.0, safe_to_repeat=True, uniform=generator.uniform
        )
        or 0.0
        for _ in range(500)
    ]

    assert 0 <= min(waits) < 0.5
    assert 7.5 < max(waits) <= 8


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (429, 13.0, 13.0),
        (429, 0.0, 1.0),
        (429, 0.2, 1.0),
        (429, None, 1.0),
        (503, 7.0, 8.0),
        (503, 0.0, 1.0),
        (502, None, 1.0),
        (500, 1.0, None),
        (404, 1.0, None),
    ],
)
def test_retry_after_is_heeded(status: int, retry_after: float | None, expected: float | None) -> None:
    assert wait(Failure("", status, retry_after=retry_after)) == expected


def test_after_429_without_a_time_it_waits_for_a_second_at_least() -> None:
    assert wait(Failure("", 429), uniform=lambda low, high: low) == 1.0


@pytest.mark.parametrize("failure", [Failure("", 503), Failure("", None), Failure("", request_sent=False)])
def test_it_gives_up_after_so_many_repetitions(failure: Failure) -> None:
    policy = RetryPolicy(max_retries=2)

    assert wait(failure, policy=policy, attempt=2) is not None
    assert wait(failure, policy=policy, attempt=3) is None


def test_no_repetitions_may_be_asked_for() -> None:
    assert wait(Failure("", 503), policy=RetryPolicy(max_retries=0)) is None


def test_waits_for_the_rate_limit_do_not_count_as_repetitions() -> None:
    assert wait(Failure("", 429, retry_after=5.0), policy=RetryPolicy(max_retries=0), attempt=9) == 5.0


@pytest.mark.parametrize(
    ("status", "retry_after", "waited", "expected"),
    [
        (429, 100.0, 0.0, 100.0),
        (429, 100.1, 0.0, None),
        (429, 50.0, 50.0, 50.0),
        (429, 50.0, 50.1, None),
        (429, 1e9, 0.0, None),
        (503, 100.0, 0.0, None),
        (503, 99.0, 0.0, 100.0),
        (503, None, 99.5, None),
    ],
)
def test_all_waits_together_are_bounded(
    status: int, retry_after: float | None, waited: float, expected: float | None
) -> None:
    failure = Failure("", status, retry_after=retry_after)

    assert wait(failure, policy=RetryPolicy(max_retry_wait=100.0), waited=waited) == expected


@pytest.mark.parametrize(
    ("status", "sent", "expected"),
    [(None, True, True), (None, False, False), (500, True, True), (503, True, True), (429, True, False)]
    + [(status, True, False) for status in (400, 401, 404, 409)],
)
def test_whether_a_failed_request_may_have_been_done(status: int | None, sent: bool, expected: bool) -> None:
    assert Failure("", status, sent).may_have_been_done is expected


def repeated(error: QlikApiError) -> QlikApiError:
    error.repeated = True
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (QlikConnectionError("", request_sent=True), True),
        (QlikConnectionError("", request_sent=False), False),
        (QlikResponseError("", http_status=200), True),
        (QlikServerError("POST", "u", 500), True),
        (QlikApiError("POST", "u", 409), False),
        (repeated(QlikApiError("POST", "u", 409)), True),
        (QlikCloudError(""), False),
    ],
)
def test_whether_the_outcome_of_an_error_is_unknown(error: QlikCloudError, expected: bool) -> None:
    assert outcome_is_unknown(error) is expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("13", 13.0),
        (" 13 ", 13.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("86400000000", 86400000000.0),
        ("Sat, 31 Jan 2026 06:31:30 GMT", 90.0),
        ("Sat, 31 Jan 2026 06:30:00 GMT", 0.0),
        ("Sat, 31 Jan 2026 06:00:00 GMT", 0.0),
        ("Saturday, 31-Jan-26 06:31:00 GMT", 60.0),
        ("Sat Jan 31 06:31:00 2026", 60.0),
        ("Sat, 31 Jan 2026 07:31:00 +0100", 60.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("1e999", None),
        ("13 seconds", None),
        ("Sat, 99 Jan 2026 06:31:30 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +9999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 251632546139.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, now=NOW) == seconds


@given(st.text(max_size=60) | st.from_regex(r"\w{3}, \d{1,3} Jan \d{1,5} \d\d:\d\d:\d\d [-+]?\w{3,4}"))
def test_no_retry_after_is_too_strange(header: str) -> None:
    seconds = parse_retry_after(header, now=NOW)

    assert seconds is None or 0 <= seconds < float("inf")

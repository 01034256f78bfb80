"""The clock of the tenant, which need not agree with that of this host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import QlikRateLimitError, RetryPolicy
from tests.wire import answer

ONCE = RetryPolicy(max_retries=0, max_retry_wait=0)


def http_date(ahead: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + ahead, usegmt=True)


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=-2)], ids=str)
def test_retry_after_is_measured_by_the_clock_that_it_was_written_by(
    connect: Any, tenant: Any, ahead: timedelta
) -> None:
    headers = {"Date": http_date(ahead), "Retry_After": http_date(ahead + timedelta(seconds=30))}
    server = tenant(lambda count, path: answer({"errors": []}, "429 Too Many Requests", **headers))

    with pytest.raises(QlikRateLimitError) as raised:
        connect(server.url, retry=ONCE).me()

    assert raised.value.retry_after == pytest.approx(30, abs=2)


@pytest.mark.parametrize(
    "date", ["", "soon", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"]
)
def test_a_date_that_cannot_be_right_is_ignored(connect: Any, tenant: Any, date: str) -> None:
    headers = {"Date": date, "Retry_After": http_date(timedelta(seconds=30))}
    server = tenant(lambda count, path: answer({"errors": []}, "429 Too Many Requests", **headers))
    client = connect(server.url, retry=ONCE)

    with pytest.raises(QlikRateLimitError) as raised:
        client.me()

    assert raised.value.retry_after == pytest.approx(30, abs=2)
    assert abs(client.server_now() - datetime.now(UTC)) < timedelta(seconds=2)


def test_the_time_of_the_tenant_is_taken_from_its_answers(connect: Any, tenant: Any) -> None:
    server = tenant(lambda count, path: answer({"id": "me"}, Date=http_date(timedelta(days=2))))
    client = connect(server.url)

    client.me()

    assert abs(client.server_now() - datetime.now(UTC) - timedelta(days=2)) < timedelta(seconds=2)


def test_a_wait_that_is_too_long_names_the_setting_that_allows_it(connect: Any, tenant: Any) -> None:
    body = {"errors": [{"code": "HTTP-429", "title": "API rate limit reached."}]}
    server = tenant(lambda count, path: answer(body, "429 Too Many Requests", Retry_After="1000"))

    with pytest.raises(
        QlikRateLimitError, match=r"asks to wait 1000 s, but max_retry_wait allows 600 s"
    ) as raised:
        connect(server.url).me()

    assert "max_rate_limit_wait" not in str(raised.value)

"""The client itself: its lifetime, its settings, and copies of it with others."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_qlik_assets.client import (
    ApiKey,
    QlikCloudClient,
    QlikConfigurationError,
    QlikRateLimitError,
    QlikServerError,
    RateLimits,
    RetryPolicy,
    Tier,
)
from airflow_provider_qlik_assets.client.base_url import parse_base_url
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Connect


def test_nothing_is_sent_before_the_first_call(sandbox: Sandbox, connect: Connect) -> None:
    client = connect()
    client.list_data_assets()

    assert len(sandbox.journal) == 0


def test_a_client_goes_on_after_it_was_closed(sandbox: Sandbox, connect: Connect) -> None:
    client = connect()
    with client:
        client.me()
    client.close()

    assert client.me()["id"] == "user-full-access"


def test_threads_may_share_a_client(sandbox: Sandbox, client: QlikCloudClient) -> None:
    ids = [sandbox.add_asset(technicalName=f"t{number}")["id"] for number in range(8)]
    wrong: list[str] = []

    def read(data_asset_id: str) -> None:
        found = [str(client.get_data_asset(data_asset_id).id) for _ in range(20)]
        wrong.extend(set(found) - {data_asset_id})

    threads = [threading.Thread(target=read, args=[data_asset_id]) for data_asset_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert len(sandbox.journal) == 160


def test_the_repr_names_the_tenant_and_no_secret(connect: Connect) -> None:
    text = repr(connect("https://t.example", ApiKey("top-secret")))

    assert text == "QlikCloudClient('https://t.example', ApiKey())"


def test_credentials_may_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(ApiKey("k"))) == ApiKey("k")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("t.eu.qlikcloud.com", "https://t.eu.qlikcloud.com"),
        (" https://T.eu.qlikcloud.com/ ", "https://t.eu.qlikcloud.com"),
        ("HTTPS://t.example:8443", "https://t.example:8443"),
        ("t.example:443", "https://t.example:443"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://127.9.9.9:1", "http://127.9.9.9:1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://10.0.0.1", "https://10.0.0.1"),
    ],
)
def test_a_host_becomes_a_base_url(host: str, url: str) -> None:
    assert parse_base_url(host) == url


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("", "The host is empty"),
        ("  ", "The host is empty"),
        ("http://t.example", "would send credentials in clear text"),
        ("http://localhost.example", "would send credentials in clear text"),
        ("http://10.0.0.1", "would send credentials in clear text"),
        ("http://127.0.0.1.example", "would send credentials in clear text"),
        ("ftp://t.example", "The scheme of the host is not supported"),
        ("https://user:s3cret@t.example", "must not contain credentials"),
        ("user@t.example", "must not contain credentials"),
        ("https://t.example/path", "must not contain a path or query"),
        ("https://t.example?a=b", "must not contain a path or query"),
        ("https://t.example#a", "must not contain a path or query"),
        ("https://t.example:port", "is not a valid host name"),
        ("https://t.example:99999", "is not a valid host name"),
        ("https://", "is not a valid host name"),
        ("https://[::1", "is not a valid host name"),
        ("t example", "is not a valid host name"),
        ("t%2eexample", "is not a valid host name"),
        ("t.example\\@evil.example", "credentials|is not a valid host name"),
        ("https:///t.example", "is not a valid host name"),
    ],
)
def test_anything_else_is_no_host(host: str, message: str) -> None:
    with pytest.raises(QlikConfigurationError, match=message) as caught:
        parse_base_url(host)

    assert "s3cret" not in str(caught.value)


def test_a_store_that_is_none_is_refused(connect: Connect) -> None:
    with pytest.raises(QlikConfigurationError):
        connect(rate_limit_store="nowhere://")


# --- the same user with other options --------------------------------------------------------------------


def test_other_options_share_the_quota(connect: Connect) -> None:
    client = connect(rate_limits=RateLimits(tier1_limit=5), max_rate_limit_wait=1000.0)

    with client.with_options(max_rate_limit_wait=0.0) as hasty:
        for _ in range(4):
            client.me()
        with pytest.raises(QlikRateLimitError, match="The request was not sent"):
            hasty.me()

        assert (hasty.max_rate_limit_wait, client.max_rate_limit_wait) == (0.0, 1000.0)
        assert client.rate_limit_wait(Tier.ONE) == hasty.rate_limit_wait(Tier.ONE) > 200
        assert client.rate_limit_wait(Tier.TWO) == 0.0


def test_other_options_leave_the_others_as_they_are(sandbox: Sandbox, connect: Connect) -> None:
    slept: list[float] = []
    client = connect(retry=RetryPolicy(max_retries=1), user_agent="mine/1")
    sandbox.add_fault(Fault(kind="status", status=503, times=None))

    with client.with_options(sleep=slept.append) as other, pytest.raises(QlikServerError):
        other.me()

    assert len(slept) == 1
    assert [entry.headers["user-agent"].split()[-1] for entry in sandbox.journal.requests()] == ["mine/1"] * 2


def test_threads_may_share_a_client_with_other_options_from_the_start(connect: Connect) -> None:
    with connect().with_options() as client, ThreadPoolExecutor(8) as pool:
        assert len({user["id"] for user in pool.map(lambda _: client.me(), range(50))}) == 1

"""Which hosts a connection may name, and what becomes of them."""

from __future__ import annotations

import pytest

from airflow_provider_qlik_assets.client import QlikConfigurationError
from airflow_provider_qlik_assets.client.base_url import is_loopback, parse_base_url


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("tenant.eu.qlikcloud.com", "https://tenant.eu.qlikcloud.com"),
        ("  tenant.example\n", "https://tenant.example"),
        ("https://tenant.example", "https://tenant.example"),
        ("https://tenant.example/", "https://tenant.example"),
        ("tenant.example/", "https://tenant.example"),
        ("HTTPS://Tenant.EXAMPLE", "https://tenant.example"),
        ("tenant.example:8443", "https://tenant.example:8443"),
        ("https://tenant.example:443/", "https://tenant.example:443"),
        ("my_tenant-1.example", "https://my_tenant-1.example"),
        ("10.0.0.1", "https://10.0.0.1"),
        ("[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://LOCALHOST", "http://localhost"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_accepted(host: str, base_url: str) -> None:
    assert parse_base_url(host) == base_url
    assert parse_base_url(base_url) == base_url


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("tenant.example/api/v1", "path or query"),
        ("https://tenant.example/?a=b", "path or query"),
        ("tenant.example?a=b", "path or query"),
        ("tenant.example#top", "path or query"),
        ("https://https://tenant.example", "path or query"),
        ("ftp://tenant.example", "scheme of the host is not supported"),
        ("file://tenant.example", "scheme of the host is not supported"),
        ("http://tenant.example", "clear text"),
        ("http://10.0.0.1", "clear text"),
        ("http://0.0.0.0", "clear text"),
        ("http://localhost.example", "clear text"),
        ("http://127.0.0.1.example", "clear text"),
        ("http://[2001:db8::1]", "clear text"),
        ("user@tenant.example", "credentials"),
        ("https://user:password@tenant.example", "credentials"),
        ("https://@tenant.example", "credentials"),
        ("https://127.0.0.1\\@tenant.example", "credentials"),
        ("https://", "not a valid host name"),
        (":443", "not a valid host name"),
        ("https:tenant.example", "not a valid host name"),
        ("tenant.example:port", "not a valid host name"),
        ("tenant.example:65536", "not a valid host name"),
        ("tenant example", "not a valid host name"),
        ("tenant.\texample", "not a valid host name"),
        ("tenant.\nexample", "not a valid host name"),
        ("tenant.example\x00", "not a valid host name"),
        ("tenant.example\\x", "not a valid host name"),
        ("tenant%2eexample", "not a valid host name"),
        ("tenant..example", "not a valid host name"),
        ("tenant.example,other.example", "not a valid host name"),
        ("<your-tenant>.example", "not a valid host name"),
        ('"tenant.example"', "not a valid host name"),
        ("tenant\N{FULLWIDTH FULL STOP}example", "not a valid host name"),
        ("tenant\N{ACCOUNT OF}example", "not a valid host name"),
        ("tenant.example\N{ZERO WIDTH SPACE}", "not a valid host name"),
        ("::1", "not a valid host name"),
        ("http://[::1", "not a valid host name"),
        ("[tenant.example]", "not a valid host name"),
        ("[v1.tenant]", "not a valid host name"),
        ("[fe80::1%eth0]", "not a valid host name"),
    ],
)
def test_refused_with_the_reason(host: str, reason: str) -> None:
    with pytest.raises(QlikConfigurationError, match=reason):
        parse_base_url(host)


@pytest.mark.parametrize(
    "host",
    [
        "https://user:hunter2@tenant.example",
        "https://user:hunter2@tenant.example:port",
        "https://user:hunter2@tenant\N{ACCOUNT OF}example",
        "https://user:hunter2@[::1",
        "tenant.example?password=hunter2",
    ],
)
def test_an_error_repeats_no_secret(host: str) -> None:
    with pytest.raises(QlikConfigurationError) as caught:
        parse_base_url(host)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("128.0.0.1", False),
        ("::", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_only(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback

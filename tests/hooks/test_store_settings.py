"""What a connection and Airflow's configuration may say of the store that shares the rate limit."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_qlik_assets.client.errors import QlikConfigurationError
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.hooks.settings import (
    ConnectionSettings,
    redis_url,
    resolve_settings,
    url_secrets,
)
from airflow_provider_qlik_assets.sandbox import Sandbox

SetConnection = Callable[..., str]
TLS = "ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=true"


def connection(extra: Any = None, **fields: Any) -> SimpleNamespace:
    extra = extra if isinstance(extra, str) or extra is None else json.dumps(extra)
    standard = dict.fromkeys(("schema", "port", "login", "password"))
    return SimpleNamespace(
        **{"conn_id": "qlik", "conn_type": "qlik_cloud", "host": "t.example", **standard, **fields},
        extra=extra,
    )


def with_store(store: Any, **configured: str) -> ConnectionSettings:
    fields = connection({"rate_limit_store": store}, password="key-123456")
    return resolve_settings(fields, configured=configured)


@pytest.mark.parametrize(
    "store",
    [
        "memory:",
        "file:///var/lib/qlik",
        "file:///srv/a%20b/@c",
        "redis://host",
        "redis://host/",
        "redis://localhost:6379/1",
        "redis://[::1]:6379/1",
        "redis://10.0.0.7:6379",
        "rediss://cache-1.example:6380/0",
        f"rediss://host/0?{TLS}",
        "airflow-connection:redis_default",
        "airflow-connection: team/redis-1.a ",
    ],
)
def test_a_store_that_the_extra_may_name(store: str) -> None:
    assert with_store(f" {store}\n").rate_limit_store == store.strip()


@pytest.mark.parametrize(
    "store",
    [
        "/var/lib/qlik",
        "file://relative",
        "file:///x?password=hunter22",
        "file:///x#hunter22",
        "postgres://host/hunter22",
        "unix://:hunter22@/s",
        "airflow-connection:",
        "airflow-connection:redis://:hunter22@h",
        "airflow-connection:redis:///:hunter22",
        "airflow-connection:x?password=hunter22",
        "memory:hunter22",
        "redis:",
        "redis://",
        "redis:/host",
        "redis:\\\\:hunter22@h",
        "redis://host:port/0",
        "redis://:hunter22@h",
        "REDIS://:hunter22@h",
        "rediss://user:hunter22@host/0",
        "redis://hunter22@h",
        "redis://:hunt%2Fer22@h",
        "redis://:hunt/er22@h:6379/0",
        "redis://:12/hunter22@h:6379/0",
        "redis://:hunt?er22@h",
        "redis://:hunt#er22@host",
        "redis:///:hunter22@h",
        "redis://h/hunter22",
        "redis://h/0/hunter22",
        "redis://h/0#password=hunter22",
        "redis://h/0?password=hunter22",
        "redis://h/0?pass%77ord=hunter22",
        "redis://h/0?Password=hunter22",
        "redis://h?password=%68unter22",
        "redis://h/0?x=1;password=hunter22",
        "redis://h/0?hunter22",
        f"redis://h/0?{TLS}",
        "rediss://h/0?ssl_password=hunter22",
        "rediss://h/0?ssl_ca_certs=/a;password=hunter22",
        "rediss://h/0?ssl_ca_certs=/a&password=hunter22",
        "rediss://h/0?ssl_ca_certs=/a#hunter22",
        "redis://h\n?password=hunter22",
        "redis://h /hunter22",
    ],
)
@pytest.mark.parametrize("prefix", ["", "extra__qlik_cloud__"])
def test_all_else_in_the_extra_is_refused_and_told_where_to_go(store: str, prefix: str) -> None:
    """Airflow's API shows the extra to all who may read connections."""
    fields = connection({f"{prefix}rate_limit_store": store}, password="key-123456")
    with pytest.raises(QlikConfigurationError) as raised:
        resolve_settings(fields)

    message = str(raised.value)
    assert "extra rate_limit_store must be file:///directory" in message
    assert "airflow-connection:<its conn id>" in message
    assert "section [qlik_cloud] of Airflow's configuration" in message
    assert not any(part in message for part in ("hunter22", "er22", "unter22"))


def test_a_store_that_is_no_text_is_refused() -> None:
    with pytest.raises(QlikConfigurationError, match="extra rate_limit_store must be a string"):
        with_store(7)


@pytest.mark.parametrize("url", ["redis://:redis-pass@host/0", "rediss://user:redis-pass@host/0"])
def test_the_configuration_may_name_a_store_with_its_password(url: str) -> None:
    """Unlike an extra, Airflow shows it to nobody."""
    settings = with_store(None, rate_limit_store=url)

    assert settings.rate_limit_store == url
    assert settings.secrets == {"key-123456", "redis-pass"}
    assert "redis-pass" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("redis://host/0", []),
        ("redis://host/0?db=1&password=p%40w", ["p%40w", "p@w"]),
        ("redis://:pw@host/0?password=other", ["pw", "pw", "other", "other"]),
        ("redis://user@host/0", []),
        ("redis://:pw@host/0", ["pw", "pw"]),
        ("redis://user:a@b@host/0", ["a@b", "a@b"]),
        ("redis://:12/pw@host/0", ["12/pw", "12/pw"]),
        ("rediss://:pw@host/0?ssl_ca_certs=/a@b", ["pw", "pw"]),
        ("user:proxy-pass@proxy.example:3128", ["proxy-pass", "proxy-pass"]),
        ("proxy.example:3128", []),
        ("memory:", []),
    ],
)
def test_url_secrets(url: str, secrets: list[str]) -> None:
    assert list(url_secrets(url)) == secrets


@pytest.mark.parametrize(
    ("store", "conn_id"),
    [("airflow-connection: redis_default ", "redis_default"), ("memory:", None), (None, None)],
)
def test_connection_of_the_store(store: str | None, conn_id: str | None) -> None:
    assert with_store(store).store_conn_id == conn_id


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": None}, "redis://localhost:6379/0"),
        ({"host": "r", "port": 1234, "extra": {"db": 3}}, "redis://r:1234/3"),
        ({"host": "r", "extra": {"db": "3"}}, "redis://r:6379/3"),
        ({"host": "r", "password": "p@s/s"}, "redis://:p%40s%2Fs@r:6379/0"),
        ({"host": "r", "login": "me", "password": "pw"}, "redis://me:pw@r:6379/0"),
        ({"host": "::1"}, "redis://[::1]:6379/0"),
        (
            {"host": "r", "extra": {"ssl": True, "ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"}},
            "rediss://r:6379/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem",
        ),
        ({"host": "r", "extra": {"ssl": "false", "ssl_cert_reqs": "none"}}, "redis://r:6379/0"),
        (
            {"host": "r", "extra": {"ssl": True, "ssl_cert_reqs": None, "ssl_ca_certs": "", "db": ""}},
            "rediss://r:6379/0",
        ),
    ],
)
def test_redis_url_of_a_connection(fields: dict[str, Any], url: str) -> None:
    assert redis_url(connection(**{"conn_type": "redis", **fields})) == url


@pytest.mark.parametrize("ssl", [True, 1, "true", "True", "TRUE", " true ", "1", "yes", "Yes", "on"])
def test_a_store_with_tls(ssl: Any) -> None:
    assert redis_url(connection({"ssl": ssl}, conn_type="redis")).startswith("rediss://")


@pytest.mark.parametrize("ssl", [None, False, 0, "false", "FALSE", "0", "no", "off", ""])
def test_a_store_without_tls(ssl: Any) -> None:
    assert redis_url(connection({"ssl": ssl}, conn_type="redis")).startswith("redis://")


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"conn_type": "postgres"}, "must be of type 'redis'"),
        ({"conn_type": "hunter22"}, "must be of type 'redis'"),
        ({"extra": "nonsense"}, "must be a JSON object"),
        ({"extra": [1]}, "must be a JSON object"),
        ({"extra": {"db": "first"}}, "a number"),
        *(
            ({"extra": {"ssl": ssl}}, '"ssl" .* must be true or false')
            for ssl in ("hunter22", "required", 2, [True], {"a": 1})
        ),
    ],
)
def test_a_connection_that_is_no_redis_is_refused(fields: dict[str, Any], hint: str) -> None:
    with pytest.raises(QlikConfigurationError, match=hint) as raised:
        redis_url(connection(**{"conn_type": "redis", **fields}))
    assert "hunter22" not in str(raised.value)


def test_a_store_with_tls_gets_no_password_in_clear_text(
    qlik_sandbox: Sandbox, set_connection: SetConnection
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        set_connection(
            "store",
            conn_type="redis",
            host="127.0.0.1",
            port=server.getsockname()[1],
            password="redis-pass-1",
            extra={"ssl": "TRUE"},
        )
        conn_id = set_connection(
            host=qlik_sandbox.url,
            password=qlik_sandbox.api_key,
            extra={"rate_limit_store": "airflow-connection:store"},
        )
        assert not QlikCloudHook(conn_id).test_connection()[0]
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(20)
            assert accepted.recv(3) == b"\x16\x03\x01"  # of a handshake

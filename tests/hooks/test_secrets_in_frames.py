"""Whatever is wrong with a connection, nothing that a tool records of the error holds its secrets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.client import QlikCloudError
from airflow_provider_qlik_assets.hooks import qlik_cloud
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.revealed import revealed_by, secrets_in

SetConnection = Callable[..., str]

PASSWORD = "connection-pass/1234"
PROXY_PASSWORD = "proxy-pass-1234"
REDIS_PASSWORD = "redis-pass-1234"
KEY_LINE = base64.b64encode(bytes(range(100, 148))).decode()
KEY = f"-----BEGIN PRIVATE KEY-----\n{KEY_LINE}\n-----END PRIVATE KEY-----\n"
PROXIES = {"https": f"http://user:{PROXY_PASSWORD}@127.0.0.1:1"}
HOST = "t.example"


class Interrupted(BaseException):
    """Raised at any point, as Airflow does at the time-out of a task."""


def check(error: BaseException, *more: str) -> None:
    shown = revealed_by(error)
    found = secrets_in(shown, PASSWORD, PROXY_PASSWORD, REDIS_PASSWORD, KEY_LINE, *more)
    assert not found, shown


def get_conn(hook: QlikCloudHook) -> Any:
    return hook.get_conn()


def aget_conn(hook: QlikCloudHook) -> Any:
    return asyncio.run(hook.aget_conn())


ways = pytest.mark.parametrize("connect", [get_conn, aget_conn])

WRONG: dict[str, dict[str, Any]] = {
    "no host": {"password": PASSWORD},
    "host with credentials": {"host": f"https://user:{PASSWORD}@{HOST}", "password": PASSWORD},
    "host with a query": {"host": f"{HOST}?password={PASSWORD}", "password": PASSWORD},
    "another schema": {"host": HOST, "schema": PASSWORD, "password": PASSWORD},
    "another type": {"host": HOST, "conn_type": "http", "password": PASSWORD, "extra": {"a": KEY}},
    "no extra": {"host": HOST, "password": PASSWORD, "extra": f"{{{PASSWORD}"},
    "a list": {"host": HOST, "password": PASSWORD, "extra": [PASSWORD, KEY]},
    "unknown key": {"host": HOST, "password": PASSWORD, "extra": {PASSWORD: KEY}},
    "known by another name": {"host": HOST, "password": PASSWORD, "extra": {"client_secret": PASSWORD}},
    "twice": {
        "host": HOST,
        "extra": {"private_key": KEY, "extra__qlik_cloud__private_key": KEY.lower()},
    },
    "login only": {"host": HOST, "login": "client", "extra": {"proxies": PROXIES}},
    "key and password": {
        "host": HOST,
        "login": "client",
        "password": PASSWORD,
        "extra": {"private_key": KEY, "key_id": "a"},
    },
    "key without login": {"host": HOST, "extra": {"private_key": KEY, "key_id": "a"}},
    "key without id": {"host": HOST, "login": "client", "extra": {"private_key": KEY}},
    "key without its frame": {
        "host": HOST,
        "login": "client",
        "extra": {"private_key": KEY_LINE, "key_id": "a"},
    },
    "cut key": {"host": HOST, "login": "client", "extra": {"private_key": KEY[:80], "key_id": "a"}},
    "key as a path": {"host": HOST, "login": "client", "extra": {"private_key_path": KEY, "key_id": "a"}},
    "encrypted": {
        "host": HOST,
        "login": "client",
        "extra": {"private_key": KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), "key_id": "a"},
    },
    "key of another type": {"host": HOST, "login": "client", "extra": {"private_key": [KEY], "key_id": "a"}},
    "impossible API key": {"host": HOST, "password": f"{PASSWORD} and more"},
    "scope": {"host": HOST, "password": PASSWORD, "extra": {"scope": "a"}},
    "proxy of another type": {"host": HOST, "password": PASSWORD, "extra": {"proxies": [PROXIES]}},
    "verify": {"host": HOST, "password": PASSWORD, "extra": {"verify": PASSWORD}},
    "timeout": {"host": HOST, "password": PASSWORD, "extra": {"timeout": [PASSWORD, KEY]}},
    "number": {"host": HOST, "password": PASSWORD, "extra": {"max_retries": PASSWORD}},
    "store with a password": {
        "host": HOST,
        "password": PASSWORD,
        "extra": {"rate_limit_store": f"redis://user:{REDIS_PASSWORD}@h"},
    },
    "store of another type": {
        "host": HOST,
        "password": PASSWORD,
        "extra": {"rate_limit_store": {"url": f"redis://user:{REDIS_PASSWORD}@h"}},
    },
    "no such store": {
        "host": HOST,
        "password": PASSWORD,
        "extra": {"rate_limit_store": "airflow-connection:nowhere"},
    },
}  # fmt: skip


@ways
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_connection_reveals_nothing(
    set_connection: SetConnection, connect: Callable[[QlikCloudHook], Any], wrong: str
) -> None:
    hook = QlikCloudHook(set_connection(**WRONG[wrong]))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Airflow's own, too
        connect(hook)
    check(raised.value)


@ways
@pytest.mark.parametrize(
    "proxy", [f"http://user:{PROXY_PASSWORD}@", f"user:{PROXY_PASSWORD}@h:1", f"x://:{PROXY_PASSWORD}@h"]
)
def test_a_wrong_proxy_reveals_nothing(
    set_connection: SetConnection, connect: Callable[[QlikCloudHook], Any], proxy: str
) -> None:
    extra = {"proxies": {"https": proxy}}
    hook = QlikCloudHook(set_connection(host=HOST, password=PASSWORD, extra=extra))
    with pytest.raises(QlikCloudError) as raised:
        connect(hook).me()
    check(raised.value)


STORES: dict[str, dict[str, Any]] = {
    "type": {"conn_type": "http"},
    "extra": {"conn_type": "redis", "extra": REDIS_PASSWORD},
    "database": {"conn_type": "redis", "extra": {"db": REDIS_PASSWORD}},
    "ssl": {"conn_type": "redis", "extra": {"ssl": REDIS_PASSWORD}},
    "host": {"conn_type": "redis", "host": "a b/c"},
    "port": {"conn_type": "redis", "port": 99999},
}


@ways
@pytest.mark.parametrize("wrong", STORES)
def test_a_wrong_connection_of_the_store_reveals_nothing(
    set_connection: SetConnection, connect: Callable[[QlikCloudHook], Any], wrong: str
) -> None:
    set_connection("store", **{"password": REDIS_PASSWORD, "host": "h", **STORES[wrong]})
    extra = {"rate_limit_store": "airflow-connection:store"}
    hook = QlikCloudHook(set_connection(host=HOST, password=PASSWORD, extra=extra))
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Airflow 2 refuses the extra itself
        connect(hook)
    check(raised.value)


@ways
def test_a_wrong_store_of_the_configuration_reveals_nothing(
    set_connection: SetConnection,
    monkeypatch: pytest.MonkeyPatch,
    connect: Callable[[QlikCloudHook], Any],
) -> None:
    monkeypatch.setenv("AIRFLOW__QLIK_CLOUD__RATE_LIMIT_STORE", f"redis://user:{REDIS_PASSWORD}@h:port")
    hook = QlikCloudHook(set_connection(host=HOST, password=PASSWORD))
    with pytest.raises(QlikCloudError) as raised:
        connect(hook)
    check(raised.value)


@ways
@pytest.mark.parametrize(
    "text",
    [
        f'{{"conn_type": "qlik_cloud", "password": "{PASSWORD}"',
        json.dumps({"conn_type": "qlik_cloud", "port": "x", "password": PASSWORD}),
        json.dumps({"conn_type": "qlik_cloud", "passwort": PASSWORD}),
        f"qlik_cloud://user:{PASSWORD.replace('/', '%2F')}@{HOST}",
        f"qlik-cloud://user:{PASSWORD.replace('/', '%2F')}@[{HOST}",
    ],
    ids=["cut", "port", "unknown field", "underscore", "bad host"],
)
def test_a_connection_that_airflow_cannot_read_reveals_nothing(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[[QlikCloudHook], Any], text: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", text)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Airflow's own
        connect(QlikCloudHook("broken"))
    check(raised.value)


@pytest.fixture
def connections(qlik_sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    return {
        "API key": {"host": qlik_sandbox.url, "password": qlik_sandbox.api_key},
        "client secret": {
            "host": qlik_sandbox.url,
            "login": qlik_sandbox.client_id,
            "password": qlik_sandbox.client_secret,
        },
        "private key": {
            "host": qlik_sandbox.url,
            "login": "client",
            "extra": {"private_key": KEY, "key_id": "a"},
        },
    }


@ways
@pytest.mark.parametrize("kind", ["API key", "client secret", "private key"])
@pytest.mark.parametrize("fault", ["status", "drop", "echo", "html", "truncate", "revoke_token"])
def test_a_failed_request_of_a_task_reveals_nothing(
    *,
    qlik_sandbox: Sandbox,
    connections: dict[str, dict[str, Any]],
    set_connection: SetConnection,
    connect: Callable[[QlikCloudHook], Any],
    kind: str,
    fault: Any,
) -> None:
    fields = connections[kind]
    qlik_sandbox.add_fault(Fault(kind=fault, status=403 if fault == "status" else None, times=None))
    fields["extra"] = {**fields.get("extra", {}), "max_retry_wait": 0}
    hook = QlikCloudHook(set_connection(**fields))
    client = connect(hook)
    for call in (client.me, lambda: client.create_data_asset({"technicalName": "a", "appType": "b"})):
        with pytest.raises(QlikCloudError) as raised:
            call()
        check(raised.value, qlik_sandbox.api_key, qlik_sandbox.client_secret)


@pytest.fixture
def interrupted_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(secret: str) -> None:
        raise Interrupted

    monkeypatch.setattr(qlik_cloud, "mask_secret", interrupt)


@ways
@pytest.mark.usefixtures("interrupted_mask")
@pytest.mark.parametrize("kind", ["API key", "client secret", "private key"])
def test_an_interrupt_reveals_nothing(
    *,
    qlik_sandbox: Sandbox,
    connections: dict[str, dict[str, Any]],
    set_connection: SetConnection,
    connect: Callable[[QlikCloudHook], Any],
    kind: str,
) -> None:
    hook = QlikCloudHook(set_connection(**connections[kind]))
    with pytest.raises(Interrupted) as raised:
        connect(hook)
    check(raised.value, qlik_sandbox.api_key, qlik_sandbox.client_secret)
    with pytest.raises(Interrupted) as raised:
        hook.test_connection()
    check(raised.value, qlik_sandbox.api_key, qlik_sandbox.client_secret)

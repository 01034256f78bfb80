from __future__ import annotations

import asyncio
import inspect
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_qlik_assets._compat import AirflowNotFoundException, BaseHook, Connection, redact
from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.client.errors import (
    QlikCloudError,
    QlikConfigurationError,
    QlikConflictError,
    QlikRateLimitError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.hooks import qlik_cloud
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

SetConnection = Callable[..., str]
WANTED = {"dataStoreInfo": {"id": "store"}, "technicalName": "new", "appType": "dbt"}
STAMP = "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    private = ec.generate_private_key(ec.SECP384R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode(), public.decode()


# --- connection to client --------------------------------------------------------------------------------


def test_constructor_looks_nothing_up() -> None:
    hook = QlikCloudHook("no_such_connection")

    with pytest.raises(AirflowNotFoundException, match="no_such_connection"):
        hook.get_conn()


def test_default_connection_id() -> None:
    assert QlikCloudHook().qlik_conn_id == "qlik_cloud_default"


def test_get_conn_returns_one_client(hook: QlikCloudHook) -> None:
    assert hook.get_conn() is hook.get_conn()


def test_get_conn_sends_nothing(hook: QlikCloudHook, qlik_sandbox: Sandbox) -> None:
    hook.get_conn()

    assert not qlik_sandbox.journal.requests()


def test_closed_hook_opens_a_new_client(hook: QlikCloudHook) -> None:
    first = hook.get_conn()
    hook.close()

    assert hook.get_conn() is not first
    assert hook.get_conn().me()["id"]


def test_oauth_client_secret(qlik_sandbox: Sandbox, set_connection: SetConnection) -> None:
    conn_id = set_connection(
        host=qlik_sandbox.url, login=qlik_sandbox.client_id, password=qlik_sandbox.client_secret
    )

    assert QlikCloudHook(conn_id).get_conn().me()["id"]
    assert len(qlik_sandbox.journal.requests(path="/oauth/token")) == 1


def test_oauth_private_key(
    qlik_sandbox: Sandbox, set_connection: SetConnection, key_pair: tuple[str, str]
) -> None:
    private, public = key_pair
    qlik_sandbox.register_public_key("key-1", public)
    conn_id = set_connection(
        host=qlik_sandbox.url,
        login=qlik_sandbox.client_id,
        extra={"private_key": private.replace("\n", ""), "key_id": "key-1"},
    )

    assert QlikCloudHook(conn_id).get_conn().me()["id"]


def test_user_agent_names_airflow(hook: QlikCloudHook, qlik_sandbox: Sandbox) -> None:
    hook.get_conn().me()

    (entry,) = qlik_sandbox.journal.requests(path="/api/v1/users/me")
    assert " apache-airflow/" in entry.headers["user-agent"]


async def test_aget_conn_makes_the_same_client_from_the_event_loop(
    hook: QlikCloudHook, qlik_sandbox: Sandbox
) -> None:
    client = await hook.aget_conn()

    assert client is hook.get_conn()
    assert client is await hook.aget_conn()
    assert (await asyncio.to_thread(client.me))["id"]


async def test_aget_conn_looks_up_the_connection_of_the_store(
    qlik_sandbox: Sandbox, set_connection: SetConnection
) -> None:
    extra = {"rate_limit_store": "airflow-connection:store"}
    conn_id = set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra=extra)
    set_connection("store", conn_type="http")

    with pytest.raises(
        QlikConfigurationError, match="'store' of the rate limit store must be of type 'redis'"
    ):
        await QlikCloudHook(conn_id).aget_conn()


async def test_aget_conn_explains_a_wrong_connection(set_connection: SetConnection) -> None:
    conn_id = set_connection(host="tenant.eu.qlikcloud.com")

    with pytest.raises(QlikConfigurationError, match="The credentials are missing"):
        await QlikCloudHook(conn_id).aget_conn()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=503, times=None),
        Fault(kind="status", status=429, headers={"Retry-After": "120"}, times=None),
        Fault(kind="drop", times=None),
    ],
    ids=["503", "429", "drop"],
)
async def test_client_of_the_event_loop_repeats_nothing(
    fault: Fault, hook: QlikCloudHook, qlik_sandbox: Sandbox
) -> None:
    qlik_sandbox.add_fault(fault)
    client = await hook.aget_conn()

    with pytest.raises(QlikCloudError):
        await asyncio.to_thread(client.me)
    assert len(qlik_sandbox.journal.requests()) == 1


def test_limits_of_the_connection_are_obeyed(qlik_sandbox: Sandbox, set_connection: SetConnection) -> None:
    extra = {"tier1_limit": 1, "max_rate_limit_wait": 0}
    conn_id = set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key, extra=extra)
    client = QlikCloudHook(conn_id).get_conn()

    client.me()

    with pytest.raises(QlikRateLimitError):
        client.me()
    assert len(qlik_sandbox.journal) == 1


def test_limits_of_the_configuration_are_obeyed(
    hook: QlikCloudHook, qlik_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QLIK_CLOUD__TIER1_LIMIT", "1")
    monkeypatch.setenv("AIRFLOW__QLIK_CLOUD__MAX_RATE_LIMIT_WAIT", "0")

    hook.get_conn().me()

    with pytest.raises(QlikRateLimitError):
        hook.get_conn().me()


def test_wrong_configuration_names_the_option(hook: QlikCloudHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__QLIK_CLOUD__TIER1_LIMIT", "plenty")

    with pytest.raises(QlikConfigurationError, match=r"Airflow option \[qlik_cloud\] tier1_limit"):
        hook.get_conn()


# --- methods ---------------------------------------------------------------------------------------------


def test_list_is_read_page_by_page(hook: QlikCloudHook, qlik_sandbox: Sandbox) -> None:
    store = qlik_sandbox.add_store(name="Sales")
    for number in range(101):
        qlik_sandbox.add_asset(store, technicalName=f"table-{number}")

    first = next(hook.list_data_assets())

    assert first["id"]
    assert len(qlik_sandbox.journal.requests(path="/api/v1/data-stores/")) == 1


@pytest.mark.parametrize("version", [0, 7])
def test_another_version_than_expected_is_a_conflict(
    hook: QlikCloudHook, qlik_sandbox: Sandbox, version: int
) -> None:
    qlik_sandbox.add_asset(id="a", technicalName="a")
    qlik_sandbox.touch("a", name="by somebody else")

    with pytest.raises(QlikConflictError, match=f"has version 1, not {version}"):
        hook.patch_data_asset("a", changes={"name": "new"}, expected_version=version)

    assert qlik_sandbox.assets["a"]["name"] == "by somebody else"


# --- other ways to write a connection --------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra", [{}, {"timeout": "30"}, {"timeout": [5, 30], "verify": True, "max_retries": 2}]
)
def test_connection_survives_a_round_trip_as_uri(
    extra: dict[str, Any], hook: QlikCloudHook, qlik_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Airflow's api-server does it for the "Test" button.
    connection = Connection(
        conn_id="saved",
        conn_type="qlik_cloud",
        host=qlik_sandbox.url,
        password=qlik_sandbox.api_key,
        extra=json.dumps(extra),
    )
    monkeypatch.setenv("AIRFLOW_CONN_TRANSIENT", connection.get_uri())

    assert QlikCloudHook("transient").test_connection()[0]


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        ("qlik-cloud://:key-1@tenant.eu.qlikcloud.com", "https://tenant.eu.qlikcloud.com"),
        ("qlik-cloud://:key-1@tenant.eu.qlikcloud.com/https", "https://tenant.eu.qlikcloud.com"),
        (
            "qlik-cloud://:key-1@tenant.eu.qlikcloud.com:8443/?timeout=30",
            "https://tenant.eu.qlikcloud.com:8443",
        ),
        ("qlik-cloud://https://:key-1@tenant.eu.qlikcloud.com", "https://tenant.eu.qlikcloud.com"),
        ("qlik-cloud://http://:key-1@127.0.0.1:8080/?verify=False", "http://127.0.0.1:8080"),
        ("qlik-cloud://id:secret@tenant.eu.qlikcloud.com/?scope=a", "https://tenant.eu.qlikcloud.com"),
    ],
)
def test_connection_may_be_a_uri(uri: str, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", uri)

    assert QlikCloudHook("by_uri").get_conn().base_url == base_url


@pytest.mark.parametrize(
    "uri",
    [
        "qlik_cloud://:key-123456@tenant.eu.qlikcloud.com",
        "qlik_cloud://id:key-123456@tenant.eu.qlikcloud.com:8443/?timeout=30",
        "qlik_cloud://https://:key-123456@tenant.eu.qlikcloud.com",
        "qlik_cloud://http://:key-123456@127.0.0.1:8080/?verify=False",
    ],
)
@pytest.mark.usefixtures("airflow_db")
def test_uri_with_an_underscore_says_to_write_a_hyphen(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", uri)

    with pytest.raises(QlikConfigurationError, match="use qlik-cloud://") as caught:
        QlikCloudHook("by_uri").get_conn()
    with pytest.raises(QlikConfigurationError, match="use qlik-cloud://"):
        asyncio.run(QlikCloudHook("by_uri").aget_conn())
    succeeded, message = QlikCloudHook("by_uri").test_connection()

    assert not succeeded
    assert "use qlik-cloud://" in message
    assert "key-123456" not in f"{caught.value} {message}"


# Airflow 2 loads its form widgets for it, whose libraries warn about each other.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_airflow_finds_the_hook_of_a_connection(qlik_conn_id: str) -> None:
    hook = BaseHook.get_hook(qlik_conn_id)

    assert isinstance(hook, QlikCloudHook)
    assert hook.qlik_conn_id == qlik_conn_id


# --- secrets ---------------------------------------------------------------------------------------------


def test_pickled_hook_holds_no_secret_and_works(hook: QlikCloudHook, qlik_sandbox: Sandbox) -> None:
    hook.get_conn().me()

    pickled = pickle.dumps(hook)

    assert qlik_sandbox.api_key.encode() not in pickled
    assert pickle.loads(pickled).get_conn().me()["id"]


def test_no_secret_in_logs_and_reprs(
    qlik_sandbox: Sandbox, set_connection: SetConnection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    conn_id = set_connection(
        host=qlik_sandbox.url,
        login=qlik_sandbox.client_id,
        password=qlik_sandbox.client_secret,
        extra={"rate_limit_store": "airflow-connection:store"},
    )
    set_connection("store", conn_type="redis", host="127.0.0.1", port=9, password="redis-pass-1")
    hook = QlikCloudHook(conn_id)

    hook.get_conn().me()

    shown = f"{caplog.text} {hook!r} {hook.get_conn()!r} {hook.__dict__}"
    assert qlik_sandbox.client_secret not in shown
    assert "redis-pass-1" not in shown
    assert "Bearer" not in shown


def test_airflow_masks_the_secrets_of_a_connection(
    set_connection: SetConnection, key_pair: tuple[str, str]
) -> None:
    private, _ = key_pair
    conn_id = set_connection(
        host="tenant.eu.qlikcloud.com",
        login="client-1",
        extra={
            "private_key": private,
            "key_id": "key-1",
            "proxies": {"https": "http://me:proxy-pass-1@127.0.0.1:9"},
            "rate_limit_store": "airflow-connection:store",
        },
    )
    set_connection("store", conn_type="redis", host="127.0.0.1", port=9, password="redis/pass-1")

    QlikCloudHook(conn_id).get_conn()

    secrets = [*private.splitlines()[1:-1], "proxy-pass-1", "redis/pass-1", "redis%2Fpass-1"]
    assert [redact(f"before {secret} after") for secret in secrets] == ["before *** after"] * len(secrets)


def test_airflow_masks_oauth_tokens(
    qlik_sandbox: Sandbox, set_connection: SetConnection, state_directory: Any
) -> None:
    conn_id = set_connection(
        host=qlik_sandbox.url, login=qlik_sandbox.client_id, password=qlik_sandbox.client_secret
    )

    QlikCloudHook(conn_id).get_conn().me()

    (file,) = state_directory.rglob("token-*.json")
    token = json.loads(file.read_text())["value"]
    assert redact(f"before {token} after") == "before *** after"


def test_what_is_too_short_to_mask_or_no_secret_warns_nobody(
    set_connection: SetConnection, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    monkeypatch.setattr(qlik_cloud, "mask_secret", given.append)
    conn_id = set_connection(
        host="tenant.eu.qlikcloud.com",
        password="k123",
        extra={"verify": "true", "proxies": {"https": "http://me:pw@127.0.0.1:9"}, "timeout": "30"},
    )

    QlikCloudHook(conn_id).get_conn()

    assert given == []


@pytest.mark.parametrize(
    "name", ["create_data_asset", "update_data_asset", "patch_data_asset", "delete_data_assets"]
)
@pytest.mark.parametrize("owner", [QlikCloudHook, QlikCloudClient])
def test_what_the_other_write_of_this_name_does_is_said_at_once(owner: type, name: str) -> None:
    lines = (inspect.getdoc(getattr(owner, name)) or "").splitlines()

    assert any("method of this name" in line or "request of this name" in line for line in lines[:3])


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("dry_run", lambda hook: hook.delete_data_assets(["a"], dry_run="False")),
        ("data_asset_ids", lambda hook: hook.delete_data_assets({"a": 1})),
        ("delete_unlisted", lambda hook: hook.sync_data_assets("store", [WANTED], delete_unlisted="False")),
        ("guards", lambda hook: hook.sync_data_assets("store", [WANTED], guards={"max_deletions": 0})),
        ("allow_backwards", lambda hook: hook.set_data_freshness("a", STAMP, allow_backwards="False")),
        ("if_exists", lambda hook: hook.upsert_data_asset(WANTED, if_exists=["skip"])),
    ],
)
@pytest.mark.usefixtures("airflow_db")
def test_what_cannot_be_meant_is_refused(
    qlik_sandbox: Sandbox, hook: QlikCloudHook, name: str, call: Callable[[QlikCloudHook], object]
) -> None:
    with pytest.raises(QlikValidationError, match=f"^{name} "):
        call(hook)

    assert len(qlik_sandbox.journal) == 0

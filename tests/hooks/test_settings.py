from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_qlik_assets.client.auth import ApiKey, OAuthClientSecret, OAuthPrivateKey
from airflow_provider_qlik_assets.client.errors import QlikConfigurationError
from airflow_provider_qlik_assets.hooks.settings import (
    ConnectionSettings,
    resolve_settings,
)

TENANT = "tenant.eu.qlikcloud.com"
KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" * 20  # a PEM without its first line
KEY_LINES = ["MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgabcdefghijklmnop", "QUFBQUFBQUFBQUFBQUFBQQ=="]
PEM = "\n".join(["-----BEGIN PRIVATE KEY-----", *KEY_LINES, "-----END PRIVATE KEY-----", ""])


def connection(extra: Any = None, **fields: Any) -> SimpleNamespace:
    standard = {"conn_type": "qlik_cloud", "host": TENANT, "schema": None, "port": None, "login": None}
    return SimpleNamespace(
        conn_id="qlik",
        extra=extra if isinstance(extra, str) or extra is None else json.dumps(extra),
        **{**standard, "password": None, **fields},
    )


def with_api_key(extra: Any = None, **fields: Any) -> ConnectionSettings:
    return resolve_settings(connection(extra, **{"password": "api-key", **fields}))


def with_private_key(extra: Any, **fields: Any) -> ConnectionSettings:
    return resolve_settings(connection(extra, **{"login": "client-1", **fields}))


def refusal(**fields: Any) -> str:
    with pytest.raises(QlikConfigurationError) as raised:
        resolve_settings(connection(**fields))
    return str(raised.value)


# --- host, schema and port -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, f"https://{TENANT}"),
        ({"host": f"https://{TENANT}"}, f"https://{TENANT}"),
        ({"host": f"  https://{TENANT}/ \n"}, f"https://{TENANT}"),
        ({"host": "HTTPS://Tenant.EU.qlikcloud.com"}, f"https://{TENANT}"),
        ({"host": "qlik.example.gov"}, "https://qlik.example.gov"),
        ({"schema": "https"}, f"https://{TENANT}"),
        ({"schema": "HTTPS", "host": f"https://{TENANT}"}, f"https://{TENANT}"),
        ({"port": 8443}, f"https://{TENANT}:8443"),
        ({"host": f"{TENANT}:8443"}, f"https://{TENANT}:8443"),
        ({"host": f"{TENANT}:8443", "port": 8443}, f"https://{TENANT}:8443"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ({"host": "http://127.8.9.1"}, "http://127.8.9.1"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8080}, "http://127.0.0.1:8080"),
        ({"host": "http://localhost:8080"}, "http://localhost:8080"),
        ({"host": "http://[::1]:8080"}, "http://[::1]:8080"),
        ({"host": "http://[::1]", "port": 8080}, "http://[::1]:8080"),
        ({"host": "https://[2001:db8::1]"}, "https://[2001:db8::1]"),
    ],
)
def test_host_schema_and_port_make_the_base_url(fields: dict[str, Any], base_url: str) -> None:
    assert with_api_key(**fields).base_url == base_url


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"host": None}, "The host is empty"),
        ({"host": " \t "}, "The host is empty"),
        ({"host": f"https://{TENANT}/api/v1"}, "path or query"),
        ({"host": f"{TENANT}?x=1"}, "path or query"),
        ({"host": f"https://{TENANT}#top"}, "path or query"),
        ({"host": f"https://user:hunter22@{TENANT}"}, "must not contain credentials"),
        ({"host": "tenant name.qlikcloud.com"}, "not a valid host name"),
        ({"host": "https://"}, "not a valid host name"),
        ({"host": "::1"}, "not a valid host name"),
        ({"host": f"ftp://{TENANT}"}, "scheme of the host is not supported"),
        ({"host": f"http://{TENANT}"}, "clear text"),
        ({"schema": "http"}, "clear text"),
        ({"host": "http://10.0.0.1"}, "clear text"),
        ({"host": "http://[2001:db8::1]"}, "clear text"),
        ({"host": "http://localhost.example.com"}, "clear text"),
        ({"host": "http://127.0.0.1.example.com"}, "clear text"),
        ({"schema": "tenants"}, "The schema must be empty"),
        ({"host": f"https://{TENANT}", "schema": "http"}, "clear the schema"),
        ({"host": f"{TENANT}:443", "port": 8443}, "set it only once"),
        ({"host": f"{TENANT}:99999"}, "not a valid host name"),
        ({"port": 70000}, "is not valid: leave it empty"),
        ({"port": -1}, "is not valid: leave it empty"),
        ({"conn_type": "http"}, "Its type must be 'qlik_cloud'"),
    ],
)
def test_address_that_cannot_work_is_refused(fields: dict[str, Any], hint: str) -> None:
    message = refusal(password="api-key", **fields)

    assert hint in message
    assert message.startswith("Airflow connection 'qlik': ")
    assert "hunter22" not in message


# --- credentials -----------------------------------------------------------------------------------------


def test_password_alone_is_an_api_key() -> None:
    assert with_api_key(password=" the-key\n").credentials == ApiKey("the-key")


def test_login_and_password_are_an_oauth_client() -> None:
    settings = resolve_settings(connection({"scope": "a b"}, login="client-1", password="secret-1"))

    assert settings.credentials == OAuthClientSecret(
        client_id="client-1", client_secret="secret-1", scope="a b"
    )


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM.strip(),
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", "\\n"),
        PEM.replace("\n", ""),
        PEM.replace("\n", " "),
        f"  {PEM}\n\n",
    ],
    ids=["plain", "stripped", "crlf", "escaped", "joined", "blanks", "padded"],
)
def test_private_key_survives_single_line_fields(text: str) -> None:
    settings = with_private_key({"private_key": text, "key_id": "kid-1"})

    assert settings.credentials == OAuthPrivateKey(client_id="client-1", private_key_pem=PEM, key_id="kid-1")


def test_private_key_may_be_a_file(tmp_path: Any) -> None:
    (tmp_path / "key.pem").write_text(PEM)

    settings = with_private_key({"private_key_path": str(tmp_path / "key.pem"), "key_id": "kid-1"})

    assert settings.credentials == OAuthPrivateKey(client_id="client-1", private_key_pem=PEM, key_id="kid-1")


def test_private_key_path_may_start_in_the_home_directory(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key.pem").write_text(PEM)

    settings = with_private_key({"private_key_path": "~/key.pem", "key_id": "kid-1"})

    assert isinstance(settings.credentials, OAuthPrivateKey)


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({}, "The credentials are missing"),
        ({"password": "  "}, "The credentials are missing"),
        ({"login": "client-1"}, "The login is set, but no secret"),
        ({"password": "two words"}, "API key"),
        ({"password": "line\nbreak"}, "API key"),
        ({"password": "key", "extra": {"scope": "a"}}, "scope only applies to OAuth"),
        ({"password": "key", "extra": {"key_id": "k"}}, "key_id but no key"),
        ({"login": "c", "password": "s", "extra": {"key_id": "k"}}, "key_id but no key"),
        ({"login": "c", "extra": {"private_key": PEM}}, "key_id is missing"),
        ({"login": "c", "extra": {"private_key": PEM, "key_id": " "}}, "key_id is missing"),
        ({"extra": {"private_key": PEM, "key_id": "k"}}, "The login is empty"),
        ({"login": "c", "password": "s", "extra": {"private_key": PEM, "key_id": "k"}}, "clear the password"),
        (
            {"login": "c", "extra": {"private_key": PEM, "private_key_path": "/etc/hosts", "key_id": "k"}},
            "keep one",
        ),
        ({"login": "c", "extra": {"private_key": "hunter22", "key_id": "k"}}, "must be a PEM private key"),
        ({"login": "c", "extra": {"private_key": 7, "key_id": "k"}}, "must be a string"),
        ({"login": "c", "extra": {"private_key": PEM[:80], "key_id": "k"}}, "not a complete PEM key"),
        (
            {"login": "c", "extra": {"private_key": PEM.replace("PRIVATE", "PUBLIC"), "key_id": "k"}},
            "is a public key",
        ),
        (
            {
                "login": "c",
                "extra": {"private_key": PEM.replace("PRIVATE", "ENCRYPTED PRIVATE"), "key_id": "k"},
            },
            "without a passphrase",
        ),
        ({"login": "c", "extra": {"private_key_path": PEM, "key_id": "k"}}, "put the key into private_key"),
        ({"login": "c", "extra": {"private_key_path": "/no/such.pem", "key_id": "k"}}, "does not exist"),
        ({"login": "c", "extra": {"private_key_path": "/etc", "key_id": "k"}}, "does not exist"),
        ({"login": "c", "extra": {"private_key_path": "/no/such.pem", "key_id": "k"}}, "'such.pem' in '/no'"),
        ({"login": "c", "extra": {"private_key_path": "such.pem", "key_id": "k"}}, "give its absolute path"),
        (
            {"login": "c", "extra": {"private_key_path": "~no-one/a.pem", "key_id": "k"}},
            "'a.pem' in '~no-one'",
        ),
        (
            {"login": "c", "extra": {"private_key_path": "/etc/hosts", "key_id": "k"}},
            "not a complete PEM key",
        ),
        ({"login": "c", "extra": {"private_key_path": "a\0b", "key_id": "k"}}, "does not exist"),
    ],
)
def test_credentials_that_cannot_work_are_refused(fields: dict[str, Any], hint: str) -> None:
    message = refusal(**fields)

    assert hint in message
    assert not any(secret in message for secret in ["hunter22", *KEY_LINES])


@pytest.mark.parametrize(
    "fields",
    [
        {"login": "c", "extra": {"private_key_path": KEY_BODY, "key_id": "k"}},
        {"login": "c", "extra": {"private_key_path": f"folder/{KEY_BODY}", "key_id": "k"}},
        {"login": "c", "extra": {"private_key_path": f"/{KEY_BODY}", "key_id": "k"}},
        {"password": "x", "extra": {"verify": KEY_BODY}},
        {"password": "x", "extra": {KEY_BODY: "x"}},
        {"password": "x", "extra": {f"extra__qlik_cloud__{KEY_BODY}": "x"}},
        {"password": "x", "conn_type": KEY_BODY},
        {"password": "x", "schema": KEY_BODY},
        {"password": "x", "host": f"{KEY_BODY[:20]}://x"},
        {"password": "x", "host": f"http://{KEY_BODY[:20]}"},
        {"password": "x", "host": f"eyJhbGciOi.{KEY_BODY}.x"},
        {"password": "x", "host": f"{KEY_BODY[:20]}://x", "schema": "https"},
    ],
)
def test_a_secret_in_the_wrong_field_is_not_shown(fields: dict[str, Any]) -> None:
    assert KEY_BODY[:8].lower() not in refusal(**fields).lower()


def test_binary_key_file_is_refused(tmp_path: Any) -> None:
    (tmp_path / "key.der").write_bytes(b"\x30\x82\xff\xfe")

    message = refusal(login="c", extra={"private_key_path": str(tmp_path / "key.der"), "key_id": "k"})

    assert "cannot be read: it is not a text file" in message


# --- extras ----------------------------------------------------------------------------------------------


def test_defaults() -> None:
    settings = with_api_key()

    assert settings.verify is True
    assert settings.proxies is None
    assert settings.timeout == (10.0, 60.0)
    assert (settings.max_retries, settings.max_retry_wait) == (5, 600.0)
    assert (settings.tier1_limit, settings.tier2_limit, settings.rate_limit_window) == (5000, 500, 300.0)
    assert (settings.rate_limit_store, settings.max_rate_limit_wait) == (None, 3600.0)


@pytest.mark.parametrize(
    ("name", "given", "parsed"),
    [
        ("verify", False, False),
        ("verify", "false", False),
        ("verify", "True", True),
        ("verify", "/etc/hosts", "/etc/hosts"),
        ("proxies", {"https": "http://p:1"}, {"https": "http://p:1"}),
        ("proxies", '{"https": "http://p:1"}', {"https": "http://p:1"}),
        ("timeout", 30, (30.0, 30.0)),
        ("timeout", "30", (30.0, 30.0)),
        ("timeout", [5, 90.5], (5.0, 90.5)),
        ("timeout", "[5, 90]", (5.0, 90.0)),
        ("timeout", ["5", "90"], (5.0, 90.0)),
        ("max_retries", 0, 0),
        ("max_retries", "7", 7),
        ("max_retries", 7.0, 7),
        ("max_retry_wait", "1.5", 1.5),
        ("tier1_limit", "250", 250),
        ("tier2_limit", 1, 1),
        ("rate_limit_window", 60, 60.0),
        ("max_rate_limit_wait", 0, 0.0),
    ],
)
def test_extra_is_parsed(name: str, given: Any, parsed: Any) -> None:
    value = getattr(with_api_key({name: given}), name)

    assert value == parsed
    assert type(value) is type(parsed)


@pytest.mark.parametrize(
    ("name", "given", "hint"),
    [
        ("verify", 1, "true, false or the path"),
        ("verify", "yes", "does not exist"),
        ("verify", "/no/such/bundle.pem", "'/no/such/bundle.pem'"),
        ("proxies", ["http://p:1"], "must be an object"),
        ("proxies", {"https": 1}, "must be an object"),
        ("proxies", "http://p:1", "must be an object"),
        ("timeout", 0, "between 0.1 and 3600"),
        ("timeout", -5, "between 0.1 and 3600"),
        ("timeout", "soon", "between 0.1 and 3600"),
        ("timeout", True, "between 0.1 and 3600"),
        ("timeout", [1], "or [connect, read]"),
        ("timeout", [1, 2, 3], "or [connect, read]"),
        ("timeout", {"connect": 1}, "or [connect, read]"),
        ("timeout", [1, None], "or [connect, read]"),
        ("max_retries", 1.5, "whole number"),
        ("max_retries", -1, "between 0 and 100"),
        ("max_retries", True, "not a boolean"),
        ("max_retries", "many", "between 0 and 100"),
        ("max_retries", [5], "not an array"),
        ("max_retry_wait", "NaN", "between 0 and"),
        ("max_retry_wait", "inf", "between 0 and"),
        ("max_retry_wait", {"s": 1}, "not an object"),
        ("tier1_limit", 0, "between 1 and"),
        ("tier2_limit", 10_001, "between 1 and"),
        ("rate_limit_window", 0, "between 1 and"),
        ("max_rate_limit_wait", -1, "between 0 and"),
        ("key_id", 7, "must be a string, not a number"),
        ("scope", ["a"], "must be a string, not an array"),
    ],
)
def test_wrong_extra_is_refused(name: str, given: Any, hint: str) -> None:
    message = refusal(password="api-key", extra={name: given})

    assert f"extra {name} " in message
    assert hint in message
    assert "er22" not in message


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("time_out", "timeout"),
        ("maxRetries", "max_retries"),
        ("tier_1_limit", "tier1_limit"),
        ("ratelimit_store", "rate_limit_store"),
        ("extra__qlik_cloud__verfy", "verify"),
        ("private-key", "private_key"),
    ],
)
def test_unknown_extra_names_the_nearest_known_one(key: str, nearest: str) -> None:
    message = refusal(password="api-key", extra={key: "hunter22"})

    assert f"unknown key {key!r} (did you mean {nearest!r}?)" in message
    assert "hunter22" not in message


def test_unknown_extra_far_from_all_lists_the_known_ones() -> None:
    assert "known: private_key, private_key_path, key_id" in refusal(password="api-key", extra={"zzz": 1})


@pytest.mark.parametrize("extra", ["not json hunter22", "null", "[]", "[1]", '"text"', "7"])
def test_extra_that_is_no_object_is_refused(extra: str) -> None:
    message = refusal(password="api-key", extra=extra)

    assert "must be a JSON object" in message
    assert "hunter22" not in message


@pytest.mark.parametrize("extra", [None, "", "  ", "{}", {"timeout": ""}, {"timeout": None}])
def test_empty_extra_leaves_the_defaults(extra: Any) -> None:
    assert with_api_key(extra).timeout == (10.0, 60.0)


def test_old_style_prefixed_keys_are_accepted() -> None:
    assert with_api_key({"extra__qlik_cloud__max_retries": "2"}).max_retries == 2


def test_prefixed_key_that_contradicts_the_plain_one_is_refused() -> None:
    extra = {"max_retries": 1, "extra__qlik_cloud__max_retries": 2}

    assert "both max_retries and extra__qlik_cloud__max_retries" in refusal(password="k", extra=extra)


# --- defaults from Airflow's configuration ---------------------------------------------------------------


def test_configured_default_is_used() -> None:
    settings = resolve_settings(connection(password="api-key"), configured={"tier2_limit": "50"})

    assert settings.tier2_limit == 50


def test_extra_overrides_the_configured_default() -> None:
    settings = resolve_settings(
        connection({"tier2_limit": 70}, password="api-key"), configured={"tier2_limit": "50"}
    )

    assert settings.tier2_limit == 70


def test_wrong_configured_default_names_the_option() -> None:
    with pytest.raises(QlikConfigurationError, match=r"Airflow option \[qlik_cloud\] tier2_limit must be"):
        resolve_settings(connection(password="api-key"), configured={"tier2_limit": "lots"})


# --- secrets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "secrets"),
    [
        ({"password": "key-123456"}, {"key-123456"}),
        ({"login": "c", "password": "client-secret"}, {"client-secret"}),
        ({"login": "c", "extra": {"private_key": PEM, "key_id": "k"}}, set(KEY_LINES)),
        (
            {"password": "key-123456", "extra": {"proxies": {"https": "http://me:p%40ss-word@proxy:3128"}}},
            {"key-123456", "p%40ss-word", "p@ss-word"},
        ),
        (
            {"password": "key-123456", "extra": {"proxies": {"https": "me:proxy-pass@proxy:3128"}}},
            {"key-123456", "proxy-pass"},
        ),
    ],
)
def test_secrets_are_known_and_in_no_repr(fields: dict[str, Any], secrets: set[str]) -> None:
    settings = resolve_settings(connection(**fields))

    assert settings.secrets == secrets
    assert not any(secret in f"{settings!r} {settings}" for secret in secrets)

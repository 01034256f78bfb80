"""Credentials: API keys, OAuth with a secret or a private key, and that none of them shows anywhere."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import logging
import traceback
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from airflow_provider_qlik_assets.client import (
    ApiKey,
    OAuthClientSecret,
    OAuthPrivateKey,
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikCloudError,
    QlikConfigurationError,
    QlikConnectionError,
    QlikPermissionError,
    QlikRateLimitError,
    QlikResponseError,
    QlikServerError,
    RetryPolicy,
)
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.clients import Connect

TOKEN = "/oauth/token"


@functools.cache
def private_key(kind: str) -> Any:
    return {
        "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
        "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "DSA": lambda: dsa.generate_private_key(2048),
    }[kind]()


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, encryption: Any = None) -> str:
    return str(key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode())


@pytest.fixture(params=["API key", "secret", "private key"])
def credentials(request: pytest.FixtureRequest, sandbox: Sandbox, secret: OAuthClientSecret) -> Any:
    if request.param == "API key":
        return ApiKey(sandbox.api_key)
    if request.param == "secret":
        return secret
    key = private_key("P-384")
    sandbox.register_public_key(
        "k1", key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return OAuthPrivateKey(sandbox.client_id, pem(key), "k1")


def test_every_kind_of_credentials_is_accepted(connect: Connect, credentials: Any) -> None:
    assert connect(auth=credentials).me()["tenantId"] == "sandbox-tenant"


# --- API keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "ключ", "a\0b", "\x7f"])
def test_what_cannot_be_an_api_key_is_refused_at_once(key: str) -> None:
    with pytest.raises(QlikConfigurationError, match="copy it again") as caught:
        ApiKey(key)

    assert not key.strip() or key not in str(caught.value)


def test_a_wrong_api_key_is_a_clear_error_at_once(sandbox: Sandbox, connect: Connect) -> None:
    with pytest.raises(QlikAuthenticationError, match="Check the API key") as caught:
        connect(auth=ApiKey("wrong-key")).me()

    assert caught.value.http_status == 401
    assert len(sandbox.journal) == 1


def jwt_of(claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def test_all_keys_of_a_user_share_its_limits() -> None:
    assert (
        ApiKey(jwt_of({"sub": "me", "jti": 1})).identity == ApiKey(jwt_of({"sub": "me", "jti": 2})).identity
    )
    assert ApiKey(jwt_of({"sub": "me"})).identity != ApiKey(jwt_of({"sub": "you"})).identity


@pytest.mark.parametrize("key", ["a", "a.b.c", "a.YQ.c", jwt_of(["sub"]), jwt_of("x"), jwt_of({"sub": 5})])
def test_a_key_that_is_no_jwt_is_its_own_user(key: str) -> None:
    assert ApiKey(key).identity != ApiKey(f"{key}x").identity
    assert key not in ApiKey(key).identity


# --- OAuth -----------------------------------------------------------------------------------------------


def test_the_token_request_with_a_secret(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret
) -> None:
    connect(auth=dataclasses.replace(secret, scope="user_default")).me()

    assert sandbox.journal.requests("POST", TOKEN)[0].body == {
        "client_id": sandbox.client_id,
        "client_secret": "***",
        "grant_type": "client_credentials",
        "scope": "user_default",
    }


@pytest.mark.parametrize(("kind", "algorithm"), [("RSA 2048", "RS256"), ("P-384", "ES384")])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_the_token_request_with_a_private_key(
    sandbox: Sandbox, connect: Connect, kind: str, algorithm: str, form: PrivateFormat
) -> None:
    key = private_key(kind)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    sandbox.register_public_key("k1", public)

    connect(auth=OAuthPrivateKey(sandbox.client_id, pem(key, form), "k1")).me()

    body = sandbox.journal.requests("POST", TOKEN)[0].body
    assertion = body["client_assertion"]
    claims = jwt.decode(assertion, public, [algorithm], audience=f"{sandbox.url}{TOKEN}")
    assert jwt.get_unverified_header(assertion) == {"typ": "JWT", "alg": algorithm, "kid": "k1"}
    assert claims["iss"] == claims["sub"] == sandbox.client_id
    assert 0 < claims["exp"] - claims["iat"] <= 300
    assert body["grant_type"] == "client_credentials"


@pytest.mark.parametrize("kind", ["RSA 1024", "P-256", "P-521", "Ed25519", "DSA"])
def test_a_key_that_qlik_cloud_does_not_take_is_refused(
    sandbox: Sandbox, connect: Connect, kind: str
) -> None:
    with pytest.raises(
        QlikConfigurationError, match="use an RSA key of at least 2048 bits, or an EC key on curve P-384"
    ):
        connect(auth=OAuthPrivateKey("id", pem(private_key(kind)), "k1")).me()

    assert len(sandbox.journal) == 0


UNKNOWN_ALGORITHM = base64.b64encode(bytes.fromhex("3012020100300b06092a030405060708090a0400")).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "-----BEGIN PRIVATE KEY-----\nZ2FyYmFnZQ==\n-----END PRIVATE KEY-----\n",
        f"-----BEGIN PRIVATE KEY-----\n{UNKNOWN_ALGORITHM}\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----",
        "ключ",
    ],
)
def test_a_key_that_cannot_be_read_is_refused(connect: Connect, text: str) -> None:
    with pytest.raises(
        QlikConfigurationError, match="private key cannot be read: give the complete PEM"
    ) as caught:
        connect(auth=OAuthPrivateKey("id", text, "k1")).me()

    assert not text or text not in str(caught.value)


def test_a_public_key_is_no_private_key(connect: Connect) -> None:
    public = private_key("P-384").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    with pytest.raises(QlikConfigurationError, match="cannot be read"):
        connect(auth=OAuthPrivateKey("id", public.decode(), "k1")).me()


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused(connect: Connect, form: PrivateFormat) -> None:
    key = pem(private_key("RSA 2048"), form, BestAvailableEncryption(b"phrase"))

    with pytest.raises(QlikConfigurationError, match="The private key is encrypted: remove its passphrase"):
        connect(auth=OAuthPrivateKey("id", key, "k1")).me()


def test_a_wrong_secret_is_a_clear_error(sandbox: Sandbox, connect: Connect) -> None:
    with pytest.raises(QlikAuthenticationError) as caught:
        connect(auth=OAuthClientSecret(sandbox.client_id, "wr0ng")).me()

    assert f"POST {sandbox.url}{TOKEN} answered 401 Unauthorized" in str(caught.value)
    assert "Check the OAuth client id and secret" in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    assert len(sandbox.journal) == 1


def test_a_key_that_is_not_registered_is_a_clear_error(connect: Connect, sandbox: Sandbox) -> None:
    with pytest.raises(QlikAuthenticationError, match="that the public key is registered for the client"):
        connect(auth=OAuthPrivateKey(sandbox.client_id, pem(private_key("P-384")), "k7")).me()


@pytest.mark.parametrize(("status", "kind"), [(400, QlikBadRequestError), (403, QlikPermissionError)])
def test_other_refusals_of_a_token_name_the_next_step(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret, status: int, kind: type[QlikCloudError]
) -> None:
    sandbox.add_fault(Fault(kind="status", status=status, path=TOKEN))

    with pytest.raises(kind, match="Check the OAuth client id and secret"):
        connect(auth=secret).me()


def test_a_failure_of_the_tenant_keeps_its_own_next_step(
    sandbox: Sandbox, connect: Connect, secret: OAuthClientSecret
) -> None:
    sandbox.add_fault(Fault(kind="status", status=500, path=TOKEN))

    with pytest.raises(QlikServerError, match="Try again later"):
        connect(auth=secret).me()


# --- secrets ---------------------------------------------------------------------------------------------

FAULTS = [
    {"kind": "status", "status": 400},
    {"kind": "status", "status": 401},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    {"kind": "html"},
    {"kind": "drop"},
    {"kind": "redirect", "location": "https://elsewhere.example/"},
    {"kind": "oversize"},
]


@pytest.mark.parametrize("path", [TOKEN, "/api"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault['kind']}{fault.get('status', '')}")
def test_no_secret_is_shown_anywhere(
    *,
    sandbox: Sandbox,
    connect: Connect,
    credentials: Any,
    fault: dict[str, Any],
    path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if isinstance(credentials, ApiKey) and path == TOKEN:
        return
    told: list[str] = []
    if not isinstance(credentials, ApiKey):
        credentials = dataclasses.replace(credentials, on_new_token=told.append)
    sandbox.add_fault(Fault(**fault, path=path, times=None))
    client = connect(auth=credentials, retry=RetryPolicy(max_retries=1))

    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(
            (
                QlikBadRequestError,
                QlikAuthenticationError,
                QlikServerError,
                QlikRateLimitError,
                QlikResponseError,
                QlikConnectionError,
            )
        ) as caught,
    ):
        client.create_data_asset({"technicalName": "a", "appType": "b"})

    shown = [caplog.text, repr(client), repr(credentials), repr(caught.value), *chain(caught.value)]
    assertions = [(entry.body or {}).get("client_assertion") for entry in sandbox.journal.requests("POST")]
    secrets = [*told, *filter(None, assertions), *values(credentials)]
    assert secrets
    assert not [secret for secret in secrets for text in shown if secret in text]


def chain(error: BaseException | None) -> list[str]:
    """Return what is shown of an error and of all that it came from."""
    if error is None:
        return []
    texts = [str(error), repr(error.args), "".join(traceback.format_exception(error))]
    return [*texts, *chain(error.__cause__), *chain(error.__context__)]


def values(credentials: Any) -> list[str]:
    names = {"api_key", "client_secret", "private_key_pem"}
    return [value for name, value in vars(credentials).items() if name in names]


@pytest.mark.parametrize("payload", ["[" * 100_000, '{"sub": "\\ud800"}', '{"sub": 5}', "[]", "no JSON"])
def test_an_odd_payload_of_a_key_is_no_error(payload: str) -> None:
    encoded = base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")
    assert len(ApiKey(f"e30.{encoded}.sig").identity) == 32

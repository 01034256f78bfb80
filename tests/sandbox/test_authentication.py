"""Bearer tokens, API keys and the token endpoint."""

import time
import uuid
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airflow_provider_qlik_assets.sandbox import Sandbox

ME = "/api/v1/users/me"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def public_pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RSA = rsa.generate_private_key(65537, 2048)
P384 = ec.generate_private_key(ec.SECP384R1())


def ask(sandbox: Sandbox, **changes: Any) -> requests.Response:
    """Ask for a token with the client's secret; ``None`` leaves a member out."""
    body = {
        "grant_type": "client_credentials",
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        **changes,
    }
    body = {name: value for name, value in body.items() if value is not None}
    return requests.post(f"{sandbox.url}/oauth/token", json=body, timeout=30)


def ask_signed(
    sandbox: Sandbox, key: Any = RSA, algorithm: str = "RS256", kid: Any = "rsa", **changes: Any
) -> requests.Response:
    """Ask for a token with an assertion; ``None`` leaves a claim out."""
    now = int(time.time())
    claims = {
        "iss": sandbox.client_id,
        "sub": sandbox.client_id,
        "aud": f"{sandbox.url}/oauth/token",
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 300,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    assertion = jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else {})
    return ask(
        sandbox,
        client_id=None,
        client_secret=None,
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=assertion,
    )


def me(sandbox: Sandbox, authorization: str | None) -> requests.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return requests.get(sandbox.url + ME, headers=headers, timeout=30)


def test_each_credential_is_a_user_of_its_own(sandbox: Sandbox) -> None:
    tokens = [sandbox.api_key, sandbox.read_only_api_key, ask(sandbox).json()["access_token"]]
    users = [me(sandbox, f"Bearer {token}").json() for token in tokens]
    assert len({user["id"] for user in users}) == 3
    assert all(user.keys() >= {"id", "tenantId", "name", "email", "status"} for user in users)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer nonsense", "Basic {key}", "{key}"])
def test_anything_else_is_refused(sandbox: Sandbox, authorization: str | None) -> None:
    response = me(sandbox, authorization and authorization.format(key=sandbox.api_key))
    assert response.status_code == 401
    assert response.json()["errors"][0]["code"] == "HTTP-401"
    assert response.json()["traceId"]


def test_the_read_only_user_may_read_but_not_write(sandbox: Sandbox, reader) -> None:
    key = sandbox.add_asset(technicalName="orders")["id"]
    assert reader.asset("GET", key).status_code == 200
    assert reader.list().status_code == 200
    writes = [
        reader.create(),
        reader("DELETE", "/api/v1/data-assets", json={"ids": [key]}),
        reader.asset("PATCH", key, json=[]),
        reader.asset("PUT", key, json={}),
    ]
    assert [(response.status_code, bool(response.json()["traceId"])) for response in writes] == [
        (403, True)
    ] * 4


@pytest.mark.parametrize(
    ("expiry", "members"),
    [
        ("expires_in", {"expires_in"}),
        ("expires_at", {"expires_at"}),
        ("both", {"expires_in", "expires_at"}),
        ("neither", set()),
    ],
)
def test_the_token_reply_says_when_it_ends_as_the_switch_says(
    sandbox: Sandbox, expiry: Any, members: set[str]
) -> None:
    sandbox.settings.token_expiry = expiry
    reply = ask(sandbox, scope="admin").json()
    assert reply.keys() == {"access_token", "token_type", "scope"} | members
    assert (reply["token_type"], reply["scope"]) == ("Bearer", "admin")
    if "expires_in" in reply:
        assert reply["expires_in"] == 21600


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"grant_type": None}, 400),
        ({"grant_type": "password"}, 400),
        ({"client_id": None}, 400),
        ({"client_secret": None}, 400),
        ({"client_secret": 1}, 400),
        ({"scope": ["a"]}, 400),
        ({"audience": "x"}, 400),
        ({"client_secret": "wrong"}, 401),
        ({"client_id": "wrong"}, 401),
        ({"client_assertion": "x"}, 400),
        ({"client_secret": None, "client_assertion": "x"}, 400),
        ({"client_secret": None, "client_assertion": "x", "client_assertion_type": "y"}, 400),
        ({"client_secret": None, "client_assertion": "x", "client_assertion_type": ASSERTION_TYPE}, 401),
    ],
)
def test_a_wrong_token_request_is_refused(sandbox: Sandbox, changes: dict[str, Any], status: int) -> None:
    response = ask(sandbox, **changes)
    assert response.status_code == status
    assert response.json()["traceId"]


def test_tokens_expire_after_the_compressed_lifetime(sandbox: Sandbox) -> None:
    sandbox.settings.token_lifetime_seconds = 20
    sandbox.settings.time_factor = 100
    token = ask(sandbox).json()["access_token"]
    assert me(sandbox, f"Bearer {token}").status_code == 200
    time.sleep(0.25)
    assert me(sandbox, f"Bearer {token}").status_code == 401


def test_revoking_ends_tokens_but_not_keys(sandbox: Sandbox) -> None:
    tokens = [ask(sandbox).json()["access_token"] for _ in range(2)]
    sandbox.revoke_tokens()
    assert [me(sandbox, f"Bearer {token}").status_code for token in tokens] == [401, 401]
    assert me(sandbox, f"Bearer {sandbox.api_key}").status_code == 200
    assert me(sandbox, f"Bearer {ask(sandbox).json()['access_token']}").status_code == 200


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (RSA, "RS512", "rsa"), (P384, "ES384", "ec")]
)
def test_a_signed_assertion_gives_a_token(sandbox: Sandbox, key: Any, algorithm: str, kid: str) -> None:
    sandbox.register_public_key("rsa", public_pem(RSA))
    sandbox.register_public_key("ec", public_pem(P384).encode())
    response = ask_signed(sandbox, key, algorithm, kid)
    assert response.status_code == 200, response.text
    assert me(sandbox, f"Bearer {response.json()['access_token']}").json()["id"] == "user-oauth-client"


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": "other"},
        {"kid": None},
        {"kid": "ec"},
        {"algorithm": "RS384"},
        {"algorithm": "HS256", "key": "secret" * 10},
        {"key": rsa.generate_private_key(65537, 2048)},
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"aud": "https://elsewhere/oauth/token"},
        {"iat": int(time.time()) - 100, "exp": int(time.time()) - 1},
        {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 3700},
        {"exp": int(time.time()) + 3600},
        {"iss": None},
        {"sub": None},
        {"aud": None},
        {"jti": None},
        {"iat": None},
        {"exp": None},
        {"jti": 7},
    ],
)
def test_a_wrong_assertion_is_refused(sandbox: Sandbox, changes: dict[str, Any]) -> None:
    sandbox.register_public_key("rsa", public_pem(RSA))
    sandbox.register_public_key("ec", public_pem(P384))
    assert ask_signed(sandbox, **changes).status_code == 401


def test_an_assertion_works_once(sandbox: Sandbox) -> None:
    sandbox.register_public_key("rsa", public_pem(RSA))
    jti = str(uuid.uuid4())
    assert [ask_signed(sandbox, jti=jti).status_code for _ in range(2)] == [200, 401]


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256R1()),
    ],
)
def test_weak_keys_cannot_be_registered(sandbox: Sandbox, key: Any) -> None:
    with pytest.raises(ValueError, match="2048 bits"):
        sandbox.register_public_key("weak", public_pem(key))

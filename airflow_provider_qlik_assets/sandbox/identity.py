"""Users, their keys and the tokens of the OAuth client."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from airflow_provider_qlik_assets.sandbox.documents import AssertionGrant, SecretGrant, check, instant_at
from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings

TENANT_ID = "sandbox-tenant"
_ALGORITHMS = ["RS256", "RS512", "ES384"]
_LONGEST_ASSERTION_SECONDS = 300


@dataclass(frozen=True)
class User:
    """A user or OAuth client that may send requests."""

    id: str
    name: str
    may_write: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the reply of ``/api/v1/users/me``."""
        return {
            "id": self.id,
            "tenantId": TENANT_ID,
            "name": self.name,
            "email": f"{self.id}@sandbox.invalid",
            "status": "active",
        }


FULL_ACCESS = User("user-full-access", "Full Access")
READ_ONLY = User("user-read-only", "Read Only", may_write=False)
OAUTH_CLIENT = User("user-oauth-client", "OAuth Client")


class Identity:
    """Identifies the user of a bearer token and issues tokens. Not thread-safe: the tenant's lock guards it.

    :param settings: life of tokens and shape of the token reply.
    :param clock: seconds on a monotonic clock.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self.api_key = f"sandbox-key-{secrets.token_hex(16)}"
        self.read_only_api_key = f"sandbox-read-only-key-{secrets.token_hex(16)}"
        self.client_id = secrets.token_hex(16)
        self.client_secret = f"sandbox-secret-{secrets.token_hex(32)}"
        self._public_keys: dict[str, RSAPublicKey | EllipticCurvePublicKey] = {}
        self.clear()

    def clear(self) -> None:
        """Forget all tokens and public keys; API keys and the client's secret stay valid."""
        self._api_keys = {self.api_key: FULL_ACCESS, self.read_only_api_key: READ_ONLY}
        self._tokens: dict[str, float] = {}
        self._used_assertions: set[str] = set()
        self._public_keys.clear()

    @property
    def secrets(self) -> list[str]:
        """All secrets that authenticate someone."""
        return [self.client_secret, self.api_key, self.read_only_api_key, *self._tokens]

    def register_public_key(self, key_id: str, pem: str | bytes) -> None:
        """Let the OAuth client sign its token requests with a private key.

        :param key_id: the ``kid`` of the assertions.
        :param pem: the public key: RSA of at least 2048 bits, or elliptic curve P-384.
        :raises ValueError: for any other key.
        """
        key = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
        match key:
            case RSAPublicKey() if key.key_size >= 2048:
                self._public_keys[key_id] = key
            case EllipticCurvePublicKey() if key.curve.name == "secp384r1":
                self._public_keys[key_id] = key
            case _:
                raise ValueError("Qlik Cloud takes RSA keys from 2048 bits and P-384 elliptic curve keys.")

    def revoke_tokens(self) -> None:
        """Make every issued token invalid; API keys stay valid."""
        self._tokens.clear()

    def revoke(self, authorization: str) -> None:
        """Make the token or API key of an ``Authorization`` header invalid."""
        bearer = authorization.removeprefix("Bearer ")
        self._tokens.pop(bearer, None)
        self._api_keys.pop(bearer, None)

    def authenticate(self, authorization: str) -> User:
        """Return the user of an ``Authorization`` header.

        :raises SandboxError: 401 when there is no valid credential in it.
        """
        scheme, _, bearer = authorization.partition(" ")
        if scheme.lower() == "bearer":
            if bearer in self._api_keys:
                return self._api_keys[bearer]
            if self._tokens.get(bearer, 0.0) > self._clock():
                return OAUTH_CLIENT
        raise SandboxError(
            401,
            "The bearer token is missing, unknown, revoked or expired.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def owner_of_client(self, body: Any) -> User | None:
        """Return the user whose quota a token request uses, ``None`` for an unknown client."""
        if not isinstance(body, dict):
            return None
        client_id = body.get("client_id")
        if client_id is None and isinstance(body.get("client_assertion"), str):
            try:
                claims = jwt.decode(body["client_assertion"], options={"verify_signature": False})
            except jwt.PyJWTError:
                return None
            client_id = claims.get("iss")
        return OAUTH_CLIENT if client_id == self.client_id else None

    def give_token(self, body: Any, token_url: str) -> dict[str, Any]:
        """Answer a request for a token.

        :param body: the request.
        :param token_url: the address that assertions must name as ``aud``.
        :raises SandboxError: 400 for a malformed request, 401 for a wrong client.
        """
        ignore_unknown = self._settings.unknown_request_fields == "ignored"
        grant: SecretGrant | AssertionGrant
        if isinstance(body, dict) and "client_assertion" in body:
            grant = check(AssertionGrant, body, ignore_unknown=ignore_unknown)
            self._check_assertion(grant, token_url)
        else:
            grant = check(SecretGrant, body, ignore_unknown=ignore_unknown)
            self._check_secret(grant)
        token = secrets.token_urlsafe(48)
        lifetime = self._settings.token_lifetime
        self._tokens[token] = self._clock() + lifetime
        reply: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "scope": grant.scope}
        if self._settings.token_expiry in ("expires_in", "both"):
            reply["expires_in"] = int(lifetime)
        if self._settings.token_expiry in ("expires_at", "both"):
            reply["expires_at"] = instant_at(time.time() + lifetime)
        return reply

    def _check_secret(self, grant: SecretGrant) -> None:
        if (grant.client_id, grant.client_secret) != (self.client_id, self.client_secret):
            raise SandboxError(401, "The client id or secret is wrong.")

    def _check_assertion(self, grant: AssertionGrant, token_url: str) -> None:
        try:
            key_id = jwt.get_unverified_header(grant.client_assertion).get("kid")
            if key_id not in self._public_keys:
                raise SandboxError(401, "The assertion's kid is not a registered key.")
            claims = jwt.decode(
                grant.client_assertion,
                self._public_keys[key_id],
                algorithms=_ALGORITHMS,
                audience=token_url,
                issuer=self.client_id,
                subject=self.client_id,
                options={"require": ["iss", "sub", "aud", "jti", "iat", "exp"]},
            )
        except (jwt.PyJWTError, TypeError) as invalid:
            raise SandboxError(401, f"The assertion is not valid: {invalid}") from invalid
        if grant.client_id not in ("", self.client_id):
            raise SandboxError(401, "The client id is not the assertion's issuer.")
        if int(claims["exp"]) - int(claims["iat"]) > _LONGEST_ASSERTION_SECONDS:
            raise SandboxError(401, "The assertion's exp is more than five minutes after its iat.")
        if claims["jti"] in self._used_assertions:
            raise SandboxError(401, "The assertion's jti was used before.")
        self._used_assertions.add(claims["jti"])

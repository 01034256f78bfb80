"""Credentials for Qlik Cloud, and authentication with them.

Credentials are frozen values whose ``repr`` shows no secrets. A client turns them into an
:class:`Authenticator` (a ``requests`` ``AuthBase``) for its tenant.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from requests.auth import AuthBase

from airflow_provider_qlik_assets.client.error_frames import clears_variables
from airflow_provider_qlik_assets.client.errors import QlikApiError, QlikConfigurationError
from airflow_provider_qlik_assets.client.sent_secrets import HiddenText, remember_secret
from airflow_provider_qlik_assets.client.tokens import TokenCache, is_bearer_token

if TYPE_CHECKING:
    from requests import PreparedRequest

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME_SECONDS = 240
_SHORTEST_RSA_KEY_BITS = 2048


class Authenticator(AuthBase):
    """Add a bearer token to requests; get a new one when it is rejected."""

    @abstractmethod
    def token(self, *, refused: str | None = None) -> str:
        """Return the token to send: another one than ``refused``, if there is one."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Authenticate a request."""
        token = self.token()
        remember_secret(token)
        request.headers["Authorization"] = HiddenText(f"Bearer {token}")
        return request

    def renew(self, refused: PreparedRequest) -> bool:
        """Replace the token of a rejected request; return whether there is a new one."""
        old = HiddenText(refused.headers["Authorization"].removeprefix("Bearer "))
        return self.token(refused=old) != old


class Credentials(Protocol):
    """What a client needs to authenticate."""

    @property
    def identity(self) -> str:
        """Digest that identifies the user whose rate limit is used; never the secret itself."""

    def authenticator(self, base_url: str, request_token: Callable[[dict[str, Any]], Any]) -> Authenticator:
        """Return the authentication for a tenant.

        :param base_url: the tenant's base URL.
        :param request_token: posts a body to ``/oauth/token`` and returns the reply.
        """


class _FixedToken(Authenticator):
    def __init__(self, token: str) -> None:
        self._token = token

    def token(self, *, refused: str | None = None) -> str:  # noqa: ARG002 - there is only one
        return self._token


class _OAuthToken(Authenticator):
    def __init__(self, cache: TokenCache) -> None:
        self._cache = cache

    def token(self, *, refused: str | None = None) -> str:
        return self._cache.get(refused=refused)


@dataclass(frozen=True)
class ApiKey:
    """An API key, or another bearer token that stays valid as long as the client is used.

    :param api_key: the key as Qlik Cloud showed it.
    :raises QlikConfigurationError: if it is not a possible key.
    """

    api_key: str = field(repr=False)

    @clears_variables
    def __init__(self, api_key: str) -> None:
        if not is_bearer_token(api_key):
            raise QlikConfigurationError(
                "The API key is empty or contains spaces, line breaks or other invalid characters: copy it "
                "again."
            )
        object.__setattr__(self, "api_key", api_key)

    @property
    def identity(self) -> str:
        """Digest of the key's user: all keys of one user share its rate limit."""
        return _digest("user", _subject(self.api_key) or self.api_key)

    def authenticator(self, base_url: str, request_token: Callable[[dict[str, Any]], Any]) -> Authenticator:  # noqa: ARG002
        """Return the authentication with this key."""
        return _FixedToken(self.api_key)


class _OAuthClient(ABC):
    """The common base of the two kinds of OAuth machine-to-machine clients."""

    client_id: str
    scope: str | None
    on_new_token: Callable[[str], None] | None

    @property
    def identity(self) -> str:
        """Digest of the client id: an OAuth client is a user of its own."""
        return _digest("client", self.client_id)

    def authenticator(self, base_url: str, request_token: Callable[[dict[str, Any]], Any]) -> Authenticator:
        """Return the authentication with tokens of this client."""

        def request() -> Any:
            body = {"client_id": self.client_id, "grant_type": "client_credentials"}
            if self.scope:
                body["scope"] = self.scope
            try:
                return request_token({**body, **self._proof(base_url + TOKEN_PATH)})
            except QlikApiError as error:
                if error.from_qlik and error.http_status in {400, 401, 403}:
                    error.context = self._advice
                raise

        name = _digest(base_url, self.client_id, self.scope or "", self._secret)
        return _OAuthToken(TokenCache(name, request, on_new_token=self.on_new_token))

    @property
    @abstractmethod
    def _secret(self) -> str:
        """Return what identifies the credentials: a token is only shared between equal ones."""

    @property
    @abstractmethod
    def _advice(self) -> str:
        """Return the next step when Qlik Cloud rejects the credentials."""

    @abstractmethod
    def _proof(self, token_url: str) -> dict[str, str]:
        """Return the members of the token request that prove the client's identity."""


@dataclass(frozen=True)
class OAuthClientSecret(_OAuthClient):
    """An OAuth machine-to-machine client with its secret.

    :param client_id: id of the OAuth client.
    :param client_secret: its secret.
    :param scope: space-separated scopes to request; ``None`` requests the client's own.
    :param on_new_token: called with each new access token, to mask it in logs.
    """

    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    on_new_token: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    @property
    def _secret(self) -> str:
        return self.client_secret

    @property
    def _advice(self) -> str:
        return "Check the OAuth client id and secret, and that the client may be used machine-to-machine."

    def _proof(self, token_url: str) -> dict[str, str]:  # noqa: ARG002 - the same for every tenant
        remember_secret(self.client_secret)
        return {"client_secret": HiddenText(self.client_secret)}


@dataclass(frozen=True)
class OAuthPrivateKey(_OAuthClient):
    """An OAuth machine-to-machine client that signs its token requests (private-key JWT).

    :param client_id: id of the OAuth client.
    :param private_key_pem: unencrypted PEM: RSA of 2048 bits or more (signs with RS256) or EC P-384 (ES384).
    :param key_id: id under which the public key is registered (``kid``).
    :param scope: space-separated scopes to request; ``None`` requests the client's own.
    :param on_new_token: called with each new access token, to mask it in logs.
    """

    client_id: str
    private_key_pem: str = field(repr=False)
    key_id: str
    scope: str | None = None
    on_new_token: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    @property
    def _secret(self) -> str:
        return f"{self.key_id}\n{self.private_key_pem}"

    @property
    def _advice(self) -> str:
        return "Check the OAuth client id, the key id, and that the public key is registered for the client."

    def _proof(self, token_url: str) -> dict[str, str]:
        import jwt  # noqa: PLC0415 - it loads the cryptography library, which few connections need

        key, algorithm = _load_private_key(self.private_key_pem)
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": token_url,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "exp": now + _ASSERTION_LIFETIME_SECONDS,
        }
        assertion = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": self.key_id})
        remember_secret(assertion)
        return {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": HiddenText(assertion)}


def _load_private_key(pem: str) -> tuple[Any, str]:
    """Return a private key and the algorithm to sign with.

    :raises QlikConfigurationError: if Qlik Cloud would not accept it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see _proof
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415 - see _proof
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise QlikConfigurationError(
            "The private key is encrypted: remove its passphrase (openssl pkcs8 -topk8 -nocrypt)."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise QlikConfigurationError(
            "The private key cannot be read: give the complete PEM, with its BEGIN and END lines and line "
            "breaks."
        ) from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SHORTEST_RSA_KEY_BITS:
        return key, "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp384r1":
        return key, "ES384"
    raise QlikConfigurationError(
        "Qlik Cloud does not accept this private key: use an RSA key of at least 2048 bits, or an EC key on "
        "curve P-384."
    )


def _subject(token: str) -> str | None:
    """Return the user that a JWT names, unverified; ``None`` if the token is not a JWT."""
    try:
        payload = token.split(".")[1]
        subject = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]
    except (IndexError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return subject if isinstance(subject, str) else None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]

"""The settings of a Qlik Cloud tenant in an Airflow connection, checked once and completely.

Messages name the field and what to put into it. They never repeat a value that could be a secret.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

from airflow_provider_qlik_assets import client
from airflow_provider_qlik_assets.client.base_url import parse_base_url
from airflow_provider_qlik_assets.client.errors import QlikConfigurationError, shorten
from airflow_provider_qlik_assets.client.validation import nearest
from airflow_provider_qlik_assets.hooks.fields import (
    AIRFLOW_CONNECTION_PREFIX,
    CONFIG_SECTION,
    CONNECTION_TYPE,
    EXTRA_FIELDS,
    FIELDS_BY_NAME,
    ExtraField,
)

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import ApiKey, OAuthClientSecret, OAuthPrivateKey

_OLD_PREFIX = f"extra__{CONNECTION_TYPE}__"
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----(.*?)-----END \1-----", re.DOTALL)
_SHORTEST_MASKED_LINE = 16
# What Airflow keeps of such a URI if its scheme is invalid: only this schema.
_UNREAD_URI = re.compile(r"q?lik_cloud:?//")
_REDIS_OPTIONS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_TLS_OPTION = rf"({'|'.join(_REDIS_OPTIONS)})=[^&;?#@\s]+"
_ADDRESS = r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?(/[0-9]*)?"
# What Airflow may show to everyone who can read connections. Connection ids follow Airflow's rules.
_STORE_WITHOUT_SECRETS = re.compile(
    rf"memory:|file:///[^?#]+|airflow-connection:\s*(?!.*//)[\w#!()\-.:/\\]+|"
    rf"redis://{_ADDRESS}|rediss://{_ADDRESS}(\?{_TLS_OPTION}(&{_TLS_OPTION})*)?"
)
_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off", "", "none"), False),
}

_HYPHEN = "Its URI starts with qlik_cloud://, but a URI scheme cannot have underscores: use qlik-cloud://."


class AirflowConnection(Protocol):
    """The fields of Airflow's ``Connection``, whose class depends on the version of Airflow."""

    conn_id: Any
    conn_type: Any
    host: Any
    schema: Any
    login: Any
    password: Any
    port: Any
    extra: Any


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """The settings of a connection; see :data:`~airflow_provider_qlik_assets.hooks.fields.EXTRA_FIELDS`.

    :param base_url: the tenant, such as ``https://your-tenant.eu.qlikcloud.com``.
    :param credentials: the credentials.
    :param secrets: all texts that must not appear in a log.
    """

    base_url: str
    credentials: ApiKey | OAuthClientSecret | OAuthPrivateKey
    secrets: frozenset[str] = field(repr=False)
    verify: bool | str
    proxies: Mapping[str, str] | None = field(repr=False)
    timeout: tuple[float, float]
    max_retries: int
    max_retry_wait: float
    tier1_limit: int
    tier2_limit: int
    rate_limit_window: float
    rate_limit_store: str | None = field(repr=False)
    max_rate_limit_wait: float

    @property
    def store_conn_id(self) -> str | None:
        """Id of the Airflow connection that names the rate limit store; ``None`` if none does."""
        store = self.rate_limit_store or ""
        if not store.startswith(AIRFLOW_CONNECTION_PREFIX):
            return None
        return store.removeprefix(AIRFLOW_CONNECTION_PREFIX).strip()


def resolve_settings(
    connection: AirflowConnection,
    *,
    configured: Mapping[str, str] | None = None,
    on_new_token: Callable[[str], None] | None = None,
) -> ConnectionSettings:
    """Return the settings of a connection.

    :param connection: of type ``qlik_cloud``.
    :param configured: options of section ``[qlik_cloud]`` of Airflow's configuration; the connection's extra
        overrides them.
    :param on_new_token: called with each new OAuth access token, to mask it in logs.
    :raises QlikConfigurationError: naming the field that is missing, wrong or contradicted by another.
    """
    try:
        return _resolve(connection, configured or {}, on_new_token)
    except QlikConfigurationError as error:
        raise QlikConfigurationError(f"Airflow connection {connection.conn_id!r}: {error}") from None


def check_environment(conn_id: str) -> None:
    """Check why Airflow does not find a connection that the environment may define.

    :raises QlikConfigurationError: if it is defined by a URI that Airflow cannot read.
    """
    value = os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}", "")
    if _UNREAD_URI.match(value):
        raise QlikConfigurationError(f"Airflow connection {conn_id!r}: {_HYPHEN}")


def _resolve(
    connection: AirflowConnection,
    configured: Mapping[str, str],
    on_new_token: Callable[[str], None] | None,
) -> ConnectionSettings:
    if not connection.conn_type and _UNREAD_URI.match(_stripped(connection.schema)):
        raise QlikConfigurationError(_HYPHEN)
    if connection.conn_type and connection.conn_type != CONNECTION_TYPE:
        raise QlikConfigurationError(
            f"Its type must be {CONNECTION_TYPE!r}. Nothing was sent, because its credentials may belong to "
            "another system."
        )
    extra = _parse_extra(connection.extra)
    settings = {extra_field.name: extra_field.default for extra_field in EXTRA_FIELDS}
    for name, value in configured.items():
        settings[name] = _parse(FIELDS_BY_NAME[name], value, f"Airflow option [{CONFIG_SECTION}] {name}")
    for name, value in extra.items():
        if name == "rate_limit_store" and isinstance(value, str):
            _check_public_store(value.strip())
        settings[name] = _parse(FIELDS_BY_NAME[name], value, f"extra {name}")
    identity = {name: settings.pop(name) for name in ("private_key", "private_key_path", "key_id", "scope")}
    credentials = _credentials(
        _stripped(connection.login), _stripped(connection.password), identity, on_new_token
    )
    return ConnectionSettings(
        base_url=_base_url(_stripped(connection.host), _stripped(connection.schema), connection.port),
        credentials=credentials,
        secrets=frozenset(
            [
                *_secrets_of(credentials),
                *(secret for url in (settings["proxies"] or {}).values() for secret in url_secrets(url)),
                *url_secrets(settings["rate_limit_store"] or ""),
            ]
        ),
        **settings,
    )


def _stripped(value: str | None) -> str:
    return (value or "").strip()


def _base_url(host: str, schema: str, port: int | None) -> str:
    if not host:
        raise QlikConfigurationError(
            "The host is empty: set it to the tenant, such as your-tenant.eu.qlikcloud.com."
        )
    if schema and schema.lower() not in {"https", "http"}:
        raise QlikConfigurationError('The schema must be empty (or "https"): the host names the tenant.')
    scheme = host.partition("://")[0].lower() if "://" in host else ""
    if schema and scheme and schema.lower() != scheme:
        raise QlikConfigurationError("The host starts with a scheme other than the schema: clear the schema.")
    base_url = parse_base_url(f"{schema.lower()}://{host}" if schema and not scheme else host)
    if not port:
        return base_url
    if not 0 < port < 65536:
        raise QlikConfigurationError(f"The port {port} is not valid: leave it empty (the default is 443).")
    named = urlsplit(base_url).port
    if named not in {None, port}:
        raise QlikConfigurationError(
            f"The host contains port {named}, but the port is {port}: set it only once."
        )
    return base_url if named else f"{base_url}:{port}"


def _parse_extra(text: Any) -> dict[str, Any]:
    """Return the non-empty keys of the extra, under their current names."""
    try:
        extra = json.loads(text) if text and text.strip() else {}
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise QlikConfigurationError('The extra must be a JSON object, such as {"timeout": 60}.')
    given: dict[str, Any] = {}
    for key, value in extra.items():
        name = key.removeprefix(_OLD_PREFIX)
        if name not in FIELDS_BY_NAME:
            # A key is only quoted if it is similar to a known one: any other key may be a secret.
            hint = nearest(name, FIELDS_BY_NAME)
            shown = f" {shorten(key, 60)!r}{hint}" if hint else f" (known: {', '.join(FIELDS_BY_NAME)})"
            raise QlikConfigurationError(f"The extra has an unknown key{shown}.")
        if value is None or value in ("", {}):
            continue
        if name in given and given[name] != value:
            raise QlikConfigurationError(
                f"The extra has both {name} and {_OLD_PREFIX}{name}: remove the latter."
            )
        given[name] = value
    return given


def _check_public_store(store: str) -> None:
    """Reject a store that may contain a password in any part."""
    if not _STORE_WITHOUT_SECRETS.fullmatch(store):
        raise QlikConfigurationError(
            "The extra rate_limit_store must be file:///directory, redis://host:port/database, rediss://… "
            f"(with {', '.join(_REDIS_OPTIONS)}), {AIRFLOW_CONNECTION_PREFIX}<conn id> or memory:, and "
            "nothing else, because Airflow shows the extra to everyone who can read connections. If Redis "
            "needs a user and a password, put them into a Redis connection and set "
            f"{AIRFLOW_CONNECTION_PREFIX}<its conn id> here, or set the URL in section [{CONFIG_SECTION}] of "
            "Airflow's configuration."
        )


def _parse(extra_field: ExtraField, value: Any, where: str) -> Any:
    try:
        return extra_field.parse(value)
    except ValueError as error:
        raise QlikConfigurationError(f"The {where} {error}.") from None


def _credentials(
    login: str,
    password: str,
    identity: Mapping[str, Any],
    on_new_token: Callable[[str], None] | None,
) -> ApiKey | OAuthClientSecret | OAuthPrivateKey:
    key, path, key_id, scope = (
        identity[name] for name in ("private_key", "private_key_path", "key_id", "scope")
    )
    if key and path:
        raise QlikConfigurationError("The extra has both private_key and private_key_path: keep one.")
    if key or path:
        if password:
            raise QlikConfigurationError(
                "Both a password and a private key are set: clear the password to use the key, or remove "
                "private_key, private_key_path and key_id from the extra."
            )
        if not login:
            raise QlikConfigurationError(
                "The login is empty: set it to the OAuth client id of the private key."
            )
        if not key_id:
            raise QlikConfigurationError(
                'The extra key_id is missing: set it to the id ("kid") of the key in the OAuth client.'
            )
        pem = _normalized_pem(key or _read_key(path), "private_key" if key else "private_key_path")
        return client.OAuthPrivateKey(
            client_id=login, private_key_pem=pem, key_id=key_id, scope=scope, on_new_token=on_new_token
        )
    if key_id:
        raise QlikConfigurationError(
            "The extra has key_id but no key: add private_key or private_key_path, or remove key_id."
        )
    if login and password:
        return client.OAuthClientSecret(
            client_id=login, client_secret=password, scope=scope, on_new_token=on_new_token
        )
    if login:
        raise QlikConfigurationError(
            "The login is set, but no secret: put the OAuth client secret into the password, or a private "
            "key into the extra (private_key and key_id). For an API key, leave the login empty."
        )
    if not password:
        raise QlikConfigurationError(
            "The credentials are missing: put an API key into the password, or the id and the secret of an "
            "OAuth client into login and password."
        )
    if scope:
        raise QlikConfigurationError("The extra scope only applies to OAuth: remove it to use an API key.")
    return client.ApiKey(password)


def _read_key(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise QlikConfigurationError(f"The extra private_key_path cannot be read: {reason}.") from None


def _normalized_pem(text: str, name: str) -> str:
    """Return a PEM key with its line breaks, which single-line form fields and URIs drop or escape."""
    found = _PEM.search(text.replace("\\n", "\n"))
    if found is None:
        raise QlikConfigurationError(
            f"The extra {name} is not a complete PEM key, from -----BEGIN … to -----END …-----."
        )
    label, body = found.groups()
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise QlikConfigurationError(f"The extra {name} is encrypted: give the key without a passphrase.")
    if not label.endswith("PRIVATE KEY"):
        raise QlikConfigurationError(f"The extra {name} is a {label.lower()}: give the private key.")
    body = "".join(body.split())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _secrets_of(credentials: ApiKey | OAuthClientSecret | OAuthPrivateKey) -> Iterator[str]:
    if isinstance(credentials, client.ApiKey):
        yield credentials.api_key
    elif isinstance(credentials, client.OAuthClientSecret):
        yield credentials.client_secret
    else:
        # Logs show a key line by line or with escaped line breaks, so each line is a separate secret. Its
        # last line may be so short that masking it would hide unrelated text.
        for line in credentials.private_key_pem.splitlines():
            if len(line) >= _SHORTEST_MASKED_LINE and not line.startswith("-----"):
                yield line


def url_secrets(url: str) -> Iterator[str]:
    """Yield the passwords of a URL, both as written and decoded."""
    # Not with urlsplit: a URL that it rejects must still be masked, such as that of a proxy without a scheme.
    rest = url.split("://", 1)[-1]
    authority = rest.split("/")[0]
    credentials, at, _ = (authority if "@" in authority else rest).rpartition("@")
    options = (option.partition("=") for option in url.partition("?")[2].split("&"))
    passwords = [value for name, _, value in options if name == "password"]
    for password in (credentials.partition(":")[2] if at else "", *passwords):
        if password:
            yield password
            yield unquote(password)


def redis_url(connection: AirflowConnection) -> str:
    """Return the URL of an Airflow connection of type ``redis``, as Airflow's Redis provider uses it.

    :raises QlikConfigurationError: if it is not a Redis connection, or it is unclear whether to use TLS.
    """
    if connection.conn_type != "redis":
        raise QlikConfigurationError(
            f"The Airflow connection {connection.conn_id!r} of the rate limit store must be of type 'redis'."
        )
    try:
        extra = json.loads(connection.extra or "{}")
        database = int(extra.get("db") or 0)
    except (ValueError, AttributeError, TypeError):
        raise QlikConfigurationError(
            f"The extra of the Airflow connection {connection.conn_id!r} must be a JSON object, and its "
            '"db" a number.'
        ) from None
    secure = _BOOLEANS.get(str(extra.get("ssl")).strip().lower())
    if secure is None:
        raise QlikConfigurationError(
            f'"ssl" in the extra of the Airflow connection {connection.conn_id!r} must be true or false.'
        )
    login, password = connection.login or "", connection.password or ""
    credentials = f"{quote(login, safe='')}:{quote(password, safe='')}@" if login or password else ""
    host = connection.host or "localhost"
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    # Forms save null or an empty text for an empty field.
    options = {name: extra[name] for name in _REDIS_OPTIONS if secure and extra.get(name) not in (None, "")}
    query = f"?{urlencode(options)}" if options else ""
    return f"redis{'s' if secure else ''}://{credentials}{host}:{connection.port or 6379}/{database}{query}"

"""The fields of a Qlik Cloud connection: one table for parser, forms and Airflow configuration.

Every ``airflow`` command reads this module through ``provider_info``, so it only imports the standard
library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

CONNECTION_TYPE = "qlik_cloud"
DEFAULT_CONNECTION_ID = "qlik_cloud_default"
HOOK_NAME = "Qlik Cloud"
CONFIG_SECTION = "qlik_cloud"
AIRFLOW_CONNECTION_PREFIX = "airflow-connection:"
_LONGEST_SHOWN_PATH = 100

# The standard fields that the form labels differently from Airflow.
HIDDEN_FIELDS = ("schema", "port", "extra")
RELABELING = {
    "host": "Tenant",
    "login": "OAuth client id",
    "password": "API key or OAuth client secret",
}
PLACEHOLDERS = {
    "host": "your-tenant.eu.qlikcloud.com",
    "login": "empty for an API key",
}

FormType = Literal["string", "integer", "number", "object"]


@dataclass(frozen=True)
class ExtraField:
    """One key of the connection's extra.

    :param name: the key.
    :param parse: turns a JSON value or a string into the setting. Its ``ValueError`` completes the sentence
        "The extra <name> ...", and never repeats the value of a secret.
    :param label: name in the form.
    :param description: help text in the form and in Airflow's list of configuration options.
    :param form_type: JSON type of the form field.
    :param default: the setting if neither the connection nor the configuration gives one.
    :param secret: whether forms mask the value.
    :param configurable: whether Airflow's configuration may give a default, in section ``[qlik_cloud]``.
    :param example: placeholder in the form.
    :param bounds: smallest and largest number.
    """

    name: str
    parse: Callable[[Any], Any]
    label: str
    description: str
    form_type: FormType = "string"
    default: Any = None
    secret: bool = False
    configurable: bool = False
    example: str | None = None
    bounds: tuple[float, float] | None = None

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the form field (Airflow 3.2 and later).

        It has no default, because the form would save it and so override Airflow's configuration.
        """
        schema: dict[str, Any] = {"type": [self.form_type, "null"]}
        if self.secret:
            schema["format"] = "password"
        if self.bounds:
            schema["minimum"], schema["maximum"] = self.bounds
        return schema


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {_json_type(value)}")
    return value.strip()


def _pem(value: Any) -> str:
    text = _text(value)
    if "-----BEGIN" not in text:
        raise ValueError('must be a PEM private key, starting with "-----BEGIN PRIVATE KEY-----"')
    return text


def _key_file(value: Any) -> str:
    text = _text(value)
    if "-----BEGIN" in text:
        raise ValueError("must be the path of a file, not a key: put the key into private_key")
    path = _find(text, Path.is_file)
    if path is not None:
        return str(path)
    # Airflow masks the value of every extra whose name contains "private_key", so the path would be shown as
    # ***. Its parts are not masked.
    given = Path(text)
    shown = (
        f"{given.name!r} in {str(given.parent)!r}" if _is_plainly_a_path(text) else "give its absolute path"
    )
    raise ValueError(f"names a file that does not exist on this machine: {shown}")


def _verify(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be true, false or the path of a CA bundle, not {_json_type(value)}")
    text = value.strip()
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    path = _find(text, Path.exists)
    if path is None:
        shown = repr(text) if _is_plainly_a_path(text) else "give its absolute path"
        raise ValueError(f"names a CA bundle that does not exist on this machine: {shown}")
    return str(path)


def _is_plainly_a_path(text: str) -> bool:
    """Return whether a text may be quoted, because it does not look like a secret in the wrong field."""
    return text.startswith(("/", "~")) and len(text) <= _LONGEST_SHOWN_PATH


def _find(text: str, is_there: Callable[[Path], bool]) -> Path | None:
    try:
        path = Path(text).expanduser()
        return path if is_there(path) else None
    except (OSError, RuntimeError, ValueError):
        return None


def _proxies(value: Any) -> dict[str, str]:
    value = _from_json(value)
    if not isinstance(value, Mapping) or not all(isinstance(url, str) for url in value.values()):
        raise ValueError('must be an object of scheme to URL, such as {"https": "http://proxy.example:3128"}')
    return dict(value)


def _timeout(value: Any) -> tuple[float, float]:
    value = _from_json(value)
    pair = value if isinstance(value, list) else [value, value]
    number = _number((0.1, 3600))
    try:
        connect, read = (number(entry) for entry in pair)
    except ValueError:
        raise ValueError("must be a number of seconds between 0.1 and 3600, or [connect, read]") from None
    return connect, read


def _rate_limit_store(value: Any) -> str:
    text = _text(value)
    prefix, _, rest = text.partition(":")
    usable = {
        "memory": not rest,
        "file": text.startswith("file:///"),
        "redis": text.startswith("redis://"),
        "rediss": text.startswith("rediss://"),
        "airflow-connection": bool(rest.strip()),
    }
    if ":" not in text or not usable.get(prefix, False):
        raise ValueError(
            "must be file:///directory, redis://…, rediss://…, airflow-connection:<conn id> or memory:"
        )
    try:
        _ = urlsplit(text).port
    except ValueError:
        raise ValueError("is not a valid URL: write special characters of the password as %XX") from None
    return text


def _integer(bounds: tuple[float, float]) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        number = _number(bounds)(value)
        if not number.is_integer():
            raise ValueError("must be a whole number")
        return int(number)

    return parse


def _number(bounds: tuple[float, float]) -> Callable[[Any], float]:
    low, high = bounds

    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(f"must be a number, not {_json_type(value)}")
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"must be a number between {low:g} and {high:g}")
        return number

    return parse


def _from_json(value: Any) -> Any:
    """Return the JSON value of a string, because URIs and the forms of Airflow 2 only give strings."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _json_type(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


_LIMIT = (1, 10_000)
_RETRIES = (0, 100)
_WINDOW = (1, 86_400)
_WAIT = (0, 604_800)

EXTRA_FIELDS = (
    ExtraField(
        "private_key",
        _pem,
        label="Private key",
        description="PEM private key of the OAuth client, instead of a client secret. Needs key_id.",
        secret=True,
    ),
    ExtraField(
        "private_key_path",
        _key_file,
        label="Private key file",
        description="Path of a PEM private key on every worker and triggerer, instead of private_key.",
        example="/opt/airflow/keys/qlik.pem",
    ),
    ExtraField(
        "key_id",
        _text,
        label="Private key id",
        description='The key\'s id ("kid") in the OAuth client.',
    ),
    ExtraField(
        "scope",
        _text,
        label="OAuth scope",
        description="Space-separated scopes to request for the OAuth token. Empty: Qlik's default.",
        example="user_default",
    ),
    ExtraField(
        "verify",
        _verify,
        label="Verify TLS certificate",
        description="false, or the path of a CA bundle. Default: true.",
        default=True,
        example="false",
    ),
    ExtraField(
        "proxies",
        _proxies,
        label="Proxies",
        description='Proxy URL per scheme, such as {"https": "http://proxy.example:3128"}. '
        "Default: the proxies of the environment.",
        form_type="object",
        example='{"https": "http://proxy.example:3128"}',
    ),
    ExtraField(
        "timeout",
        _timeout,
        label="Time-out",
        description="Seconds to wait for Qlik Cloud, or [connect, read]. Default: [10, 60].",
        default=(10.0, 60.0),
        example="[10, 60]",
    ),
    ExtraField(
        "max_retries",
        _integer(_RETRIES),
        label="Retries",
        description="How many times a failed request is retried at most. Default: 5.",
        form_type="integer",
        default=5,
        example="5",
        bounds=_RETRIES,
    ),
    ExtraField(
        "max_retry_wait",
        _number(_WAIT),
        label="Longest wait for retries",
        description="Total seconds that one call may wait between retries. Default: 600.",
        form_type="number",
        default=600.0,
        example="600",
        bounds=_WAIT,
    ),
    ExtraField(
        "tier1_limit",
        _integer(_LIMIT),
        label="Tier 1 limit",
        description="Read requests allowed per rate limit window. Default: 5000, Qlik's limit per user.",
        form_type="integer",
        default=5000,
        configurable=True,
        example="5000",
        bounds=_LIMIT,
    ),
    ExtraField(
        "tier2_limit",
        _integer(_LIMIT),
        label="Tier 2 limit",
        description="Write requests allowed per rate limit window. Default: 500, Qlik's limit per user.",
        form_type="integer",
        default=500,
        configurable=True,
        example="500",
        bounds=_LIMIT,
    ),
    ExtraField(
        "rate_limit_window",
        _number(_WINDOW),
        label="Rate limit window",
        description="Length of the rate limit window in seconds. Default: 300.",
        form_type="number",
        default=300.0,
        configurable=True,
        example="300",
        bounds=_WINDOW,
    ),
    ExtraField(
        "rate_limit_store",
        _rate_limit_store,
        label="Rate limit store",
        description="Where the processes that share the quota count their requests: file:///directory, "
        "redis://…, rediss://…, airflow-connection:<conn id of a Redis connection> or memory:. "
        "Default: files in the state directory of the user. With workers on several hosts, use Redis; "
        "if it has a password, use airflow-connection, since Airflow shows this field in clear text.",
        configurable=True,
        example="airflow-connection:redis_default",
    ),
    ExtraField(
        "max_rate_limit_wait",
        _number(_WAIT),
        label="Longest wait for the rate limit",
        description="Seconds that a request may wait for the rate limit before it fails. Default: 3600.",
        form_type="number",
        default=3600.0,
        configurable=True,
        example="3600",
        bounds=_WAIT,
    ),
)

FIELDS_BY_NAME: Mapping[str, ExtraField] = {field.name: field for field in EXTRA_FIELDS}

"""The address of a tenant, checked so that credentials are only sent to the right host."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from airflow_provider_qlik_assets.client.errors import QlikConfigurationError

_EXAMPLE = "your-tenant.eu.qlikcloud.com"
_LABEL = "[a-z0-9_-]{1,63}"
_HOST_AND_PORT = re.compile(
    rf"(\[[0-9a-f:.]*:[0-9a-f:.]*\]|{_LABEL}(\.{_LABEL})*\.?)(:[0-9]*)?", re.IGNORECASE | re.ASCII
)


def parse_base_url(host: str) -> str:
    """Return the base URL of a tenant, such as ``https://your-tenant.eu.qlikcloud.com``.

    :param host: host name with or without scheme and port.
    :raises QlikConfigurationError: if it contains anything else, or uses plain HTTP with another machine.
    """
    text = host.strip()
    if not text:
        raise QlikConfigurationError(f"The host is empty: set it to the tenant, such as {_EXAMPLE}.")
    no_host_name = f"The host is not a valid host name: set it to the tenant, such as {_EXAMPLE}."
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        name, port = parts.hostname, parts.port
    except ValueError:  # it quotes the host, which may contain a password
        raise QlikConfigurationError(no_host_name) from None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise QlikConfigurationError(
            "The host must not contain credentials: use the login and password of the connection."
        )
    # The whole text must be printable, since urlsplit() drops tabs and line breaks silently.
    if name is None or not text.isprintable() or not _HOST_AND_PORT.fullmatch(parts.netloc):
        raise QlikConfigurationError(no_host_name)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise QlikConfigurationError(
            f"The host must not contain a path or query: set it to the tenant alone, such as {_EXAMPLE}."
        )
    if parts.scheme not in {"https", "http"}:
        raise QlikConfigurationError("The scheme of the host is not supported: use https.")
    if parts.scheme == "http" and not is_loopback(name):
        raise QlikConfigurationError(
            "http:// would send credentials in clear text: use https (http is only for this machine)."
        )
    netloc = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{netloc}" + (f":{port}" if port is not None else "")


def is_loopback(name: str) -> bool:
    """Return whether a host name or address is this machine itself."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

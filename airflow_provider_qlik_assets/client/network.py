"""Certificates and proxies: check them, and explain why no answer came over the network."""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from airflow_provider_qlik_assets.client.errors import QlikConfigurationError, QlikConnectionError, shorten
from airflow_provider_qlik_assets.client.log import get_logger

logger = get_logger(__name__)

_PROXY_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})
# No connection was made; these include DNS failures.
_NEVER_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ProxyError)
# How OpenSSL reports an answer that is not TLS, depending on its version.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})([^'\"]*)")


@dataclass(frozen=True)
class Route:
    """How a tenant is reached, for messages.

    :param base_url: the tenant.
    :param proxy: host and port of the proxy; empty without a proxy.
    :param proxy_source: the setting that names the proxy.
    """

    base_url: str
    proxy: str = ""
    proxy_source: str = ""

    @classmethod
    def find(cls, base_url: str, given: Mapping[str, str] | None, merged: Mapping[str, str]) -> Route:
        """Return the route that ``requests`` takes.

        :param given: the proxies in the settings.
        :param merged: these, and those of the environment.
        :raises QlikConfigurationError: if the proxy is invalid; its URL is not quoted, since it may contain a
            password.
        """
        url = requests.utils.select_proxy(base_url, dict(merged))
        if not url:
            return cls(base_url)
        ours = requests.utils.select_proxy(base_url, dict(given or {}))
        source = "'proxies'" if url == ours else _proxy_variable(urlsplit(base_url).scheme)
        try:
            # Without a scheme, requests may mistake the part before the first colon for one.
            is_read = "://" in url or bool(urllib3.util.parse_url(url).host)
            parts = urllib3.util.parse_url(url if "://" in url else f"http://{url}")
        except urllib3.exceptions.LocationParseError:
            is_read, parts = False, urllib3.util.Url()
        if not is_read or not parts.host or parts.scheme not in _PROXY_SCHEMES:
            raise QlikConfigurationError(
                f"{source} is not a valid proxy address: set it to http://host:port or "
                "http://user:password@host:port, under the scheme of the tenant (https)."
            )
        if parts.scheme.startswith("socks"):
            try:
                import socks  # type: ignore[import-untyped, unused-ignore] # noqa: F401, PLC0415
            except ImportError:
                raise QlikConfigurationError(
                    f"{source} names a SOCKS proxy, but SOCKS support is not installed: pip install PySocks."
                ) from None
        return cls(base_url, f"{parts.host}:{parts.port}" if parts.port else parts.host, source)

    @property
    def via(self) -> str:
        """``" through the proxy …"``, or nothing."""
        return f" through the proxy {self.proxy} (from {self.proxy_source})" if self.proxy else ""

    def diagnose(self, error: Exception, shown: str, *, timeout: tuple[float, float]) -> Diagnosis:
        """Return why no complete answer came.

        :param error: the error of ``requests`` or ``urllib3``.
        :param shown: method and URL of the request.
        :param timeout: seconds to connect and to read.
        :raises QlikConfigurationError: if the settings must be changed first.
        """
        if isinstance(error, requests.exceptions.SSLError):
            return self._tls(error, shown)
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Diagnosis(f"no connection{self.via} within {timeout[0]:g} s", request_sent=False)
        if isinstance(error, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
            return Diagnosis(f"no answer within {timeout[1]:g} s", request_sent=True)
        cause = _root_cause(error)
        if isinstance(cause, urllib3.exceptions.ProxyError):
            return self._proxy_failed(cause, shown)
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            return Diagnosis(
                f"no connection, because the host name cannot be resolved ({_system_text(cause)})",
                request_sent=False,
                advice="Check the host for typos, then the DNS settings of this machine.",
            )
        if isinstance(cause, _NEVER_SENT):
            return Diagnosis(f"no connection ({_describe(cause)})", request_sent=False)
        return Diagnosis(
            f"the connection broke ({_describe(cause)})",
            request_sent=True,
            hint="If the port expects TLS, use https:// in the host."
            if self.base_url.startswith("http:")
            else "",
        )

    def _tls(self, error: Exception, shown: str) -> Diagnosis:
        cause = _root_cause(error)
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            why = shorten(getattr(cause, "verify_message", ""), 160).rstrip(".")
            raise QlikConfigurationError(
                f"{shown}: the certificate of the host is not trusted{f' ({why})' if why else ''}"
                ". Check the host; if your proxy intercepts TLS, set the extra 'verify' to the path of its "
                "CA bundle."
            ) from None  # its text is untrusted, and a traceback would show it unescaped
        reason = getattr(cause, "reason", None) or type(cause).__name__
        if any(mark in str(reason) for mark in _NO_TLS):
            host = urlsplit(self.base_url).netloc
            return Diagnosis(
                f"the TLS connection failed, because {host} does not use https there ({reason})",
                request_sent=True,
                advice="Check the port; for an http server on this machine, use http:// in the host.",
            )
        return Diagnosis(f"the TLS connection failed ({reason})", request_sent=True)

    def _proxy_failed(self, cause: BaseException, shown: str) -> Diagnosis:
        answered = _TUNNEL_STATUS.search(str(cause))
        if answered and answered[1] == "407":
            raise QlikConfigurationError(
                f"{shown}: the proxy {self.proxy} requires credentials, or rejects those it received "
                f"(407). Set them in {self.proxy_source}, as http://user:password@{self.proxy}."
            ) from None
        if answered:
            why = f"it answered {shorten(answered[1] + answered[2], 80)}"
        else:
            inner = next((entry for entry in cause.args if isinstance(entry, BaseException)), cause)
            why = _describe(_root_cause(inner))
        return Diagnosis(
            f"no connection{self.via} ({why})",
            request_sent=False,
            advice=f"Check {self.proxy_source}, and that the proxy allows connections to the tenant.",
        )


@dataclass(frozen=True)
class Diagnosis:
    """Why no complete answer came.

    :param reason: what happened, as a clause.
    :param request_sent: whether the request may have reached the tenant.
    :param advice: the next step; empty for the usual one.
    :param hint: added to the next step.
    """

    reason: str
    request_sent: bool
    advice: str = ""
    hint: str = ""

    def to_error(self, shown: str) -> QlikConnectionError:
        """Return the error to raise.

        :param shown: method and URL of the request.
        """
        if self.request_sent:
            advice = self.advice or (
                "Try again; if it persists, check the network and the time-outs of the connection."
            )
        else:
            advice = f"Nothing was sent. {self.advice or 'Check the host and the network.'}"
        message = f"{shown}: {self.reason}. {advice} {self.hint}".rstrip()
        return QlikConnectionError(message, request_sent=self.request_sent)


@functools.cache
def warn_of_unverified_certificates() -> None:
    """Warn once per process about ``verify`` = ``False``."""
    logger.warning(
        "'verify' is false: TLS certificates are not checked, and anyone on the network path can read the "
        "credentials and change every answer. Set it to the path of the CA bundle of your proxy or host."
    )


def check_verify(given: bool | str, used: bool | str) -> None:
    """Reject a CA bundle that cannot be used.

    :param given: the setting.
    :param used: the setting, or its replacement from the environment.
    :raises QlikConfigurationError: naming the setting or the environment variable.
    """
    if not isinstance(used, str):
        return
    source = "'verify'"
    if used != given:
        variables = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        name = next((name for name in variables if os.environ.get(name) == used), variables[0])
        source = f"The environment variable {name}"
    if not Path(used).exists():
        raise QlikConfigurationError(
            f"{source} names a CA bundle that does not exist on this machine: {shorten(used, 200)!r}."
        )
    try:
        if Path(used).is_dir():
            ssl.create_default_context(capath=used)
        else:
            ssl.create_default_context(cafile=used)
    except (OSError, ValueError) as error:
        raise QlikConfigurationError(
            f"{source} cannot be used: {shorten(used, 200)} is not a CA bundle in PEM format ({error})."
        ) from None


def _proxy_variable(scheme: str) -> str:
    """Return the environment variable from which ``requests`` takes the proxy of a scheme."""
    names = [name for base in (scheme, "all") for name in (f"{base}_proxy", f"{base}_proxy".upper())]
    name = next((name for name in names if os.environ.get(name)), None)
    return f"the environment variable {name}" if name else "the proxy settings of this machine"


def _root_cause(error: BaseException) -> BaseException:
    """Return the innermost error that urllib3 or the socket gave as the reason."""
    cause: Any = error
    while not isinstance(cause, _NEVER_SENT):
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((argument for argument in cause.args if isinstance(argument, BaseException)), None)
        if inner is None:
            break
        cause = inner
    return cause  # type: ignore[no-any-return]


def _describe(cause: BaseException) -> str:
    # urllib3 begins with the connection, as an expression or, below 2.6, as <its class and address>.
    why = re.sub(r"^<[^>]*>: ", "", str(cause).rpartition("): ")[2])
    return shorten(f"{type(cause).__name__}: {why}", 160)


def _system_text(cause: BaseException) -> str:
    found = re.search(r"\[Errno -?\d+\] ([^)]*)", str(cause))
    return shorten(found[1], 100) if found else type(cause).__name__

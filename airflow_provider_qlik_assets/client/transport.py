"""One request and its answer: session, time-outs, rate limit, retries and errors."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from airflow_provider_qlik_assets import __version__
from airflow_provider_qlik_assets.client.auth import Authenticator
from airflow_provider_qlik_assets.client.connections import AnswerDeadline, DeadlineAdapter
from airflow_provider_qlik_assets.client.errors import (
    ErrorDetail,
    QlikApiError,
    QlikResponseError,
    QlikValidationError,
    error_class,
    shorten,
)
from airflow_provider_qlik_assets.client.network import Diagnosis, Route, check_verify
from airflow_provider_qlik_assets.client.rate_limit import RateLimiter, Tier
from airflow_provider_qlik_assets.client.retry import Failure, RetryPolicy, parse_retry_after

logger = logging.getLogger(__name__)

USER_AGENT = f"airflow-provider-qlik-assets/{__version__} python/{platform.python_version()}"

_LARGEST_ANSWER_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_MOST_REDIRECTS = 3
_CHECK_HOST = "Check that the host of the connection is the tenant's own, and what lies between."


@dataclass(frozen=True)
class Request:
    """A request to a tenant.

    :param method: HTTP method.
    :param path: path on the tenant, already percent-encoded.
    :param params: query parameters.
    :param body: JSON body; ``None`` sends none.
    :param safe_to_repeat: whether doing the request twice is the same as doing it once.
    """

    method: str
    path: str
    params: Mapping[str, str] | None = None
    body: Any = None
    safe_to_repeat: bool = True

    @property
    def tier(self) -> Tier:
        """Rate limit that the request counts towards."""
        return Tier.ONE if self.method == "GET" else Tier.TWO


@dataclass(frozen=True)
class Answer:
    """A successful answer.

    :param http_status: 2xx.
    :param document: the parsed JSON body; ``None`` if there was no body.
    :param repeated: whether an earlier attempt of the same request may have been carried out as well.
    """

    http_status: int
    document: Any
    repeated: bool


@dataclass(eq=False)
class _FailedError(Exception):
    """An attempt that failed, with the error to raise if it is not repeated."""

    failure: Failure
    error: Exception
    refused: requests.PreparedRequest | None = None


class Transport:
    """Send requests to one tenant.

    Threads may share a transport; processes may not (the client makes a new one after a fork).

    :param base_url: as :func:`~airflow_provider_qlik_assets.client.base_url.parse_base_url` returns it.
    :param limiter: grants each request its place in the shared rate limit.
    :param retry: decides whether a failed request is repeated.
    :param timeout: seconds to connect, and seconds from sending a request to the last byte of its answer.
    :param verify: ``True``, ``False``, or path of a CA bundle.
    :param proxies: proxy URL by scheme; ``None`` takes the environment's.
    :param user_agent: appended to the ``User-Agent``.
    :param sleep: waits for some seconds.
    :raises QlikConfigurationError: if the CA bundle or the proxy cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        limiter: RateLimiter,
        retry: RetryPolicy,
        timeout: tuple[float, float],
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        user_agent: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url
        self._limiter = limiter
        self._retry = retry
        self._timeout = timeout
        self._sleep = sleep
        self._session = requests.Session()
        self._session.mount("http://", DeadlineAdapter(pool_maxsize=32))
        self._session.mount("https://", DeadlineAdapter(pool_maxsize=32))
        self._session.headers.update(
            {"Accept": "application/json", "User-Agent": f"{USER_AGENT} {user_agent}".strip()}
        )
        # Read from the environment once: doing it for each request costs more than the request.
        self._options = dict[str, Any](
            self._session.merge_environment_settings(
                base_url, dict(proxies or {}), stream=True, verify=verify, cert=None
            )
        )
        self._session.trust_env = False
        check_verify(verify, self._options["verify"])
        self._route = Route.find(base_url, proxies, self._options["proxies"])

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def send(self, request: Request, auth: Authenticator | None) -> Answer:
        """Send a request until it is answered or must not be repeated.

        :param request: what to send.
        :param auth: adds the credentials; ``None`` sends none.
        :raises QlikApiError: Qlik Cloud refused the request.
        :raises QlikConnectionError: no complete answer came.
        :raises QlikResponseError: the answer was not the JSON that was expected.
        :raises QlikConfigurationError: the settings cannot work.
        """
        attempt, waited = 1, 0.0
        repeated = renewed = False
        while True:
            try:
                status, document = self._attempt(request, auth)
            except _FailedError as failed:
                failure, error = failed.failure, failed.error
                if failure.http_status == 401 and auth and failed.refused and not renewed:
                    renewed = True
                    if auth.renew(failed.refused):
                        continue
                wait = self._retry.wait_before_repeat(
                    failure, attempt=attempt, waited=waited, safe_to_repeat=request.safe_to_repeat
                )
                limited = failure.http_status == 429
                if limited:
                    self._limiter.penalize(request.tier, wait or failure.retry_after or 1.0)
                if wait is None:
                    if isinstance(error, QlikApiError):
                        error.repeated = repeated
                    raise error from failed.__cause__
                repeated |= failure.may_have_been_done
                waited += wait
                attempt += not limited
                logger.warning(
                    "%s %s: %s; attempt %d follows in %.1f s.",
                    request.method, request.path, failure.reason, attempt, wait,
                )  # fmt: skip
                if not limited:  # after a 429 the limiter waits, for all who share the limit
                    self._sleep(wait)
            else:
                return Answer(status, document, repeated)

    def _attempt(self, request: Request, auth: Authenticator | None) -> tuple[int, Any]:
        """Make one attempt; follow redirects within the tenant."""
        method, url, params = request.method, self.base_url + request.path, request.params
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                prepared = self._session.prepare_request(
                    requests.Request(method, url, params=params, json=request.body, auth=auth)
                )
            except requests.exceptions.InvalidJSONError:
                raise QlikValidationError(
                    f"{method} {url}: the body is not JSON; look for NaN or infinity in 'properties'."
                ) from None
            self._limiter.acquire(request.tier)
            response, content = self._exchange(prepared, shown=f"{method} {url}")
            if not response.is_redirect:
                return response.status_code, _read_answer(method, url, response, content)
            url, params = self._redirect_target(method, url, response), None
        raise QlikResponseError(
            f"{method} {url} was redirected in a circle.", http_status=response.status_code
        )

    def _exchange(self, prepared: requests.PreparedRequest, shown: str) -> tuple[requests.Response, bytes]:
        """Send a request and read its whole answer."""
        with AnswerDeadline(sum(self._timeout)) as deadline:
            try:
                # By the adapter: a session would look at redirects and keep cookies.
                adapter = self._session.get_adapter(self.base_url)
                response = adapter.send(prepared, timeout=self._timeout, **self._options)
                content = _read_bounded(response, shown)
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
                diagnosis = self._route.diagnose(error, shown, timeout=self._timeout)
            else:
                if not deadline.expired:
                    if response.status_code == 407 and self._route.proxy:
                        raise self._route.refused_by_proxy(shown)
                    return response, content
            if deadline.expired:
                reason = f"the answer was not complete within {sum(self._timeout):g} s"
                diagnosis = Diagnosis(reason, request_sent=True)
        raise _FailedError(
            Failure(diagnosis.reason, request_sent=diagnosis.request_sent),
            diagnosis.to_error(shown, str(prepared.method)),
        )

    def _redirect_target(self, method: str, url: str, response: requests.Response) -> str:
        ours, location = urlsplit(self.base_url), response.headers["Location"]
        try:
            target = urljoin(url, location)
            theirs = urlsplit(target)
        except ValueError:
            raise QlikResponseError(
                f"{method} {url} was redirected to {shorten(location, 100)!r}, which is no address.",
                http_status=response.status_code,
            ) from None
        if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
            raise QlikResponseError(
                f"{method} {url} was redirected to another host, {shorten(theirs.hostname or '?', 100)}; the "
                "credentials were not sent there. Set the host of the connection to the tenant's own.",
                http_status=response.status_code,
            )
        if method != "GET" and response.status_code not in {307, 308}:
            raise QlikResponseError(
                f"{method} {url} was redirected with status {response.status_code}, which would turn it into "
                "a GET. Check the host of the connection.",
                http_status=response.status_code,
            )
        return target


def _read_answer(method: str, url: str, response: requests.Response, content: bytes) -> Any:
    """Return the JSON of a successful answer, or raise what an unsuccessful one means."""
    status = response.status_code
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status >= 400:
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        errors, trace_id, from_qlik = _parse_error_body(content)
        error = error_class(status)(
            method, url, status, errors=errors, trace_id=trace_id, retry_after=retry_after
        )
        error.from_qlik = from_qlik
        if not from_qlik and status < 500 and status != 429:
            error.context = _CHECK_HOST
        raise _FailedError(
            Failure(f"status {status}", status, retry_after=retry_after), error, response.request
        )
    if not content:
        return None
    if content_type and "json" not in content_type:
        raise _unexpected(method, url, status, content_type, content)
    try:
        return json.loads(content)
    except ValueError:
        unreadable = _unexpected(method, url, status, content_type, content)
        raise _FailedError(Failure("the answer was cut short or garbled"), unreadable) from None


def _read_bounded(response: requests.Response, shown: str) -> bytes:
    content = bytearray()
    for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > _LARGEST_ANSWER_BYTES:
            response.close()
            raise QlikResponseError(
                f"{shown} answered with more than {_LARGEST_ANSWER_BYTES // 1024**2} MiB; refused.",
                http_status=response.status_code,
            )
    return bytes(content)


def _parse_error_body(content: bytes) -> tuple[list[ErrorDetail], str | None, bool]:
    """Return the errors and the trace id of an error body, and whether it may be one of Qlik Cloud."""
    try:
        document = json.loads(content)
        entries = document.get("errors") or []
        errors = [
            ErrorDetail(*(str(entry.get(key) or "") for key in ("code", "title", "detail")))
            for entry in entries
        ]
        trace_id = document.get("traceId")
        return errors, shorten(trace_id, 100) if isinstance(trace_id, str) else None, True
    except (ValueError, AttributeError, TypeError):
        text = shorten(content[:2000].decode("utf-8", "replace"), 120)
        detail = f"the answer was not Qlik's JSON but {text!r}"
        return ([ErrorDetail(detail=detail)] if text else []), None, not text


def _unexpected(method: str, url: str, status: int, content_type: str, content: bytes) -> QlikResponseError:
    text = shorten(content[:2000].decode("utf-8", "replace"), 120)
    hint = (
        "HTML usually means a wrong host: check that it is the tenant's own."
        if "html" in content_type or text.lstrip().startswith("<")
        else "A proxy or gateway may have changed it."
    )
    return QlikResponseError(
        f"{method} {url} answered {status} with {content_type or 'no content type'} where JSON was expected: "
        f"{text!r}. {hint}",
        http_status=status,
    )

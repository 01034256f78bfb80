"""One request and its answer: session, time-outs, rate limit, retries and errors."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from airflow_provider_qlik_assets import __version__
from airflow_provider_qlik_assets.client.answers import (
    ACCEPT_ENCODING,
    AttemptFailedError,
    Content,
    Quote,
    is_framed_plainly,
    quote_nothing,
    read_answer,
    read_content,
)
from airflow_provider_qlik_assets.client.auth import TOKEN_PATH, Authenticator
from airflow_provider_qlik_assets.client.base_url import is_loopback
from airflow_provider_qlik_assets.client.connections import AnswerDeadline, DeadlineAdapter
from airflow_provider_qlik_assets.client.error_frames import clears_variables
from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikCloudError,
    QlikRateLimitError,
    QlikResponseError,
    shorten,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.network import (
    Diagnosis,
    Route,
    check_verify,
    warn_of_unverified_certificates,
)
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimiter, Tier
from airflow_provider_qlik_assets.client.retry import Failure, RetryPolicy
from airflow_provider_qlik_assets.client.sent_secrets import hide_secrets
from airflow_provider_qlik_assets.client.server_clock import ServerClock
from airflow_provider_qlik_assets.client.stopping import StopFlag
from airflow_provider_qlik_assets.client.verdicts import UNKNOWN_OUTCOME, outcome_is_unknown

logger = get_logger(__name__)

USER_AGENT = f"airflow-provider-qlik-assets/{__version__} python/{platform.python_version()}"

_MOST_REDIRECTS = 3


def _as_it_is(document: Any) -> Any:
    return document


@dataclass(frozen=True)
class Request:
    """A request to a tenant.

    :param method: HTTP method.
    :param path: path on the tenant, already percent-encoded.
    :param params: query parameters.
    :param body: JSON body; ``None`` sends none.
    :param safe_to_repeat: whether sending the request twice has the same effect as sending it once.
    :param parse: turns the JSON of an answer (``None`` if empty) into a result. If the answer is not what was
        requested, it raises an error and the connection is not reused.
    :param secret_answer: whether the answer may contain a secret, so that no message quotes it.
    :param last_look: for a request that depends on what was read before: called in each attempt when the
        request may be sent at once, with the number of earlier attempts that may have been carried out. It
        returns the body to send, or ``None`` to send nothing, for which the answer is a 204 without content.
    """

    method: str
    path: str
    params: Mapping[str, str] | None = field(default=None, repr=False)
    body: Any = field(default=None, repr=False)
    safe_to_repeat: bool = True
    parse: Callable[[Any], Any] = _as_it_is
    secret_answer: bool = False
    last_look: Callable[[int], Any] | None = field(default=None, repr=False)

    @property
    def tier(self) -> Tier:
        """Rate limit tier that the request counts towards."""
        return Tier.ONE if self.method == "GET" else Tier.TWO

    @property
    def writes(self) -> bool:
        """Whether the request may change a data asset."""
        return self.method != "GET" and not self.secret_answer


@dataclass(frozen=True)
class Answer:
    """A successful answer.

    :param http_status: 2xx.
    :param document: what the request's ``parse`` returned for the JSON body; ``None`` if there was none.
    :param repeated: whether an earlier attempt of the same request may also have been carried out.
    """

    http_status: int
    document: Any = field(repr=False)
    repeated: bool


@dataclass
class _SoFar:
    """The attempts of one request.

    :param attempts: how many there were, with the one in progress, but without those that a 429 ended.
    :param waited: seconds waited between them.
    :param unknown: the error of the last one that failed, but may have been carried out.
    :param unanswered: how many there were of these.
    :param renewed: whether a new token was requested.
    """

    attempts: int = 1
    waited: float = 0.0
    unknown: QlikCloudError | None = None
    unanswered: int = 0
    renewed: bool = False


@contextlib.contextmanager
def _noting_the_outcome(request: Request) -> Iterator[None]:
    """Let the error of a write that was sent say so if it may have been carried out."""
    try:
        yield
    except (QlikCloudError, AttemptFailedError) as raised:
        error = raised.error if isinstance(raised, AttemptFailedError) else raised
        # What is neither a success nor an error comes from something else, which does not write.
        is_other = isinstance(error, QlikResponseError) and error.http_status >= 300
        if request.writes and outcome_is_unknown(error) and not is_other:
            error.outcome = UNKNOWN_OUTCOME
        raise


class Transport:
    """Send requests to one tenant.

    Threads may share a transport; processes may not. The client creates a new one after a fork.

    :param base_url: as :func:`~airflow_provider_qlik_assets.client.base_url.parse_base_url` returns it.
    :param limiter: makes each request wait for the shared rate limit.
    :param retry: decides whether a failed request is repeated.
    :param timeout: seconds to connect, and seconds from sending a request to the last byte of its answer.
    :param verify: ``True``, ``False``, or the path of a CA bundle.
    :param proxies: proxy URL by scheme; ``None`` uses the environment. Ignored for http://. Those of the
        environment are also ignored for https:// on this machine.
    :param user_agent: appended to the ``User-Agent``.
    :param sleep: waits for some seconds.
    :param stop_flag: once it is set, nothing more is sent.
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
        stop_flag: StopFlag | None = None,
    ) -> None:
        self.base_url = base_url
        self.server_clock = ServerClock()
        self._stop_flag = stop_flag or StopFlag()
        self._limiter = limiter
        self._retry = retry
        self._timeout = timeout
        self._sleep = sleep
        self._session = requests.Session()
        self._session.mount("http://", DeadlineAdapter(pool_maxsize=32))
        self._session.mount("https://", DeadlineAdapter(pool_maxsize=32))
        self._session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": ACCEPT_ENCODING,
                "User-Agent": f"{USER_AGENT} {user_agent}".strip(),
            }
        )
        # Read from the environment once, because doing so for each request costs more than the request.
        self._options = dict[str, Any](
            self._session.merge_environment_settings(
                base_url, dict(proxies or {}), stream=True, verify=verify, cert=None
            )
        )
        self._session.trust_env = False
        if is_loopback(urlsplit(base_url).hostname or ""):  # this machine, which no proxy leads to
            # Without TLS, a proxy would see the credentials in clear text.
            self._options["proxies"] = {} if base_url.startswith("http:") else dict(proxies or {})
        check_verify(verify, self._options["verify"])
        if self._options["verify"] is False and base_url.startswith("https:"):
            warn_of_unverified_certificates()
        self._route = Route.find(base_url, proxies, self._options["proxies"])

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def request_token(self, body: Mapping[str, Any]) -> Any:
        """Return the JSON of the answer to a request for an access token.

        :param body: of the request, with the proof of the client's identity.
        :raises QlikCloudError: as :meth:`send`.
        """
        return self.send(Request("POST", TOKEN_PATH, body=body, secret_answer=True), None).document

    @clears_variables
    def send(self, request: Request, auth: Authenticator | None) -> Answer:
        """Send a request until it is answered or must not be repeated.

        :param request: what to send.
        :param auth: adds the credentials; ``None`` sends none.
        :raises QlikApiError: Qlik Cloud rejected the request.
        :raises QlikConnectionError: no complete answer came.
        :raises QlikResponseError: the answer was not the expected JSON.
        :raises QlikConfigurationError: the settings are invalid.
        :raises QlikStoppedError: the stop flag was set.
        """
        so_far = _SoFar()
        try:
            while True:
                try:
                    status, document = self._attempt(request, auth, unanswered=so_far.unanswered)
                except AttemptFailedError as failed:
                    self._prepare_to_repeat(request, auth, failed, so_far)
                else:
                    return Answer(status, document, so_far.unknown is not None)
        except QlikCloudError as error:
            if so_far.unknown is None or not request.writes:
                raise
            # Whoever waits for the quota then starts over, which must not do it twice.
            raised = so_far.unknown if isinstance(error, QlikRateLimitError) else error
            raised.outcome = UNKNOWN_OUTCOME
            if isinstance(raised, QlikApiError):
                raised.repeated = True
            if raised is error:
                raise
            raise raised from error

    def _prepare_to_repeat(
        self, request: Request, auth: Authenticator | None, failed: AttemptFailedError, so_far: _SoFar
    ) -> None:
        """Wait until the request may be repeated; raise the error if it must not be."""
        failure = failed.failure
        if failure.http_status == 401 and auth and failed.refused and not so_far.renewed:
            so_far.renewed = True
            if auth.renew(failed.refused):
                return
        wait = self._retry.wait_before_repeat(
            failure, attempt=so_far.attempts, waited=so_far.waited, safe_to_repeat=request.safe_to_repeat
        )
        limited = failure.http_status == 429
        if limited:
            self._limiter.penalize(request.tier, wait or failure.retry_after or 1.0)
            if wait is None and isinstance(failed.error, QlikApiError):
                asked = max(failure.retry_after or 0.0, 1.0)
                left = max(self._retry.max_retry_wait - so_far.waited, 0.0)
                failed.error.context = (
                    f"It asks to wait {asked:.0f} s, but max_retry_wait allows {left:.0f} s"
                    f"{' more' if so_far.waited else ''}. Try again after that time, or allow a longer wait "
                    "with max_retry_wait."
                )
        if wait is None:
            raise failed.error from failed.__cause__
        if failure.may_have_been_done:
            so_far.unknown = failed.error
            so_far.unanswered += 1
        so_far.waited += wait
        so_far.attempts += not limited
        logger.warning(
            "%s %s: %s; attempt %d follows in %.1f s.",
            request.method, request.path, failure.reason, so_far.attempts, wait,
        )  # fmt: skip
        if not limited:  # after a 429 the limiter waits, for all that share the limit
            self._sleep(wait)

    def _attempt(self, request: Request, auth: Authenticator | None, *, unanswered: int) -> tuple[int, Any]:
        """Make one attempt; follow redirects within the tenant."""
        method, url, params = request.method, self.base_url + request.path, request.params
        not_sent = f"{method} {request.path} was not sent"
        shown_url = url
        quote: Quote = quote_nothing if request.secret_answer else shorten
        for _ in range(_MOST_REDIRECTS + 1):
            prepared = self._session.prepare_request(
                requests.Request(method, url, params=params, json=request.body, auth=auth)
            )
            self._stop_flag.check(not_sent)
            if request.last_look is None:
                self._limiter.acquire(request.tier)  # the flag ends a wait, too; a grant is not wasted
            else:
                body = self._limiter.acquire_for(request.tier, partial(request.last_look, unanswered))
                if body is None:
                    return HTTPStatus.NO_CONTENT, request.parse(None)
                self._stop_flag.check(not_sent)
                prepared.prepare_body(None, None, json=body)
            # An answer to a token request named the place that it was redirected to.
            hides_url = request.secret_answer and url != shown_url
            deadline = AnswerDeadline(sum(self._timeout), hides_url=hides_url)
            with _noting_the_outcome(request), deadline as exchange:
                response, content = self._exchange(prepared, exchange, f"{method} {shown_url}", quote)
                if not response.is_redirect:
                    try:
                        document = request.parse(read_answer(method, shown_url, response, content, quote))
                    except AttemptFailedError as failed:
                        exchange.connection_is_sound = failed.connection_is_sound
                        raise
                    exchange.connection_is_sound = is_framed_plainly(response)
                    return response.status_code, document
            url, params = self._redirect_target(method, url, shown_url, response, quote), None
            if not request.secret_answer:
                shown_url = hide_secrets(urlsplit(url)._replace(query="", fragment="").geturl())
        raise QlikResponseError(
            f"{method} {shown_url} was redirected in a loop. Check the host of the connection.",
            http_status=response.status_code,
        )

    def _exchange(
        self, prepared: requests.PreparedRequest, exchange: AnswerDeadline, shown: str, quote: Quote
    ) -> tuple[requests.Response, Content]:
        """Send a request and read its whole answer."""
        try:
            # With the adapter, because a session would process redirects and keep cookies.
            adapter = self._session.get_adapter(self.base_url)
            response = adapter.send(prepared, timeout=self._timeout, **self._options)
            content = None
            try:
                if response.status_code < 200:
                    # The final answer may follow, and would be mistaken for that of the next request.
                    raise urllib3.exceptions.ProtocolError(f"interim answer {response.status_code}")
                content = read_content(response, shown, quote)
            finally:
                if content is None or not content.is_whole:
                    response.raw.close()
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            diagnosis = self._route.diagnose(error, shown, timeout=self._timeout)
            if diagnosis.request_sent and quote is quote_nothing:  # it may quote an answer that is not HTTP
                diagnosis = replace(diagnosis, reason=diagnosis.reason.partition(" (")[0])
        else:
            if not exchange.expired:
                self.server_clock.note(response.headers.get("Date"))
                return response, content
        if exchange.expired:
            reason = f"the answer was not complete within {sum(self._timeout):g} s"
            diagnosis = Diagnosis(reason, request_sent=True)
        raise AttemptFailedError(
            Failure(diagnosis.reason, request_sent=diagnosis.request_sent),
            diagnosis.to_error(shown),
        )

    def _redirect_target(
        self, method: str, url: str, shown_url: str, response: requests.Response, quote: Quote
    ) -> str:
        ours, location = urlsplit(self.base_url), response.headers["Location"]
        try:
            target = urljoin(url, location)
            theirs = urlsplit(target)
        except ValueError:
            raise QlikResponseError(
                f"{method} {shown_url} was redirected to {quote(location, 100)!r}, which is not a valid "
                "address.",
                http_status=response.status_code,
            ) from None
        if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
            host = shorten(theirs.netloc.rpartition("@")[2] or "?", 100)
            raise QlikResponseError(
                f"{method} {shown_url} was redirected to another host, {host}; the "
                "credentials were not sent there. Set the host of the connection to the tenant's own.",
                http_status=response.status_code,
            )
        if method != "GET" and response.status_code not in {307, 308}:
            raise QlikResponseError(
                f"{method} {shown_url} was redirected with status {response.status_code}, which would turn "
                "it into a GET. Check the host of the connection.",
                http_status=response.status_code,
            )
        return target

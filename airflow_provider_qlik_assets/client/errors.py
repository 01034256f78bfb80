"""Errors of the Qlik Cloud client.

Every message says what was tried, what came back (status, Qlik's code, title and detail), the next step for
the reader and, at its end, Qlik's trace id where there is one. No message holds a secret: headers, request
bodies and query strings are never part of one, and what an answer repeats of them is hidden. No message has
more than one line, an unprintable character, or more than 16,000 characters: see :func:`shorten` and
:func:`one_line`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from airflow_provider_qlik_assets.client.sent_secrets import LONGEST_SECRET, hide_secrets

_SHOWN_CHARACTERS = 300
_MOST_SHOWN_FAILURES = 20
_LONGEST_MESSAGE = 16_000
# Less than what is read of an error.
_LONGEST_SEARCHED = 48 * 1024
_WHITE_SPACE = re.compile(r"\s+")
# At these, Airflow's UI hides the lines that follow, up to the other one.
_FOLDING_MARK = re.compile(r"([:#])(:(?:end)?group::|#\[(?:end)?group)", re.IGNORECASE)


class QlikCloudError(Exception):
    """Base of everything that the client raises on purpose.

    ``progress`` says what had been done when the error ended work on many data assets; the message begins
    with it. ``outcome`` says that a write which failed may have been carried out; the message says so, too.
    """

    progress = ""
    outcome = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(hide_secrets(entry) if isinstance(entry, str) else entry for entry in arguments))

    def add_progress(self, text: str) -> None:
        """Say what was done before this error, ahead of what is said already.

        :param text: a sentence.
        """
        self.progress = f"{text} {self.progress}".rstrip()

    def with_advice(self, advice: str) -> str:
        """Return the message with one more next step.

        :param advice: a sentence.
        """
        return one_line(f"{self.progress} {self._message(f'{self.outcome} {advice}'.strip())}".strip())

    def __str__(self) -> str:
        return self.with_advice("")

    def _message(self, advice: str) -> str:
        return f"{super().__str__()} {advice}".rstrip()


class QlikStoppedError(QlikCloudError):
    """The work was stopped by the caller, such as a task that was marked as failed; nothing more was sent."""


class QlikConfigurationError(QlikCloudError, ValueError):
    """The connection settings cannot work; the message names the setting and what to put there."""


class QlikValidationError(QlikCloudError, ValueError):
    """An argument that Qlik Cloud would refuse, found before anything was sent."""


class QlikConnectionError(QlikCloudError):
    """No complete answer came: refused, dropped, timed out, or cut short.

    :param message: what was tried and what happened.
    :param request_sent: whether the request may have reached Qlik Cloud. ``False`` means that nothing was
        changed there; ``True`` on a write means that the change may or may not have been made.
    """

    def __init__(self, message: str, *, request_sent: bool) -> None:
        super().__init__(message)
        self.request_sent = request_sent

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class QlikResponseError(QlikCloudError):
    """An answer came, but not the JSON that was expected; HTML usually means a wrong host.

    :param message: what was tried, the content type and the first characters of the answer.
    :param http_status: status code of the answer.
    :param concerns_one: whether it is about a single data asset, so that others may well be read.
    """

    def __init__(self, message: str, *, http_status: int, concerns_one: bool = False) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.concerns_one = concerns_one

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


@dataclass(frozen=True)
class ErrorDetail:
    """One entry of ``errors`` in a Qlik Cloud error body.

    :param code: Qlik's code, such as ``HTTP-429``.
    :param title: short description.
    :param detail: longer description, may be empty.
    :param status: HTTP status as text, may be empty.
    :param meta: what else Qlik says, in no documented form; ``None`` if it says nothing or more than fits. No
        message shows it.
    """

    code: str = ""
    title: str = ""
    detail: str = ""
    status: str = ""
    meta: Any = field(default=None, hash=False)

    def __str__(self) -> str:
        return self.describe()

    def describe(self, http_status: int | None = None) -> str:
        """Return the entry as text.

        :param http_status: status that the reader knows already; what only repeats it is left out.
        """
        code = "" if self.code == f"HTTP-{http_status}" else self.code
        known = {"", "" if http_status is None else _phrase(http_status).casefold()}
        title, detail = self.title.strip().rstrip(".:"), self.detail.strip()
        if title.casefold() in known:
            title = ""
        if detail.rstrip(".").casefold() in known | {title.casefold()}:
            detail = ""
        text = " ".join(part for part in (code, title) if part)
        return shorten(": ".join(part for part in (text, detail) if part))


class QlikApiError(QlikCloudError):
    """Qlik Cloud answered with an error status.

    :param method: HTTP method of the request.
    :param url: URL of the request, without its query.
    :param http_status: status code of the answer.
    :param errors: the entries of ``errors`` in the answer.
    :param trace_id: Qlik's id of the request, for its support; ``None`` if the answer held none.
    :param retry_after: seconds that the answer asked to wait; ``None`` if it did not ask.
    :param context: sentence that replaces the default next step.

    ``repeated`` tells whether an earlier attempt of the same request may have been carried out; a conflict
    may then be with the caller's own change. ``from_qlik`` is ``False`` if the body does not look like Qlik
    Cloud's, so that something else may have answered in its place.
    """

    next_step = "Look the code up in Qlik's API reference."

    def __init__(
        self,
        method: str,
        url: str,
        http_status: int,
        *,
        errors: Sequence[ErrorDetail] = (),
        trace_id: str | None = None,
        retry_after: float | None = None,
        context: str | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.http_status = http_status
        self.errors = tuple(errors)
        self.trace_id = trace_id
        self.retry_after = retry_after
        self.context = context
        self.repeated = False
        self.from_qlik = True
        super().__init__(str(self))

    @classmethod
    def without_request(cls, http_status: int, context: str, *, retry_after: float | None = None) -> Self:
        """Return the error for what the client found out itself, so that it has neither method nor URL.

        :param http_status: the status that Qlik Cloud gives in this case.
        :param context: what was found; the next step follows it.
        :param retry_after: seconds to wait before another try can succeed.
        """
        return cls("", "", http_status, retry_after=retry_after, context=context)

    def _message(self, advice: str) -> str:
        if not self.url:
            return f"{self.context} {self.next_step} {advice}"
        details = "; ".join(filter(None, (error.describe(self.http_status) for error in self.errors)))
        details = f": {shorten(details).rstrip('.')}" if details else ""
        status = f"{self.http_status} {_phrase(self.http_status)}".rstrip()
        advice = f"{self.context or self.next_step} {advice}".rstrip()
        trace = f" (Qlik trace id {self.trace_id})" if self.trace_id else ""
        return f"{self.method} {self.url} answered {status}{details}. {advice}{trace}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class QlikBadRequestError(QlikApiError):
    """400: Qlik Cloud refused the request as malformed."""

    next_step = "Correct the named field; sending the same request again cannot succeed."


class QlikAuthenticationError(QlikApiError):
    """401: the credentials are missing, wrong, expired or revoked."""

    next_step = "Check the API key, or the OAuth client id and secret or private key, of the connection."


class QlikPermissionError(QlikApiError):
    """403: the user of the credentials may not do this."""

    next_step = (
        "Give the user or OAuth client of the connection a role that allows it in the data store's space."
    )


class QlikNotFoundError(QlikApiError):
    """404 of Qlik Cloud: no such resource, or the user may not see it."""

    next_step = "Check the id, and that the user of the connection may see it."


class QlikConflictError(QlikApiError):
    """409: the request conflicts with the current state, such as a stale ``version``."""

    next_step = "It was changed in the meantime: read it again and base the change on its new version."


class QlikDataAssetExistsError(QlikConflictError):
    """The data asset already exists, and the caller asked for an error in that case."""

    next_step = 'Use if_exists="update" to change it or if_exists="skip" to leave it as it is.'


class QlikRateLimitError(QlikApiError):
    """429, or the wait for the shared quota would take longer than allowed; ``retry_after`` says how long."""

    next_step = "Try again after that time, or allow a longer wait with max_rate_limit_wait."

    @classmethod
    def not_sent(cls, reason: str, retry_after: float) -> Self:
        """Return the error of a request that was held back.

        :param reason: why it would have to wait, as a clause.
        :param retry_after: expected wait in seconds.
        """
        context = (
            f"The request was not sent: {reason}, and the wait of about {retry_after:.1f} s is not allowed."
        )
        return cls.without_request(HTTPStatus.TOO_MANY_REQUESTS, context, retry_after=retry_after)


class QlikServerError(QlikApiError):
    """5xx: Qlik Cloud, or a gateway in front of it, failed."""

    next_step = "Try again later; if it persists, give the trace id to Qlik support."


class QlikPartialFailureError(QlikCloudError):
    """Some of many data assets could not be written; all others were.

    :param failures: the error of each, by the name or id of the data asset.
    :param total: number of data assets that there were to write.
    """

    def __init__(self, failures: Mapping[str, QlikCloudError], *, total: int) -> None:
        self.failures = dict(failures)
        shown = [
            f"{shorten(name, 200)}: {one_line(str(error), 1000)}"
            for name, error in list(self.failures.items())[:_MOST_SHOWN_FAILURES]
        ]
        more = len(self.failures) - len(shown)
        super().__init__(
            f"{len(self.failures)} of {total} data assets failed; running it again does only what is left. "
            + " | ".join(shown)
            + (f" | and {more} more." if more else "")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())


_BY_STATUS: dict[int, type[QlikApiError]] = {
    400: QlikBadRequestError,
    401: QlikAuthenticationError,
    403: QlikPermissionError,
    404: QlikNotFoundError,
    409: QlikConflictError,
    412: QlikConflictError,
    429: QlikRateLimitError,
}


def error_class(http_status: int, *, from_qlik: bool = True) -> type[QlikApiError]:
    """Return the error class for an HTTP status of 400 or above.

    :param from_qlik: whether Qlik Cloud may have answered. The 404 of a gateway does not tell what exists.
    """
    if http_status >= 500:
        return QlikServerError
    if http_status == HTTPStatus.NOT_FOUND and not from_qlik:
        return QlikApiError
    return _BY_STATUS.get(http_status, QlikApiError)


def shorten(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """Return text from outside as it may be shown in a log or a message.

    On one line, whatever lines it had; what is not printable, such as control characters, marks that change
    the direction of writing and lone surrogates, as an escape sequence; without the secrets that were sent;
    and cut to ``limit`` characters.
    """
    hidden = hide_secrets(text[:_LONGEST_SEARCHED])
    if len(text) > _LONGEST_SEARCHED:
        hidden = hidden[:-LONGEST_SECRET]  # may end in a part of one, which is not found
    text = _printable(hidden[: 4 * limit]).strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def one_line(message: str, limit: int = _LONGEST_MESSAGE) -> str:
    """Return a message, or a part of one, as :func:`shorten` does, but for its ends, which may be spaces.

    If it is longer than ``limit`` characters, its middle is cut out: the trace id stands at the end.
    """
    message = hide_secrets(message)
    if len(message) > 2 * _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + message[-_LONGEST_MESSAGE:]
    text = _printable(message)
    if len(text) <= limit:
        return text
    return f"{text[: limit * 3 // 4]} … {text[3 - limit // 4 :]}"


def _printable(text: str) -> str:
    text = _FOLDING_MARK.sub(r"\1 \2", _WHITE_SPACE.sub(" ", text))
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def first_few(names: Sequence[str], most: int = 10) -> str:
    """Return some names in one line: the first ones, and how many more there are."""
    more = len(names) - most
    return ", ".join(shorten(name, 200) for name in names[:most]) + (f" and {more} more" if more > 0 else "")


def _phrase(http_status: int) -> str:
    try:
        return HTTPStatus(http_status).phrase
    except ValueError:
        return ""


def _rebuild(cls: type[QlikCloudError], args: tuple[Any, ...], state: dict[str, Any]) -> QlikCloudError:
    """Unpickle an error without calling its constructor, whose arguments are not ``args``."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error

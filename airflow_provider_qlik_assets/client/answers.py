"""Read answers in bounded memory, however large or broken: as JSON, or an error that says why not.

Bodies are decompressed here and not by the HTTP library, because some of its versions have no size limit.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import requests
import urllib3

from airflow_provider_qlik_assets.client.bounded_json import parse_json
from airflow_provider_qlik_assets.client.errors import (
    ErrorDetail,
    QlikCloudError,
    QlikResponseError,
    error_class,
    shorten,
)
from airflow_provider_qlik_assets.client.retry import Failure, parse_retry_after
from airflow_provider_qlik_assets.client.sent_secrets import hide_secrets
from airflow_provider_qlik_assets.client.server_clock import parse_date

# Several times what a page of 100 data assets needs.
_LARGEST_ANSWER_BYTES = 8 * 1024 * 1024
_LARGEST_ERROR_BYTES = 64 * 1024
_MOST_ERRORS = 10
_CHUNK_BYTES = 64 * 1024
_ERROR_KEYS = ("code", "title", "detail", "status")
_LONGEST_META = 4000
# The parts that may be shown of an answer that may contain a secret.
_CODE = re.compile(r"[A-Za-z]{2,20}-[0-9]{1,5}|[a-z]{2,20}(_[a-z]{2,20}){1,3}")
_TRACE_ID = re.compile(r"[0-9a-f-]{16,36}")
_CONTENT_TYPE = re.compile(r"(application|text)/[a-z0-9.+-]{1,40}")
_CHECK_HOST = "Check that the host of the connection is the tenant's own, and any proxy in between."
_AS_GZIP = 16 + zlib.MAX_WBITS

# The only encoding that is decompressed.
ACCEPT_ENCODING = "gzip"

# Returns what may be shown of a text from an answer, up to a given length.
Quote = Callable[[str, int], str]


def quote_nothing(text: str, limit: int) -> str:  # noqa: ARG001 - as shorten
    """Return what may be shown of an answer that may contain a secret, such as an access token."""
    return f"{len(text)} characters, not shown" if text else ""


@dataclass(eq=False)
class AttemptFailedError(Exception):
    """An attempt that failed.

    :param failure: decides whether the request is repeated.
    :param error: the error to raise if it is not.
    :param refused: the request, if Qlik Cloud refused it.
    :param connection_is_sound: whether the complete answer came from Qlik Cloud, so that the connection can
        be reused.
    """

    failure: Failure
    error: QlikCloudError
    refused: requests.PreparedRequest | None = None
    connection_is_sound: bool = False


@dataclass(frozen=True)
class Content:
    """The decompressed body of an answer.

    :param data: its bytes.
    :param is_whole: whether it is complete; the rest of a long error body is not read.
    """

    data: bytes = field(repr=False)
    is_whole: bool = True


def is_success(response: requests.Response) -> bool:
    """Return whether a request was carried out; only 2xx means that, other than a part of an answer."""
    return 200 <= response.status_code < 300 and response.status_code != HTTPStatus.PARTIAL_CONTENT


def read_content(response: requests.Response, shown: str, quote: Quote = shorten) -> Content:
    """Read and decompress a body: at most 8 MiB, or 64 KiB if the request failed.

    :param response: an answer whose body has not been read yet.
    :param shown: method and URL, for messages.
    :param quote: :func:`.shorten` or :func:`quote_nothing`.
    :raises QlikResponseError: if a success has a longer body, or an encoding that was not requested.
    :raises urllib3.exceptions.HTTPError: if the body is truncated or garbled.
    """
    limit = _LARGEST_ANSWER_BYTES if is_success(response) else _LARGEST_ERROR_BYTES
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    content = bytearray()
    problem = ""
    if encoding in {"gzip", "x-gzip"}:
        pieces = _unpacked(_received(response, limit + _CHUNK_BYTES))
    elif encoding in {"", "identity"}:
        pieces = _received(response, limit + _CHUNK_BYTES)
    else:
        pieces = iter(())
        problem = f"with the encoding {quote(encoding, 60)!r}, which was not requested"
    for piece in pieces:
        content += piece
        if len(content) > limit:
            problem = f"with more than {limit // 1024**2} MiB"
            break
    if problem and is_success(response):
        raise QlikResponseError(
            f"{shown} answered {problem}; the answer was rejected.", http_status=response.status_code
        )
    return Content(bytes(content[:limit]), is_whole=not problem)


def _received(response: requests.Response, limit: int) -> Iterator[bytes]:
    received = 0
    for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
        yield chunk
        received += len(chunk)
        if received > limit:
            raise urllib3.exceptions.DecodeError("the compressed body is longer than its content")


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(_AS_GZIP)
    try:
        for chunk in chunks:
            packed = chunk
            while packed and not unpacker.eof:
                yield unpacker.decompress(packed, _CHUNK_BYTES)
                packed = unpacker.unconsumed_tail
            if packed or unpacker.unused_data:
                raise urllib3.exceptions.DecodeError("there is data after the end of the gzip stream")
        while not unpacker.eof and (piece := unpacker.decompress(b"", _CHUNK_BYTES)):
            yield piece
    except zlib.error as error:
        raise urllib3.exceptions.DecodeError(f"the body is not valid gzip: {error}") from error
    if not unpacker.eof:
        raise urllib3.exceptions.DecodeError("the gzip stream is truncated")


def read_answer(
    method: str, url: str, response: requests.Response, content: Content, quote: Quote = shorten
) -> Any:
    """Return the JSON of a success; raise the error that any other answer means.

    :param quote: :func:`.shorten` or :func:`quote_nothing`.
    :return: the parsed body; ``None`` if it is empty.
    :raises AttemptFailedError: if Qlik Cloud rejected the request, or its answer is not JSON.
    :raises QlikResponseError: if the answer does not come from Qlik Cloud.
    """
    status = response.status_code
    if status >= 400:
        answered_at = parse_date(response.headers.get("Date")) or datetime.now(UTC)
        retry_after = parse_retry_after(response.headers.get("Retry-After"), now=answered_at)
        errors, trace_id, from_qlik = _parse_error_body(content.data, quote)
        error = error_class(status, from_qlik=from_qlik)(
            method, url, status, errors=errors, trace_id=trace_id, retry_after=retry_after
        )
        error.from_qlik = from_qlik
        if not from_qlik and status < 500 and status != 429:
            error.context = _CHECK_HOST
        failure = Failure(f"status {status}", status, retry_after=retry_after)
        sound = from_qlik and content.is_whole and is_framed_plainly(response)
        raise AttemptFailedError(failure, error, response.request, sound)
    if not is_success(response):
        raise QlikResponseError(
            f"{method} {url} answered {status}, which is neither a success nor an error. A proxy or gateway "
            "may have answered; check the host of the connection.",
            http_status=status,
        )
    if not content.data:
        return None
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type and "json" not in content_type:
        raise _unexpected(f"{method} {url}", status, content_type, content.data, quote)
    try:
        return parse_json(content.data)
    except (json.JSONDecodeError, UnicodeDecodeError):
        unreadable = _unexpected(f"{method} {url}", status, content_type, content.data, quote)
        raise AttemptFailedError(Failure("the answer was truncated or garbled"), unreadable) from None
    except ValueError as error:  # another attempt would get the same answer
        raise QlikResponseError(
            f"{method} {url} answered {status} with JSON that was rejected: {shorten(str(error))}. Check "
            "that the host is the tenant's own. If the data assets are large, read fewer fields with "
            "'projections'.",
            http_status=status,
            concerns_one=True,
        ) from None


def is_framed_plainly(response: requests.Response) -> bool:
    """Return whether it is certain where an answer ends, so that the connection can be reused."""
    lengths = response.headers.get("Content-Length", "0").split(",")
    if "Transfer-Encoding" in response.headers:
        return "Content-Length" not in response.headers
    return len(lengths) == 1 and (response.status_code != 204 or lengths[0].strip() == "0")


def _parse_error_body(content: bytes, quote: Quote) -> tuple[list[ErrorDetail], str | None, bool]:
    """Return the errors and the trace id of an error body, and whether it may be from Qlik Cloud."""
    try:
        document = parse_json(content)
        errors = [
            _error_detail(entry) for entry in itertools.islice(document.get("errors") or [], _MOST_ERRORS)
        ]
        trace_id = document.get("traceId")
        trace_id = shorten(trace_id, 100) if isinstance(trace_id, str) else None
        if quote is quote_nothing:
            codes = [error.code for error in errors] or [str(document.get("error"))]  # the field of OAuth
            errors = [ErrorDetail(code) for code in codes if _CODE.fullmatch(code)]
            trace_id = trace_id if _TRACE_ID.fullmatch(trace_id or "") else None
        return errors, trace_id, True
    except (ValueError, AttributeError, TypeError):
        text = quote(content.decode("utf-8", "replace"), 120)
        errors = [ErrorDetail(detail=f"the answer is not JSON from Qlik Cloud: {text!r}")] if text else []
        return errors, None, not text


def _error_detail(entry: dict[str, Any]) -> ErrorDetail:
    code, title, detail, status = (hide_secrets(str(entry.get(key) or "")) for key in _ERROR_KEYS)
    return ErrorDetail(code, title, detail, status, _shown_meta(entry.get("meta")))


def _shown_meta(meta: Any) -> Any:
    """Return the JSON value of ``meta`` without secrets; ``None`` if it is too long."""
    text = json.dumps(meta)
    try:
        return json.loads(hide_secrets(text)) if len(text) <= _LONGEST_META else None
    except ValueError:  # a secret that contains a quotation mark
        return None


def _unexpected(
    tried: str, status: int, content_type: str, content: bytes, quote: Quote
) -> QlikResponseError:
    text = content.decode("utf-8", "replace")
    hint = (
        "HTML usually means a wrong host: check that the host is the tenant's own."
        if "html" in content_type or text.lstrip().startswith("<")
        else "A proxy or gateway may have changed the answer."
    )
    if not _CONTENT_TYPE.fullmatch(content_type):
        content_type = quote(content_type, 100)
    return QlikResponseError(
        f"{tried} answered {status} with {content_type or 'no content type'} instead of "
        f"JSON: {quote(text, 120)!r}. {hint}",
        http_status=status,
    )

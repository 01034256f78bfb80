"""What an error of Qlik Cloud means for the request, for similar requests, and for retries.

The rule for repeating a single request is in :mod:`.retry`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikCloudError,
    QlikConfigurationError,
    QlikConnectionError,
    QlikDataAssetExistsError,
    QlikNotFoundError,
    QlikPermissionError,
    QlikRateLimitError,
    QlikResponseError,
    QlikServerError,
    QlikStoppedError,
    QlikValidationError,
)

PERMANENT_ERRORS = (
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikConfigurationError,
    QlikDataAssetExistsError,
    QlikNotFoundError,
    QlikPermissionError,
    QlikValidationError,
)
"""Permanent errors: repeating the request does not help."""

ENDING_ERRORS = (QlikAuthenticationError, QlikConfigurationError, QlikRateLimitError)
"""Errors that every other request would get as well."""

UNKNOWN_OUTCOME = "The change may or may not have been made: read the data asset before making it again."
"""The ``outcome`` of an error of a write that may have been carried out."""


def outcome_is_unknown(error: QlikCloudError) -> bool:
    """Return whether a write that failed with this error may still have been carried out."""
    if error.outcome or (isinstance(error, QlikApiError) and error.repeated):
        return True
    if isinstance(error, QlikConnectionError):
        return error.request_sent
    return isinstance(error, (QlikServerError, QlikResponseError))


def is_unavailable(error: QlikCloudError) -> bool:
    """Return whether Qlik Cloud may not have answered; many of these in a row end bulk work."""
    if isinstance(error, QlikResponseError):
        return not error.concerns_one
    if isinstance(error, QlikApiError) and not error.from_qlik:
        return True
    return isinstance(error, (QlikConnectionError, QlikServerError))


@contextlib.contextmanager
def settling(write: QlikCloudError | None, *, may_start_over: bool = False) -> Iterator[None]:
    """Let an error of the reads that settle a write not hide that the write may have been carried out.

    The write's error is raised in its place: the other one may be permanent, and the write is not.

    :param write: the error of the write; ``None`` if there is nothing to settle.
    :param may_start_over: whether the work may start over after a wait for the quota.
    """
    try:
        yield
    except QlikCloudError as error:
        if write is None:
            raise
        write.outcome = write.outcome or UNKNOWN_OUTCOME
        if isinstance(error, QlikStoppedError) or (may_start_over and isinstance(error, QlikRateLimitError)):
            error.outcome = write.outcome
            raise
        raise write from error

"""What an error of Qlik Cloud means for the request, for similar requests, and for retries.

The rule for repeating a single request is in :mod:`.retry`.
"""

from __future__ import annotations

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

UNAVAILABLE_ERRORS = (QlikConnectionError, QlikResponseError, QlikServerError)
"""Errors that end bulk work if many requests in a row fail with one of them."""


def outcome_is_unknown(error: QlikCloudError) -> bool:
    """Return whether a write that failed with this error may still have been carried out."""
    if error.outcome or (isinstance(error, QlikApiError) and error.repeated):
        return True
    if isinstance(error, QlikConnectionError):
        return error.request_sent
    return isinstance(error, (QlikServerError, QlikResponseError))

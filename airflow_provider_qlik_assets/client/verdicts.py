"""What an error of Qlik Cloud means for the request, for others like it, and for doing it again.

The rule by which a single request is repeated is in :mod:`.retry`.
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
"""Errors that repeating the same thing cannot fix."""

ENDING_ERRORS = (QlikAuthenticationError, QlikConfigurationError, QlikRateLimitError)
"""Errors that would hit every other request as well."""

UNAVAILABLE_ERRORS = (QlikConnectionError, QlikResponseError, QlikServerError)
"""Errors that would, too, if nothing but they came back from many requests in a row."""


def outcome_is_unknown(error: QlikCloudError) -> bool:
    """Return whether a write that failed with this error may have been carried out all the same."""
    if isinstance(error, QlikApiError) and error.repeated:
        return True
    if isinstance(error, QlikConnectionError):
        return error.request_sent
    return isinstance(error, (QlikServerError, QlikResponseError))

"""How the errors of Qlik Cloud end an Airflow task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow_provider_qlik_assets._compat import AirflowFailException
from airflow_provider_qlik_assets.client.errors import (
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikConfigurationError,
    QlikDataAssetExistsError,
    QlikPartialFailureError,
    QlikPermissionError,
    QlikValidationError,
)

PERMANENT_ERRORS = (
    QlikAuthenticationError,
    QlikBadRequestError,
    QlikConfigurationError,
    QlikDataAssetExistsError,
    QlikPermissionError,
    QlikValidationError,
)
"""Errors that no retry can heal."""


@contextlib.contextmanager
def permanent_errors_fail_the_task() -> Iterator[None]:
    """Turn errors that no retry can heal into ``AirflowFailException``, which ends a task without retries.

    Several failures at once are of that kind only if all of them are.
    """
    try:
        yield
    except QlikPartialFailureError as error:
        if not all(isinstance(failure, PERMANENT_ERRORS) for failure in error.failures.values()):
            raise
        raise AirflowFailException(str(error)) from error
    except PERMANENT_ERRORS as error:
        raise AirflowFailException(str(error)) from error

"""How errors of Qlik Cloud end an Airflow task; which of them are permanent is in client/verdicts.py.

====================================================================  ===========================
error                                                                 the task
====================================================================  ===========================
400, 401, 403, 404; a wrong argument, connection or configuration,    fails without retries
a connection that does not exist; a data asset that must not exist
several errors at once, all of them of that kind                      fails without retries
everything else: 409, 429 or a quota that is used up, 5xx, no         is retried by Airflow; a
answer, one that is not JSON (or a 404 page), a trigger that failed   sensor polls again
====================================================================  ===========================
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow_provider_qlik_assets._compat import AirflowFailException, AirflowNotFoundException
from airflow_provider_qlik_assets.client.errors import QlikCloudError, QlikPartialFailureError, one_line
from airflow_provider_qlik_assets.client.verdicts import PERMANENT_ERRORS

_CONNECTION_ADVICE = (
    "Define the connection for the workers and the triggerer, or correct qlik_conn_id. If it is defined, "
    "a secrets backend or Airflow's API server may have been unreachable, which Airflow reports in the same "
    "words: run the task again."
)


def is_permanent(error: BaseException) -> bool:
    """Return whether an error persists until its cause is fixed."""
    if isinstance(error, QlikPartialFailureError):
        return all(is_permanent(failure) for failure in error.failures.values())
    return isinstance(error, (*PERMANENT_ERRORS, AirflowNotFoundException))


def describe(error: BaseException) -> str:
    """Return the message of an error, with the next step."""
    if isinstance(error, AirflowNotFoundException):
        return one_line(f"{str(error).rstrip('.')}. {_CONNECTION_ADVICE}")
    return one_line(str(error) or repr(error))


@contextlib.contextmanager
def permanent_errors_fail_the_task() -> Iterator[None]:
    """Turn permanent errors into ``AirflowFailException``, which ends a task without retries."""
    try:
        yield
    except (QlikCloudError, AirflowNotFoundException) as error:
        if not is_permanent(error):
            raise
        raise AirflowFailException(describe(error)) from error

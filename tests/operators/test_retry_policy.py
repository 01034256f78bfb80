"""What a retry policy (Airflow 3.3) can match, in real runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest
from packaging.version import Version

from airflow_provider_qlik_assets._compat import DAG
from airflow_provider_qlik_assets.operators.data_assets import QlikUpdateDataFreshnessOperator
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox

ERRORS = "airflow_provider_qlik_assets.client.errors"

pytestmark = pytest.mark.skipif(
    Version(version("apache-airflow")) < Version("3.3"), reason="this Airflow has no retry policies"
)


@pytest.fixture
def count_tries(
    run_dag: Callable[[DAG], Any], qlik_sandbox: Sandbox, impatient_conn_id: str
) -> Callable[..., int]:
    """Run a task that fails and may be tried twice; return how often it was."""

    def count(status: int, error: str, action: str) -> int:
        from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule  # noqa: PLC0415

        qlik_sandbox.add_asset(id="a", technicalName="a")
        qlik_sandbox.add_fault(Fault(kind="status", status=status, times=None))
        policy = ExceptionRetryPolicy(rules=[RetryRule(f"{ERRORS}.{error}", RetryAction[action])])
        name = f"retries_{status}_{error}_{action}"
        with DAG(name, start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
            QlikUpdateDataFreshnessOperator(
                task_id="t",
                qlik_conn_id=impatient_conn_id,
                data_asset_ids="a",
                retries=1,
                retry_delay=timedelta(0),
                retry_policy=policy,
            )
        assert run_dag(dag).state == "failed"
        return len(qlik_sandbox.journal.requests())

    return count


@pytest.mark.parametrize(
    ("status", "error", "action", "tries"),
    [
        (503, "QlikServerError", "RETRY", 2),
        (503, "QlikServerError", "FAIL", 1),
        (503, "QlikRateLimitError", "FAIL", 2),
        (403, "QlikPermissionError", "RETRY", 1),
    ],
)
def test_a_policy_matches_what_may_pass_and_is_not_asked_about_what_is_permanent(
    count_tries: Callable[..., int], status: int, error: str, action: str, tries: int
) -> None:
    assert count_tries(status, error, action) == tries

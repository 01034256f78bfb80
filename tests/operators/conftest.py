from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox


@pytest.fixture
def store(qlik_sandbox: Sandbox) -> str:
    """Id of a data store."""
    return qlik_sandbox.add_store(id="store-1", name="Sales")


@pytest.fixture
def impatient_conn_id(qlik_sandbox: Sandbox, set_connection: Callable[..., str]) -> str:
    """Id of a connection that repeats nothing and waits for nothing."""
    return set_connection(
        conn_id="impatient",
        host=qlik_sandbox.url,
        password=qlik_sandbox.api_key,
        extra={"max_retries": 0, "max_retry_wait": 0, "max_rate_limit_wait": 0},
    )


@pytest.fixture(autouse=True)
def sensors_run_on_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Airflow 2 from refusing to run a sensor: it looks at the configured executor."""
    monkeypatch.setenv("_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK", "1")

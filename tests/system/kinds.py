"""The Airflow that the tests run: all on one host."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.system.processes import Processes
from tests.system.services import Sqlite
from tests.system.whole_airflow import AIRFLOW_3, Airflow

# So few writes in so long a window that a task defers rather than wait for its turn; as a user of its own,
# so that what other tests wrote does not count.
FEW_WRITES = {"tier2_limit": 10, "rate_limit_window": 65}


@contextlib.contextmanager
def local_airflow(home: Path, tenant: Sandbox) -> Iterator[Airflow]:
    """Run an Airflow with LocalExecutor and SQLite, its connections in environment variables."""
    components = ["scheduler", "triggerer", *(["api-server", "dag-processor"] if AIRFLOW_3 else [])]
    environment = {
        "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": json.dumps(connection(tenant)),
        "AIRFLOW_CONN_QLIK_FEW_WRITES": json.dumps(
            {**connection(tenant, **FEW_WRITES), "login": tenant.client_id, "password": tenant.client_secret}
        ),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # Airflow 2 would refuse this executor with SQLite, which is enough for these few tasks.
        "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
        "AIRFLOW__CORE__PARALLELISM": "4",
    }
    with contextlib.closing(Processes(home)) as processes:
        airflow = Airflow(
            home,
            Sqlite(home / "airflow.db"),
            {component: [component] for component in components},
            environment,
            processes,
        )
        with shown_on_failure(airflow):
            airflow.open()
            yield airflow


def connection(tenant: Sandbox, **extra: Any) -> dict[str, Any]:
    """Return the fields of an Airflow connection to the tenant."""
    return {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key, "extra": extra}


@contextlib.contextmanager
def shown_on_failure(airflow: Airflow) -> Iterator[None]:
    """Print the logs if the Airflow does not start; pytest shows them with the failed fixture."""
    try:
        yield
    except BaseException:
        sys.stdout.write(airflow.describe())
        raise

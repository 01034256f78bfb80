"""The kinds of Airflow that the tests run: all on one host, and one as on several."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.system.processes import Processes
from tests.system.services import Postgres, Redis, Sqlite
from tests.system.whole_airflow import AIRFLOW_3, Airflow

# So few writes in so long a window that a task defers rather than wait for its turn; as a user of its own,
# so that what other tests wrote does not count.
FEW_WRITES = {"tier2_limit": 10, "rate_limit_window": 65}
# What the tenant of the Airflow of several hosts allows; tests may wait for several windows.
QUOTA = {"tier1_limit": 60, "tier2_limit": 40}
QUOTA_WINDOW_SECONDS = 10.0
# By so much the client's window is longer than Qlik's 300 seconds, for requests that arrive late.
MARGIN_SECONDS = 3.0

# The data assets that the example DAGs name where they cannot be told by params.
EXAMPLE_ORDERS_ID = "examples-orders"
EXAMPLE_STORES_ID = "examples-stores"
EXAMPLE_CUSTOMERS_ID = "examples-customers"
EXAMPLES_ENVIRONMENT = {
    "QLIK_EXAMPLE_ORDERS_ID": EXAMPLE_ORDERS_ID,
    "QLIK_EXAMPLE_STORES_ID": EXAMPLE_STORES_ID,
    "QLIK_EXAMPLE_CUSTOMERS_ID": EXAMPLE_CUSTOMERS_ID,
}


@contextlib.contextmanager
def local_airflow(home: Path, tenant: Sandbox) -> Iterator[Airflow]:
    """Run an Airflow with LocalExecutor and SQLite, its connections in environment variables."""
    components = ["scheduler", "triggerer", *(["api-server", "dag-processor"] if AIRFLOW_3 else [])]
    environment = {
        **EXAMPLES_ENVIRONMENT,
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


@contextlib.contextmanager
def celery_airflow(home: Path, tenant: Sandbox) -> Iterator[Airflow]:
    """Run an Airflow as on several hosts: two workers and two triggerers, PostgreSQL, Redis.

    Its connections are stored in its database. Each process has a state directory of its own, so that only
    Redis can tell them what the others sent.
    """
    with contextlib.closing(Processes(home)) as processes:
        redis = Redis(processes)
        with contextlib.closing(Postgres(processes)) as database:
            components = {name: [name] for name in ("api-server", "scheduler", "dag-processor")}
            for number in (1, 2):
                worker = f"worker-{number}"
                options = ["--celery-hostname", worker, "--pid", str(home / f"{worker}.pid")]
                components |= {
                    f"triggerer-{number}": ["triggerer", "--skip-serve-logs"],
                    worker: ["celery", "worker", "--skip-serve-logs", *options],
                }
            environment = {
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": redis.url(0),
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database.url}",
                "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
                "AIRFLOW__QLIK_CLOUD__RATE_LIMIT_STORE": "airflow-connection:shared_redis",
                # A task whose worker was killed is soon taken for dead; Airflow's default is 300 seconds.
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            }
            airflow = Airflow(home, database, components, environment, processes, one_host=False)
            with shown_on_failure(airflow):
                airflow.open()
                store_connections(airflow, home, tenant, redis)
                yield airflow


def store_connections(airflow: Airflow, home: Path, tenant: Sandbox, redis: Redis) -> None:
    """Store the connections to the tenant and to the store of its quota."""
    connections = {
        "qlik_cloud_default": connection(
            tenant, **QUOTA, rate_limit_window=QUOTA_WINDOW_SECONDS + MARGIN_SECONDS
        ),
        "shared_redis": {"conn_type": "redis", "host": "127.0.0.1", "port": redis.port, "extra": {"db": 2}},
    }
    file = home / "connections.json"
    file.write_text(json.dumps(connections))
    airflow.command("connections", "import", str(file))
    file.unlink()


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

"""Sensors that wait in the triggerer, and tasks that write down what they got.

Records go to the directory ``records`` of the run's configuration.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.sensors.data_freshness import QlikDataFreshnessSensor

try:
    from airflow.sdk import BaseNotifier
except ImportError:  # Airflow 2
    from airflow.notifications.basenotifier import BaseNotifier

START = datetime(2026, 1, 1, tzinfo=UTC)
ARGUMENTS: dict[str, Any] = {
    "data_asset_ids": ["late"],
    "fresh_since": "2026-01-31T06:30:00Z",
    "deferrable": True,
    "poke_interval": 3,
    "timeout": 600,
}


def write(context: Any, name: str, value: Any) -> None:
    """Write a value down as it is, with the name of its type."""
    directory = Path(context["dag_run"].conf["records"])
    record = {"type": type(value).__name__, "value": value}
    (directory / f"{name}-{len(list(directory.glob(f'{name}-*')))}.json").write_text(json.dumps(record))


def began_on_a_worker(context: Any) -> None:
    write(context, "worker", None)


def succeeded(context: Any) -> None:
    write(context, "callback", None)


class Notifier(BaseNotifier):
    """A notifier that writes down that it was called."""

    def notify(self, context: Any) -> None:
        write(context, "notifier", None)


@task
def receive(found: Any, **context: Any) -> None:
    write(context, "received", found)


@task
def go_on(**context: Any) -> None:
    write(context, "went_on", None)


with DAG("result", start_date=START, schedule=None):
    wait = QlikDataFreshnessSensor(task_id="wait", pre_execute=began_on_a_worker, **ARGUMENTS)
    receive(wait.output)

with DAG("no_result", start_date=START, schedule=None):
    wait = QlikDataFreshnessSensor(
        task_id="wait", pre_execute=began_on_a_worker, do_xcom_push=False, **ARGUMENTS
    )
    wait >> go_on()

with DAG("callbacks", start_date=START, schedule=None, default_args={"on_success_callback": succeeded}):
    QlikDataFreshnessSensor(task_id="wait", do_xcom_push=False, **ARGUMENTS)
    QlikDataFreshnessSensor(
        task_id="notified", do_xcom_push=False, **{**ARGUMENTS, "on_success_callback": [Notifier()]}
    )

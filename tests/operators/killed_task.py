"""Run a task for a test that kills it: ``python killed_task.py <operator or sensor> <arguments as JSON>``.

The connection and Airflow's database come from the environment. Airflow's own task runner runs the task, with
its handler of SIGTERM.
"""

from __future__ import annotations

import json
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

warnings.simplefilter("ignore")

from airflow_provider_qlik_assets._compat import DAG  # noqa: E402
from airflow_provider_qlik_assets.operators import data_assets  # noqa: E402
from airflow_provider_qlik_assets.sensors import data_freshness  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.stored_dag import store  # noqa: E402

name, arguments = sys.argv[1], json.loads(sys.argv[2])
if "execution_timeout" in arguments:
    arguments["execution_timeout"] = timedelta(seconds=arguments["execution_timeout"])
with DAG("killed", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
    kind = getattr(data_assets, name, None) or getattr(data_freshness, name)
    kind(task_id="task", **arguments)

store(dag)
dag.test()

"""A whole Airflow, each of its processes for real."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import requests
from packaging.version import Version

from tests.system.processes import Processes
from tests.system.services import Database, accepts_connections, free_ports

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "example_dags"
AIRFLOW_VERSION = Version(version("apache-airflow"))
AIRFLOW_3 = Version("3") <= AIRFLOW_VERSION
LONGEST_SECONDS = 600.0
SHOWN_CHARACTERS = 4000
SHOWN_TASKS = 5
# What the interface of Airflow 2.11 calls when somebody marks a task.
MARK_FAILED_ON_AIRFLOW_2 = """
import sys
from airflow.api.common.mark_tasks import set_state
from airflow.models import DagBag
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
dag_id, run_id, task_id = sys.argv[1:]
with create_session() as session:
    dag = DagBag(read_dags_from_db=True).get_dag(dag_id)
    task = dag.get_task(task_id)
    set_state(tasks=[task], run_id=run_id, state=TaskInstanceState.FAILED, commit=True, session=session)
"""

# Several DAGs are triggered by one process, since its start takes long. Not by the API server: on Airflow 3
# with SQLite it blocks itself for a minute if a task calls it at the same moment.
TRIGGER = """
import json, sys
from airflow.cli.cli_parser import get_parser
for dag_id, run_id, conf in json.loads(sys.argv[1]):
    arguments = ["dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(conf)]
    parsed = get_parser().parse_args(arguments)
    parsed.func(parsed)
"""


class Airflow:
    """An Airflow of this environment's version.

    :param home: an empty directory, for everything that it writes.
    :param database: its own.
    :param components: arguments of the command ``airflow`` by the name of the process.
    :param environment: environment variables for all, in addition to what every Airflow of the tests has.
    :param processes: where its processes are started.
    :param one_host: whether the processes share a state directory, as those of one user of a host do.
    """

    def __init__(
        self,
        home: Path,
        database: Database,
        components: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        processes: Processes,
        *,
        one_host: bool = True,
    ) -> None:
        self._home = home
        self._one_host = one_host
        self._database = database
        self._components = components
        self._processes = processes
        self._dags = home / "dags"
        self._records = home / "records"
        for directory in (self._dags, self._records):
            directory.mkdir()
        shutil.copy(HERE / "dags" / "records.py", self._dags)
        self._api_port, worker_log_port, trigger_log_port = free_ports(3)
        self._api = f"http://127.0.0.1:{self._api_port}"
        self.fernet_key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))
        } | {
            "AIRFLOW_HOME": str(home),
            "RECORDS": str(self._records),
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "256",
            "AIRFLOW__CORE__FERNET_KEY": self.fernet_key,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url,
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(16),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._api_port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self._api,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self._api}/execution/",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "1",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
            # A triggerer that was killed is soon taken for dead.
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            # A small machine may be slow to answer.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **environment,
        }

    def open(self) -> None:
        """Start everything and return once DAGs are run."""
        self.command("db", "migrate")
        for component in self._components:
            self.start(component)
        jobs = sorted(
            job
            for job, word in {
                "SchedulerJob": "scheduler",
                "TriggererJob": "triggerer",
                "DagProcessorJob": "dag-processor",
            }.items()
            for arguments in self._components.values()
            if word in arguments
        )
        self.wait_until(lambda: self._running_jobs() == jobs, "all jobs run")
        if AIRFLOW_3:
            self.wait_until(lambda: accepts_connections(self._api_port), "the api-server listens")

    def start(self, component: str) -> None:
        """Start a component."""
        host = "host" if self._one_host else component
        environment = {**self._environment, "XDG_STATE_HOME": str(self._home / "state" / host)}
        command = [sys.executable, "-m", "airflow", *self._components[component]]
        self._processes.start(component, command, environment)

    def stop(self, component: str, by: signal.Signals) -> None:
        """End a component: asked to (``SIGTERM``), or with all its processes at once (``SIGKILL``)."""
        self._processes.stop(component, by)

    def component_of(self, run_id: str, task_id: str) -> str:
        """Return the name of the component that runs a task right now."""
        ((pid,),) = self.query(
            "SELECT pid FROM task_instance WHERE run_id = ? AND task_id = ?", run_id, task_id
        )
        return self._processes.name_of(pid)

    def command(self, *arguments: str) -> None:
        """Run a command of Airflow's."""
        self._python("-m", "airflow", *arguments)

    def add_dags(self, *files: str | Path) -> None:
        """Put files where Airflow finds them, and wait until it has.

        :param files: Python files with DAGs, and what these need; relative to ``dags/`` beside this module.
        """
        paths = [HERE / "dags" / file for file in files]
        for path in sorted(paths, key=lambda path: path.suffix == ".py"):
            shutil.copy(path, self._dags)
        for path in paths:
            if path.suffix == ".py":
                self.wait_until(partial(self._knows, path.name), f"the DAGs of {path.name} are known")

    def run(self, dag_id: str, params: Mapping[str, Any] | None = None) -> str:
        """Trigger a DAG; return the id of the run."""
        if not AIRFLOW_3:
            return self.run_all({dag_id: params or {}})[dag_id]
        run_id = _new_run_id(dag_id)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(params or {})}
        self._rest("POST", f"dags/{dag_id}/dagRuns", body)
        return run_id

    def run_all(self, params: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Trigger several DAGs, also while others run; return the id of the run of each.

        :param params: by the id of the DAG.
        """
        runs = {dag_id: _new_run_id(dag_id) for dag_id in params}
        self._python("-c", TRIGGER, json.dumps([(key, runs[key], params[key]) for key in params]))
        return runs

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task as failed, as somebody does who looks at it."""
        if AIRFLOW_3:
            path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
            self._rest("PATCH", path, {"new_state": "failed"})
        else:
            self._python("-c", MARK_FAILED_ON_AIRFLOW_2, dag_id, run_id, task_id)

    def runs(self, dag_id: str) -> list[tuple[str, str]]:
        """Return id and state of a DAG's runs, the oldest first."""
        return self.query("SELECT run_id, state FROM dag_run WHERE dag_id = ? ORDER BY id", dag_id)

    def state(self, run_id: str) -> str:
        """Return the state of a run."""
        state: str = self.query("SELECT state FROM dag_run WHERE run_id = ?", run_id)[0][0]
        return state

    def states(self, run_id: str) -> list[tuple[str, str | None, int]]:
        """Return task id, state and number of tries of a run's task instances, by task id."""
        return self.query(
            "SELECT task_id, state, try_number FROM task_instance WHERE run_id = ? ORDER BY task_id", run_id
        )

    def wait_until_ended(self, run_id: str, seconds: float = LONGEST_SECONDS) -> list[Any]:
        """Return task id, state and number of tries of a run's task instances once the run has ended."""
        self.wait_until(lambda: self.state(run_id) in ("success", "failed"), f"{run_id} has ended", seconds)
        return self.states(run_id)

    def recorded(self, run_id: str, name: str) -> Any:
        """Return what a task of ``dags/`` recorded as the value that it got (see ``records.py`` there).

        :return: ``{"type": ..., "value": ...}``.
        """
        return json.loads((self._records / f"{run_id}.{name}.json").read_text())

    def log(self, run_id: str, task_id: str) -> str:
        """Return the log of a task, the triggerer's part included."""
        logs = (self._home / "logs").glob(f"*/run_id={run_id}/task_id={task_id}/**/*.log*")
        return "\n".join(path.read_text(errors="replace") for path in sorted(logs))

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Return rows of Airflow's database."""
        return self._database.query(statement, *values)

    def tables(self) -> list[str]:
        """Return the names of the tables of Airflow's database."""
        return self._database.tables()

    def wait_until(self, holds: Callable[[], Any], what: str, seconds: float = LONGEST_SECONDS) -> None:
        """Return once something holds.

        :raises AssertionError: if it does not in time, or if a process ends.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            ended = self._processes.ended()
            assert not ended, f"{ended} ended while the test waited until {what}"
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            time.sleep(0.1)

    def everything_logged(self) -> str:
        """Return all logs, those of the processes included."""
        return "\n".join(path.read_text(errors="replace") for path in self._home.rglob("*.log*"))

    def describe(self) -> str:
        """Return the ends of the logs of the processes and of the latest tasks, for a test that failed."""
        tasks = sorted(
            (self._home / "logs").glob("dag_id=*/**/*.log*"), key=lambda path: path.stat().st_mtime
        )
        processes = [path for path in map(self._processes.log_of, self._components) if path.exists()]
        return "\n".join(
            f"--- {path.relative_to(self._home)}\n{path.read_text(errors='replace')[-SHOWN_CHARACTERS:]}"
            for path in processes + tasks[-SHOWN_TASKS:]
        )

    def _knows(self, file: str) -> bool:
        statement = "SELECT count(*) FROM serialized_dag JOIN dag USING (dag_id) WHERE dag.fileloc LIKE ?"
        ((count,),) = self.query(statement, f"%/{file}")
        return bool(count)

    def _running_jobs(self) -> list[str]:
        return [
            job for (job,) in self.query("SELECT job_type FROM job WHERE state = 'running' ORDER BY job_type")
        ]

    def _python(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout.decode()[-3000:]}"

    def _rest(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        token = requests.get(f"{self._api}/auth/token", timeout=LONGEST_SECONDS).json()["access_token"]
        answer = requests.request(
            method,
            f"{self._api}/api/v2/{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=LONGEST_SECONDS,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"


def _new_run_id(dag_id: str) -> str:
    return f"{dag_id}-{secrets.token_hex(4)}"

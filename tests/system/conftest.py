"""A whole Airflow, each of its processes for real, and the tenant that its connection names."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

HERE = Path(__file__).parent
AIRFLOW_3 = not version("apache-airflow").startswith("2.")
COMPONENTS = (
    ("api-server", "scheduler", "dag-processor", "triggerer") if AIRFLOW_3 else ("scheduler", "triggerer")
)
JOBS = {"SchedulerJob", "TriggererJob", *(["DagProcessorJob"] if AIRFLOW_3 else [])}
LONGEST_SECONDS = 240.0
# So few writes in so long a window that a task defers rather than wait for its turn.
FEW_WRITES = {"tier2_limit": 10, "rate_limit_window": 65}
SHOWN_CHARACTERS = 4000
SHOWN_TASKS = 5


class Airflow:
    """An Airflow of this environment's version in a directory of its own.

    :param home: an empty directory, for everything that it writes.
    :param tenant: what the connection ``qlik_cloud_default`` names.
    """

    def __init__(self, home: Path, tenant: Sandbox) -> None:
        self._home = home
        self._dags = home / "dags"
        self._dags.mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._api_port, worker_log_port, trigger_log_port = free_ports(3)
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))
        } | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_QLIK_CLOUD_DEFAULT": connection(tenant),
            "AIRFLOW_CONN_QLIK_FEW_WRITES": connection(tenant, **FEW_WRITES),
            "XDG_STATE_HOME": str(home / "state"),
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            # Airflow 2 would refuse this executor with SQLite, which is enough for these few tasks.
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}?timeout=60",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(16),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._api_port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{self._api_port}",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._api_port}/execution/",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "1",
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
            # A triggerer that was killed is soon taken for dead.
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        self._guard = subprocess.Popen(
            [sys.executable, str(HERE / "guard.py")], stdin=subprocess.PIPE, start_new_session=True
        )

    @property
    def _database(self) -> Path:
        return self._home / "airflow.db"

    def open(self) -> None:
        """Start everything and return once DAGs are run."""
        self.command("db", "migrate")
        with contextlib.closing(sqlite3.connect(self._database)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not lock each other out
        for component in COMPONENTS:
            self.start(component)
        self.wait_until(lambda: JOBS.issubset(self._running_jobs()), "all jobs run")
        if AIRFLOW_3:
            self.wait_until(lambda: accepts_connections(self._api_port), "the api-server listens")

    def close(self) -> None:
        """Kill everything that was started."""
        assert self._guard.stdin
        self._guard.stdin.close()
        self._guard.wait()
        for process in self._processes.values():
            process.wait()

    def start(self, component: str) -> None:
        """Start a component in a session of its own."""
        with self._log_of(component).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", component],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[component] = process
        self._tell_guard(f"+{process.pid}")

    def stop(self, component: str, by: signal.Signals) -> None:
        """End a component: asked to (``SIGTERM``), or with all its processes at once (``SIGKILL``)."""
        process = self._processes.pop(component)
        if by == signal.SIGTERM:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == process.pid:
                    os.kill(pid, signal.SIGKILL)
        process.wait()
        self._tell_guard(f"-{process.pid}")

    def command(self, *arguments: str) -> None:
        """Run a command of Airflow's."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"airflow {' '.join(arguments)}: {done.stdout.decode()[-3000:]}"

    def add_dags(self, file: str | Path) -> None:
        """Put a file, by default one of ``dags/``, where Airflow finds it, and wait until it has."""
        shutil.copy(HERE / "dags" / file, self._dags)
        self.wait_until(
            lambda: self.query(
                "SELECT count(*) FROM serialized_dag JOIN dag USING (dag_id) WHERE dag.fileloc LIKE ?",
                f"%/{Path(file).name}",
            )[0][0],
            f"the DAGs of {file} are known",
        )

    def run(self, dag_id: str) -> str:
        """Trigger a DAG; return the id of the run."""
        run_id = f"{dag_id}-{secrets.token_hex(4)}"
        self.command("dags", "trigger", dag_id, "--run-id", run_id)
        return run_id

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

    def returned(self, run_id: str, map_index: int = -1) -> Any:
        """Return what the only task of a run returned."""
        ((value,),) = self.query(
            "SELECT value FROM xcom WHERE run_id = ? AND map_index = ? AND key = 'return_value'",
            run_id,
            map_index,
        )
        while isinstance(value, str | bytes):  # Airflow 3 stores JSON as JSON text
            value = json.loads(value)
        return value

    def log(self, run_id: str, task_id: str) -> str:
        """Return the log of a task, the triggerer's part included."""
        logs = (self._home / "logs").glob(f"*/run_id={run_id}/task_id={task_id}/**/*.log*")
        return "\n".join(path.read_text(errors="replace") for path in sorted(logs))

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Return rows of Airflow's database."""
        with contextlib.closing(sqlite3.connect(self._database, timeout=60)) as database:
            return database.execute(statement, values).fetchall()

    def wait_until(self, holds: Callable[[], Any], what: str, seconds: float = LONGEST_SECONDS) -> None:
        """Return once something holds.

        :raises AssertionError: if it does not in time, or if a process ends.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
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
        shown = [path for path in map(self._log_of, COMPONENTS) if path.exists()] + tasks[-SHOWN_TASKS:]
        return "\n".join(
            f"--- {path.relative_to(self._home)}\n{path.read_text(errors='replace')[-SHOWN_CHARACTERS:]}"
            for path in shown
        )

    def _running_jobs(self) -> list[str]:
        return [row[0] for row in self.query("SELECT job_type FROM job WHERE state = 'running'")]

    def _log_of(self, component: str) -> Path:
        return self._home / f"{component}.log"

    def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin
        self._guard.stdin.write(f"{line}\n".encode())
        self._guard.stdin.flush()


def connection(tenant: Sandbox, **extra: Any) -> str:
    """Return an Airflow connection to the tenant as JSON."""
    fields = {"conn_type": "qlik_cloud", "host": tenant.url, "password": tenant.api_key, "extra": extra}
    return json.dumps(fields)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def accepts_connections(port: int) -> bool:
    """Return whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def tenant() -> Iterator[Sandbox]:
    """One tenant for all tests, each of which has data assets of its own."""
    with Sandbox() as sandbox:
        sandbox.add_store(id="store", name="Store")
        yield sandbox


@pytest.fixture(scope="session")
def airflow(tenant: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Run an Airflow; its start takes most of a minute on a small machine."""
    home = tmp_path_factory.mktemp("airflow")
    running = Airflow(home, tenant)
    try:
        running.open()
        yield running
    except BaseException:
        print(running.describe())  # noqa: T201 - pytest shows it with the failed fixture
        raise
    finally:
        running.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show Airflow's logs with a test that failed."""
    report: Any = yield
    running = getattr(item, "funcargs", {}).get("airflow")
    if report.when == "call" and report.failed and running is not None:
        report.sections.append(("Airflow", running.describe()))
    return report

"""What the whole suite needs; Airflow reads the environment set here when it is first imported."""

from __future__ import annotations

import atexit
import gc
import itertools
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from airflow_provider_qlik_assets.catalog import same_name
from tests.stored_dag import store

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import DAG
    from airflow_provider_qlik_assets.sandbox import Sandbox

_home = Path(tempfile.mkdtemp(prefix="qlik-assets-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
(_home / "dags").mkdir()

# A CA bundle of this machine would be read for each client, which takes longer than most tests.
for _name in [name for name in os.environ if name.startswith("AIRFLOW_") or name.endswith("_CA_BUNDLE")]:
    del os.environ[_name]
os.environ.update(
    {
        "AIRFLOW_HOME": str(_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        # Airflow 2 warns on import about this default, and SQLAlchemy about Airflow 2.
        "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",
        "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
        # A proxy of this machine must not come between a test and its own server.
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
    }
)

# Chosen with --hypothesis-profile. How long an example takes depends on what else the machine does.
settings.register_profile("quick", settings(), max_examples=25, deadline=None)
settings.register_profile("thorough", settings(), max_examples=100, deadline=None)
settings.load_profile("quick")

pytest_plugins = ["airflow_provider_qlik_assets.sandbox.pytest_plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of ``tests/schedules``, which pytest must know before it looks for tests there."""
    group = parser.getgroup("schedules")
    group.addoption("--every-schedule", action="store_true", help="cover all schedules, not just some")
    group.addoption("--schedule", metavar="N,N,...", help="run the one schedule that a failed test has named")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Look for garbage after the collection only, and not in what it has loaded, which stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run DAGs first, so that one of the processes starts so much of Airflow, not each."""
    items.sort(key=lambda item: "airflow_db" not in getattr(item, "fixturenames", ()))


_test_numbers = itertools.count()


@pytest.fixture(autouse=True)
def state_directory(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a quota and a token cache of its own; who uses neither creates no directory."""
    directory = _home / "states" / str(next(_test_numbers))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory))
    return directory


@pytest.fixture(autouse=True)
def all_is_visible_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each create two seconds; a test of what they are for sets ``visible_after`` itself.

    Nothing that one test has learned about its tenant counts for the next one, whose tenant has the same URL.
    """
    monkeypatch.setattr(same_name, "VISIBLE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(same_name, "memory", same_name.Memory())


@pytest.fixture
def set_connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Define an Airflow connection: ``set_connection(conn_id="qlik_cloud_default", **fields)`` -> conn_id."""

    def define(conn_id: str = "qlik_cloud_default", **fields: Any) -> str:
        connection = {"conn_type": "qlik_cloud", **fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    return define


@pytest.fixture
def qlik_conn_id(qlik_sandbox: Sandbox, set_connection: Callable[..., str]) -> str:
    """Id of an Airflow connection to the sandbox, with an API key."""
    return set_connection(host=qlik_sandbox.url, password=qlik_sandbox.api_key)


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], list[str]]:
    """Find the lines with a text in what one logger has logged so far: ``logged(text)``.

    What is Airflow's logs through ``logging`` (2.11), to the standard output (3.1 on), or both ways (3.0).
    """
    caplog.set_level(logging.INFO)

    def find(text: str) -> list[str]:
        ways = [caplog.text, capsys.readouterr().out]
        return max(([line for line in way.splitlines() if text in line] for way in ways), key=len)

    return find


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Create Airflow's database, once for the session."""
    from airflow.utils.db import initdb  # noqa: PLC0415 - most tests need no Airflow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initdb()


@pytest.fixture
def run_dag(airflow_db: None) -> Callable[..., Any]:
    """Run an in-memory Dag in this process, its triggers included: ``run_dag(dag, conf=None)`` -> Dag run."""

    def run(dag: DAG, conf: dict[str, Any] | None = None) -> Any:
        # Airflow's own deprecations, in the database and in what a task run imports.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store(dag)
            return dag.test(run_conf=conf)

    return run

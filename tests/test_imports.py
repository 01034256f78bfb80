"""Importing costs every DAG parse: it must be quick, quiet and without any use of the network."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

PACKAGE = "airflow_provider_qlik_assets"
ON_AIRFLOW_3 = find_spec("airflow.sdk") is not None

# Each one imports nothing of those that follow.
ON_AIRFLOW = [
    "provider_info",
    "hooks.qlik_cloud",
    "triggers.data_freshness",
    "operators.data_assets",
    "sensors.data_freshness",
]
WITHOUT_AIRFLOW = {
    "client": ["catalog", "sandbox"],
    "catalog": ["sandbox"],
    "sandbox.server": ["client", "catalog"],
}

WHAT_EVERY_DAG_IMPORTS = (
    "from airflow.sdk import DAG, BaseOperator, task"
    if ON_AIRFLOW_3
    else "from airflow import DAG; from airflow.models import BaseOperator"
)

NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise AssertionError(f"{event} while importing: {arguments}")

sys.addaudithook(refuse)
"""


def run(script: str, *options: str) -> Any:
    """Run Python in a process of its own; return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, *options, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """All modules that are there after the import of each of ours; no network, no warning on Airflow 3."""
    script = f"""{NO_NETWORK}
import importlib, json
found = {{}}
for name in {ON_AIRFLOW}:
    importlib.import_module("{PACKAGE}." + name)
    found[name] = sorted(sys.modules)
print(json.dumps(found))
"""
    # Airflow 2 warns about itself when it is imported.
    found = run(script, "-W", "error" if ON_AIRFLOW_3 else "ignore")
    return {name: set(modules) for name, modules in found.items()}


def ours(modules: set[str]) -> set[str]:
    """Return the top-level parts of this package among some modules."""
    return {name.split(".")[1] for name in modules if name.startswith(f"{PACKAGE}.")}


@pytest.mark.parametrize("module", ON_AIRFLOW)
def test_importing_is_quiet_and_uses_no_network(imported: dict[str, set[str]], module: str) -> None:
    assert f"{PACKAGE}.{module}" in imported[module]


def test_the_network_is_really_refused() -> None:
    with pytest.raises(AssertionError, match="while importing"):
        run(f"{NO_NETWORK}\nimport socket\nsocket.create_connection(('127.0.0.1', 9))")


def test_metadata_imports_no_airflow(imported: dict[str, set[str]]) -> None:
    """Every ``airflow`` command reads them."""
    assert not [
        name for name in imported["provider_info"] if name.partition(".")[0] in {"airflow", "requests"}
    ]


@pytest.mark.parametrize("module", ON_AIRFLOW[1:])
def test_imports_point_downwards(imported: dict[str, set[str]], module: str) -> None:
    later = {name.partition(".")[0] for name in ON_AIRFLOW[ON_AIRFLOW.index(module) + 1 :]}
    assert not (later | {"sandbox"}) & ours(imported[module])


def test_importing_adds_little_to_what_every_dag_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"""
import gc, json, sys, time
{WHAT_EVERY_DAG_IMPORTS}
before = set(sys.modules)
gc.freeze()  # what Airflow left to collect is not our cost
start = time.process_time()
import {PACKAGE}.operators.data_assets, {PACKAGE}.sensors.data_freshness
seconds = time.process_time() - start
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""
    # Airflow's mode for its own tests loads more than a deployment does, which keeps its byte code.
    monkeypatch.delenv("AIRFLOW__CORE__UNIT_TEST_MODE")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    # The first run may have to compile, and others may be slowed down by what else the machine does.
    for _ in range(6):
        seconds, modules = run(script, "-W", "ignore")
        assert not {"fastapi", "uvicorn", "redis", f"{PACKAGE}.sandbox"} & set(modules)
        if seconds < 0.15:
            return
    pytest.fail(f"It took {seconds} s.")


@pytest.mark.parametrize(("layer", "others"), WITHOUT_AIRFLOW.items())
def test_layers_below_the_hook_work_without_airflow(layer: str, others: list[str]) -> None:
    script = f"{NO_NETWORK}\nimport json\nimport {PACKAGE}.{layer}\nprint(json.dumps(sorted(sys.modules)))"
    modules = set(run(script, "-W", "error"))

    assert not {name for name in modules if name.partition(".")[0] == "airflow"}
    assert not {*others, "hooks", "operators", "sensors", "triggers"} & ours(modules)

"""What the README shows works, and is what the examples hold."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.hooks.fields import EXTRA_FIELDS
from airflow_provider_qlik_assets.provider_info import get_provider_info
from airflow_provider_qlik_assets.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"(?:<!-- (\S+) -->\n)?```python\n(.*?)```", README, re.DOTALL)
EXAMPLES = [(file, code) for file, code in SNIPPETS if file]


def snippet(marker: str) -> str:
    [code] = [code for file, code in SNIPPETS if not file and marker in code]
    return code


def test_every_snippet_is_tested_here() -> None:
    assert len(SNIPPETS) == 6
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(("file", "code"), EXAMPLES)
def test_an_example_is_shown_as_it_is(file: str, code: str) -> None:
    assert code.strip() in (ROOT / file).read_text()


@pytest.mark.slow
def test_the_dag_runs(qlik_sandbox: Sandbox, qlik_conn_id: str, run_dag: Callable[..., Any]) -> None:
    code = snippet("publish_orders")
    store_id = qlik_sandbox.add_store(name="warehouse")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    try:
        import airflow.sdk  # noqa: F401, PLC0415
    except ImportError:
        code = code.replace("from airflow.sdk import dag", "from airflow.decorators import dag")
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = code.replace("<data store id>", store_id)
        exec(code.replace("\npublish_orders()", "\npublished = publish_orders()"), names)
    assert run_dag(names["published"]).state == "success"
    [asset] = qlik_sandbox.assets.values()
    assert asset["technicalName"] == "dwh.orders"
    assert "dataFreshness" in asset


def test_the_client_works_without_airflow(qlik_sandbox: Sandbox) -> None:
    qlik_sandbox.add_asset(
        data_store_id=qlik_sandbox.add_store(name="warehouse"), technicalName="orders", appType="test"
    )
    code = (
        snippet("for asset in client")
        .replace("https://your-tenant.eu.qlikcloud.com", qlik_sandbox.url)
        .replace("<API key>", qlik_sandbox.api_key)
    )
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; assert 'airflow' not in sys.modules"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.stdout == "orders None\n", shown.stderr


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_the_pytest_plugin_works(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(snippet("pytest_plugins").partition("\n\n")[0])
    (tmp_path / "test_mine.py").write_text(snippet("pytest_plugins").partition("\n\n\n")[2])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_the_server_starts_as_shown() -> None:
    [command] = re.findall(r"^\$ python (-m airflow_provider_qlik_assets\.sandbox .*)$", README, re.MULTILINE)
    arguments = command.replace("8099", "0").split()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        printed: list[str] = []
        while not printed or printed[-1] != "export":  # the last line that it prints
            line = server.stdout.readline()
            assert line, printed
            printed.append(line.partition(" ")[0])
        server.terminate()
    assert {"url", "api_key", "data_store_id", "export"} <= set(printed)


def test_every_extra_is_named() -> None:
    for field in EXTRA_FIELDS:
        assert f"`{field.name}`" in README


def test_every_operator_and_sensor_is_named() -> None:
    from airflow_provider_qlik_assets.operators import data_assets  # noqa: PLC0415
    from airflow_provider_qlik_assets.sensors import data_freshness  # noqa: PLC0415

    names = {*data_assets.__all__, data_freshness.QlikDataFreshnessSensor.__name__}
    assert len(names) == 7
    for name in names:
        assert f"`{name}`" in README


def test_the_metadata_names_the_project_page() -> None:
    assert get_provider_info()["package-name"] == README.splitlines()[0].removeprefix("# ")

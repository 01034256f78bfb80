"""The pytest plugin in a test suite of a user's own."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = 'pytest_plugins = ["airflow_provider_qlik_assets.sandbox.pytest_plugin"]\n'
TESTS = """
import requests

def status(sandbox):
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    return requests.get(f"{sandbox.url}/api/v1/users/me", headers=headers, timeout=10).status_code

def test_first(qlik_sandbox):
    assert status(qlik_sandbox) == 200
    qlik_sandbox.add_store(name="left behind")
    qlik_sandbox.settings.tier1_limit = 1
    assert status(qlik_sandbox) == 429

def test_second(qlik_sandbox):
    assert qlik_sandbox.stores == {}
    assert [status(qlik_sandbox) for _ in range(2)] == [200, 200]
"""


@pytest.mark.slow
def test_each_test_of_a_user_gets_a_clean_tenant(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # not one of a directory above
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_dag.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        str(tmp_path),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout

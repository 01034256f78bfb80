"""The sandbox answers as its OpenAPI description says, whatever schemathesis makes up."""

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.parametrize("phase", ["coverage", "fuzzing", "stateful"])
@pytest.mark.slow
def test_every_operation_keeps_to_its_description(sandbox: Sandbox, tmp_path: Path, phase: str) -> None:
    sandbox.settings.tier1_limit = sandbox.settings.tier2_limit = 10**6
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(CONFIGURATION),
        "run",
        "--no-color",
    ]
    command += ["--phases", phase, "--header", f"Authorization: Bearer {sandbox.api_key}"]
    command += [f"{sandbox.url}/openapi.json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    statuses = {entry.status for entry in sandbox.journal.requests()}
    assert 500 not in statuses
    assert statuses >= {200, 201, 204, 400, 404, 409}

"""Templates, and what other tasks return, in a process of its own, as ``airflow dags test`` runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_qlik_assets.sandbox import Sandbox

SECRETS = ("password-of-another-connection", "secret-of-a-variable")
TEXT = "{{ conn.other.password }} {{ var.value.other }}"

DAG_FILE = """
from datetime import datetime, UTC
from airflow_provider_qlik_assets._compat import DAG, task
from airflow_provider_qlik_assets.operators.data_assets import QlikUpsertDataAssetOperator

with DAG("{name}", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None):
    @task
    def returned():
        return {returned}

    {operator}
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "returned", "operator", "description"),
    [
        (
            "own_process_mapped",
            [{"id": "a", "description": TEXT}],
            "QlikUpsertDataAssetOperator.partial(task_id='u').expand(data_asset=returned())",
            TEXT,
        ),
        (
            "own_process_nothing",
            None,
            "QlikUpsertDataAssetOperator(task_id='u', data_asset={'id': 'a', 'description': returned()})",
            "old",
        ),
    ],
)
@pytest.mark.usefixtures("airflow_db", "qlik_conn_id")
@pytest.mark.slow
def test_airflow_dags_test(  # noqa: PLR0917 - fixtures
    name: str,
    returned: Any,
    operator: str,
    description: str,
    qlik_sandbox: Sandbox,
    tmp_path: Path,
    set_connection: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_connection("other", conn_type="http", password=SECRETS[0])
    monkeypatch.setenv("AIRFLOW_VAR_OTHER", SECRETS[1])
    qlik_sandbox.add_asset(id="a", technicalName="a", description="old")
    (tmp_path / f"{name}.py").write_text(DAG_FILE.format(name=name, returned=returned, operator=operator))
    run = subprocess.run(
        [sys.executable, "-m", "airflow", "dags", "test", name],
        env={**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    shown = run.stdout + run.stderr

    assert qlik_sandbox.assets["a"]["description"] == description, shown
    assert not any(secret in shown + json.dumps(qlik_sandbox.assets) for secret in SECRETS)
    if returned is None:
        assert "data_asset.description became None" in shown

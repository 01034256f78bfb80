"""The demo runs the example DAGs with a real Airflow and checks the catalog itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(300)
def test_the_demo_runs_every_example_and_leaves_the_catalog_as_expected() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    demo = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "example_dags" / "demo.py")],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert demo.returncode == 0, f"{demo.stdout[-4000:]}\n{demo.stderr[-4000:]}"
    assert "Every DAG run succeeded, and the catalog is as expected." in demo.stdout
    for example in (ROOT / "example_dags").glob("*.py"):
        assert example.name == "demo.py" or f"unning {example.stem}" in demo.stdout


@pytest.mark.parametrize("expectation", ["steward", "backup", "wrote nothing"])
def test_the_demo_would_notice_a_wrong_catalog(expectation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "example_dags"))
    from datetime import UTC, datetime  # noqa: PLC0415

    from demo import expectations  # noqa: PLC0415

    catalog = {"dwh.sales.orders_2019_backup": {"version": 1}}
    held = expectations(catalog, {}, catalog, datetime.now(UTC))
    [name] = [name for name in held if expectation in name]
    assert not held[name]

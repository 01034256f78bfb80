"""Ten seconds of the soak: what all promises have to survive together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ten_seconds_of_everything_at_once_break_no_promise(tmp_path: Path) -> None:
    options = ["--minutes", str(10 / 60), "--seed", "1", "--kill-every", "3", "--keep", str(tmp_path)]
    soak = subprocess.run(
        [sys.executable, "tests/soak", *options], cwd=ROOT, text=True, capture_output=True, check=False
    )

    assert soak.returncode == 0, soak.stdout + soak.stderr
    assert "Violations: 0" in soak.stdout

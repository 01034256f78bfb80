"""What is published: all that is needed at run time, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_qlik_assets"
# Besides Python modules.
_DATA = {f"{PACKAGE}/py.typed", f"{PACKAGE}/client/rate_limit/ledger.lua"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names of the files in the wheel and in the sdist."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        wheel_names = set(wheel.namelist())
    with tarfile.open(next(target.glob("*.tar.gz"))) as sdist:
        sdist_names = {name.partition("/")[2] for name in sdist.getnames()}
    return {"wheel": wheel_names, "sdist": sdist_names}


def modules() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")}


def test_the_wheel_holds_the_package_and_nothing_else(built: dict[str, set[str]]) -> None:
    content = {name for name in built["wheel"] if ".dist-info/" not in name}

    assert modules() <= content
    assert content >= _DATA
    assert content - modules() - _DATA == set()
    assert not any(name.endswith("ruff.toml") or "test" in name.split("/")[0] for name in content)


def test_the_wheel_holds_licence_and_entry_points(built: dict[str, set[str]]) -> None:
    metadata = {name.partition(".dist-info/")[2] for name in built["wheel"] if ".dist-info/" in name}

    assert metadata == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_holds_what_is_needed_to_build_and_test(built: dict[str, set[str]]) -> None:
    content = built["sdist"]

    assert modules() <= content
    assert {
        "LICENSE",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "pyproject.toml",
    } <= content
    assert {"tests/conftest.py", "example_dags/demo.py"} <= content
    assert content >= _DATA


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_no_leftovers_are_published(built: dict[str, set[str]], kind: str) -> None:
    unwanted = ("__pycache__", ".venv", ".git/", ".pytest_cache", "uv.lock", ".coverage", ".DS_Store")

    assert [name for name in built[kind] if any(part in name for part in unwanted)] == []

"""Run the client's tests with the lowest versions that the package says it works with.

``python tests/floors`` installs the package with both extras and the floors of all its direct dependencies in
an environment of its own. Tests that take long are left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# There are wheels of all floors for them.
PYTHONS = ">=3.11,<3.13"
TOOLS = ["pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis", "cloudpickle", "pysocks"]
TESTS = ["tests/client", "tests/sandbox/test_access.py"]
LONGEST_STEP_SECONDS = 1200


def main() -> int:
    """Return 0 if the floors can be installed together, and the tests pass with them."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qlik-assets-floors-") as directory:
        home = Path(directory)
        python = str(home / "venv" / "bin" / "python")
        install = ["uv", "pip", "install", "--quiet", "--python", python]
        run(home, "uv", "venv", "--quiet", "--python", PYTHONS, str(home / "venv"))
        run(home, *install, "--resolution", "lowest-direct", f"{ROOT}[redis,sandbox]")
        installed = run(home, "uv", "pip", "freeze", "--python", python)
        check_floors(installed)
        (home / "pins.txt").write_text("\n".join(re.findall(r"(?m)^[\w.-]+==\S+$", installed)))
        run(home, *install, "--constraints", str(home / "pins.txt"), *TOOLS)
        # The tests have to take what is installed, and old versions warn of themselves.
        quietly = ["-q", "-W", "default", "-p", "no:anyio", "-p", "no:cacheprovider"]
        tested = run(home, python, "-P", "-m", "pytest", *quietly, *TESTS)
    print(f"{tested.splitlines()[-1]}; {time.monotonic() - started:.0f} s in all.")
    return 0


def check_floors(installed: str) -> None:
    """Check that the floor of each dependency is what is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = dict(line.lower().split("==") for line in installed.splitlines() if "==" in line)
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *extras["redis"], *extras["sandbox"]]:
        name, floor = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
        if not f"{versions[name]}.0.0".startswith(f"{floor}."):
            raise SystemExit(
                f"The floor of {name} is {floor}, but nothing below {versions[name]} can be installed."
            )


def run(home: Path, *command: str) -> str:
    """Run a command; return what it printed.

    :raises SystemExit: if it failed.
    """
    foreign = ("AIRFLOW", "PYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment["AIRFLOW_HOME"] = str(home / "airflow")
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=LONGEST_STEP_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())

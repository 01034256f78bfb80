"""Try the package with the versions that each Airflow was published with; people install with such pins.

``python tests/eras`` builds the wheel. For each ``VERSION.txt`` of this directory, it installs the wheel and
Airflow in an environment of their own, imports all modules, loads the provider through Airflow and runs
the demo.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DISTRIBUTION = "airflow-provider-qlik-assets"
# All of these Airflows run on them.
PYTHONS = ">=3.11,<3.13"
TESTS = ["tests/hooks", "tests/operators", "tests/sensors", "tests/triggers"]
LONGEST_STEP_SECONDS = 3600


class StepError(Exception):
    """A step ended otherwise than it should."""


def main() -> int:
    """Return 0 if everything worked with each of the versions."""
    versions = sorted(file.stem for file in HERE.glob("*.txt"))
    parser = argparse.ArgumentParser("tests/eras", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help=f"of {', '.join(versions)} (all)")
    parser.add_argument("--tests", action="store_true", help=f"also run {', '.join(TESTS)}")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    arguments = parser.parse_args()
    if unknown := set(arguments.versions) - set(versions):
        parser.error(f"there are no pins of {', '.join(sorted(unknown))}")

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qlik-assets-eras-") as directory:
        home = Path(directory)
        run("uv", "build", "--quiet", "--wheel", "--out-dir", str(home / "wheel"), directory=home)
        [wheel] = (home / "wheel").glob("*.whl")
        eras = [Era(version, home / version, wheel) for version in arguments.versions or versions]
        with ThreadPoolExecutor(arguments.jobs) as pool:
            succeeded = list(pool.map(lambda era: era.try_out(tests=arguments.tests), eras))
    print(f"{sum(succeeded)} of {len(eras)} succeeded in {time.monotonic() - started:.0f} s.")
    return 0 if all(succeeded) else 1


class Era:
    """An Airflow, and an environment with what it was published with.

    :param version: of Airflow.
    :param directory: of the environment; everything that is written goes there.
    :param wheel: the built package.
    """

    def __init__(self, version: str, directory: Path, wheel: Path) -> None:
        self.version = version
        self.directory = directory
        self.wheel = wheel
        self.python = str(directory / "venv" / "bin" / "python")

    def try_out(self, *, tests: bool) -> bool:
        """Take all steps up to the first that fails; print what came of them.

        :param tests: whether to run tests, too.
        """
        self.directory.mkdir()
        results = []
        succeeded = True
        steps = [
            self.install,
            self.import_all,
            self.load_provider,
            self.demo,
            *([self.test] if tests else []),
        ]
        for step in steps:
            started = time.monotonic()
            try:
                results.append(f"{step()} in {time.monotonic() - started:.0f} s")
            except StepError as error:
                results.append(str(error))
                succeeded = False
                break
        print(f"Airflow {self.version}: {'; '.join(results)}", flush=True)
        return succeeded

    def install(self) -> str:
        """Install Airflow and the package with all extras."""
        self._run("uv", "venv", "--quiet", "--python", PYTHONS, str(self.directory / "venv"))
        package = f"{DISTRIBUTION}[redis,sandbox] @ {self.wheel.as_uri()}"
        # One of the modules is a plugin of pytest.
        self._install(f"apache-airflow=={self.version}", package, "pytest")
        return "installed"

    def import_all(self) -> str:
        """Import all modules."""
        self._run(self.python, str(HERE / "import_all.py"))
        return "imported"

    def load_provider(self) -> str:
        """Let Airflow load the provider and its connection type."""
        providers = self._run(self.python, "-m", "airflow", "providers", "list")
        hooks = self._run(self.python, "-m", "airflow", "providers", "hooks")
        if DISTRIBUTION not in providers or "QlikCloudHook" not in hooks:
            raise StepError(f"Airflow does not know the provider.\n{providers}\n{hooks}")
        return "loaded"

    def demo(self) -> str:
        """Run the example DAGs."""
        self._run(self.python, str(ROOT / "example_dags" / "demo.py"))
        return "demo run"

    def test(self) -> str:
        """Run the tests of what runs in Airflow."""
        self._install("--group", f"{ROOT / 'pyproject.toml'}:test", str(self.wheel))
        # With some of the pins, the plugin of anyio and others warn about themselves.
        tested = self._run(self.python, "-m", "pytest", "-q", "-p", "no:anyio", "-W", "default", *TESTS)
        return f"tests: {tested.splitlines()[-1]}"

    def _install(self, *what: str) -> None:
        pins = str(HERE / f"{self.version}.txt")
        self._run("uv", "pip", "install", "--quiet", "--python", self.python, "--constraints", pins, *what)

    def _run(self, *command: str) -> str:
        return run(*command, directory=self.directory)


def run(*command: str, directory: Path) -> str:
    """Run a command; return what it printed.

    :param directory: where Airflow keeps its files.
    :raises StepError: if it failed, with the end of what it printed.
    """
    # Neither an Airflow that is set up here nor the environment that this runs in has a say.
    foreign = ("AIRFLOW", "PYTHON", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment |= {"AIRFLOW_HOME": str(directory / "airflow"), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=LONGEST_STEP_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise StepError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())

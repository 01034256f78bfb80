"""Import all of the installed package, as a user of the Airflow beside it does; print what is wrong."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from pathlib import Path

import airflow_provider_qlik_assets
from airflow_provider_qlik_assets import _compat

PACKAGE = Path(airflow_provider_qlik_assets.__file__).parent


def main() -> int:
    """Return 0 if everything can be imported, and no warning is about us."""
    problems = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for module in pkgutil.walk_packages([str(PACKAGE)], f"{PACKAGE.name}."):
            if module.name.rpartition(".")[2] == "__main__":
                continue
            try:
                importlib.import_module(module.name)
            except Exception as error:  # noqa: BLE001 - each module is tried
                problems.append(f"{module.name}: {error!r}")
        for name in _compat.HOMES:
            try:
                getattr(_compat, name)
            except Exception as error:  # noqa: BLE001 - each name is tried
                problems.append(f"_compat.{name}: {error!r}")
    problems += [str(warning) for warning in caught if Path(warning.filename).is_relative_to(PACKAGE)]
    print("\n".join(problems) or f"All modules of {PACKAGE} were imported.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

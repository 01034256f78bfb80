"""``python tests/soak``: see :mod:`tests.soak.command`."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    runpy.run_module("tests.soak.command", run_name="__main__", alter_sys=True)

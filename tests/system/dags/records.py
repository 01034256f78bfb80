"""Records what a task got from the one before it, for the test that looks at it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def record(run_id: str, name: str, value: Any) -> None:
    """Write a value with the name of its type, so that text that holds JSON is told from what it describes.

    :raises TypeError: if it is not plain JSON.
    """
    path = Path(os.environ["RECORDS"]) / f"{run_id}.{name}.json"
    path.write_text(json.dumps({"type": type(value).__name__, "value": value}))

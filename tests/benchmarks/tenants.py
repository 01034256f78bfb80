"""A sandbox in a process of its own, so that it does not compete with the client for one interpreter."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests


class Tenant:
    """A running sandbox, as another process sees it.

    :param ready: its ``url``, ``api_key`` and ``control_token``.
    """

    def __init__(self, ready: dict[str, str]) -> None:
        self.url = ready["url"]
        self.api_key = ready["api_key"]
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {ready['control_token']}"

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API."""
        answer = self._session.request(method, f"{self.url}/sandbox{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def delay(self, seconds: float) -> None:
        """Answer every request so much later from now on."""
        self.control("POST", "/faults", {"kind": "delay", "seconds": seconds, "times": None})


@contextlib.contextmanager
def tenant(assets: int, **settings: Any) -> Iterator[Tenant]:
    """Run a sandbox with so many data assets."""
    with tempfile.TemporaryDirectory() as directory:
        ready_file = Path(directory) / "ready.json"
        command = [
            sys.executable,
            "-m",
            "airflow_provider_qlik_assets.sandbox",
            "--ready-file",
            str(ready_file),
        ]
        command += ["--assets", str(assets)]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not ready_file.exists():
                if server.poll() is not None:
                    raise RuntimeError("The sandbox did not start.")
                time.sleep(0.05)
            yield Tenant(json.loads(ready_file.read_text()))
        finally:
            server.terminate()
            server.wait()

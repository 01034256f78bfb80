"""A stranger who edits data assets while a soak runs, as a person in the catalog would."""

from __future__ import annotations

import random
import threading
from typing import Any

import requests

EDIT = "edit "
"""Only the stranger writes descriptions: this and a number that grows."""

_MEAN_PAUSE_SECONDS = 0.6
_EDITS_PER_LOOK = 4


class Control:
    """The control API of a sandbox in another process.

    :param ready: its ``url`` and ``control_token``.
    """

    def __init__(self, ready: dict[str, str]) -> None:
        self._url = f"{ready['url']}/sandbox"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {ready['control_token']}"

    def call(self, method: str, path: str, body: Any = None, *, missing_ok: bool = False) -> Any:
        """Call it; return the answer, ``None`` if there is none."""
        answer = self._session.request(method, self._url + path, json=body, timeout=60)
        if missing_ok and answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json() if answer.content else None


class Stranger(threading.Thread):
    """Edits a random data asset now and then, until it is told to stop.

    :param control: of the tenant, used by this thread only.
    :param rng: its decisions.
    """

    def __init__(self, control: Control, rng: random.Random) -> None:
        super().__init__(name="stranger", daemon=True)
        self.edits = 0
        self._control = control
        self._rng = rng
        self._stopped = threading.Event()

    def run(self) -> None:
        """Edit until :meth:`stop` is called."""
        ids: list[str] = []
        number = 0
        while not self._stopped.wait(self._rng.uniform(0, 2 * _MEAN_PAUSE_SECONDS)):
            if number % _EDITS_PER_LOOK == 0:
                ids = sorted(self._control.call("GET", "/state")["assets"])
            number += 1
            if ids:
                edit = {"description": f"{EDIT}{number}", "tags": [f"tag-{self._rng.randint(1, 3)}"]}
                path = f"/assets/{self._rng.choice(ids)}"
                self.edits += self._control.call("PATCH", path, edit, missing_ok=True) is not None

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join()

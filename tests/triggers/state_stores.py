"""Stand-ins for the state store that Airflow 3.3 gives the trigger of a watched asset."""

from __future__ import annotations

import json
from typing import Any


class StateStore:
    """What Airflow 3.3 gives the trigger of the asset "orders"; values go through JSON."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.fails = 0
        self.written: list[str] = []

    def __getitem__(self, asset: Any) -> StateStore:
        if asset.name != "orders":
            raise KeyError(asset)
        return self

    async def aget(self, key: str, default: Any = None) -> Any:
        self._fail()
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self._fail()
        self.written.append(key)
        self.values[key] = json.dumps(value)

    def _fail(self) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the supervisor is away")


class StateStoreOfTwoAssets:
    def __getitem__(self, asset: Any) -> Any:
        raise KeyError(asset)

    async def aget(self, key: str, default: Any = None) -> Any:
        raise ValueError("Task has 2 concrete inlets and outlets")

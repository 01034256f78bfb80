"""The tenant of a soak: a sandbox in a process of its own that also records each change of a data asset.

The journal says what was asked for and answered; whether and when it was carried out, and in which order, is
known only here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unittest import mock

from airflow_provider_qlik_assets.sandbox import Sandbox, SandboxSettings, controls, server
from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.exchange import Reply
from airflow_provider_qlik_assets.sandbox.gateway import Gateway
from airflow_provider_qlik_assets.sandbox.tenant import ASSET, Kind, Tenant
from airflow_provider_qlik_assets.sandbox.wire import Scope

HISTORY = "history.jsonl"

_sender: ContextVar[str] = ContextVar("sender", default="")


class SenderGateway(Gateway):
    """A gateway that knows who has sent the request which is carried out."""

    async def _handled(self, scope: Scope) -> Reply:
        _sender.set(dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1"))
        return await super()._handled(scope)


class RecordingTenant(Tenant):
    """A tenant that writes down each version of each data asset, and its deletion."""

    path: Path

    def __init__(self, settings: SandboxSettings) -> None:
        super().__init__(settings)
        self._file = self.path.open("w", buffering=1)

    def _place(self, kind: Kind, key: str, fields: Document, user_id: str, **options: Any) -> Document:
        document = super()._place(kind, key, fields, user_id, **options)
        self._record(kind, key, document)
        return document

    def _remove(self, kind: Kind, keys: Collection[str]) -> None:
        super()._remove(kind, keys)
        for key in keys:
            self._record(kind, key, None)

    def _record(self, kind: Kind, key: str, document: Document | None) -> None:
        if kind is ASSET:
            change = {"at": time.monotonic(), "id": key, "by": _sender.get(), "document": document}
            self._file.write(json.dumps(change) + "\n")


@contextmanager
def recording(directory: Path) -> Iterator[None]:
    """Let sandboxes record their history in a directory."""
    RecordingTenant.path = directory / HISTORY
    with (
        mock.patch.object(controls, "Tenant", RecordingTenant),
        mock.patch.object(server, "Gateway", SenderGateway),
    ):
        yield


def main(directory: Path, seed: int, settings: dict[str, Any]) -> None:
    """Run until standard input ends, so that no sandbox outlives its soak."""
    with recording(directory), Sandbox(SandboxSettings.model_validate(settings), seed=seed) as sandbox:
        ready = {name: getattr(sandbox, name) for name in ("url", "api_key", "control_token")}
        unfinished = directory / "ready.json.new"
        unfinished.write_text(json.dumps(ready))
        unfinished.rename(directory / "ready.json")
        sys.stdin.read()
        sys.stdout.flush()
        os._exit(0)  # requests that are delayed need not be awaited


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))

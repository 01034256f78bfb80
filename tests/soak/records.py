"""What is known after a soak: operations of the workers, journal of the tenant, history of its data."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.soak.tenant import HISTORY

JOURNAL = "journal.json"
_SENDER = re.compile(r"soak/(\d+)\.(\d+)")

Key = tuple[int, int]
"""A worker and the number of its operation."""

STRANGER: Key = (-1, -1)


@dataclass
class Operation:
    """What a worker wrote down about one operation.

    :param arguments: what it wanted, with the ``kind``.
    :param began: seconds.
    :param known: what it wrote down in between.
    :param end: what became of it; ``None`` if the process was killed before.
    """

    key: Key
    arguments: dict[str, Any]
    began: float
    known: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        """Which operation it was."""
        return str(self.arguments["kind"])

    @property
    def outcome(self) -> str:
        """``done``, the name of an error, or ``killed``."""
        return str(self.end["outcome"]) if self.end else "killed"

    @property
    def ended(self) -> float | None:
        """When it ended."""
        return float(self.end["at"]) if self.end else None

    @property
    def said(self) -> str:
        """All warnings, and the plan of a sync, as the user sees them."""
        return "\n".join([*(self.end or {}).get("warnings", []), self.known.get("plan", "")])

    def concerns(self, data_asset_id: str, store: str, name: str) -> bool:
        """Return whether it names a data asset, or got it as a result."""
        by_id = data_asset_id in self.arguments.get("ids", ())
        by_name = self.arguments.get("store") == store and name in self.arguments.get("names", ())
        as_result = any(result[0] == data_asset_id for result in (self.end or {}).get("results", ()))
        return by_id or by_name or as_result or store in self.arguments.get("stores", ())

    def __str__(self) -> str:
        shown = {name: value for name, value in self.arguments.items() if name != "kind"}
        return f"{self.kind} {json.dumps(shown)}"


@dataclass(frozen=True)
class Change:
    """A version of a data asset, or its deletion.

    :param at: seconds.
    :param by: the operation whose request it was.
    :param document: ``None`` if it was deleted.
    """

    at: float
    id: str
    by: Key
    document: dict[str, Any] | None


@dataclass(frozen=True)
class Request:
    """An entry of the journal.

    :param by: the operation that sent it.
    """

    by: Key
    entry: dict[str, Any]

    @property
    def arrived(self) -> float:
        """When it arrived, in seconds."""
        return float(self.entry["arrived"])

    @property
    def succeeded(self) -> bool:
        """Whether the client was answered that it was carried out."""
        return self.entry["fault"] is None and 200 <= (self.entry["status"] or 0) < 300

    def concerns(self, data_asset_id: str, store: str, name: str) -> bool:
        """Return whether it can have shown or changed a data asset."""
        method, path, body = self.entry["method"], self.entry["path"], self.entry["body"]
        if method == "DELETE":
            return data_asset_id in (body or {}).get("ids", ())
        if method == "POST":
            body = body or {}
            return (body.get("dataStoreInfo", {}).get("id"), body.get("technicalName")) == (store, name)
        return path.endswith(f"/{data_asset_id}") or (path.endswith("/data-assets") and store in path)

    def __str__(self) -> str:
        entry = self.entry
        body = json.dumps(entry["body"]) if entry["body"] else ""
        fault = f", {entry['fault']}" if entry["fault"] else ""
        return f"{entry['method']} {entry['path']} {body} -> {entry['status'] or 'no answer'}{fault}"


@dataclass
class Life:
    """A data asset from its creation to its deletion or the end."""

    id: str
    changes: list[Change]

    @property
    def store(self) -> str:
        """Id of its data store."""
        return str((self.changes[0].document or {})["dataStoreInfo"]["id"])

    @property
    def name(self) -> str:
        """Its technical name."""
        return str((self.changes[0].document or {})["technicalName"])

    @property
    def created(self) -> Change:
        """Its first version."""
        return self.changes[0]

    @property
    def deleted(self) -> Change | None:
        """Its deletion, if it was deleted."""
        return self.changes[-1] if self.changes[-1].document is None else None

    @property
    def versions(self) -> list[Change]:
        """All but the deletion."""
        return [change for change in self.changes if change.document is not None]

    def document(self, version: Change) -> dict[str, Any]:
        """Return the document of a version."""
        return version.document or {}

    def age(self) -> tuple[str, str]:
        """Return a key that sorts the oldest of one name first, as everybody agrees on."""
        return (str(self.document(self.created).get("createdTime", "")), self.id)

    def exists(self, at: float) -> bool:
        """Return whether it existed at a moment."""
        return self.created.at <= at and (self.deleted is None or self.deleted.at > at)


@dataclass
class Records:
    """All records of one soak."""

    operations: dict[Key, Operation]
    requests: list[Request]
    lives: dict[str, Life]

    @cached_property
    def requests_by(self) -> dict[Key, list[Request]]:
        """The requests of each operation, in order of arrival."""
        sent = defaultdict(list)
        for request in self.requests:
            sent[request.by].append(request)
        return sent


def load(directory: Path) -> Records:
    """Read the records of a soak."""
    requests = [
        Request(_sender(entry["headers"].get("user-agent", "")), entry)
        for entry in json.loads((directory / JOURNAL).read_text())
    ]
    lives: dict[str, Life] = {}
    for line in _lines(directory / HISTORY):
        change = Change(line["at"], line["id"], _sender(line["by"]), line["document"])
        lives.setdefault(change.id, Life(change.id, [])).changes.append(change)
    return Records(_operations(directory), requests, lives)


def _operations(directory: Path) -> dict[Key, Operation]:
    operations: dict[Key, Operation] = {}
    for path in sorted(directory.glob("worker-*.jsonl")):
        for line in _lines(path):
            key = (line.pop("worker"), line.pop("number"))
            event, at = line.pop("event"), line.pop("at")
            if event == "begin":
                operations[key] = Operation(key, line, at)
            elif event == "know":
                operations[key].known.update(line)
            else:
                operations[key].end = {**line, "at": at}
    return operations


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file; one that a kill has cut short is left out."""
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _sender(user_agent: str) -> Key:
    found = _SENDER.search(user_agent)
    return (int(found[1]), int(found[2])) if found else STRANGER

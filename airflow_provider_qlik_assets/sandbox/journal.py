"""The record of every request that a sandbox received."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

_SECRET = "client_secret"  # noqa: S105 - a name
_HIDDEN = "***"


def without_secrets(value: Any) -> Any:
    """Return a body or query as the journal shows it: what is sent as a client's secret is hidden."""
    if isinstance(value, Mapping):
        return {name: _HIDDEN if name == _SECRET else shown for name, shown in value.items()}
    if isinstance(value, str) and _SECRET in value:
        return _HIDDEN
    return value


def path_matches(path: str, pattern: str | None) -> bool:
    """Say whether a request path is meant by a pattern.

    :param path: path as sent, percent-encoding included.
    :param pattern: glob when it holds ``*``, ``?`` or ``[``, otherwise a prefix; ``None`` means any path.
    """
    if pattern is None:
        return True
    if any(sign in pattern for sign in "*?["):
        return fnmatchcase(path, pattern)
    return path.startswith(pattern)


@dataclass
class JournalEntry:
    """One request and what became of it.

    :param arrived: monotonic clock, seconds.
    :param path: path as sent, percent-encoding included.
    :param headers: lower-case names; without ``authorization``.
    :param body: parsed JSON, or the text when it is no JSON, or ``None`` without a body; the secret of
        a client is hidden.
    :param user: id of the user, ``None`` when the request was not authenticated.
    :param tier: 1 (reads) or 2 (writes and token requests).
    :param status: status that was sent, ``None`` while pending or when the connection was dropped.
    :param counted: whether the request used quota.
    :param fault: kind of the fault that was applied.
    """

    arrived: float
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    tier: int
    body: Any = None
    user: str | None = None
    status: int | None = None
    counted: bool = False
    fault: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as JSON data."""
        return asdict(self)


@dataclass
class Journal:
    """Entries in order of arrival; safe to read from any thread while requests come in."""

    _entries: list[JournalEntry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: JournalEntry) -> None:
        """Record a request at its arrival; the rest is filled in while it is answered."""
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def requests(self, method: str | None = None, path: str | None = None) -> list[JournalEntry]:
        """Return the entries that match.

        :param method: for example ``"PATCH"``.
        :param path: glob or prefix, see :func:`path_matches`.
        """
        with self._lock:
            entries = list(self._entries)
        return [
            entry
            for entry in entries
            if (method is None or entry.method == method.upper()) and path_matches(entry.path, path)
        ]

    def busiest_window(self, tier: int, seconds: float) -> int:
        """Return the most requests that any single user sent in any rolling window, refused ones included.

        :param tier: 1 or 2.
        :param seconds: length of the window in real seconds.
        """
        busiest = 0
        windows: dict[str, deque[float]] = {}
        for entry in sorted(self.requests(), key=lambda entry: entry.arrived):
            if entry.tier != tier or entry.user is None:
                continue
            window = windows.setdefault(entry.user, deque())
            window.append(entry.arrived)
            while window[0] <= entry.arrived - seconds:
                window.popleft()
            busiest = max(busiest, len(window))
        return busiest

    def __len__(self) -> int:
        return len(self._entries)

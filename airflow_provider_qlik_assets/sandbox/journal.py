"""The record of every request that a sandbox received."""

import re
import threading
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

# Names as they are without case and what is between their words.
_SECRET_NAMES = frozenset({"clientsecret", "authorization", "proxyauthorization", "cookie"})
_BETWEEN_WORDS = re.compile(r"[\W_]|%5f", re.IGNORECASE)
_HIDDEN = "***"
_DEEPEST = 100


def without_secrets(value: Any, secrets: Collection[str], depth: int = 0) -> Any:
    """Return a part of a request as the journal shows it.

    :param value: parsed JSON or text; what is nested more than 100 deep is not shown.
    :param secrets: hidden wherever they are; what is sent by the name of a secret is hidden, too.
    """
    if isinstance(value, str):
        is_a_whole = depth == 0  # such as a form
        return _HIDDEN if is_a_whole and "clientsecret" in _plain(value) else _without(secrets, value)
    if isinstance(value, Mapping | list) and depth == _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {
            _without(secrets, name): (
                _HIDDEN if _plain(name) in _SECRET_NAMES else without_secrets(shown, secrets, depth + 1)
            )
            for name, shown in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item, secrets, depth + 1) for item in value]
    return value


def _without(secrets: Collection[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text


def _plain(name: str) -> str:
    return _BETWEEN_WORDS.sub("", name).lower()


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
    :param body: parsed JSON, or the text when it is not JSON, or ``None`` without a body; keys, tokens and
        the secret of a client are hidden, here and elsewhere.
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

"""What an Airflow needs besides itself: a database, and ports."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from pathlib import Path
from typing import Any, Protocol


class Database(Protocol):
    """Airflow's database, as the tests read it."""

    url: str

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Return rows; ``?`` in the statement stands for a value."""
        ...

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        ...

    def close(self) -> None:
        """End it, unless it ends by itself."""
        ...


class Sqlite:
    """A database in a file.

    :param path: of the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}?timeout=60"
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not lock each other out

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Return rows; ``?`` in the statement stands for a value."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=60)) as database:
            return database.execute(statement, values).fetchall()

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        return [name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def close(self) -> None:
        """Do nothing: no process is behind it."""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def accepts_connections(port: int) -> bool:
    """Return whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True

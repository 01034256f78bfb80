"""What an Airflow of several hosts needs besides itself: Redis, PostgreSQL and SQLite."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.system.processes import Processes

START_SECONDS = 60.0


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


class Postgres:
    """A PostgreSQL server with an empty database, in a temporary directory."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        (port,) = free_ports(1)
        # PostgreSQL refuses to run as root.
        user = "postgres" if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="qlik-assets-postgres-"))
        if user:
            shutil.chown(self._directory, user)
        self._options: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "user": "airflow",
            "dbname": "postgres",
        }
        self._connection: Any = None
        self.url = f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"
        programs = postgres_programs()
        assert programs, "PostgreSQL is not installed"
        initdb = [
            str(programs / "initdb"),
            "--pgdata=data",
            "--username=airflow",
            "--auth=trust",
            "--no-sync",
        ]
        subprocess.run(
            [*initdb, "--encoding=UTF8", "--locale=C.UTF-8"],
            cwd=self._directory,
            user=user,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "off",
            # Shared memory in the directory, which is removed even if the server was killed.
            "dynamic_shared_memory_type": "mmap",
        }
        command = [str(programs / "postgres"), "-D", str(self._directory / "data"), "-p", str(port)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        processes.start("postgres", command, {}, user)
        _wait_until(self._answers, "PostgreSQL answers")

    def query(self, statement: str, *values: Any) -> list[Any]:
        """Return rows; ``?`` in the statement stands for a value."""
        import psycopg2  # noqa: PLC0415 - not there with Airflow 2

        if self._connection is None:
            self._connection = psycopg2.connect(**self._options)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(statement.replace("?", "%s"), values)
            return cursor.fetchall()

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        rows = self.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        return [name for (name,) in rows]

    def close(self) -> None:
        """End the server at once, and remove what it stored."""
        if self._connection is not None:
            self._connection.close()
        self._processes.stop("postgres", signal.SIGQUIT)
        shutil.rmtree(self._directory)

    def _answers(self) -> bool:
        import psycopg2  # noqa: PLC0415

        try:
            return self.query("SELECT 1") == [(1,)]
        except psycopg2.OperationalError:
            return False


class Redis:
    """A Redis server that saves nothing."""

    def __init__(self, processes: Processes) -> None:
        (self.port,) = free_ports(1)
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        processes.start("redis", [*command, "--save", "", "--appendonly", "no"], os.environ)
        _wait_until(lambda: accepts_connections(self.port), "Redis answers")

    def url(self, database: int) -> str:
        """Return the address of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"


def require_services() -> None:
    """Skip the test if Redis or PostgreSQL is not installed; in CI, fail it."""
    missing = [] if shutil.which("redis-server") else ["redis-server"]
    if postgres_programs() is None:
        missing.append("postgresql")
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not installed: {', '.join(missing)}")


def postgres_programs() -> Path | None:
    """Return the directory of PostgreSQL's server programs, the newest if there are several."""
    found = shutil.which("postgres")
    if found:
        return Path(found).resolve().parent
    # Debian keeps them out of the path.
    programs = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max((path.parent for path in programs), key=lambda path: int(path.parent.name), default=None)


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


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {START_SECONDS:g} s: {what}"
        time.sleep(0.05)

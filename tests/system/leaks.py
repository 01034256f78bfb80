"""Everything that an Airflow has stored, to be searched for secrets."""

from __future__ import annotations

import contextlib
import json
import zlib
from typing import Any

from cryptography.fernet import Fernet

from tests.system.whole_airflow import Airflow


def everything_stored(airflow: Airflow) -> str:
    """Return what is in the tables of Airflow's database, what is compressed there included."""
    return "\n".join(
        f"{table}: {_text(value)}"
        for table in airflow.tables()
        for row in airflow.query(f'SELECT * FROM "{table}"')
        for value in row
        if value is not None
    )


def trigger_arguments(airflow: Airflow) -> list[tuple[str, str]]:
    """Return class path and decrypted arguments of all triggers that there are at present.

    Airflow 3.3 encrypts those of asset watchers only, and stores those of tasks as they are.
    """
    fernet = Fernet(airflow.fernet_key)
    return [
        (classpath, kwargs if kwargs.startswith("{") else fernet.decrypt(kwargs.encode()).decode())
        for classpath, kwargs in airflow.query("SELECT classpath, kwargs FROM trigger")
    ]


def _text(value: Any) -> str:
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, bytes):
        with contextlib.suppress(zlib.error):
            value = zlib.decompress(value)
        return value.decode(errors="replace")
    return value if isinstance(value, str) else json.dumps(value, default=str)

"""What differs between Airflow versions."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.util import find_spec
from typing import Any

import pytest

from airflow_provider_qlik_assets import _compat
from airflow_provider_qlik_assets._compat import BaseHook, Connection, get_async_connection


@pytest.mark.skipif(find_spec("airflow.sdk") is None, reason="Airflow 2 warns about itself")
@pytest.mark.slow
def test_every_name_comes_from_where_this_airflow_wants_it_to() -> None:
    script = (
        "import warnings; from airflow_provider_qlik_assets import _compat\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    for name in _compat.HOMES: getattr(_compat, name)\n"
        "for warning in caught:\n"
        "    if warning.filename == _compat.__file__: print(warning)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "_compat" not in run.stdout


@pytest.mark.parametrize("name", _compat.HOMES)
def test_this_airflow_has_every_name(name: str) -> None:
    assert getattr(_compat, name)


def test_a_name_that_no_version_has_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        _compat.Nothing  # noqa: B018


def test_a_name_that_this_version_does_not_have_is_said_with_all_homes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(_compat.HOMES, "Nothing", ("airflow.nowhere", "airflow.exceptions:Neither"))
    with pytest.raises(ImportError, match=r"no Nothing: .*nowhere.*; .*Neither"):
        _compat.Nothing  # noqa: B018


class _Hook(BaseHook):
    """A hook whose blocking and asynchronous look-ups can be told apart."""

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]
        return conn_id, "blocking", threading.current_thread() is threading.main_thread()

    async def aget_connection(self, conn_id: str) -> Any:  # type: ignore[override]
        return conn_id, "asynchronous", True


async def test_before_3_3_2_a_connection_is_looked_up_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """There ``aget_connection`` blocks the event loop, and may fail with a ``DeadlockImminentError``."""
    monkeypatch.delattr(Connection, "aextra_dejson", raising=False)
    found: Any = await get_async_connection("qlik", _Hook())
    assert found == ("qlik", "blocking", False)


async def test_from_3_3_2_on_a_connection_is_looked_up_asynchronously(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Connection, "aextra_dejson", None, raising=False)
    found: Any = await get_async_connection("qlik", _Hook())
    assert found == ("qlik", "asynchronous", True)

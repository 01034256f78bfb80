"""A local Qlik Cloud tenant for demos and tests: real HTTP, all state in memory.

Importing this package is cheap: the server and its libraries are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.sandbox.faults import Fault
    from airflow_provider_qlik_assets.sandbox.journal import Journal, JournalEntry
    from airflow_provider_qlik_assets.sandbox.server import Sandbox
    from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings

__all__ = ["Fault", "Journal", "JournalEntry", "Sandbox", "SandboxSettings"]

_HOMES = {
    "Fault": "faults",
    "Journal": "journal",
    "JournalEntry": "journal",
    "Sandbox": "server",
    "SandboxSettings": "settings",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use.

    :raises ImportError: when the extra ``sandbox`` is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as missing:
        if missing.name not in ("fastapi", "fastapi_offline", "uvicorn"):
            raise
        raise ImportError(
            f"The sandbox needs {missing.name}, which is not installed. Install the extra 'sandbox': "
            "pip install 'airflow-provider-qlik-assets[sandbox]'",
            name=missing.name,
        ) from missing
    value = getattr(module, name)
    globals()[name] = value
    return value

"""Provider metadata for Airflow's discovery."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the metadata that Airflow reads through the ``apache_airflow_provider`` entry point."""
    return {
        "package-name": "airflow-provider-qlik-assets",
        "name": "Qlik Cloud data assets",
        "description": "Register, patch, refresh, wait for and clean up the data assets of Qlik Cloud.",
    }

"""Provider metadata for Airflow's discovery.

Every ``airflow`` command imports this module, and a mistake in it breaks them all: it imports neither Airflow
nor the client.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik_assets import __version__
from airflow_provider_qlik_assets.hooks.fields import CONNECTION_TYPE, HOOK_NAME
from airflow_provider_qlik_assets.hooks.form import config_section, conn_fields, ui_field_behaviour

_PACKAGE = "airflow_provider_qlik_assets"
_INTEGRATION = "Qlik Cloud"


def get_provider_info() -> dict[str, Any]:
    """Return the metadata that Airflow reads through the ``apache_airflow_provider`` entry point."""
    return {
        "package-name": "airflow-provider-qlik-assets",
        "name": "Qlik Cloud data assets",
        "description": "Register, patch, refresh, wait for and clean up the data assets of Qlik Cloud.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://qlik.dev/apis/rest/data-assets/",
                "tags": ["service"],
            }
        ],
        "hooks": _modules("hooks.qlik_cloud"),
        "operators": _modules("operators.data_assets"),
        "sensors": _modules("sensors.data_freshness"),
        "triggers": _modules("triggers.data_freshness", "triggers.rate_limit"),
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.qlik_cloud.QlikCloudHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": ui_field_behaviour(),
                "conn-fields": conn_fields(),
            }
        ],
        "config": config_section(),
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [
        {"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]},
    ]

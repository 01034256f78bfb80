"""The connection form for both generations of Airflow's UI, built from the table of fields.

Every ``airflow`` command reads this module through ``provider_info``, so it only imports the standard
library.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik_assets.hooks.fields import (
    CONFIG_SECTION,
    EXTRA_FIELDS,
    HIDDEN_FIELDS,
    PLACEHOLDERS,
    RELABELING,
)

_FIRST_RELEASE = "0.1.0"
_CONFIG_NOTES = {"rate_limit_store": " In airflow.cfg, write each % of a URL as %%."}
_CONFIG_TYPES = {"string": "string", "integer": "integer", "number": "float"}


def conn_fields() -> dict[str, Any]:
    """Return ``conn-fields`` of the provider's metadata (Airflow 3.2 and later)."""
    return {
        field.name: {
            "label": field.label,
            "description": field.description,
            "schema": field.json_schema(),
        }
        for field in EXTRA_FIELDS
    }


def ui_field_behaviour() -> dict[str, Any]:
    """Return ``ui-field-behaviour`` of the provider's metadata (Airflow 3.2 and later)."""
    return {
        "hidden-fields": list(HIDDEN_FIELDS),
        "relabeling": dict(RELABELING),
        "placeholders": _placeholders(),
    }


def field_behaviour() -> dict[str, Any]:
    """Return the result of a hook's ``get_ui_field_behaviour`` (Airflow 2.11 to 3.1)."""
    return {
        "hidden_fields": list(HIDDEN_FIELDS),
        "relabeling": dict(RELABELING),
        "placeholders": _placeholders(),
    }


def form_widgets() -> dict[str, Any]:
    """Return the result of a hook's ``get_connection_form_widgets`` (Airflow 2.11 to 3.1)."""
    # Airflow 3 installs neither of them.
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget  # noqa: PLC0415
    from wtforms import IntegerField, PasswordField, StringField  # noqa: PLC0415
    from wtforms.validators import Optional  # noqa: PLC0415

    def widget(field: Any) -> Any:
        shown = {"label": field.label, "description": field.description, "validators": [Optional()]}
        if field.secret:
            return PasswordField(**shown, widget=BS3PasswordFieldWidget())
        kind = IntegerField if field.form_type == "integer" else StringField
        return kind(**shown, widget=BS3TextFieldWidget())

    return {field.name: widget(field) for field in EXTRA_FIELDS}


def config_section() -> dict[str, Any]:
    """Return ``config`` of the provider's metadata: the options with the defaults of connections."""
    return {
        CONFIG_SECTION: {
            "description": "Defaults of Qlik Cloud connections; the extra of a connection overrides them.",
            "options": {
                field.name: {
                    "description": field.description + _CONFIG_NOTES.get(field.name, ""),
                    "version_added": _FIRST_RELEASE,
                    "type": _CONFIG_TYPES[field.form_type],
                    "example": field.example,
                    "default": None if field.default is None else f"{field.default:g}",
                    # The URL of a store may contain a password.
                    "sensitive": field.name == "rate_limit_store",
                }
                for field in EXTRA_FIELDS
                if field.configurable
            },
        }
    }


def _placeholders() -> dict[str, str]:
    return {**PLACEHOLDERS, **{field.name: field.example for field in EXTRA_FIELDS if field.example}}

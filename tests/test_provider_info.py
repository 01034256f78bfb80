from __future__ import annotations

import importlib
import importlib.metadata
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager, _create_provider_info_schema_validator
from packaging.utils import canonicalize_name

from airflow_provider_qlik_assets.client.rate_limit.ledger import MAX_PERMITS
from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimits
from airflow_provider_qlik_assets.client.retry import RetryPolicy
from airflow_provider_qlik_assets.hooks.fields import EXTRA_FIELDS, FIELDS_BY_NAME, ExtraField
from airflow_provider_qlik_assets.hooks.qlik_cloud import QlikCloudHook
from airflow_provider_qlik_assets.provider_info import get_provider_info

DISTRIBUTION = "airflow-provider-qlik-assets"
FIELDS = pytest.mark.parametrize("field", EXTRA_FIELDS, ids=lambda field: field.name)


@pytest.fixture(scope="module")
def providers_manager() -> Any:
    return ProvidersManager()


@pytest.fixture(scope="module")
def connection_type() -> dict[str, Any]:
    (found,) = get_provider_info()["connection-types"]
    return dict(found)


def dotted_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from dotted_paths(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from dotted_paths(entry)
    elif isinstance(value, str) and value.startswith("airflow_provider_qlik_assets."):
        yield value


def test_airflow_accepts_the_metadata() -> None:
    assert list(_create_provider_info_schema_validator().iter_errors(get_provider_info())) == []


def test_package_name_is_the_distribution() -> None:
    name = get_provider_info()["package-name"]

    assert name == canonicalize_name(importlib.metadata.distribution(DISTRIBUTION).metadata["Name"])


def test_entry_point_returns_the_metadata() -> None:
    (entry_point,) = importlib.metadata.distribution(DISTRIBUTION).entry_points.select(
        group="apache_airflow_provider"
    )

    assert entry_point.load()() == get_provider_info()


@pytest.mark.parametrize("path", sorted(set(dotted_paths(get_provider_info()))))
def test_dotted_path_can_be_imported(path: str) -> None:
    try:
        importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_metadata_is_plain_json() -> None:
    assert json.loads(json.dumps(get_provider_info())) == get_provider_info()


def test_reading_the_metadata_imports_nothing_heavy() -> None:
    code = (
        "import sys; from airflow_provider_qlik_assets.provider_info import get_provider_info; "
        "get_provider_info(); "
        "print({name.partition('.')[0] for name in sys.modules} & "
        "{'airflow', 'requests', 'pydantic', 'wtforms', 'flask_appbuilder', 'jwt', 'redis', 'fastapi'})"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "set()"


# --- what Airflow makes of it ----------------------------------------------------------------------------


def test_airflow_discovers_the_hook_without_warnings(caplog: pytest.LogCaptureFixture) -> None:
    manager = ProvidersManager()
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        # Other providers' hooks, and ProvidersManager itself, warn about what they deprecate.
        warnings.simplefilter("ignore")
        hook = manager.hooks[QlikCloudHook.conn_type]

    assert hook is not None
    assert hook.hook_name == "Qlik Cloud"
    assert hook.connection_id_attribute_name == "qlik_conn_id"
    assert hook.package_name == DISTRIBUTION
    assert hook.connection_testable
    assert not [record for record in caplog.records if "qlik" in record.getMessage().lower()]


def test_airflow_makes_a_field_for_every_extra(providers_manager: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        widgets = dict(providers_manager.connection_form_widgets)
    ours = {name: widget for name, widget in widgets.items() if name.startswith("extra__qlik_cloud__")}

    assert [name.removeprefix("extra__qlik_cloud__") for name in ours] == [
        field.name for field in EXTRA_FIELDS
    ]
    assert {widget.field_name for widget in ours.values() if widget.is_sensitive} == {"private_key"}


def test_airflow_relabels_the_standard_fields(providers_manager: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        behaviour = dict(providers_manager.field_behaviours)["qlik_cloud"]

    assert behaviour["hidden_fields"] == ["schema", "port", "extra"]
    assert behaviour["relabeling"]["host"] == "Tenant"
    assert behaviour["placeholders"]["extra__qlik_cloud__timeout"] == "[10, 60]"


def test_connection_type_has_single_underscores(connection_type: dict[str, Any]) -> None:
    # Airflow takes the type of a form field from between double underscores.
    assert "__" not in connection_type["connection-type"]
    assert not any("__" in name for name in connection_type["conn-fields"])


def test_hook_agrees_with_the_metadata(connection_type: dict[str, Any]) -> None:
    behaviour = QlikCloudHook.get_ui_field_behaviour()

    assert QlikCloudHook.conn_type == connection_type["connection-type"]
    assert QlikCloudHook.hook_name == connection_type["hook-name"]
    assert connection_type["ui-field-behaviour"] == {
        key.replace("_", "-"): value for key, value in behaviour.items()
    }


# --- the table and what is made of it --------------------------------------------------------------------


@FIELDS
def test_form_field_of_the_metadata(field: ExtraField, connection_type: dict[str, Any]) -> None:
    form_field = connection_type["conn-fields"][field.name]

    assert form_field["label"] == field.label
    assert form_field["description"] == field.description
    assert form_field["schema"]["type"] == [field.form_type, "null"]
    assert (form_field["schema"].get("format") == "password") == field.secret
    assert "default" not in form_field["schema"]


@FIELDS
def test_form_field_of_the_hook(field: ExtraField) -> None:
    pytest.importorskip("flask_appbuilder", reason="only Airflow 2 has forms of wtforms")
    widgets = QlikCloudHook.get_connection_form_widgets()
    kinds = {"integer": "IntegerField"}
    expected = "PasswordField" if field.secret else kinds.get(field.form_type, "StringField")

    assert list(widgets) == [entry.name for entry in EXTRA_FIELDS]
    assert widgets[field.name].field_class.__name__ == expected
    assert widgets[field.name].kwargs["label"] == field.label
    assert widgets[field.name].kwargs["description"] == field.description


@pytest.mark.parametrize("field", [field for field in EXTRA_FIELDS if field.bounds], ids=lambda f: f.name)
def test_bounds_of_the_form_are_the_parsers(field: ExtraField) -> None:
    assert field.bounds is not None
    low, high = field.bounds

    assert (field.parse(low), field.parse(high)) == (low, high)
    for outside in (low - 1, high + 1):
        with pytest.raises(ValueError, match="between"):
            field.parse(outside)


@pytest.mark.parametrize("field", [field for field in EXTRA_FIELDS if field.default], ids=lambda f: f.name)
def test_default_is_one_that_could_be_given_and_is_described(field: ExtraField) -> None:
    given = list(field.default) if isinstance(field.default, tuple) else field.default

    assert field.parse(given) == field.default
    assert f"Default: {json.dumps(given).replace('.0', '')}" in field.description


def test_defaults_are_the_clients() -> None:
    limits, retry = RateLimits(), RetryPolicy()

    assert FIELDS_BY_NAME["tier1_limit"].default == limits.tier1_limit
    assert FIELDS_BY_NAME["tier2_limit"].default == limits.tier2_limit
    assert FIELDS_BY_NAME["rate_limit_window"].default == limits.window
    assert FIELDS_BY_NAME["max_retries"].default == retry.max_retries
    assert FIELDS_BY_NAME["max_retry_wait"].default == retry.max_retry_wait


def test_largest_limits_are_the_clients() -> None:
    assert FIELDS_BY_NAME["tier1_limit"].bounds == FIELDS_BY_NAME["tier2_limit"].bounds == (1, MAX_PERMITS)


def test_examples_can_be_given() -> None:
    parsed = {
        field.name: field.parse(field.example)
        for field in EXTRA_FIELDS
        if field.example and field.name != "private_key_path"
    }

    assert parsed
    assert None not in parsed.values()


def test_configuration_has_the_options_that_connections_take_defaults_from() -> None:
    section = get_provider_info()["config"]["qlik_cloud"]

    assert {name: option["default"] for name, option in section["options"].items()} == {
        "tier1_limit": "5000",
        "tier2_limit": "500",
        "rate_limit_window": "300",
        "rate_limit_store": None,
        "max_rate_limit_wait": "3600",
    }
    assert section["options"]["tier1_limit"]["type"] == "integer"
    assert section["options"]["rate_limit_window"]["type"] == "float"
    assert section["options"]["rate_limit_store"]["sensitive"] is True
    assert "write each % of a URL as %%" in section["options"]["rate_limit_store"]["description"]

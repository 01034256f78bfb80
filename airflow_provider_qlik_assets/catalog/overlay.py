"""Compute which desired values differ from a data asset, and the operations that change only those.

Only the fields that the caller gave count, so changes by others to other fields survive. Values are compared
by meaning: instants to the millisecond, tags as a set, an empty string like no value.
"""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue
from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.client.content import is_empty
from airflow_provider_qlik_assets.client.instants import parse_stamp
from airflow_provider_qlik_assets.client.json_patch import JsonPatchOperation, same_json
from airflow_provider_qlik_assets.client.models import DataAsset


def overlay(
    actual: DataAsset, desired: DataAsset, *, allow_backwards: bool = False
) -> list[JsonPatchOperation]:
    """Return the operations that give a data asset the desired values; none if it has them.

    ``None`` clears a field. ``properties`` are laid over key by key, and ``None`` removes a key. An older
    ``data_freshness`` than the actual one is left out: two loads may finish out of order.

    :param actual: the data asset as it is.
    :param desired: the fields to set.
    :param allow_backwards: whether ``data_freshness`` may become older.
    """
    operations: list[JsonPatchOperation] = []
    for field in sorted(desired.given_fields):
        if field == "data_freshness" and not allow_backwards and _is_newer(actual, desired):
            continue
        if field == "properties" and desired.properties is not None:
            operations += _property_operations(actual, desired)
        else:
            operations += _field_operations(field, actual, desired)
    return operations


def leave_missing_freshness(desired: DataAsset) -> DataAsset:
    """Treat a missing freshness as "unchanged": rows may contain NULL, which is not meant to clear it.

    :raises QlikValidationError: if the freshness is more than a day ahead.
    """
    if desired.data_freshness is not None:
        parse_stamp(desired.data_freshness)
    elif "data_freshness" in desired.model_fields_set:
        desired = desired.model_copy()
        desired.model_fields_set.discard("data_freshness")
    return desired


def given_properties(desired: DataAsset) -> dict[str, JsonValue]:
    """Return the desired properties that have a value; the others are to be removed."""
    return {key: value for key, value in (desired.properties or {}).items() if value is not None}


def _is_newer(actual: DataAsset, desired: DataAsset) -> bool:
    if actual.data_freshness is None or desired.data_freshness is None:
        return False
    return actual.data_freshness > desired.data_freshness


def _field_operations(field: str, actual: DataAsset, desired: DataAsset) -> list[JsonPatchOperation]:
    wanted = _comparable(field, desired)
    current = _comparable(field, actual)
    if wanted == current:
        return []
    path = f"/{to_camel(field)}"
    if wanted is None:
        return [JsonPatchOperation(op="remove", path=path)]
    # "add" also replaces, and works on a field that is unset; "replace" need not.
    return [JsonPatchOperation(op="add", path=path, value=desired.to_request()[to_camel(field)])]


def _comparable(field: str, asset: DataAsset) -> Any:
    if field == "data_store_info":
        return asset.store_id
    value = getattr(asset, field)
    if is_empty(value):
        return None
    return frozenset(value) if field == "tags" else value


def _property_operations(actual: DataAsset, desired: DataAsset) -> list[JsonPatchOperation]:
    wanted, current = desired.properties or {}, actual.properties
    if current is None:
        given = given_properties(desired)
        return [JsonPatchOperation(op="add", path="/properties", value=given)] if given else []
    operations = []
    for key, value in sorted(wanted.items()):
        path = "/properties/" + key.replace("~", "~0").replace("/", "~1")
        if value is None and key in current:
            operations.append(JsonPatchOperation(op="remove", path=path))
        elif value is not None and (key not in current or not same_json(current[key], value)):
            operations.append(JsonPatchOperation(op="add", path=path, value=value))
    return operations

"""Change a data asset with field values or JSON Patch operations, safe to repeat where that is possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_qlik_assets.catalog.compare_and_set import change
from airflow_provider_qlik_assets.catalog.overlay import overlay
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.errors import QlikConflictError, QlikValidationError
from airflow_provider_qlik_assets.client.instants import parse_stamp
from airflow_provider_qlik_assets.client.json_patch import (
    JsonPatchOperation,
    effective_operations,
    parse_operations,
)
from airflow_provider_qlik_assets.client.models import DataAsset

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

Operations = Iterable[JsonPatchOperation | Mapping[str, Any]]


def patch_data_asset(
    client: QlikCloudClient,
    data_asset_id: str,
    *,
    operations: Operations | None = None,
    changes: Mapping[str, Any] | None = None,
    expected_version: int | None = None,
) -> Result:
    """Change a data asset; write nothing if it is already as desired.

    :param data_asset_id: id of the data asset.
    :param operations: RFC 6902 operations, applied as they are. Those that append to or shift an array do so
        again on each run; a ``test`` or ``expected_version`` prevents that.
    :param changes: values by field, in place of operations. ``None`` clears a field, ``properties`` are
        laid over key by key, and ``dataFreshness`` never goes back.
    :param expected_version: fail if the data asset has another version and is not as desired.
    :return: ``updated`` or ``unchanged``.
    :raises QlikConflictError: if the version is not as expected, or a ``test`` fails.
    :raises QlikNotFoundError: if there is no such data asset.
    """
    desired, parsed = check_patch(operations, changes, expected_version)

    def decide(current: DataAsset) -> list[JsonPatchOperation]:
        if desired is not None:
            missing = overlay(current, desired)
        else:
            missing, _ = effective_operations(current.to_json(), parsed)
        if missing and expected_version not in {None, current.version}:
            raise QlikConflictError.without_request(
                409,
                f"Data asset {current.label} has version {current.version}, not {expected_version}.",
            )
        return missing

    return change(client, data_asset_id, decide)


def check_patch(
    operations: Operations | None, changes: Mapping[str, Any] | None, expected_version: int | None = None
) -> tuple[DataAsset | None, list[JsonPatchOperation]]:
    """Return the arguments of a patch, checked: the desired values or the operations.

    :raises QlikValidationError: if they are not valid.
    """
    if (operations is None) == (changes is None):
        raise QlikValidationError("Give either 'operations' or 'changes'.")
    if expected_version is not None and (
        isinstance(expected_version, bool) or not isinstance(expected_version, int)
    ):
        raise QlikValidationError(f"expected_version must be a whole number, not {expected_version!r}.")
    if changes is not None:
        desired = DataAsset.parse(changes)
        refused = sorted(desired.model_fields_set - desired.given_fields)
        if refused:
            raise QlikValidationError(f"{', '.join(refused)} cannot be changed: Qlik Cloud sets it.")
        if not desired.given_fields:
            raise QlikValidationError("'changes' is empty: name at least one field.")
        if desired.data_freshness is not None:
            parse_stamp(desired.data_freshness)
        return desired, []
    parsed = [_always_possible(operation) for operation in parse_operations(operations or [])]
    for operation in parsed:
        if operation.op == "add" and operation.path == "/dataFreshness" and operation.value is not None:
            parse_stamp(cast("str", operation.value))
    if all(operation.op == "test" for operation in parsed):
        raise QlikValidationError(
            "The patch contains only tests, so it changes nothing: add an operation that changes a field."
        )
    return None, parsed


def _always_possible(operation: JsonPatchOperation) -> JsonPatchOperation:
    """Return "add" for a "replace" of a field: it does the same, and works if the field is unset, too."""
    if operation.op == "replace" and operation.path.count("/") == 1:
        return operation.model_copy(update={"op": "add"})
    return operation

"""New data assets: the request, its result, and which of several with the same name counts."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik_assets.catalog.overlay import given_properties
from airflow_provider_qlik_assets.catalog.results import Result
from airflow_provider_qlik_assets.client.models import DataAsset, id_of


def new_document(desired: DataAsset) -> dict[str, Any]:
    """Return the body of the request that creates a data asset."""
    body = {name: value for name, value in desired.to_request().items() if name != "version"}
    if desired.properties is not None:
        body["properties"] = given_properties(desired)
    return body


def creation_result(asset: DataAsset, desired: DataAsset) -> Result:
    """Return the result for a data asset that was created."""
    return Result(id_of(asset), "created", asset, tuple(sorted(desired.to_request())))


def age(asset: DataAsset) -> tuple[str, str]:
    """Return a key that sorts the oldest data asset first: all tasks keep the oldest of the same name."""
    return (str(asset.created_time or ""), asset.id or "")

"""New data assets: what is sent to create one, how to recognize it, and which of several of a name counts."""

from __future__ import annotations

from typing import Any

from airflow_provider_qlik_assets.catalog.overlay import given_properties, overlay
from airflow_provider_qlik_assets.client.models import DataAsset


def new_document(desired: DataAsset) -> dict[str, Any]:
    """Return the body of the request that creates a data asset."""
    body = {name: value for name, value in desired.to_request().items() if name != "version"}
    if desired.properties is not None:
        body["properties"] = given_properties(desired)
    return body


def is_as_created(asset: DataAsset, desired: DataAsset) -> bool:
    """Return whether a data asset holds what is desired and nothing that Qlik Cloud does not set by itself.

    So it may be what a create without an answer left behind, and nobody has changed it.
    """
    set_by_qlik = {"id", "version", "ownerId", "spaceId"}
    return (
        not overlay(asset, desired) and asset.to_request().keys() - set_by_qlik <= desired.to_request().keys()
    )


def age(asset: DataAsset) -> tuple[str, str]:
    """Return a key that sorts the oldest data asset first: of several of a name, all tasks keep that one."""
    return (str(asset.created_time or ""), asset.id or "")

"""Paths of the endpoints on a tenant."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.client.validation import check_id

ASSETS_PATH = "/api/v1/data-assets"
STORES_PATH = "/api/v1/data-stores"
ME_PATH = "/api/v1/users/me"


def asset_path(data_asset_id: str) -> str:
    """Return the path of a data asset."""
    return f"{ASSETS_PATH}/{quote(check_id(data_asset_id), safe='')}"


def listing_path(data_store_ids: str | Iterable[str]) -> str:
    """Return the path of the data assets of some data stores; ``"*"`` stands for all."""
    ids = [data_store_ids] if isinstance(data_store_ids, str) else list(data_store_ids)
    if not ids:
        raise QlikValidationError(
            'data_store_ids is empty: name at least one data store, or use "*" for all.'
        )
    selector = "*" if ids == ["*"] else ",".join(quote(check_id(store_id), safe="") for store_id in ids)
    return f"{STORES_PATH}/{selector}/data-assets"

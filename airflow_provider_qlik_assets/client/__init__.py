"""A client for the data assets of Qlik Cloud; usable without Airflow.

Names are loaded on first use, so that a DAG file does not load an HTTP library each time it is parsed.

>>> from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient
>>> client = QlikCloudClient("https://your-tenant.eu.qlikcloud.com", auth=ApiKey("..."))
>>> for asset in client.list_data_assets():  # doctest: +SKIP
...     print(asset.technical_name, asset.data_freshness)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.auth import ApiKey, OAuthClientSecret, OAuthPrivateKey
    from airflow_provider_qlik_assets.client.client import QlikCloudClient
    from airflow_provider_qlik_assets.client.errors import (
        QlikApiError,
        QlikAuthenticationError,
        QlikBadRequestError,
        QlikCloudError,
        QlikConfigurationError,
        QlikConflictError,
        QlikConnectionError,
        QlikDataAssetExistsError,
        QlikNotFoundError,
        QlikPartialFailureError,
        QlikPermissionError,
        QlikRateLimitError,
        QlikResponseError,
        QlikServerError,
        QlikStoppedError,
        QlikValidationError,
    )
    from airflow_provider_qlik_assets.client.json_patch import JsonPatchOperation
    from airflow_provider_qlik_assets.client.models import DataAsset, DataStoreInfo
    from airflow_provider_qlik_assets.client.rate_limit.limiter import RateLimiter, RateLimits, Tier
    from airflow_provider_qlik_assets.client.retry import RetryPolicy

__all__ = [
    "ApiKey",
    "DataAsset",
    "DataStoreInfo",
    "JsonPatchOperation",
    "OAuthClientSecret",
    "OAuthPrivateKey",
    "QlikApiError",
    "QlikAuthenticationError",
    "QlikBadRequestError",
    "QlikCloudClient",
    "QlikCloudError",
    "QlikConfigurationError",
    "QlikConflictError",
    "QlikConnectionError",
    "QlikDataAssetExistsError",
    "QlikNotFoundError",
    "QlikPartialFailureError",
    "QlikPermissionError",
    "QlikRateLimitError",
    "QlikResponseError",
    "QlikServerError",
    "QlikStoppedError",
    "QlikValidationError",
    "RateLimiter",
    "RateLimits",
    "RetryPolicy",
    "Tier",
]

_HOMES = {
    "ApiKey": "auth",
    "DataAsset": "models",
    "DataStoreInfo": "models",
    "JsonPatchOperation": "json_patch",
    "OAuthClientSecret": "auth",
    "OAuthPrivateKey": "auth",
    "QlikApiError": "errors",
    "QlikAuthenticationError": "errors",
    "QlikBadRequestError": "errors",
    "QlikCloudClient": "client",
    "QlikCloudError": "errors",
    "QlikConfigurationError": "errors",
    "QlikConflictError": "errors",
    "QlikConnectionError": "errors",
    "QlikDataAssetExistsError": "errors",
    "QlikNotFoundError": "errors",
    "QlikPartialFailureError": "errors",
    "QlikPermissionError": "errors",
    "QlikRateLimitError": "errors",
    "QlikResponseError": "errors",
    "QlikServerError": "errors",
    "QlikStoppedError": "errors",
    "QlikValidationError": "errors",
    "RateLimiter": "rate_limit.limiter",
    "RateLimits": "rate_limit.limiter",
    "RetryPolicy": "retry",
    "Tier": "rate_limit.limiter",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value

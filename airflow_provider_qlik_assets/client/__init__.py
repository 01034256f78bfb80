"""A client for the data assets of Qlik Cloud; usable without Airflow.

>>> from airflow_provider_qlik_assets.client import ApiKey, QlikCloudClient
>>> client = QlikCloudClient("https://your-tenant.eu.qlikcloud.com", auth=ApiKey("..."))
>>> for asset in client.list_data_assets():  # doctest: +SKIP
...     print(asset.technical_name, asset.data_freshness)
"""

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
    QlikPermissionError,
    QlikRateLimitError,
    QlikResponseError,
    QlikServerError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.client.json_patch import JsonPatchOperation
from airflow_provider_qlik_assets.client.models import DataAsset, DataStoreInfo
from airflow_provider_qlik_assets.client.rate_limit import RateLimiter, RateLimits, Tier
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
    "QlikPermissionError",
    "QlikRateLimitError",
    "QlikResponseError",
    "QlikServerError",
    "QlikValidationError",
    "RateLimiter",
    "RateLimits",
    "RetryPolicy",
    "Tier",
]

"""Check that a host is a Qlik Cloud tenant that knows the credentials of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikConfigurationError,
    QlikResponseError,
)

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client import QlikCloudClient

# Every tenant has the two endpoints that are called: the user's own profile, and OAuth tokens.
_NO_SUCH_ADDRESS = frozenset({404, 405, 410})


def check_tenant(client: QlikCloudClient) -> Mapping[str, Any]:
    """Return the user of the credentials, with ``id`` and ``tenantId`` at least.

    :raises QlikConfigurationError: the host answers, but not like a Qlik Cloud tenant.
    :raises QlikCloudError: the tenant rejects the credentials or is overloaded, or there is no answer.
    """
    try:
        user = client.me()
    except QlikResponseError as error:
        raise _no_tenant(client, str(error)) from error
    except QlikApiError as error:
        foreign = not error.from_qlik and error.http_status < 500 and error.http_status != 429
        if not foreign and error.http_status not in _NO_SUCH_ADDRESS:
            raise
        # Without the error's next step, which is about ids and roles.
        details = "; ".join(str(detail) for detail in error.errors)
        seen = f"{error.method} {error.url} answered {error.http_status}{f', {details}' if details else ''}."
        raise _no_tenant(client, seen) from error
    if all(isinstance(user.get(name), str) for name in ("id", "tenantId")):
        return user
    raise _no_tenant(client, "it answered with JSON that has no user id and tenantId.")


def _no_tenant(client: QlikCloudClient, seen: str) -> QlikConfigurationError:
    return QlikConfigurationError(
        f"{client.base_url} is not a Qlik Cloud tenant: {seen} Set the host to the tenant's own, such as "
        "your-tenant.eu.qlikcloud.com, without a path."
    )

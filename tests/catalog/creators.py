"""Creates by an upsert and by a sync, and others who meddle with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import Sync, upsert_data_asset
from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.sandbox import Sandbox

WISH = {"dataStoreInfo": {"id": "store"}, "technicalName": "orders", "appType": "dbt", "name": "Orders"}
CREATED_FIRST = "2026-01-01T00:00:00Z"


def upsert(client: Any, **options: Any) -> tuple[str, str]:
    result = upsert_data_asset(client, WISH, **options)
    return result.id, result.action


def sync(client: Any, **options: Any) -> tuple[str, str]:
    work = Sync(client, "store", [WISH], **options)
    (result,) = work.apply(work.plan())
    return result.id, result.action


def writes(sandbox: Sandbox) -> list[str]:
    return [entry.method for entry in sandbox.journal.requests() if entry.method != "GET"]


class Meddling:
    """A client around whose calls somebody else does something.

    :param before: what is done before the first call of each method.
    :param after: what is done after it.
    """

    def __init__(
        self,
        client: QlikCloudClient,
        *,
        before: dict[str, Callable[[], object]] | None = None,
        after: dict[str, Callable[[], object]] | None = None,
    ) -> None:
        self._client = client
        self._before = before or {}
        self._after = after or {}

    def with_options(self, **options: Any) -> Any:
        return Meddling(self._client.with_options(**options), before=self._before, after=self._after)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name not in self._before and name not in self._after:
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            if meddle := self._before.pop(name, None):
                meddle()
            result = found(*arguments, **options)
            if meddle := self._after.pop(name, None):
                meddle()
            return result

        return call


both = pytest.mark.parametrize("create", [upsert, sync])

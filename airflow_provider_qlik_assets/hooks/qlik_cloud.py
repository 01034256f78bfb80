"""The hook: an Airflow connection turned into a Qlik Cloud client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from asgiref.sync import sync_to_async

from airflow_provider_qlik_assets import catalog, client
from airflow_provider_qlik_assets._compat import BaseHook, conf, get_async_connection, mask_secret, redact
from airflow_provider_qlik_assets.hooks.fields import (
    CONFIG_SECTION,
    CONNECTION_TYPE,
    DEFAULT_CONNECTION_ID,
    EXTRA_FIELDS,
    HOOK_NAME,
)
from airflow_provider_qlik_assets.hooks.form import field_behaviour, form_widgets
from airflow_provider_qlik_assets.hooks.settings import (
    ConnectionSettings,
    redis_url,
    resolve_settings,
    url_secrets,
)

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Connection
    from airflow_provider_qlik_assets.catalog import DeletionGuards, Result
    from airflow_provider_qlik_assets.catalog.upsert import IfExists
    from airflow_provider_qlik_assets.client import DataAsset, JsonPatchOperation, QlikCloudClient

_TEST_TIMEOUT_SECONDS = (5.0, 10.0)


class QlikCloudHook(BaseHook):
    """Talk to the data assets of a Qlik Cloud tenant.

    Nothing is looked up or sent before the first call. A hook may be pickled: the copy looks its connection
    up again. Threads may share a hook once it has been used.

    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    """

    conn_name_attr = "qlik_conn_id"
    default_conn_name = DEFAULT_CONNECTION_ID
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

    def __init__(self, qlik_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.qlik_conn_id = qlik_conn_id
        self._client: QlikCloudClient | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the client out: it holds secrets and sockets."""
        return {**self.__dict__, "_client": None, "_log": None}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow 2.11 to 3.1; later ones read the provider's metadata."""
        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's standard fields for Airflow 2.11 to 3.1; later ones read the metadata."""
        return field_behaviour()

    def get_conn(self) -> QlikCloudClient:
        """Return the client of the connection; the same one on every call.

        :raises QlikConfigurationError: if the connection cannot work, naming the field to mend.
        """
        if self._client is None:
            settings = self._settings(self.get_connection(self.qlik_conn_id))
            store = self.get_connection(settings.store_conn_id) if settings.store_conn_id else None
            self._client = _new_client(settings, store)
        return self._client

    async def aget_conn(self) -> QlikCloudClient:
        """Return the client of the connection from the event loop of a trigger, without blocking it.

        Afterwards the hook's methods no longer look anything up and may be called in worker threads. They
        never wait there: what would be repeated, or would have to wait for the rate limit, raises at once,
        and the trigger waits in its event loop instead.

        :raises QlikConfigurationError: if the connection cannot work, naming the field to mend.
        """
        if self._client is None:
            connection = await get_async_connection(self.qlik_conn_id, hook=self)
            # It reads files and masks secrets. Not with asyncio.to_thread: from a triggerer, only threads of
            # asgiref reach the supervisor on every supported Airflow.
            settings = await sync_to_async(self._settings, thread_sensitive=False)(connection)
            store = (
                await get_async_connection(settings.store_conn_id, hook=self)
                if settings.store_conn_id
                else None
            )
            self._client = await sync_to_async(_new_client, thread_sensitive=False)(
                _without_waiting(settings), store
            )
        return self._client

    def close(self) -> None:
        """Close the client's sockets; the next call opens a new client."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def create_data_asset(self, asset: DataAsset | Mapping[str, Any]) -> DataAsset:
        """Create a data asset; see :meth:`QlikCloudClient.create_data_asset`."""
        return self.get_conn().create_data_asset(asset)

    def get_data_asset(self, data_asset_id: str, projections: Sequence[str] | None = None) -> DataAsset:
        """Read a data asset; see :meth:`QlikCloudClient.get_data_asset`."""
        return self.get_conn().get_data_asset(data_asset_id, projections=projections)

    def update_data_asset(self, data_asset_id: str, asset: DataAsset | Mapping[str, Any]) -> DataAsset:
        """Replace a data asset; see :meth:`QlikCloudClient.update_data_asset`."""
        return self.get_conn().update_data_asset(data_asset_id, asset)

    def patch_data_asset(
        self, data_asset_id: str, operations: Iterable[JsonPatchOperation | Mapping[str, Any]]
    ) -> DataAsset:
        """Apply a JSON Patch to a data asset; see :meth:`QlikCloudClient.patch_data_asset`."""
        return self.get_conn().patch_data_asset(data_asset_id, operations)

    def delete_data_assets(
        self, data_asset_ids: Iterable[str], *, max_deletions: int | None = None, dry_run: bool = False
    ) -> list[Result]:
        """Delete data assets, however many; see :func:`catalog.delete_data_assets`."""
        return catalog.delete_data_assets(
            self.get_conn(), data_asset_ids, max_deletions=max_deletions, dry_run=dry_run
        )

    def list_data_assets(
        self,
        data_store_ids: str | Iterable[str] = "*",
        projections: Sequence[str] | None = None,
        sort: Sequence[str] | None = None,
    ) -> Iterator[DataAsset]:
        """Iterate over the data assets of stores; see :meth:`QlikCloudClient.list_data_assets`."""
        return self.get_conn().list_data_assets(data_store_ids, projections=projections, sort=sort)

    def find_data_asset(self, data_store_id: str, technical_name: str) -> DataAsset | None:
        """Find a data asset by its natural key; see :func:`catalog.find_data_asset`."""
        return catalog.find_data_asset(self.get_conn(), data_store_id, technical_name)

    def upsert_data_asset(
        self, asset: DataAsset | Mapping[str, Any], *, if_exists: IfExists = "update"
    ) -> Result:
        """Create a data asset, or change what differs; see :func:`catalog.upsert_data_asset`."""
        return catalog.upsert_data_asset(self.get_conn(), asset, if_exists=if_exists)

    def sync_data_assets(
        self,
        data_store_id: str,
        data_assets: Iterable[DataAsset | Mapping[str, Any]],
        *,
        delete_unlisted: bool = False,
        guards: DeletionGuards | None = None,
    ) -> list[Result]:
        """Bring a data store to what is wished; see :func:`catalog.sync_data_assets`."""
        return catalog.sync_data_assets(
            self.get_conn(), data_store_id, data_assets, delete_unlisted=delete_unlisted, guards=guards
        )

    def set_data_freshness(
        self, data_asset_id: str, when: datetime | str, *, allow_backwards: bool = False
    ) -> Result:
        """Move the freshness of a data asset forward; see :func:`catalog.set_data_freshness`."""
        return catalog.set_data_freshness(
            self.get_conn(), data_asset_id, when, allow_backwards=allow_backwards
        )

    def test_connection(self) -> tuple[bool, str]:
        """Ask Qlik Cloud whose credentials these are; return whether it said so, and what to mend if not.

        It runs inside Airflow's api-server: time-outs are short, nothing is repeated, nothing is raised.
        """
        try:
            settings = _for_test(self._settings(self.get_connection(self.qlik_conn_id)))
            store = self.get_connection(settings.store_conn_id) if settings.store_conn_id else None
            with _new_client(settings, store) as client:
                user = client.me()
        except Exception as error:  # noqa: BLE001 - the form shows any failure; the api-server must not fail
            return False, str(redact(str(error) or repr(error)))
        name = user.get("name") or user.get("email") or user.get("id")
        return True, f"Connected to {settings.base_url} as {name!r}, tenant {user.get('tenantId')!r}."

    @staticmethod
    def _settings(connection: Connection) -> ConnectionSettings:
        options = (field.name for field in EXTRA_FIELDS if field.configurable)
        configured = {name: conf.get(CONFIG_SECTION, name, fallback=None) for name in options}
        settings = resolve_settings(
            connection,
            configured={name: value for name, value in configured.items() if value},
            on_new_token=mask_secret,
        )
        for secret in settings.secrets:
            mask_secret(secret)
        return settings


def _new_client(settings: ConnectionSettings, store: Connection | None) -> QlikCloudClient:
    rate_limit_store = settings.rate_limit_store
    if store is not None:
        rate_limit_store = redis_url(store)
        for secret in url_secrets(rate_limit_store):
            mask_secret(secret)
    return client.QlikCloudClient(
        settings.base_url,
        settings.credentials,
        timeout=settings.timeout,
        verify=settings.verify,
        proxies=settings.proxies,
        retry=client.RetryPolicy(max_retries=settings.max_retries, max_retry_wait=settings.max_retry_wait),
        rate_limits=client.RateLimits(
            tier1_limit=settings.tier1_limit,
            tier2_limit=settings.tier2_limit,
            window=settings.rate_limit_window,
        ),
        rate_limit_store=rate_limit_store,
        max_rate_limit_wait=settings.max_rate_limit_wait,
        user_agent=f"apache-airflow/{airflow_version}",
    )


def _without_waiting(settings: ConnectionSettings) -> ConnectionSettings:
    # No time to wait is no repetition either, of a 429 included, which max_retries does not count.
    return replace(settings, max_retry_wait=0.0, max_rate_limit_wait=0.0)


def _for_test(settings: ConnectionSettings) -> ConnectionSettings:
    connect, read = settings.timeout
    longest_connect, longest_read = _TEST_TIMEOUT_SECONDS
    return replace(
        _without_waiting(settings), timeout=(min(connect, longest_connect), min(read, longest_read))
    )

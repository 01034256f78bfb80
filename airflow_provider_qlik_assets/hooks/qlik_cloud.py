"""The hook: turns an Airflow connection into a Qlik Cloud client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from asgiref.sync import sync_to_async

from airflow_provider_qlik_assets import catalog, client
from airflow_provider_qlik_assets._compat import (
    AirflowNotFoundException,
    BaseHook,
    conf,
    get_async_connection,
    mask_secret,
    redact,
)
from airflow_provider_qlik_assets.client.error_frames import clears_variables
from airflow_provider_qlik_assets.client.errors import one_line, shorten
from airflow_provider_qlik_assets.client.host_state import StateUnavailableError
from airflow_provider_qlik_assets.client.rate_limit.open_store import check_store, open_store
from airflow_provider_qlik_assets.client.sent_secrets import remember_secret
from airflow_provider_qlik_assets.client.stopping import StopFlag
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
    check_environment,
    redis_url,
    resolve_settings,
    url_secrets,
)
from airflow_provider_qlik_assets.hooks.tenant_check import check_tenant

if TYPE_CHECKING:
    from airflow_provider_qlik_assets._compat import Connection
    from airflow_provider_qlik_assets.catalog import DeletionGuards
    from airflow_provider_qlik_assets.catalog.upsert import IfExists
    from airflow_provider_qlik_assets.client import DataAsset, JsonPatchOperation, QlikCloudClient

_TEST_TIMEOUT_SECONDS = (5.0, 10.0)
_SHORTEST_MASKED_SECRET = 5
# After a 429, requests are spaced for a while; a poll that takes several must still succeed.
_LONGEST_PACING_SECONDS = 10.0


class QlikCloudHook(BaseHook):
    """Talk to the data assets of a Qlik Cloud tenant.

    Nothing is looked up or sent before the first call. A hook may be pickled; the copy looks up its
    connection again. Threads may share a hook after its first use.

    The methods return plain JSON with the API's names, like the operators, so a ``@task`` can return it (for
    :meth:`list_data_assets`, return ``list(...)``). :meth:`get_conn` returns the client, whose methods return
    typed objects.

    :param qlik_conn_id: Airflow connection of type ``qlik_cloud``.
    :param stop_flag: the flag that :meth:`stop` sets; ``None`` creates a new one.
    """

    conn_name_attr = "qlik_conn_id"
    default_conn_name = DEFAULT_CONNECTION_ID
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

    def __init__(
        self, qlik_conn_id: str = default_conn_name, *, stop_flag: StopFlag | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.qlik_conn_id = qlik_conn_id
        self._stop_flag = stop_flag or StopFlag()
        self._client: QlikCloudClient | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the client out, because it has secrets and sockets."""
        return {**self.__dict__, "_client": None, "_log": None}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow 2.11 to 3.1; later ones read the provider's metadata."""
        return form_widgets()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's standard fields for Airflow 2.11 to 3.1; later ones read the metadata."""
        return field_behaviour()

    @clears_variables
    def get_conn(self) -> QlikCloudClient:
        """Return the client of the connection; every call returns the same one.

        :raises QlikConfigurationError: if the connection is invalid, naming the field to fix.
        """
        if self._client is None:
            settings, store = self._look_up()
            self._client = _new_client(settings, store, self._stop_flag)
        return self._client

    @clears_variables
    async def aget_conn(self) -> QlikCloudClient:
        """Return the client of the connection from the event loop of a trigger, without blocking it.

        Afterwards the hook's methods no longer look anything up and may be called in worker threads. A
        request that would be repeated, or would wait for the rate limit for more than some seconds, fails
        there at once, and the trigger waits in its event loop instead.

        :raises QlikConfigurationError: if the connection is invalid, naming the field to fix.
        """
        if self._client is None:
            try:
                connection = await get_async_connection(self.qlik_conn_id, hook=self)
            except AirflowNotFoundException:
                check_environment(self.qlik_conn_id)
                raise
            # It reads files and masks secrets. asyncio.to_thread does not work: in a triggerer, only
            # asgiref's threads reach the supervisor in every supported version of Airflow.
            settings = await sync_to_async(self._settings, thread_sensitive=False)(connection)
            store = (
                await get_async_connection(settings.store_conn_id, hook=self)
                if settings.store_conn_id
                else None
            )
            self._client = await sync_to_async(_new_client, thread_sensitive=False)(
                replace(
                    _without_waiting(settings),
                    max_rate_limit_wait=min(_LONGEST_PACING_SECONDS, settings.max_rate_limit_wait),
                ),
                store,
                self._stop_flag,
            )
        return self._client

    def close(self) -> None:
        """Close the client's sockets; the next call opens a new client."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def stop(self) -> None:
        """End all work for good, including work not yet started: see :meth:`QlikCloudClient.stop`."""
        self._stop_flag.set()

    def create_data_asset(self, asset: DataAsset | Mapping[str, Any]) -> dict[str, Any]:
        """Create a data asset by the client's plain request of this name, which is never repeated.

        :meth:`upsert_data_asset` is safe to repeat. See :meth:`.QlikCloudClient.create_data_asset`.

        :return: the new data asset.
        """
        return self.get_conn().create_data_asset(asset).to_json()

    def get_data_asset(self, data_asset_id: str, projections: Sequence[str] | None = None) -> dict[str, Any]:
        """Return a data asset: see :meth:`.QlikCloudClient.get_data_asset`."""
        return self.get_conn().get_data_asset(data_asset_id, projections=projections).to_json()

    def update_data_asset(self, data_asset_id: str, asset: DataAsset | Mapping[str, Any]) -> dict[str, Any]:
        """Replace a data asset by the client's plain request of this name: fields not given are cleared.

        :meth:`patch_data_asset` changes only what is given. See :meth:`.QlikCloudClient.update_data_asset`.

        :return: the updated data asset.
        """
        return self.get_conn().update_data_asset(data_asset_id, asset).to_json()

    def patch_data_asset(
        self,
        data_asset_id: str,
        operations: Iterable[JsonPatchOperation | Mapping[str, Any]] | None = None,
        *,
        changes: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> dict[str, Any]:
        """Change a data asset safely: read it first, and write only if something differs.

        Not the plain request of the client's method of this name, but :func:`.catalog.patch_data_asset`,
        which takes the same arguments.

        :return: ``{"id", "action", "version", "changed_fields", "data_asset"}``.
        """
        return catalog.patch_data_asset(
            self.get_conn(),
            data_asset_id,
            operations=operations,
            changes=changes,
            expected_version=expected_version,
        ).to_json()

    def delete_data_assets(
        self, data_asset_ids: Iterable[str], *, max_deletions: int | None = None, dry_run: bool = False
    ) -> dict[str, Any]:
        """Delete data assets safely: any number, within a limit, and a missing one counts as done.

        Not the plain request of the client's method of this name, but :func:`.catalog.delete_data_assets`,
        which takes the same arguments.

        :return: ``{"counts": {action: n}, "results": [...], "dry_run": ...}``.
        """
        results = catalog.delete_data_assets(
            self.get_conn(), data_asset_ids, max_deletions=max_deletions, dry_run=dry_run
        )
        return {**catalog.summarize(results), "dry_run": dry_run}

    def list_data_assets(
        self,
        data_store_ids: str | Iterable[str] = "*",
        projections: Sequence[str] | None = None,
        sort: Sequence[str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the data assets of data stores: see :meth:`.QlikCloudClient.list_data_assets`.

        Pages are read when needed. To return all data assets from a task, convert the iterator to a ``list``.

        :return: data assets as plain JSON by the API's names.
        """
        assets = self.get_conn().list_data_assets(data_store_ids, projections=projections, sort=sort)
        return (asset.to_json() for asset in assets)

    def find_data_asset(self, data_store_id: str, technical_name: str) -> dict[str, Any] | None:
        """Return the data asset with a technical name, or ``None``: see :func:`.catalog.find_data_asset`."""
        found = catalog.find_data_asset(self.get_conn(), data_store_id, technical_name)
        return found.to_json() if found else None

    def upsert_data_asset(
        self, asset: DataAsset | Mapping[str, Any], *, if_exists: IfExists = "update"
    ) -> dict[str, Any]:
        """Create a data asset, or change what differs: see :func:`.catalog.upsert_data_asset`.

        :return: ``{"id", "action", "version", "changed_fields", "data_asset"}``.
        """
        return catalog.upsert_data_asset(self.get_conn(), asset, if_exists=if_exists).to_json()

    def sync_data_assets(
        self,
        data_store_id: str,
        data_assets: Iterable[DataAsset | Mapping[str, Any]],
        *,
        delete_unlisted: bool = False,
        guards: DeletionGuards | None = None,
    ) -> dict[str, Any]:
        """Make the data assets of a data store match a list: see :func:`.catalog.sync_data_assets`.

        :return: ``{"counts": {action: n}, "results": [...], "dry_run": False}``.
        """
        results = catalog.sync_data_assets(
            self.get_conn(), data_store_id, data_assets, delete_unlisted=delete_unlisted, guards=guards
        )
        return {**catalog.summarize(results), "dry_run": False}

    def set_data_freshness(
        self,
        data_asset_id: str,
        when: datetime | str,
        *,
        allow_backwards: bool = False,
        allow_future: bool = False,
    ) -> dict[str, Any]:
        """Move the freshness of a data asset forward: see :func:`.catalog.set_data_freshness`.

        :return: ``{"id", "action", "version", "changed_fields", "data_asset"}``.
        """
        return catalog.set_data_freshness(
            self.get_conn(), data_asset_id, when, allow_backwards=allow_backwards, allow_future=allow_future
        ).to_json()

    @clears_variables
    def test_connection(self) -> tuple[bool, str]:
        """Check the credentials with Qlik Cloud; return whether all is well, and what to fix if not.

        A rate limit store that cannot be used from this machine counts as a failure. Requests work without
        it, but the processes that should share the quota may together exceed it.

        It runs inside Airflow's api-server, so time-outs are short, nothing is repeated and nothing is
        raised.
        """
        not_shared = ""
        try:
            settings, store = self._look_up()
            settings = _for_test(settings)
            with _new_client(settings, store) as client:
                try:
                    check_store(open_store(_store_url(settings, store)))
                except StateUnavailableError as error:
                    not_shared = (
                        f"the rate limit is not shared: {error}. This was checked on this machine only."
                    )
                user = check_tenant(client)
        except Exception as error:  # noqa: BLE001 - the form shows every failure; the api-server must not fail
            message = str(error) or repr(error)
            message = f"{message} Also, {not_shared}" if not_shared else message
            return False, one_line(str(redact(message)))
        name = shorten(str(user.get("name") or user.get("email") or user["id"]), 100)
        message = f"Connected to {settings.base_url} as {name!r}, tenant {shorten(user['tenantId'], 100)!r}"
        message += f", but {not_shared}" if not_shared else "."
        return not not_shared, one_line(str(redact(message)))

    def _look_up(self) -> tuple[ConnectionSettings, Connection | None]:
        """Return the settings, and the connection of the rate limit store, if any."""
        try:
            connection = self.get_connection(self.qlik_conn_id)
        except AirflowNotFoundException:
            check_environment(self.qlik_conn_id)
            raise
        settings = self._settings(connection)
        return settings, self.get_connection(settings.store_conn_id) if settings.store_conn_id else None

    @staticmethod
    def _settings(connection: Connection) -> ConnectionSettings:
        options = (field.name for field in EXTRA_FIELDS if field.configurable)
        configured = {name: conf.get(CONFIG_SECTION, name, fallback=None) for name in options}
        settings = resolve_settings(
            connection,
            configured={name: value for name, value in configured.items() if value},
            on_new_token=_mask,
        )
        for secret in settings.secrets:
            _mask(secret)
        return settings


def _mask(secret: str) -> None:
    """Mask a secret in logs and errors, unless it is so short that Airflow would only warn about it."""
    remember_secret(secret)
    shortest = conf.getint("logging", "min_length_masked_secret", fallback=_SHORTEST_MASKED_SECRET)
    if len(secret) >= shortest:
        mask_secret(secret)


def _store_url(settings: ConnectionSettings, store: Connection | None) -> str | None:
    if store is None:
        return settings.rate_limit_store
    url = redis_url(store)
    for secret in url_secrets(url):
        _mask(secret)
    return url


def _new_client(
    settings: ConnectionSettings, store: Connection | None, stop_flag: StopFlag | None = None
) -> QlikCloudClient:
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
        rate_limit_store=_store_url(settings, store),
        max_rate_limit_wait=settings.max_rate_limit_wait,
        user_agent=f"apache-airflow/{airflow_version}",
        stop_flag=stop_flag,
    )


def _without_waiting(settings: ConnectionSettings) -> ConnectionSettings:
    # Without time to wait there is no retry either, not even of a 429, which max_retries does not count.
    return replace(settings, max_retry_wait=0.0, max_rate_limit_wait=0.0)


def _for_test(settings: ConnectionSettings) -> ConnectionSettings:
    connect, read = settings.timeout
    longest_connect, longest_read = _TEST_TIMEOUT_SECONDS
    return replace(
        _without_waiting(settings), timeout=(min(connect, longest_connect), min(read, longest_read))
    )

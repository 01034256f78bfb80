"""The client of one Qlik Cloud tenant: the data-assets endpoints, typed and with safe retries.

Sources: the ``data-assets`` API, and the listing of a store's data assets in the ``data-stores`` API.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import pendulum
from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.client.auth import Authenticator, Credentials
from airflow_provider_qlik_assets.client.base_url import parse_base_url
from airflow_provider_qlik_assets.client.content import is_as_sent, required_body
from airflow_provider_qlik_assets.client.documents import (
    created_parser,
    parse_asset,
    parse_page,
    parse_user,
    written_parser,
)
from airflow_provider_qlik_assets.client.error_frames import clears_variables
from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikBadRequestError,
    QlikCloudError,
    QlikConflictError,
    QlikNotFoundError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.client.json_patch import (
    JsonPatchOperation,
    effective_operations,
    holds_already,
    is_safe_to_repeat,
    parse_operations,
)
from airflow_provider_qlik_assets.client.models import SET_BY_EACH_WRITE, DataAsset
from airflow_provider_qlik_assets.client.paging import MOST_PER_PAGE, Page, ReadPage, listing
from airflow_provider_qlik_assets.client.paths import ASSETS_PATH, ME_PATH, asset_path, listing_path
from airflow_provider_qlik_assets.client.rate_limit.limiter import (
    DEFAULT_MAX_WAIT_SECONDS,
    RateLimiter,
    RateLimits,
    Tier,
)
from airflow_provider_qlik_assets.client.rate_limit.open_store import open_store
from airflow_provider_qlik_assets.client.rate_limit.store import Store
from airflow_provider_qlik_assets.client.retry import RetryPolicy
from airflow_provider_qlik_assets.client.stopping import StopFlag
from airflow_provider_qlik_assets.client.transport import Answer, Request, Transport
from airflow_provider_qlik_assets.client.validation import check_id, comma_separated, with_id
from airflow_provider_qlik_assets.client.verdicts import settling

# How a tenant may reject a stale version or a failed test.
_REFUSED = (QlikConflictError, QlikBadRequestError)

_MADE = "The change was made; the data asset could only not be read afterwards."
_SET_BY_EACH_WRITE = frozenset(map(to_camel, SET_BY_EACH_WRITE))
_TRANSPORT_OPTIONS = ("retry", "timeout", "verify", "proxies", "user_agent", "stop_flag")

DEFAULT_TIMEOUT = (10.0, 60.0)


class QlikCloudClient:
    """Talk to one tenant as one user.

    Threads may share a client. After a fork, each process opens its own connections. Nothing is sent before
    the first call.

    :param base_url: the tenant, such as ``https://your-tenant.eu.qlikcloud.com``.
    :param auth: :class:`~.auth.ApiKey`, :class:`~.auth.OAuthClientSecret` or :class:`~.auth.OAuthPrivateKey`.
    :param timeout: seconds to connect, and seconds from sending a request to the last byte of its answer.
    :param verify: whether to verify TLS certificates, or the path of the CA bundle to use.
    :param proxies: proxy URL by scheme; ``None`` uses the environment. Ignored for http://.
    :param retry: how often and how long failed requests are repeated.
    :param rate_limits: the user's rate limits.
    :param rate_limit_store: the store that shares the limits with other processes and hosts, or its URL;
        ``None`` is the user's own directory on this host.
    :param max_rate_limit_wait: seconds that one request may wait for the rate limit.
    :param user_agent: appended to the ``User-Agent``.
    :param sleep: waits for some seconds, before a retry or for the rate limit. :meth:`stop` only ends waits
        of the default.
    :param stop_flag: the flag that :meth:`stop` sets; ``None`` creates a new one.
    :raises QlikConfigurationError: if a setting is invalid.
    """

    @clears_variables
    def __init__(
        self,
        base_url: str,
        auth: Credentials,
        *,
        timeout: tuple[float, float] = DEFAULT_TIMEOUT,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
        rate_limits: RateLimits | None = None,
        rate_limit_store: Store | str | None = None,
        max_rate_limit_wait: float = DEFAULT_MAX_WAIT_SECONDS,
        user_agent: str = "",
        sleep: Callable[[float], None] = time.sleep,
        stop_flag: StopFlag | None = None,
    ) -> None:
        self.base_url = parse_base_url(base_url)
        self.stop_flag = stop_flag or StopFlag()
        self.max_rate_limit_wait = max_rate_limit_wait
        self.timeout = timeout
        self.retry = retry or RetryPolicy()
        self._credentials = auth
        store = (
            open_store(rate_limit_store)
            if rate_limit_store is None or isinstance(rate_limit_store, str)
            else rate_limit_store
        )
        self._arguments: dict[str, Any] = {
            "timeout": timeout,
            "verify": verify,
            "proxies": proxies,
            "retry": self.retry,
            "rate_limits": rate_limits,
            "rate_limit_store": store,
            "max_rate_limit_wait": max_rate_limit_wait,
            "user_agent": user_agent,
            "sleep": sleep,
            "stop_flag": self.stop_flag,
        }
        self._limiter = RateLimiter(
            store,
            tenant=urlsplit(self.base_url).netloc,
            identity=auth.identity,
            limits=rate_limits,
            max_wait=max_rate_limit_wait,
            sleep=self.sleep,
        )
        self._connected: tuple[int, Transport, Authenticator] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, {self._credentials!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        connected, self._connected = self._connected, None
        if connected is not None:
            connected[1].close()

    def stop(self) -> None:
        """End all work of this client and its copies for good; may be called from a signal handler.

        No further request is sent, not even a read, and every wait ends. The calls in progress raise
        :class:`~.errors.QlikStoppedError`. Requests in progress are completed.
        """
        self.stop_flag.set()

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds.

        :raises QlikStoppedError: if the client was stopped.
        """
        self.stop_flag.sleep(seconds, self._arguments["sleep"])

    @clears_variables
    def with_options(self, **options: Any) -> Self:
        """Return a client of the same user and quota with other options; close it, too.

        :meth:`stop` of one stops the other, unless the new client gets its own ``stop_flag``.

        :param options: constructor arguments to replace, such as ``max_rate_limit_wait``.
        """
        client = type(self)(self.base_url, self._credentials, **{**self._arguments, **options})
        # Before threads share it, because each of them would create its own transport.
        client._connect()
        return client

    def rate_limit_wait(self, tier: Tier, requests: int = 1) -> float:
        """Return about how many seconds requests sent now would wait for the rate limit.

        :param tier: tier of the requests.
        :param requests: how many; the wait is that of the last one.
        """
        return self._limiter.wait_for(tier, requests)

    def server_now(self) -> pendulum.DateTime:
        """Return the time of day at the tenant, to within two seconds, as of its last answer."""
        return self._connect()[0].server_clock.now()

    # --- data assets -------------------------------------------------------------------------------------

    def create_data_asset(self, asset: DataAsset | Mapping[str, Any]) -> DataAsset:
        """Create a data asset (``POST /api/v1/data-assets``).

        The hook's method of this name sends the same request. It is never repeated when its outcome is
        unknown, because that could create a duplicate. Use
        :func:`~airflow_provider_qlik_assets.catalog.upsert.upsert_data_asset` to create one safely.

        :param asset: with ``technical_name`` and ``app_type``, without ``id`` and ``version``.
        :return: the new data asset.
        :raises QlikValidationError: if a value is missing or invalid; nothing was sent.
        :raises QlikConflictError: if the tenant already has such a data asset.
        :raises QlikCloudError: see :mod:`~airflow_provider_qlik_assets.client.errors`.
        """
        body = required_body(DataAsset.parse(asset), "technicalName", "appType")
        if "id" in body or "version" in body:
            raise QlikValidationError(
                "A new data asset must not have an 'id' or a 'version': Qlik Cloud sets them."
            )
        created: DataAsset = self._send(
            "POST", ASSETS_PATH, body=body, safe_to_repeat=False, parse=created_parser(ASSETS_PATH, body)
        ).document
        return created

    def get_data_asset(self, data_asset_id: str, projections: Sequence[str] | None = None) -> DataAsset:
        """Return a data asset (``GET /api/v1/data-assets/{id}``).

        :param data_asset_id: id of the data asset.
        :param projections: API names of the fields to return, ``id`` always among them; ``None`` returns all.
        :raises QlikNotFoundError: if it does not exist, or the user may not see it.
        """
        path = asset_path(data_asset_id)
        params = {"projections": with_id(projections)} if projections else None
        found: DataAsset = self._send(
            "GET", path, params=params, parse=functools.partial(parse_asset, path, data_asset_id)
        ).document
        return found

    def update_data_asset(self, data_asset_id: str, asset: DataAsset | Mapping[str, Any]) -> DataAsset:
        """Replace a data asset (``PUT /api/v1/data-assets/{id}``); missing fields are cleared.

        The hook's method of this name sends the same request.

        :param data_asset_id: id of the data asset.
        :param asset: with ``technical_name``, ``app_type``, and the ``version`` that the change is based on.
        :return: the updated data asset.
        :raises QlikConflictError: if the data asset has another version by now.
        """
        path = asset_path(data_asset_id)
        body = required_body(DataAsset.parse(asset), "technicalName", "appType", "version")
        if body.setdefault("id", data_asset_id) != data_asset_id:
            raise QlikValidationError(
                f"The 'id' in the data asset must be {data_asset_id!r} or left out, not {body['id']!r}."
            )
        try:
            answer = self._send("PUT", path, body=body, parse=written_parser(path, data_asset_id))
        except _REFUSED as refused:
            # An earlier attempt may have been carried out, so that this one was rejected.
            current = self._settle(data_asset_id, refused)
            if current is None or not is_as_sent(current, body):
                raise
            return current
        return answer.document or self._read_again(data_asset_id)

    def patch_data_asset(
        self,
        data_asset_id: str,
        operations: Iterable[JsonPatchOperation | Mapping[str, Any]],
        *,
        current: DataAsset | None = None,
    ) -> DataAsset:
        """Send one JSON Patch (``PATCH /api/v1/data-assets/{id}``).

        The hook's method of this name differs: it reads first and only writes what has changed, see
        :func:`~airflow_provider_qlik_assets.catalog.patch.patch_data_asset`.

        When its outcome is unknown, it is only repeated if all operations are idempotent, or if the first one
        is a ``test`` of ``/version``.

        :param data_asset_id: id of the data asset.
        :param operations: RFC 6902 operations.
        :param current: the data asset that the operations are based on, if they ``test`` its version. If the
            answer does not contain the new document, it is then not read again.
        :return: the data asset after the change. If the answer does not contain it, it is read again, or it
            is ``current`` with the operations applied, without the version and the last modification, which
            only Qlik knows.
        :raises QlikValidationError: if an operation is malformed; nothing was sent.
        :raises QlikConflictError: if a ``test`` failed.
        """
        path = asset_path(data_asset_id)
        parsed = parse_operations(operations)
        body = [operation.to_json() for operation in parsed]
        try:
            answer = self._send(
                "PATCH",
                path,
                body=body,
                safe_to_repeat=is_safe_to_repeat(parsed),
                parse=written_parser(path, data_asset_id),
            )
        except _REFUSED as refused:
            found = self._settle(data_asset_id, refused)
            if found is None or not holds_already(found.to_json(), parsed):
                raise
            return found
        if answer.document is None and current is not None:
            after = effective_operations(current.to_json(), parsed)[1]
            return DataAsset.from_json({key: after[key] for key in after if key not in _SET_BY_EACH_WRITE})
        return answer.document or self._read_again(data_asset_id)

    def delete_data_assets(
        self, data_asset_ids: Iterable[str], last_look: Callable[[list[str], int], list[str]] | None = None
    ) -> None:
        """Delete data assets and everything in them with one request (``DELETE /api/v1/data-assets``).

        The hook's method of this name differs: it accepts any number of ids and has guards, see
        :func:`~airflow_provider_qlik_assets.catalog.deletion.delete_data_assets`.

        :param data_asset_ids: 1 to 100 different ids; Qlik Cloud accepts no more in one request.
        :param last_look: called in each attempt after the wait for the rate limit, with the ids and the
            number of earlier attempts that may have deleted them; returns those that are still to be deleted.
        :raises QlikNotFoundError: if the tenant rejected the batch because one of them does not exist.
        """
        ids = list(data_asset_ids)
        for data_asset_id in ids:
            check_id(data_asset_id)
        if isinstance(data_asset_ids, str) or not ids or len(ids) > 100 or len(set(ids)) != len(ids):
            raise QlikValidationError("data_asset_ids must be a list of 1 to 100 different ids.")

        def look(unanswered: int) -> Any:
            left = last_look(ids, unanswered) if last_look else ids
            return {"ids": left} if left else None

        try:
            self._send("DELETE", ASSETS_PATH, body={"ids": ids}, last_look=last_look and look)
        except QlikNotFoundError as missing:
            if last_look or not missing.repeated:
                raise
            # An earlier attempt may have deleted them, and the tenant may then reject the whole batch.
            with settling(missing):
                left = [key for key in ids if self.exists(key)]
            if left:
                self._send("DELETE", ASSETS_PATH, body={"ids": left})

    def exists(self, data_asset_id: str) -> bool:
        """Return whether a data asset exists, and the user may see it."""
        try:
            self.get_data_asset(data_asset_id, projections=["id"])
        except QlikNotFoundError:
            return False
        return True

    def list_data_assets(
        self,
        data_store_ids: str | Iterable[str] = "*",
        projections: Sequence[str] | None = None,
        sort: Sequence[str] | None = None,
    ) -> Iterator[DataAsset]:
        """Iterate over all data assets of data stores (``GET /api/v1/data-stores/{ids}/data-assets``).

        No data asset is returned twice, and none that exists during the whole listing is missing, even if
        others are created and deleted at the same time (see
        :mod:`~airflow_provider_qlik_assets.client.paging`).

        :param data_store_ids: an id, several ids, or ``"*"`` for all stores.
        :param projections: API names of the fields to return, ``id`` and ``createdTime`` always among them;
            ``None`` returns all.
        :param sort: API names of fields to sort by, with a leading ``-`` for descending order; ``None`` for
            no particular order.
        """
        if projections:  # the instant shows whether the tenant keeps to the order
            projections = [*([projections] if isinstance(projections, str) else projections), "createdTime"]
        read_page = self._page_reader(data_store_ids, projections)
        return listing(read_page, sort=comma_separated("sort", sort) if sort else None)

    def read_page(
        self,
        data_store_ids: str | Iterable[str] = "*",
        number: int = 0,
        *,
        projections: Sequence[str] | None = None,
        sort: Sequence[str] | None = None,
    ) -> Page:
        """Return one page of up to 100 data assets, as it is at this moment.

        Use it only if you handle pages that shift between two reads yourself. Otherwise use
        :meth:`list_data_assets`, which takes the same arguments.

        :param number: number of the page, from 0.
        """
        order = comma_separated("sort", sort) if sort else None
        return self._page_reader(data_store_ids, projections)(number, order)

    # --- users -------------------------------------------------------------------------------------------

    def me(self) -> dict[str, Any]:
        """Return the user of the credentials (``GET /api/v1/users/me``)."""
        user: dict[str, Any] = self._send(
            "GET", ME_PATH, parse=functools.partial(parse_user, ME_PATH)
        ).document
        return user

    # --- plumbing ----------------------------------------------------------------------------------------

    def _settle(self, data_asset_id: str, refused: QlikApiError) -> DataAsset | None:
        """Return a data asset whose write was refused, if an earlier attempt may have been carried out."""
        if not refused.repeated:
            return None
        with settling(refused):
            return self.get_data_asset(data_asset_id)

    def _read_again(self, data_asset_id: str) -> DataAsset:
        """Return a data asset as a write without a document in its answer has left it."""
        try:
            return self.get_data_asset(data_asset_id)
        except QlikCloudError as error:
            error.outcome = _MADE
            raise

    def _page_reader(
        self, data_store_ids: str | Iterable[str], projections: Sequence[str] | None
    ) -> ReadPage:
        path = listing_path(data_store_ids)
        options = {"projections": with_id(projections)} if projections else {}

        def read_page(number: int, order: str | None) -> Page:
            params = {**options, "limit": str(MOST_PER_PAGE), "page": str(number)}
            if order:
                params["sort"] = order
            page: Page = self._send(
                "GET", path, params=params, parse=functools.partial(parse_page, path)
            ).document
            return page

        return read_page

    def _send(self, method: str, path: str, **options: Any) -> Answer:
        transport, authenticator = self._connect()
        return transport.send(Request(method, path, **options), authenticator)

    @clears_variables
    def _connect(self) -> tuple[Transport, Authenticator]:
        """Return the transport of this process: sockets and locks must not be shared with a parent."""
        connected = self._connected
        if connected is None or connected[0] != os.getpid():
            options = {name: self._arguments[name] for name in _TRANSPORT_OPTIONS}
            transport = Transport(self.base_url, limiter=self._limiter, sleep=self.sleep, **options)
            authenticator = self._credentials.authenticator(self.base_url, transport.request_token)
            connected = self._connected = (os.getpid(), transport, authenticator)
        return connected[1], connected[2]

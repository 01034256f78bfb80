"""The endpoints of the tenant."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from airflow_provider_qlik_assets.sandbox import documents, openapi, paging
from airflow_provider_qlik_assets.sandbox.documents import Document
from airflow_provider_qlik_assets.sandbox.errors import SandboxError, error_body
from airflow_provider_qlik_assets.sandbox.exchange import JSON, Exchange, dumps
from airflow_provider_qlik_assets.sandbox.gateway import TOKEN_PATH
from airflow_provider_qlik_assets.sandbox.identity import User
from airflow_provider_qlik_assets.sandbox.openapi import in_path, listing, projections, reference, takes
from airflow_provider_qlik_assets.sandbox.patching import OPERATION_MODELS
from airflow_provider_qlik_assets.sandbox.tenant import ASSET, STORE, Kind, Tenant

ASSETS = "/api/v1/data-assets"
STORES = "/api/v1/data-stores"


PATCH = {"type": "array", "items": {"anyOf": [reference(model) for model in OPERATION_MODELS]}}
TOKEN_REQUEST = {
    **takes(body={"anyOf": [reference(documents.SecretGrant), reference(documents.AssertionGrant)]}),
    "security": [],
}

_REQUIRED = ("technicalName", "appType")
_ANSWERS_TO_CREATE = {"whole": None, "id": ("id", *_REQUIRED), "required": _REQUIRED}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class _Operation:
    """One endpoint: its address, its parameters (as in OpenAPI) and its answer on success."""

    method: str
    path: str
    handler: Handler
    success: dict[int, type[BaseModel] | None]
    request: dict[str, Any]


class Endpoints:
    """Handlers of the API; each takes the request and returns the whole response.

    :param tenant: the state.
    :param base_url: returns the sandbox's address, known once it listens.
    """

    def __init__(self, tenant: Tenant, base_url: Callable[[], str]) -> None:
        self._tenant = tenant
        self._base_url = base_url

    def add_to(self, app: FastAPI) -> None:
        """Register all routes and error handlers."""
        operations = [
            *self._operations(ASSETS, ASSET, openapi.DataAsset),
            *self._operations(STORES, STORE, openapi.DataStore),
            *self._listings(),
            _Operation("POST", TOKEN_PATH, self.token, {200: openapi.Token}, TOKEN_REQUEST),
            _Operation("GET", "/api/v1/users/me", self.me, {200: openapi.User}, {}),
        ]
        for operation in operations:
            app.add_api_route(
                operation.path,
                operation.handler,
                methods=[operation.method],
                status_code=min(operation.success),
                responses=openapi.responses(operation.method, operation.success),
                openapi_extra=operation.request,
            )
        app.add_exception_handler(SandboxError, refused)
        app.add_exception_handler(HTTPException, _not_routed)

    def _operations(self, path: str, kind: Kind, shape: type[BaseModel]) -> list[_Operation]:
        item = f"{path}/{{{kind.parameter}}}"
        key = in_path(kind.parameter)
        create, delete, read, patch, put = (
            _bound(handler, kind) for handler in (self.create, self.delete, self.read, self.patch, self.put)
        )
        return [
            _Operation("POST", path, create, {201: shape}, takes(body=reference(kind.new))),
            _Operation("DELETE", path, delete, {204: None}, takes(body=reference(documents.Ids))),
            _Operation("GET", item, read, {200: shape}, takes(key, projections(kind.fields))),
            _Operation("PATCH", item, patch, {200: shape, 204: None}, takes(key, body=PATCH)),
            _Operation("PUT", item, put, {200: shape}, takes(key, body=reference(kind.changed))),
        ]

    def _listings(self) -> list[_Operation]:
        path = STORES + "/{data_store_ids}/data-assets"
        keys = in_path("data_store_ids")
        stores, assets = listing(STORE.fields), listing(ASSET.fields)
        sets, sets_of = path + "/{data_asset_ids}/data-sets", in_path("data_asset_ids")
        pages = [parameter for parameter in assets if parameter["name"] in ("limit", "page")]
        return [
            _Operation("GET", STORES, self.list_stores, {200: openapi.DataStorePage}, takes(*stores)),
            _Operation("GET", path, self.list_assets, {200: openapi.DataAssetPage}, takes(keys, *assets)),
            _Operation("DELETE", path, self.delete_assets, {204: None}, takes(keys)),
            _Operation("GET", sets, self.list_sets, {200: openapi.DataSetPage}, takes(keys, sets_of, *pages)),
            _Operation("DELETE", sets, self.delete_sets, {204: None}, takes(keys, sets_of)),
        ]

    async def create(self, kind: Kind, request: Request) -> Response:
        """Create a document."""
        document = self._tenant.create(kind, _exchange(request).json(), _user(request))
        projection = _ANSWERS_TO_CREATE[self._tenant.settings.answer_to_create] if kind is ASSET else None
        return self._shown(kind, document, 201, projection)

    async def read(self, kind: Kind, request: Request) -> Response:
        """Return a document, whole or in part."""
        document = self._tenant.get(kind, _id(kind, request))
        projection = paging.projected(_query(request).get("projections"), kind.fields, self._tenant.settings)
        return self._shown(kind, document, 200, projection)

    async def put(self, kind: Kind, request: Request) -> Response:
        """Replace a document."""
        body = _exchange(request).json()
        return self._shown(kind, self._tenant.put(kind, _id(kind, request), body, _user(request)), 200)

    async def patch(self, kind: Kind, request: Request) -> Response:
        """Apply a JSON Patch."""
        body = _exchange(request).json()
        document = self._tenant.patch(kind, _id(kind, request), body, _user(request))
        if self._tenant.settings.patch_answers_204:
            return Response(status_code=204)
        return self._shown(kind, document, 200)

    async def delete(self, kind: Kind, request: Request) -> Response:
        """Delete documents by id."""
        self._tenant.delete(kind, _exchange(request).json())
        return Response(status_code=204)

    async def list_stores(self, request: Request) -> Response:
        """List the data stores."""
        return self._page(STORE, None, request)

    async def list_assets(self, request: Request) -> Response:
        """List the assets of one store, of several or of all."""
        stores = self._known_stores(request)
        return self._page(ASSET, None if self._tenant.settings.other_stores_listed else stores, request)

    async def delete_assets(self, request: Request) -> Response:
        """Delete all assets of stores."""
        self._tenant.delete_assets_of(self._stores(request))
        return Response(status_code=204)

    async def list_sets(self, request: Request) -> Response:
        """List the data sets of assets: the sandbox has none."""
        settings, query = self._tenant.settings, _query(request)
        self._check_assets(request)
        url = request.url.path if settings.links == "relative" else self._base_url() + request.url.path
        found, rest = paging.page_of([], url, query, settings)
        return _reply({"data": found, **rest}, 200)

    async def delete_sets(self, request: Request) -> Response:
        """Delete the data sets of assets: the sandbox has none."""
        self._check_assets(request)
        return Response(status_code=204)

    async def token(self, request: Request) -> Response:
        """Issue an access token."""
        body = _exchange(request).json()
        with self._tenant.lock:
            reply = self._tenant.identity.give_token(body, self._base_url() + TOKEN_PATH)
        return _reply(reply, 200)

    async def me(self, request: Request) -> Response:
        """Return the user of the token."""
        return _reply(_user(request).as_json(), 200)

    def _known_stores(self, request: Request) -> list[str] | None:
        stores = self._stores(request)
        if stores is not None:
            known = self._tenant.known_stores(stores)
            if len(known) < len(set(stores)) and self._tenant.settings.unknown_store == "refused":
                raise SandboxError(
                    404, *(f"There is no data store with the id {key}." for key in set(stores) - known)
                )
        return stores

    def _check_assets(self, request: Request) -> None:
        """Refuse unknown data assets as unknown data stores are."""
        self._known_stores(request)
        text = unquote(request.path_params["data_asset_ids"])
        if text != "*" and self._tenant.settings.unknown_store == "refused":
            for key in text.split(","):
                self._tenant.get(ASSET, key)

    def _stores(self, request: Request) -> list[str] | None:
        text = unquote(request.path_params["data_store_ids"])
        if text != "*":
            return text.split(",")
        if self._tenant.settings.all_stores_refused:
            raise SandboxError(403, "The user may not list all data stores.")
        return None

    def _page(self, kind: Kind, stores: list[str] | None, request: Request) -> Response:
        settings, query = self._tenant.settings, _query(request)
        projection = paging.projected(query.get("projections"), kind.fields, settings)
        sort = paging.sort_fields(query.get("sort"), kind.fields, settings)
        url = request.url.path if settings.links == "relative" else self._base_url() + request.url.path
        found, rest = paging.page_of(self._tenant.listed(kind, stores, sort), url, query, settings)
        data = [paging.shown(document, kind.fields, projection, settings) for document in found]
        return _reply({"data": data, **rest}, 200)

    def _shown(
        self, kind: Kind, document: Document, status: int, projection: tuple[str, ...] | None = None
    ) -> Response:
        return _reply(paging.shown(document, kind.fields, projection, self._tenant.settings), status)


def _bound(handler: Callable[[Kind, Request], Awaitable[Response]], kind: Kind) -> Handler:
    async def endpoint(request: Request) -> Response:
        return await handler(kind, request)

    endpoint.__name__ = f"{handler.__name__}_{kind.name.replace(' ', '_')}"
    endpoint.__doc__ = handler.__doc__
    return endpoint


def _exchange(request: Request) -> Exchange:
    exchange: Exchange = request.scope["sandbox.exchange"]
    return exchange


def _user(request: Request) -> User:
    user = _exchange(request).user
    assert user is not None  # noqa: S101 - the gateway rejects all other requests
    return user


def _id(kind: Kind, request: Request) -> str:
    return unquote(request.path_params[kind.parameter])


def _query(request: Request) -> Mapping[str, str]:
    """Return the query parameters; a repeated one counts like a comma-separated one."""
    merged: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def _reply(value: Any, status: int) -> Response:
    return Response(dumps(value), status, media_type=JSON)


async def refused(_request: Request, error: Any) -> Response:
    """Answer a :class:`SandboxError`."""
    return Response(dumps(error.body), error.status, error.headers, JSON)


async def _not_routed(request: Request, error: Any) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
        headers["Allow"] = ", ".join(sorted({method for route in routes for method in route.methods}))
    body = error_body(
        error.status_code, f"{request.method} {request.url.path} is not an endpoint of the API."
    )
    return Response(dumps(body), error.status_code, headers, JSON)

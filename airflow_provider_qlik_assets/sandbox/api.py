"""The endpoints of the tenant."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from airflow_provider_qlik_assets.sandbox import paging
from airflow_provider_qlik_assets.sandbox.errors import SandboxError, error_body
from airflow_provider_qlik_assets.sandbox.exchange import JSON, Exchange, dumps
from airflow_provider_qlik_assets.sandbox.gateway import TOKEN_PATH
from airflow_provider_qlik_assets.sandbox.identity import User
from airflow_provider_qlik_assets.sandbox.tenant import ASSET, STORE, Document, Kind, Tenant

ASSETS = "/api/v1/data-assets"
STORES = "/api/v1/data-stores"


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
        for path, kind in ((ASSETS, ASSET), (STORES, STORE)):
            item = path + "/{id}"
            routes: list[tuple[str, str, Any]] = [
                ("POST", path, self.create),
                ("DELETE", path, self.delete),
                ("GET", item, self.read),
                ("PATCH", item, self.patch),
                ("PUT", item, self.put),
            ]
            for method, where, handler in routes:
                app.add_api_route(where, _bound(handler, kind), methods=[method])
        app.add_api_route(STORES, self.list_stores, methods=["GET"])
        app.add_api_route(STORES + "/{ids}/data-assets", self.list_assets, methods=["GET"])
        app.add_api_route(STORES + "/{ids}/data-assets", self.delete_assets, methods=["DELETE"])
        app.add_api_route(TOKEN_PATH, self.token, methods=["POST"])
        app.add_api_route("/api/v1/users/me", self.me, methods=["GET"])
        app.add_exception_handler(SandboxError, _refused)
        app.add_exception_handler(HTTPException, _not_routed)

    async def create(self, kind: Kind, request: Request) -> Response:
        """Create a document."""
        document = self._tenant.create(kind, _exchange(request).json(), _user(request))
        return self._shown(kind, document, 201)

    async def read(self, kind: Kind, request: Request) -> Response:
        """Return a document, whole or in part."""
        document = self._tenant.get(kind, _id(request))
        projection = paging.projected(_query(request).get("projections"), kind.fields, self._tenant.settings)
        return self._shown(kind, document, 200, projection)

    async def put(self, kind: Kind, request: Request) -> Response:
        """Replace a document."""
        body = _exchange(request).json()
        return self._shown(kind, self._tenant.put(kind, _id(request), body, _user(request)), 200)

    async def patch(self, kind: Kind, request: Request) -> Response:
        """Apply a JSON Patch."""
        body = _exchange(request).json()
        document = self._tenant.patch(kind, _id(request), body, _user(request))
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
        stores = self._stores(request)
        if stores is not None:
            known = self._tenant.known_stores(stores)
            if len(known) < len(set(stores)) and self._tenant.settings.unknown_store == "refused":
                raise SandboxError(
                    404, *(f"There is no data store with the id {key}." for key in set(stores) - known)
                )
        return self._page(ASSET, stores, request)

    async def delete_assets(self, request: Request) -> Response:
        """Delete all assets of stores."""
        self._tenant.delete_assets_of(self._stores(request))
        return Response(status_code=204)

    async def token(self, request: Request) -> Response:
        """Give out an access token."""
        body = _exchange(request).json()
        if not isinstance(body, dict):
            raise SandboxError(400, "body: must be an object")
        with self._tenant.lock:
            reply = self._tenant.identity.give_token(body, self._base_url() + TOKEN_PATH)
        return _reply(reply, 200)

    async def me(self, request: Request) -> Response:
        """Say who the token is."""
        return _reply(_user(request).as_json(), 200)

    def _stores(self, request: Request) -> list[str] | None:
        text = unquote(request.path_params["ids"])
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


def _bound(handler: Any, kind: Kind) -> Any:
    async def endpoint(request: Request) -> Response:
        response: Response = await handler(kind, request)
        return response

    endpoint.__name__ = f"{handler.__name__}_{kind.name.replace(' ', '_')}"
    return endpoint


def _exchange(request: Request) -> Exchange:
    exchange: Exchange = request.scope["sandbox.exchange"]
    return exchange


def _user(request: Request) -> User:
    user = _exchange(request).user
    assert user is not None  # noqa: S101 - the gateway lets nobody else through
    return user


def _id(request: Request) -> str:
    return unquote(request.path_params["id"])


def _query(request: Request) -> Mapping[str, str]:
    """Return the query parameters; a repeated one is as good as a comma-separated one."""
    merged: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def _reply(value: Any, status: int) -> Response:
    return Response(dumps(value), status, media_type=JSON)


async def _refused(_request: Request, error: Any) -> Response:
    return Response(dumps(error.body), error.status, error.headers, JSON)


async def _not_routed(request: Request, error: Any) -> Response:
    body = error_body(error.status_code, f"{request.method} {request.url.path} is no endpoint of the API.")
    return Response(dumps(body), error.status_code, error.headers, JSON)

"""The OpenAPI description of the sandbox, for its default settings."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from airflow_provider_qlik_assets.sandbox import documents, paging
from airflow_provider_qlik_assets.sandbox.patching import OPERATION_MODELS

_SCHEMAS = "#/components/schemas/{model}"


class _Reply(BaseModel):
    """Replies may carry fields that are not documented; unset ones are absent or null."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)


class _Item(_Reply):
    id: str | None = None
    name: str | None = None
    tags: list[str] | None = None
    owner_id: str | None = None
    space_id: str | None = None
    version: int | None = None
    tenant_id: str | None = None
    created_by: str | None = None
    properties: dict[str, Any] | None = None
    created_time: documents.Instant | None = None
    description: str | None = None
    technical_name: str | None = None
    last_modified_by: str | None = None
    last_modified_time: documents.Instant | None = None
    technical_description: str | None = None


class DataStoreInfo(_Reply):
    """The store of an asset."""

    id: str
    name: str | None = None
    type: str | None = None


class DataAsset(_Item):
    """A data asset, or the fields of it that were asked for."""

    app_id: str | None = None
    app_type: str | None = None
    data_freshness: documents.Instant | None = None
    data_store_info: DataStoreInfo | None = None


class DataStore(_Item):
    """A data store, or the fields of it that were asked for."""

    type: str | None = None
    uri: str | None = None


class Link(BaseModel):
    """Address of a page."""

    href: str


class Links(BaseModel):
    """Addresses of the pages around this one."""

    first: Link
    last: Link
    self: Link
    next: Link | None = None
    prev: Link | None = None


class _Page(BaseModel):
    page: int = Field(ge=0)
    limit: int = Field(ge=1, le=paging.MAXIMUM_LIMIT)
    pages: int = Field(ge=0)
    total: int = Field(ge=0)
    links: Links


class DataAssetPage(_Page):
    """A page of data assets."""

    data: list[DataAsset]


class DataSetPage(_Page):
    """A page of data sets, which the sandbox has none of."""

    data: list[dict[str, Any]] = Field(max_length=0)


class DataStorePage(_Page):
    """A page of data stores."""

    data: list[DataStore]


class Token(BaseModel):
    """An access token; the switch ``token_expiry`` decides which of the two times it carries."""

    access_token: str
    token_type: str
    scope: str
    expires_in: int | None = None
    expires_at: documents.Instant | None = None


class User(_Reply):
    """The user that a token stands for."""

    id: str
    tenant_id: str
    name: str
    email: str
    status: str


class Error(BaseModel):
    """One thing that is wrong."""

    code: str
    title: str
    detail: str | None = None
    status: str
    meta: dict[str, Any] | None = None


class Errors(_Reply):
    """Body of every error reply."""

    errors: list[Error]
    trace_id: str


_ERRORS = {
    400: "The request is in incorrect format.",
    401: "User does not have valid authentication credentials.",
    403: "User does not have access to the resource.",
    404: "Resource does not exist.",
    409: "The input request conflicts with the current state of the resource.",
    412: "The version or a test does not hold, if the switches choose this status.",
    500: "Internal Server Error.",
    503: "Requested service is not available.",
}
_RETRY_AFTER = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}
_REQUEST_MODELS: tuple[type[BaseModel], ...] = (
    documents.NewDataAsset,
    documents.ChangedDataAsset,
    documents.NewDataStore,
    documents.ChangedDataStore,
    documents.Ids,
    documents.SecretGrant,
    documents.AssertionGrant,
    *OPERATION_MODELS,
)


def responses(method: str, success: dict[int, type[BaseModel] | None]) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's ``responses`` of an operation.

    :param success: models of the successful statuses, ``None`` for those without a body.
    """
    found: dict[int | str, dict[str, Any]] = {
        status: {"description": description, "model": Errors} for status, description in _ERRORS.items()
    }
    if method not in ("PATCH", "PUT"):
        del found[412]
    found[429] = {"description": "API rate limit reached.", "model": Errors, "headers": _RETRY_AFTER}
    for status, model in success.items():
        found[status] = {"description": "Done."} | ({} if model is None else {"model": model})
    return found


def takes(*parameters: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return FastAPI's ``openapi_extra`` of an operation.

    :param body: JSON schema of the request body.
    """
    extra: dict[str, Any] = {"parameters": list(parameters)}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return extra


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema that stands for a request model."""
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def in_path(name: str) -> dict[str, Any]:
    """Describe a path parameter, given the name that a route can use."""
    return {
        "name": name.replace("_", "-"),
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }


def projections(fields: Sequence[str]) -> dict[str, Any]:
    """Describe the ``projections`` parameter."""
    return _list_in_query("projections", fields)


def listing(fields: Sequence[str]) -> list[dict[str, Any]]:
    """Describe the parameters of a listing."""
    sortable = [name for name in fields if name not in paging.UNSORTABLE]
    limit = {
        "type": "integer",
        "minimum": 1,
        "maximum": paging.MAXIMUM_LIMIT,
        "default": paging.DEFAULT_LIMIT,
    }
    page = {"type": "integer", "minimum": 0, "maximum": paging.LARGEST_NUMBER, "default": 0}
    return [
        {"name": "limit", "in": "query", "schema": limit},
        {"name": "page", "in": "query", "schema": page},
        projections(fields),
        _list_in_query("sort", [*sortable, *(f"-{name}" for name in sortable)]),
    ]


def _list_in_query(name: str, values: Sequence[str]) -> dict[str, Any]:
    schema = {"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(values)}}
    return {"name": name, "in": "query", "style": "form", "explode": False, "schema": schema}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the whole description, with Qlik's names of the path parameters."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, schemas = models_json_schema(
        [(model, "validation") for model in _REQUEST_MODELS], ref_template=_SCHEMAS
    )
    components = found["components"]
    components["schemas"].update(schemas["$defs"])
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"bearer": []}]
    # A route's placeholder has to be an identifier; no path has an underscore elsewhere.
    found["paths"] = {path.replace("_", "-"): item for path, item in found["paths"].items()}
    return found

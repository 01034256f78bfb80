"""The fields of data assets and data stores: their rules in requests, and how instants are kept."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.sandbox.errors import SandboxError

Document = dict[str, Any]
"""A data asset or a data store, by the names of the API."""

_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]([01]\d|2[0-3])(:[0-5]\d:)([0-5]\d|60)(?:\.(\d+))?"
    r"([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_INT64 = 2**63


def normal_instant(text: str) -> str:
    """Return an RFC 3339 instant in UTC, truncated to the millisecond.

    :raises ValueError: when the text is not an RFC 3339 date-time between the years 1 and 9999.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError("must be an RFC 3339 date-time")
    day, hour, minute, second, fraction, offset = match.groups()
    leap = second == "60"
    zone = "+00:00" if offset in "Zz" else offset
    try:
        when = datetime.fromisoformat(f"{day}T{hour}{minute}{'59' if leap else second}{zone}").astimezone(UTC)
        when += timedelta(seconds=1 if leap else 0)
    except (ValueError, OverflowError) as impossible:
        raise ValueError("must be an RFC 3339 date-time") from impossible
    return _render(when, (fraction or "").ljust(3, "0")[:3])


def instant_at(timestamp: float) -> str:
    """Return the instant of a POSIX timestamp in seconds as the API writes it."""
    when = datetime.fromtimestamp(timestamp, UTC)
    return _render(when, f"{when.microsecond // 1000:03}")


def now() -> str:
    """Return the current instant as the API writes it."""
    when = datetime.now(UTC)
    return _render(when, f"{when.microsecond // 1000:03}")


def _render(when: datetime, milliseconds: str) -> str:
    return f"{when.replace(tzinfo=None, microsecond=0).isoformat()}.{milliseconds}Z"


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("must be unique")
    return values


Instant = Annotated[
    StrictStr, AfterValidator(normal_instant), Field(json_schema_extra={"format": "date-time"})
]
UniqueStrings = Annotated[
    list[StrictStr], AfterValidator(_unique), Field(json_schema_extra={"uniqueItems": True})
]
Version = Annotated[StrictInt, Field(ge=-_INT64, lt=_INT64, json_schema_extra={"format": "int64"})]
#: A read-only field: whatever is sent in it is ignored.
Ignored = Annotated[Any, Field(default=None, json_schema_extra={"readOnly": True})]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class _ReadOnly(_Strict):
    tenant_id: Ignored = None
    created_by: Ignored = None
    created_time: Ignored = None
    last_modified_by: Ignored = None
    last_modified_time: Ignored = None


class _Common(_ReadOnly):
    """Fields that assets and stores share."""

    name: Annotated[StrictStr, Field(max_length=255)] | None = None
    tags: UniqueStrings | None = None
    owner_id: StrictStr | None = None
    space_id: StrictStr | None = None
    properties: dict[str, Any] | None = None
    description: Annotated[StrictStr, Field(max_length=1024)] | None = None
    technical_name: Annotated[StrictStr, Field(min_length=1, max_length=255)]
    technical_description: Annotated[StrictStr, Field(max_length=1024)] | None = None


class StoreReference(_Strict):
    """The store of an asset, in a request."""

    id: StrictStr
    name: Ignored = None
    type: Ignored = None


class _DataAsset(_Common):
    app_id: StrictStr | None = None
    app_type: StrictStr
    data_freshness: Instant | None = None
    data_store_info: StoreReference | None = None


class _DataStore(_Common):
    type: Annotated[StrictStr, Field(min_length=1, max_length=64)]
    uri: Annotated[StrictStr, Field(max_length=512)] | None = None


class _New(_Strict):
    id: Annotated[None, Field(description="Must be null for new resources.")] = None
    version: Annotated[None, Field(description="Must be null for new resources.")] = None


class _Changed(_Strict):
    id: StrictStr | None = None
    version: Version


class NewDataAsset(_New, _DataAsset):
    """Body of ``POST /api/v1/data-assets``."""


class ChangedDataAsset(_Changed, _DataAsset):
    """Body of ``PUT /api/v1/data-assets/{data-asset-id}``."""


class NewDataStore(_New, _DataStore):
    """Body of ``POST /api/v1/data-stores``."""


class ChangedDataStore(_Changed, _DataStore):
    """Body of ``PUT /api/v1/data-stores/{data-store-id}``."""


class Ids(_Strict):
    """Body of the DELETE requests."""

    ids: UniqueStrings = []


class _Grant(BaseModel):
    """A request for a token, whose names are those of OAuth."""

    model_config = ConfigDict(extra="forbid")

    grant_type: Literal["client_credentials"]
    scope: StrictStr = "user_default"


class SecretGrant(_Grant):
    """Body of ``POST /oauth/token`` with the client's secret."""

    client_id: StrictStr
    client_secret: StrictStr


class AssertionGrant(_Grant):
    """Body of ``POST /oauth/token`` with a JWT that the client signed."""

    client_assertion_type: Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    client_assertion: StrictStr
    client_id: Annotated[StrictStr, Field(description="If given, the issuer of the assertion.")] = ""


def _names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


#: What people write, and may leave empty.
TEXTS = ("name", "description", "technicalDescription")
#: Set by the tenant alone.
READ_ONLY_FIELDS = frozenset(_names(_ReadOnly))
ASSET_FIELDS = _names(ChangedDataAsset)
STORE_FIELDS = _names(ChangedDataStore)

Model = TypeVar("Model", bound=BaseModel)


def check(model: type[Model], body: Any, *, ignore_unknown: bool = False) -> Model:
    """Validate a request body.

    :param ignore_unknown: drop fields that the model does not have, instead of rejecting them.
    :raises SandboxError: 400 with one entry per fault.
    """
    if ignore_unknown:
        body = _known(_names(model), body)
        if isinstance(body, dict) and "dataStoreInfo" in body:
            body["dataStoreInfo"] = _known(_names(StoreReference), body["dataStoreInfo"])
    try:
        return model.model_validate(body)
    except ValidationError as invalid:
        raise SandboxError(400, *(_sentence(fault) for fault in invalid.errors(include_url=False))) from None


def _known(names: Collection[str], body: Any) -> Any:
    return {name: body[name] for name in names if name in body} if isinstance(body, dict) else body


def _sentence(fault: Mapping[str, Any]) -> str:
    place = "/".join(str(part) for part in fault["loc"]) or "body"
    return f"{place}: {fault['msg']}"


def written_fields(request: BaseModel) -> dict[str, Any]:
    """Return what a valid request sets: no unset, read-only, id or version fields."""
    return written_part(
        {name: value for name, value in request.model_dump(by_alias=True).items() if value is not None}
    )


def written_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document that a request can set."""
    own = {"id", "version", *READ_ONLY_FIELDS}
    fields = {name: value for name, value in document.items() if name not in own}
    if "dataStoreInfo" in fields:
        fields["dataStoreInfo"] = {"id": fields["dataStoreInfo"]["id"]}
    return fields

"""Data assets as typed values.

Source: the ``data-assets`` and ``data-stores`` APIs of Qlik Cloud. Python names are the API's names in
snake_case; the one mapping between them is ``to_camel``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

import pendulum
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    JsonValue,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.client.errors import QlikResponseError, QlikValidationError, shorten
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant
from airflow_provider_qlik_assets.client.validation import describe_problems, parse_model, why_not_kept

# What Qlik Cloud sets by itself, which everything that compares, sends or patches data assets derives from.
SET_ONCE_FIELDS = frozenset({"id", "tenant_id", "created_by", "created_time"})
SET_BY_EACH_WRITE = frozenset({"version", "last_modified_by", "last_modified_time"})
SET_BY_QLIK = SET_ONCE_FIELDS | SET_BY_EACH_WRITE
"""Fields that no request changes."""

READ_ONLY_FIELDS = SET_BY_QLIK - {"id", "version"}
"""Fields that no request contains; ``id`` and ``version`` identify the data asset and its state."""

FILLED_IN_FIELDS = frozenset({"owner_id", "space_id"})
"""Fields that Qlik Cloud sets if a request does not."""

_MAXIMUM_LENGTHS = {"technical_name": 255, "name": 255, "description": 1024, "technical_description": 1024}

Instant = Annotated[
    InstanceOf[pendulum.DateTime],
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, return_type=str),
]


class _ApiModel(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        strict=True,
    )


class DataStoreInfo(_ApiModel):
    """The data store that a data asset is a member of.

    :param id: id of the data store.
    :param name: its name; read-only.
    :param type: its type; read-only.
    """

    id: str | None = Field(default=None, min_length=1)
    name: str | None = None
    type: str | None = None


class DataAsset(_ApiModel):
    """A data asset of the Qlik Cloud catalog: a member of a data store and the parent of data sets.

    Only the given fields count: an update leaves all others unchanged. ``None`` clears a field.
    ``technical_name`` and ``app_type`` are required to create a data asset. Instants are timezone-aware, in
    UTC and truncated to the millisecond. Unknown fields are kept: :meth:`to_json` contains them, but they are
    never sent.

    :param data_freshness: when the source data last changed.
    :param data_store_info: the data store; ``{"id": ...}`` is enough.
    :param properties: names and JSON values.
    :param version: the version that an update is based on; set by Qlik Cloud.
    """

    id: str | None = None
    technical_name: str | None = None
    app_type: str | None = None
    name: str | None = None
    description: str | None = None
    technical_description: str | None = None
    tags: list[str] | None = Field(default=None, fail_fast=True)
    properties: dict[str, JsonValue] | None = None
    data_freshness: Instant | None = None
    data_store_info: DataStoreInfo | None = None
    app_id: str | None = None
    owner_id: str | None = None
    space_id: str | None = None
    version: int | None = None
    tenant_id: str | None = None
    created_by: str | None = None
    created_time: Instant | None = None
    last_modified_by: str | None = None
    last_modified_time: Instant | None = None
    _unknown_fields: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def parse(cls, value: DataAsset | Mapping[str, Any]) -> DataAsset:
        """Return a data asset from a caller's input, with all values checked.

        :param value: a data asset, or a dict with the API's names or their snake_case forms.
        :raises QlikValidationError: naming everything that is wrong.
        """
        if not isinstance(value, DataAsset):
            value = parse_model(cls, value, "data asset")
        value.check()
        return value

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return a data asset from a document of Qlik Cloud, which may contain undocumented fields.

        :raises QlikValidationError: if a known field has another type than documented.
        """
        known = {name: value for name, value in document.items() if name in _ALIASES}
        unknown = {name: value for name, value in document.items() if name not in _ALIASES}
        store = known.get("dataStoreInfo")
        if isinstance(store, Mapping):
            known["dataStoreInfo"] = {
                name: store.get(name) for name in ("id", "name", "type") if name in store
            }
        try:
            asset = cls.model_validate(known)
        except ValidationError as error:
            raise QlikValidationError(describe_problems(error, cls)) from None
        asset._unknown_fields = unknown
        return asset

    def to_json(self) -> dict[str, Any]:
        """Return the given or read fields as plain JSON with the API's names, including unknown ones."""
        return {**self._unknown_fields, **self.model_dump(mode="json", by_alias=True, exclude_unset=True)}

    def to_request(self) -> dict[str, Any]:
        """Return the body of a create or update request: only writable fields that are set.

        ``None`` is left out, because a full update clears missing fields.

        :raises QlikValidationError: if a value exceeds the API's limits.
        """
        self.check()
        return self.writable()

    def writable(self) -> dict[str, Any]:
        """Return what :meth:`to_request` does, for a data asset that was read: its values are not checked."""
        body = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude=set(READ_ONLY_FIELDS | {"data_store_info"})
        )
        if self.store_id is not None:
            body["dataStoreInfo"] = {"id": self.store_id}
        return body

    def check(self) -> None:
        """Check the values against the limits that the API publishes.

        :raises QlikValidationError: naming every value that exceeds its limits.
        """
        problems = []
        for field, maximum in _MAXIMUM_LENGTHS.items():
            length = len(getattr(self, field) or "")
            if length > maximum:
                problems.append(
                    f"{to_camel(field)} is {length} characters long, but at most {maximum} are allowed"
                )
        problems += [
            f"{to_camel(field)} is empty" for field in ("technical_name", "id") if getattr(self, field) == ""
        ]
        if self.data_store_info is not None and self.store_id is None:
            problems.append("dataStoreInfo has no id")
        if self.tags is not None and len(set(self.tags)) != len(self.tags):
            problems.append("tags contains a tag twice")
        problems += [
            f"{to_camel(field)} contains {why}"
            for field in type(self).model_fields
            if (why := why_not_kept(getattr(self, field)))
        ]
        if problems:
            raise QlikValidationError(f"Invalid data asset: {'; '.join(problems)}.")

    @property
    def label(self) -> str:
        """The id and, where it is known, the technical name: for messages."""
        shown = shorten(str(self.id), 100)
        return f"{shown} ({shorten(self.technical_name)})" if self.technical_name else shown

    @property
    def store_id(self) -> str | None:
        """Id of the data store, if known."""
        return self.data_store_info.id if self.data_store_info else None

    @property
    def given_fields(self) -> set[str]:
        """Names of the given writable fields, except ``id`` and ``version``."""
        return self.model_fields_set - SET_BY_QLIK


def id_of(asset: DataAsset) -> str:
    """Return the id of a data asset that Qlik Cloud returned.

    :raises QlikResponseError: if it has none.
    """
    if asset.id is None:
        raise QlikResponseError("Qlik Cloud returned a data asset without an 'id'.", http_status=200)
    return asset.id


_ALIASES = frozenset(to_camel(name) for name in DataAsset.model_fields)

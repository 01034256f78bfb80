"""JSON Patch operations (RFC 6902), checked before they are sent."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

import jsonpatch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant
from airflow_provider_qlik_assets.client.models import SET_BY_QLIK
from airflow_provider_qlik_assets.client.validation import parse_model, why_not_kept

VERSION_PATH = "/version"

_POINTER = re.compile(r"(/([^~/]|~[01])*)*")
_ARRAY_INDEX = re.compile(r"-|0|[1-9][0-9]*", re.ASCII)
# A patch may test what Qlik Cloud sets by itself, not change it.
_UNCHANGEABLE = frozenset({"", *(f"/{to_camel(field)}" for field in SET_BY_QLIK)})


class JsonPatchOperation(BaseModel):
    """One operation of a JSON Patch.

    :param op: ``add``, ``remove``, ``replace``, ``move``, ``copy`` or ``test``.
    :param path: JSON Pointer (RFC 6901) to the value, such as ``/dataFreshness``.
    :param value: the value of ``add``, ``replace`` and ``test``; ``None`` is JSON ``null``.
    :param from_: JSON Pointer to the source of ``move`` and ``copy`` (``from`` in JSON).
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str
    value: JsonValue = None
    from_: str | None = Field(default=None, alias="from")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for pointer in (self.path, self.from_ or ""):
            if not _POINTER.fullmatch(pointer):
                raise ValueError(
                    f"{pointer[:60]!r} is not a JSON Pointer: it must start with '/', and '~' is written '~0'"
                )
        if self.op != "test" and self.path in _UNCHANGEABLE:
            raise ValueError(f"{self.path or 'the whole document'} cannot be changed: Qlik Cloud sets it")
        needs_value = self.op in {"add", "replace", "test"}
        if needs_value != ("value" in self.model_fields_set):
            raise ValueError(f"{self.op!r} {'needs a' if needs_value else 'takes no'} value")
        if why := why_not_kept(self.value):
            raise ValueError(f"the value contains {why}")
        needs_from = self.op in {"move", "copy"}
        if needs_from != (self.from_ is not None):
            raise ValueError(f"{self.op!r} {'needs' if needs_from else 'takes no'} 'from'")
        if self.op == "move":
            if f"{self.path}/".startswith(f"{self.from_}/") and self.path != self.from_:
                raise ValueError("a value cannot be moved into itself")
            if self.from_ in _UNCHANGEABLE:
                raise ValueError(f"{self.from_ or 'the whole document'} cannot be moved: Qlik Cloud sets it")
        return self

    @classmethod
    def parse(cls, value: JsonPatchOperation | Mapping[str, Any]) -> JsonPatchOperation:
        """Return an operation from its JSON form.

        :raises QlikValidationError: naming everything that is wrong with it.
        """
        if isinstance(value, JsonPatchOperation):
            return value
        return parse_model(cls, value, "JSON Patch operation")

    def to_json(self) -> dict[str, Any]:
        """Return the operation as JSON, with exactly the members that RFC 6902 requires."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    @property
    def guards_version(self) -> bool:
        """Whether this operation makes the whole patch fail unless the version is as expected."""
        return self.op == "test" and self.path == VERSION_PATH

    @property
    def is_idempotent(self) -> bool:
        """Whether applying it twice gives the same result as applying it once, for any document.

        A path that may end in an array index is never idempotent, because ``add`` inserts there.
        """
        if self.op == "test":
            return True
        return self.op in {"add", "replace"} and not self.ends_in_index

    @property
    def ends_in_index(self) -> bool:
        """Whether the path may point to an element of an array."""
        return _ARRAY_INDEX.fullmatch(self.path.rpartition("/")[2]) is not None


def test_version(version: int) -> JsonPatchOperation:
    """Return the operation that guards a patch against a concurrent change."""
    return JsonPatchOperation(op="test", path=VERSION_PATH, value=version)


def parse_operations(
    operations: Iterable[JsonPatchOperation | Mapping[str, Any]],
) -> list[JsonPatchOperation]:
    """Return the operations of a patch, all checked.

    :raises QlikValidationError: for an empty patch, or for the first invalid operation.
    """
    if isinstance(operations, (str, Mapping)) or not isinstance(operations, Iterable):
        raise QlikValidationError("A JSON Patch must be a list of operations.")
    parsed = [JsonPatchOperation.parse(operation) for operation in operations]
    if not parsed:
        raise QlikValidationError("A JSON Patch needs at least one operation.")
    return parsed


def is_safe_to_repeat(operations: Sequence[JsonPatchOperation]) -> bool:
    """Return whether a patch may be sent again although it may already have been applied."""
    return operations[0].guards_version or all(operation.is_idempotent for operation in operations)


def changed_fields(operations: Iterable[JsonPatchOperation]) -> tuple[str, ...]:
    """Return the API names of the fields that a patch changes, sorted."""
    pointers = [operation.path for operation in operations if operation.op != "test"]
    pointers += [operation.from_ for operation in operations if operation.op == "move" and operation.from_]
    return tuple(
        sorted({pointer.split("/")[1].replace("~1", "/").replace("~0", "~") for pointer in pointers})
    )


def effective_operations(
    document: Mapping[str, Any], operations: Iterable[JsonPatchOperation]
) -> tuple[list[JsonPatchOperation], dict[str, Any]]:
    """Return the operations that change something, and the resulting document.

    It changes nothing to remove a missing member, to set a field to null that is not set, or to set
    ``dataFreshness`` to the same instant in another form; nor if all that they do together is to clear texts
    that are empty. Tests are kept if any change is kept.

    :raises QlikValidationError: if an operation does not fit the document.
    """
    kept = []
    wanted: dict[str, Any] = copy.deepcopy(dict(document))
    for operation in operations:
        if operation.op == "test":
            kept.append(operation)
            continue
        if operation.op == "remove" and not _exists(wanted, operation.path):
            continue
        try:
            after = jsonpatch.apply_patch(wanted, [operation.to_json()])
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
            raise QlikValidationError(
                f"{operation.op!r} at {shorten(operation.path, 100)} does not fit the data asset: "
                f"{shorten(str(error))}."
            ) from None  # its text may be the whole document
        if after.get("dataFreshness") is not None:
            after["dataFreshness"] = format_instant(parse_instant(after["dataFreshness"]))
        if any(not same_json(after.get(name), wanted.get(name)) for name in after.keys() | wanted.keys()):
            kept.append(operation)
        wanted = after
    if all(_same_field(document.get(name), wanted.get(name)) for name in document.keys() | wanted.keys()):
        kept = []
    return ([] if all(operation.op == "test" for operation in kept) else kept), wanted


def _same_field(one: Any, other: Any) -> bool:
    return same_json(one, other) or (one in (None, "") and other in (None, ""))


def same_json(one: Any, other: Any) -> bool:
    """Compare JSON values: unlike in Python, ``true`` and ``1`` differ, at any depth."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def holds_already(document: Mapping[str, Any], operations: Sequence[JsonPatchOperation]) -> bool:
    """Return whether a document is as a patch that may have been carried out would have left it.

    Certain for additions, replacements and removals of members. Changes of arrays by index, moves and copies
    do not show in the document, so it is ``False`` for them.
    """
    if not all(
        operation.is_idempotent or (operation.op == "remove" and not operation.ends_in_index)
        for operation in operations
    ):
        return False
    try:
        return not effective_operations(document, operations)[0]
    except QlikValidationError:
        return False


def _exists(document: Mapping[str, Any], path: str) -> bool:
    try:
        jsonpatch.JsonPointer(path).resolve(document)
    except jsonpatch.JsonPointerException:
        return False
    return True

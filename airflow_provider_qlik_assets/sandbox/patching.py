"""JSON Patch (RFC 6902) as the tenant applies it."""

import copy
from typing import Annotated, Any, Literal

import jsonpatch
import jsonpointer
from pydantic import BaseModel, Field, StrictStr, TypeAdapter, ValidationError

from airflow_provider_qlik_assets.sandbox.errors import SandboxError
from airflow_provider_qlik_assets.sandbox.settings import SandboxSettings

Pointer = Annotated[StrictStr, Field(pattern=r"^(/([^~/]|~[01])*)+$", description="A JSON pointer.")]


class SettingOperation(BaseModel):
    """An operation with a value. Members that RFC 6902 does not name are ignored, as it asks."""

    op: Literal["add", "replace", "test"]
    path: Pointer
    value: Any


class MovingOperation(BaseModel):
    """An operation with two places."""

    op: Literal["move", "copy"]
    path: Pointer
    source: Annotated[Pointer, Field(alias="from")]


class RemoveOperation(BaseModel):
    """The removal of a property."""

    op: Literal["remove"]
    path: Pointer


Operation = Annotated[SettingOperation | MovingOperation | RemoveOperation, Field(discriminator="op")]
OPERATION_MODELS = (SettingOperation, MovingOperation, RemoveOperation)
_PATCH = TypeAdapter(list[Operation])


def patched(document: dict[str, Any], body: Any, settings: SandboxSettings) -> dict[str, Any]:
    """Return a copy of the document with the patch applied.

    :param document: set fields, and unset ones as null where null may be tested or replaced.
    :raises SandboxError: 400 for a malformed patch, ``failed_test_status`` for a failed test, 409 for an
        operation whose target is not there.
    """
    _check(body)
    result: Any = copy.deepcopy(document)
    for operation in body:
        unset = result.get(operation["path"][1:], ...) is None if isinstance(result, dict) else False
        if operation["op"] == "replace" and unset and settings.replace_unset == "refused":
            raise SandboxError(409, f"{operation['path']}: cannot replace a property that is not set")
        try:
            result = jsonpatch.JsonPatch([operation]).apply(result, in_place=True)
        except jsonpatch.JsonPatchTestFailed as failed:
            raise SandboxError(settings.failed_test_status, f"Test failed: {failed}") from None
        except jsonpatch.InvalidJsonPatch as invalid:
            raise SandboxError(400, str(invalid)) from None
        except (
            jsonpatch.JsonPatchException,
            jsonpointer.JsonPointerException,
            LookupError,
            TypeError,
        ) as conflict:
            raise SandboxError(409, f"{operation['path']}: {conflict}") from None
    if not isinstance(result, dict):
        raise SandboxError(400, "The patch does not leave a JSON object.")
    return result


def _check(body: Any) -> None:
    try:
        _PATCH.validate_python(body)
    except ValidationError as invalid:
        faults = [f"{'/'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in invalid.errors()]
        raise SandboxError(400, *faults) from None

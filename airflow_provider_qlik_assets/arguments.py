"""Arguments of operators and sensors: templates in the DAG file, plain values when the task runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from datetime import date, timedelta
from typing import Any

from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten
from airflow_provider_qlik_assets.client.json_patch import JsonPatchOperation
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.validation import check_bool, check_ids, check_whole_number

_TEMPLATE_MARKS = ("{{", "{%", "{#")
_PLAIN_TYPES = (bool, int, float, date, timedelta, type(None))
_LONGEST_SECONDS = 100 * 366 * 86_400.0


def templatable(value: Any) -> Any:
    """Return a value of the DAG file with dicts and lists in place of objects that Airflow would not render.

    Objects that Airflow does render are returned unchanged, including tuples.
    """
    if isinstance(value, (DataAsset, JsonPatchOperation)):
        return value.to_json()
    if isinstance(value, Mapping):
        mapping = {key: templatable(item) for key, item in value.items()}
        same = isinstance(value, dict) and all(mapping[key] is item for key, item in value.items())
        return value if same else mapping
    if isinstance(value, (set, frozenset)):
        # The order of a set differs in each process, so Airflow would see a changed DAG each time it parses
        # it.
        return [templatable(item) for item in sorted(value, key=str)]
    if isinstance(value, (list, tuple)):
        items = [templatable(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, (Set, ValuesView, Iterator)):
        return [templatable(item) for item in value]
    return value


def plain(value: Any) -> Any:
    """Return a rendered value, such as the output of a mapped task, as plain dicts and lists."""
    value = templatable(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return value


def has_template(text: Any) -> bool:
    """Return whether a value is text that Airflow renders."""
    return isinstance(text, str) and any(mark in text for mark in _TEMPLATE_MARKS)


def is_known(value: Any) -> bool:
    """Return whether a value is final: neither a template nor the output of another task."""
    if isinstance(value, str):
        return not has_template(value)
    if isinstance(value, Mapping):
        return all(is_known(key) and is_known(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(is_known(item) for item in value)
    return isinstance(value, _PLAIN_TYPES)


def check_when_parsed(check: Callable[..., Any], *arguments: Any) -> None:
    """Check arguments now if all of them are known; otherwise leave it to the task."""
    if all(is_known(argument) for argument in arguments):
        check(*arguments)


def check_known_fields(fields: Any) -> None:
    """Check the names of a data asset's fields, and the values that are already known.

    :raises QlikValidationError: naming everything that is wrong.
    """
    if isinstance(fields, Mapping):
        DataAsset.parse({name: plain(value) if is_known(value) else None for name, value in fields.items()})


def check_known_operations(operations: Any) -> None:
    """Check the operations of a JSON Patch that are already known.

    :raises QlikValidationError: naming everything that is wrong with the first invalid one.
    """
    for operation in operations if isinstance(operations, list) else []:
        if isinstance(operation, dict) and all(
            is_known(operation.get(key)) for key in ("op", "path", "from")
        ):
            JsonPatchOperation.parse({**operation, **({"value": None} if "value" in operation else {})})


def from_rendered(value: Any, name: str) -> Any:
    """Return a rendered argument as an object; templates render to text unless the DAG says otherwise.

    :param value: the rendered value; text that looks like a JSON object or list is parsed.
    :param name: name of the argument, for the message.
    :raises QlikValidationError: if it looks like JSON but is not.
    """
    if not isinstance(value, str) or not value.strip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise QlikValidationError(
            f"{name} was rendered to text that is not JSON: {shorten(value, 80)!r}. Add the tojson filter to "
            "the template, pass the task's output itself, or set render_template_as_native_obj on the DAG."
        ) from None


def as_id(value: Any, name: str) -> str:
    """Return a rendered id.

    :raises QlikValidationError: if it is not an id.
    """
    if not isinstance(value, str):
        raise _no_id(value, f"{name} must be an id")
    return check_ids([value])[0]


def as_ids(value: Any, name: str) -> list[str]:
    """Return rendered ids without duplicates, given as one id, a list, or the JSON text of a list.

    :raises QlikValidationError: if they are not ids.
    """
    value = from_rendered(value, name)
    if isinstance(value, str):
        return [as_id(value, name)]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise _no_id(value, f"{name} must be an id or a list of ids")
    return check_ids([as_id(item, f"{name}[{index}]") for index, item in enumerate(plain(value))])


def _no_id(value: Any, wanted: str) -> QlikValidationError:
    advice = ""
    if isinstance(value, Mapping):
        advice = " To use another task's result, pass .output['id']."
    elif isinstance(value, (int, float)):
        advice = (
            " Native rendering (render_template_as_native_obj) turns digits into a number: put quotes around "
            "the template (\"'{{ ... }}'\"), or pass the other task's output itself."
        )
    return QlikValidationError(f"{wanted}, not {type(value).__name__}.{advice}")


def as_bool(value: Any, name: str) -> bool:
    """Return a rendered flag; templates render to text, and the text "False" must not count as true.

    :raises QlikValidationError: if it is neither true nor false.
    """
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower(), value)
    return check_bool(value, name)


def as_int(value: Any, name: str) -> int | None:
    """Return a rendered whole number; ``None`` stays ``None``.

    :raises QlikValidationError: if it is something else.
    """
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else value
    return None if value is None else check_whole_number(value, name)


def as_fraction(value: Any, name: str) -> float | None:
    """Return a rendered fraction; ``None`` stays ``None``.

    :raises QlikValidationError: if it is not a number from 0 to 1.
    """
    if value is None:
        return None
    try:
        fraction = float(value)
    except (TypeError, ValueError, OverflowError):
        fraction = math.nan
    if isinstance(value, bool) or not 0 <= fraction <= 1:
        raise QlikValidationError(f"{name} must be a fraction from 0 to 1, not {shorten(repr(value), 60)}.")
    return fraction


def as_texts(value: Any, name: str) -> list[str]:
    """Return rendered texts, such as tags, given as one text, a list, or the JSON text of a list.

    :raises QlikValidationError: if they are not texts, or one is empty.
    """
    value = from_rendered(value, name)
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise QlikValidationError(
            f"{name} must be a string or a list of strings, not {type(texts).__name__}."
        )
    texts = plain(texts)
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise QlikValidationError(
                f"{name} must be a list of non-empty strings; {shorten(repr(text), 60)} is not one."
            )
    return list(dict.fromkeys(texts))


def as_seconds(value: Any, name: str) -> float:
    """Return a rendered duration in seconds.

    :raises QlikValidationError: if it is neither a ``timedelta`` nor a number, not above 0, or over 100
        years.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if isinstance(value, bool) or not 0 < seconds < _LONGEST_SECONDS:
        raise QlikValidationError(
            f"{name} must be a timedelta or a number of seconds above 0, not {shorten(repr(value), 60)}."
        )
    return seconds

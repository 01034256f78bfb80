"""Turn callers' input into models, with messages that name the mistake and suggest the right name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from airflow_provider_qlik_assets.client.bounded_json import fits_xcom, has_64_bits
from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten

Model = TypeVar("Model", bound=BaseModel)

_MOST_SHOWN_PROBLEMS = 5


def parse_model(model: type[Model], value: Mapping[str, Any], what: str) -> Model:
    """Return an instance of a model from JSON.

    :param model: the model; its fields are accepted by name and by alias.
    :param value: JSON object.
    :param what: what the value is, for messages.
    :raises QlikValidationError: naming everything that is wrong.
    """
    if not isinstance(value, Mapping):
        raise QlikValidationError(f"A {what} must be an object (dict), not {type(value).__name__}.")
    try:
        return model.model_validate(dict(value))
    except ValidationError as error:
        raise QlikValidationError(f"Invalid {what}: {describe_problems(error, model)}.") from None


def describe_problems(error: ValidationError, model: type[BaseModel], *, quote: bool = True) -> str:
    """Return the problems of a validation error in one line.

    :param quote: whether to show unknown names, and texts that are not instants.
    """
    problems = error.errors(include_input=False, include_url=False)
    describe = _describe if quote else _describe_without_quoting
    shown = [describe(problem, model) for problem in problems[:_MOST_SHOWN_PROBLEMS]]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    return "; ".join(shown)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the known name that is most similar, or an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    # Comparing takes more than linear time, so a name is truncated; no known name is that long.
    found = difflib.get_close_matches(name[:100].lower().replace("_", ""), by_lower, n=1)
    return f" (did you mean {by_lower[found[0]]!r}?)" if found else ""


def check_id(value: Any) -> str:
    """Return an id that can be part of a path.

    :raises QlikValidationError: if it is not an id. A path segment of dots would address another resource.
    """
    if not isinstance(value, str):
        raise QlikValidationError(f"An id must be a string, not {type(value).__name__}.")
    if not value.strip() or value in {".", ".."} or not value.isprintable() or len(value) > 1024:
        raise QlikValidationError(f"{shorten(repr(value), 60)} is not a valid id.")
    return value


def check_ids(data_asset_ids: Iterable[str]) -> list[str]:
    """Return the ids without duplicates.

    :raises QlikValidationError: if they are not a list of ids.
    """
    if _is_no_list(data_asset_ids):
        raise QlikValidationError(
            f"data_asset_ids must be a list of ids, not {shorten(repr(data_asset_ids), 60)}."
        )
    ids = [data_asset_ids] if isinstance(data_asset_ids, str) else list(data_asset_ids)
    for data_asset_id in ids:
        if check_id(data_asset_id) == "*":
            raise QlikValidationError("'*' is not the id of a data asset: name each data asset.")
    return list(dict.fromkeys(ids))


def check_bool(value: Any, name: str) -> bool:
    """Return a flag; the text "False", which would count as true, is none.

    :raises QlikValidationError: if it is neither true nor false.
    """
    if not isinstance(value, bool):
        raise QlikValidationError(f"{name} must be true or false, not {shorten(repr(value), 60)}.")
    return value


def check_whole_number(value: Any, name: str) -> int:
    """Return a number of things.

    :raises QlikValidationError: if it is not a whole number, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise QlikValidationError(f"{name} must be a whole number, not {shorten(repr(value), 60)}.")
    return value


def check_seconds(value: Any, name: str) -> float:
    """Return a duration.

    :raises QlikValidationError: if it is not a number of seconds, or below 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise QlikValidationError(
            f"{name} must be a number of seconds from 0 on, not {shorten(repr(value), 60)}."
        )
    return value


def check_text(value: Any, name: str) -> str:
    """Return a text.

    :raises QlikValidationError: if it is none, or empty.
    """
    if not isinstance(value, str) or not value:
        raise QlikValidationError(f"{name} must be a non-empty string, not {shorten(repr(value), 60)}.")
    return value


def check_texts(value: Any, name: str) -> frozenset[str]:
    """Return texts of any order, such as tags.

    :raises QlikValidationError: if they are not a list of texts, or one is empty. A text alone is refused,
        too, because its characters would count.
    """
    texts: list[Any] | None = None if isinstance(value, str) or _is_no_list(value) else list(value)
    if texts is None or not all(isinstance(text, str) and text for text in texts):
        raise QlikValidationError(
            f"{name} must be a list of non-empty strings, not {shorten(repr(value), 60)}."
        )
    return frozenset(texts)


def check_mapping(value: Any, name: str) -> dict[Any, Any]:
    """Return a mapping as a dict.

    :raises QlikValidationError: if it is none.
    """
    if not isinstance(value, Mapping):
        raise QlikValidationError(f"{name} must be an object (dict), not {type(value).__name__}.")
    return dict(value)


def why_not_kept(value: Any) -> str:
    """Return what in a JSON value would not be read back unchanged, or an empty string."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and not fits_xcom(value):
            return "a null character or half of a surrogate pair, which an XCom cannot hold"
        elif isinstance(value, float) and not math.isfinite(value):
            return "NaN or infinity, which are not JSON"
        elif isinstance(value, int) and not has_64_bits(value):
            return "an integer of more than 64 bits"
    return ""


def comma_separated(what: str, fields: Iterable[str]) -> str:
    """Return field names as a request parameter.

    :raises QlikValidationError: if they are not names.
    """
    names = [fields] if isinstance(fields, str) else list(fields)
    if not all(isinstance(name, str) and name and "," not in name for name in names):
        raise QlikValidationError(f"{what} must be a list of field names, not {shorten(repr(names), 60)}.")
    return ",".join(names)


def with_id(projections: Iterable[str]) -> str:
    """Return projections with the id, which identifies the answer to a request."""
    names = [projections] if isinstance(projections, str) else projections
    return comma_separated("projections", dict.fromkeys(["id", *names]))


def _is_no_list(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable)


def _describe(problem: Any, model: type[BaseModel]) -> str:
    path = [str(part) for part in problem["loc"]]
    location = shorten(".".join(path), 60)
    if problem["type"] == "extra_forbidden":
        return f"unknown field {location!r}{nearest(path[-1], _names(model, path[:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    message = shorten(message[:1].lower() + message[1:].rstrip("."))
    return f"{location}: {message}" if location else message


def _describe_without_quoting(problem: Any, model: type[BaseModel]) -> str:
    path = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        return f"an unknown field{nearest(path[-1], _names(model, path[:-1]))}"
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    if problem["type"] == "value_error":  # whose text is our own, with the value
        message = "not an instant: give a date, a time and a UTC offset"
    field = path[0] if path and path[0] in {*model.model_fields, *_names(model, [])} else ""
    return f"{field}: {message}" if field else message


def _names(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the names of the fields of a model, or of the model that one of its fields holds."""
    fields = {name: field.alias or name for name, field in model.model_fields.items()}
    if not path:
        return list(fields.values())
    outer = next(name for name, alias in fields.items() if path[0] in {name, alias})
    inner = (kind for kind in get_args(model.model_fields[outer].annotation) if isinstance(kind, type))
    return [name for kind in inner if issubclass(kind, BaseModel) for name in _names(kind, path[1:])]

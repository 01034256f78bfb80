"""Turn input of callers into models, with messages that name the mistake and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten

Model = TypeVar("Model", bound=BaseModel)


def parse_model(model: type[Model], value: Mapping[str, Any], what: str) -> Model:
    """Return an instance of a model from JSON.

    :param model: the model; its fields are accepted by name and by alias.
    :param value: JSON object.
    :param what: what the value is, for messages.
    :raises QlikValidationError: naming everything that is wrong.
    """
    if not isinstance(value, Mapping):
        raise QlikValidationError(f"A {what} is an object (dict), not {type(value).__name__}.")
    try:
        return model.model_validate(dict(value))
    except ValidationError as error:
        raise QlikValidationError(f"Invalid {what}: {describe_problems(error, model)}.") from None


def describe_problems(error: ValidationError, model: type[BaseModel]) -> str:
    """Return all problems of a validation error in one line, without the values given."""
    return "; ".join(
        _describe(problem, model) for problem in error.errors(include_input=False, include_url=False)
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the known name that is nearest to a mistaken one, or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower().replace("_", ""), by_lower, n=1)
    return f" (did you mean {by_lower[found[0]]!r}?)" if found else ""


def check_id(value: Any) -> str:
    """Return an id that can be part of a path.

    :raises QlikValidationError: for what is no id. A path segment of dots would address another resource.
    """
    if not isinstance(value, str):
        raise QlikValidationError(f"An id is a string, not {type(value).__name__}.")
    if not value.strip() or value in {".", ".."} or not value.isprintable() or len(value) > 1024:
        raise QlikValidationError(f"{shorten(repr(value), 60)} is not an id.")
    return value


def _describe(problem: Any, model: type[BaseModel]) -> str:
    location = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        names = (field.alias or name for name, field in model.model_fields.items())
        return f"unknown field {shorten(location, 60)!r}{nearest(location, names)}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:].rstrip(".")
    return f"{location}: {message}" if location else message

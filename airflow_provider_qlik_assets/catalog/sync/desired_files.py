"""Read desired data assets from a YAML or JSON file, kept next to the code that loads them.

The file is untrusted: its size, depth and number of values are limited, and messages quote nothing of it
except the names of known fields.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.client.bounded_json import TooLargeError, parse_json
from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten
from airflow_provider_qlik_assets.client.models import DataAsset

SUFFIXES = (".yaml", ".yml", ".json")

_LARGEST_FILE_BYTES = 16 * 1024 * 1024
_DEEPEST = 50
_KNOWN_KEYS = frozenset({"data_assets", *DataAsset.model_fields, *map(to_camel, DataAsset.model_fields)})


def is_file_name(value: Any) -> bool:
    """Return whether a value is the path of a file, and not the desired data assets themselves."""
    return isinstance(value, str) and value.strip().lower().endswith(SUFFIXES)


def read_desired_file(path: Path) -> Any:
    """Return the content of a file without further checks.

    A YAML file may use anchors, aliases and merge keys, as long as the aliases expand to at most 250,000 more
    values.

    :param path: a file that ends in ``.yaml``, ``.yml`` or ``.json``, of 16 MiB and 250,000 values at most,
        names included, in which lists and objects are nested 50 deep at most.
    :raises QlikValidationError: if it cannot be read; the message names the place of the mistake.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise QlikValidationError(f"{path} cannot be read: {reason}.") from None
    if len(content) > _LARGEST_FILE_BYTES:
        raise QlikValidationError(
            f"{path} cannot be read: it is larger than {_LARGEST_FILE_BYTES >> 20} MiB."
        )
    return _read_json(path, content) if path.suffix.lower() == ".json" else _read_yaml(path, text)


def _read_json(path: Path, content: bytes) -> Any:
    try:
        return parse_json(content, deepest=_DEEPEST, object_pairs_hook=_unique, as_written=True)
    except json.JSONDecodeError as error:
        raise _malformed(path, error.lineno, error.msg) from None
    except (TooLargeError, _RepeatedKeyError) as error:
        raise _malformed(path, None, str(error)) from None
    except ValueError:
        raise _malformed(path, None, "a number is too large, too long or NaN") from None


class _RepeatedKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise _RepeatedKeyError(f"{_describe_key(key)} occurs twice in an object")
    return found


def _read_yaml(path: Path, text: str) -> Any:
    # Imported only when a file is read, because it is expensive to import.
    from airflow_provider_qlik_assets.catalog.sync.bounded_yaml import (  # noqa: PLC0415
        MalformedYamlError,
        parse_yaml,
    )

    try:
        return parse_yaml(text, deepest=_DEEPEST, describe_key=_describe_key)
    except MalformedYamlError as error:
        raise _malformed(path, error.line, error.problem) from None


def _describe_key(key: str) -> str:
    return f"the key {key!r}" if key in _KNOWN_KEYS else "a key"


def _malformed(path: Path, line: int | None, problem: str) -> QlikValidationError:
    place = "" if line is None else f" at line {line}"
    return QlikValidationError(f"{path} is malformed{place}: {shorten(problem, 120)}.")

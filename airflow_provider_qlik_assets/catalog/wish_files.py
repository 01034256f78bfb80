"""Wished data assets in a YAML or JSON file, to be kept beside the code that loads them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten

if TYPE_CHECKING:
    import yaml

SUFFIXES = (".yaml", ".yml", ".json")


def is_file_name(value: Any) -> bool:
    """Return whether a value is the path of a file, and not the wishes themselves."""
    return isinstance(value, str) and value.strip().lower().endswith(SUFFIXES)


def read_wish_file(path: Path) -> Any:
    """Return what a file holds, not checked any further.

    Messages name the place of a mistake and quote nothing of the file.

    :param path: a file that ends in ``.yaml``, ``.yml`` or ``.json``.
    :raises QlikValidationError: if it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise QlikValidationError(f"{path} cannot be read: {reason}.") from None
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            raise _malformed(path, error.lineno, error.msg) from None
        except _RepeatedKeyError as error:
            raise QlikValidationError(f"{path} is malformed: {error}.") from None
    return _read_yaml(path, text)


class _RepeatedKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        raise _RepeatedKeyError(_repeated(max(times, key=times.__getitem__)))
    return found


def _repeated(key: str) -> str:
    return f"the key {shorten(repr(key), 60)} is there twice in an object"


def _read_yaml(path: Path, text: str) -> Any:
    import yaml  # noqa: PLC0415 - only where a file is read

    # The one in C is ten times as fast; a catalog may be large.
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]
        """Safe, and refusing keys that are there twice, of which YAML would silently take the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            keys = [
                key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"
            ]
            for key in {key for key in keys if keys.count(key) > 1}:
                problem = f"the key {shorten(repr(key), 60)} is there twice in an object"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
            mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
            return mapping

    try:
        return yaml.load(text, Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _malformed(path, line, error.problem or "it is not YAML") from None
    except (yaml.YAMLError, ValueError):
        raise QlikValidationError(f"{path} is malformed: it is not YAML.") from None


def _malformed(path: Path, line: int, problem: str) -> QlikValidationError:
    return QlikValidationError(f"{path} is malformed at line {line}: {shorten(problem, 120)}.")

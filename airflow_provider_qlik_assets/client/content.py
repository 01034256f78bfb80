"""What a data asset holds: what a request needs, which values count, and what a lost write has left."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pydantic.alias_generators import to_camel

from airflow_provider_qlik_assets.client.errors import QlikValidationError
from airflow_provider_qlik_assets.client.json_patch import same_json
from airflow_provider_qlik_assets.client.models import FILLED_IN_FIELDS, SET_BY_QLIK, DataAsset

_SET_BY_QLIK = frozenset(map(to_camel, SET_BY_QLIK))
_FILLED_IN = frozenset(map(to_camel, FILLED_IN_FIELDS))
_DOCUMENTED = frozenset(map(to_camel, DataAsset.model_fields))


def is_empty(value: Any) -> bool:
    """Return whether a value of a field means the same as none."""
    return value in (None, "", [], {})


def is_as_sent(asset: DataAsset, body: Mapping[str, Any]) -> bool:
    """Return whether a data asset holds what a create or full update sent, and nothing else.

    So it may be what that request left behind, and it has not been changed since. An empty value is like
    none, tags are a set, and what Qlik Cloud sets by itself does not count.

    :param body: as it was sent.
    """
    ignored = _SET_BY_QLIK | (_FILLED_IN - body.keys())
    return same_json(_content(asset.writable(), ignored), _content(body, ignored))


def is_unchanged(asset: DataAsset, before: DataAsset) -> bool:
    """Return whether a data asset is as it was when it was read before, in all that both reads tell.

    Every documented field counts, whether or not the user sees a version. An empty value is like none, and
    tags are a set. An undocumented field counts if both reads hold it.
    """
    earlier, later = _comparable(before), _comparable(asset)
    names = _DOCUMENTED | (earlier.keys() & later.keys())
    return all(same_json(earlier.get(name), later.get(name)) for name in names)


def required_body(asset: DataAsset, *fields: str) -> dict[str, Any]:
    """Return the body of a request with a data asset.

    :param fields: API names of the fields that the request must have.
    :raises QlikValidationError: naming those that are missing.
    """
    body = asset.to_request()
    missing = [field for field in fields if body.get(field) is None]
    if missing:
        raise QlikValidationError(f"The data asset is missing {', '.join(missing)}.")
    return body


def _content(body: Mapping[str, Any], ignored: Set[str]) -> dict[str, Any]:
    return {
        name: sorted(value) if name == "tags" else value
        for name, value in body.items()
        if name not in ignored and not is_empty(value)
    }


def _comparable(asset: DataAsset) -> dict[str, Any]:
    document = {**asset.to_json(), "dataStoreInfo": asset.store_id}
    return _content(document, frozenset())

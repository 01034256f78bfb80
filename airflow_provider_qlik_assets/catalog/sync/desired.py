"""The desired data assets of a data store, checked together so that all mistakes are reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from airflow_provider_qlik_assets.catalog.overlay import leave_missing_freshness
from airflow_provider_qlik_assets.client.errors import QlikValidationError, shorten
from airflow_provider_qlik_assets.client.models import DataAsset, DataStoreInfo
from airflow_provider_qlik_assets.client.validation import check_id, describe_problems

ENTRIES = "data_assets"
"""Key of the list in a file that is an object."""

# As in Compose files: a place for YAML anchors.
_IGNORED_PREFIX = "x-"
_MOST_SHOWN_PROBLEMS = 20
_PREFIX = "Invalid data asset: "


def check_store_id(data_store_id: Any) -> str:
    """Return the id of one data store.

    :raises QlikValidationError: if it is not an id, or means all stores.
    """
    if check_id(data_store_id) == "*":
        raise QlikValidationError("'*' is not the id of a data store: name the data store to keep in sync.")
    return str(data_store_id)


def parse_desired(entries: Any, data_store_id: str | None, *, quote: bool = True) -> list[DataAsset]:
    """Return the desired data assets of a data store.

    :param entries: data assets, or objects with the API's names or their snake_case forms; ``technicalName``
        and ``appType`` are required. An object with the list in ``data_assets`` is accepted, too; its keys
        that begin with ``x-`` are ignored.
    :param data_store_id: the data store; an entry may leave it out. ``None`` if it is not known yet.
    :param quote: whether a message may quote technical names, unknown names and instants. If not, it gives
        the numbers of entries, from 0, and the names of known fields.
    :raises QlikValidationError: naming everything that is wrong in the first 20 entries with mistakes.
    """
    entries = _as_list(entries, quote=quote)
    desired_assets: list[DataAsset] = []
    problems: list[str] = []
    first_with: dict[str, int] = {}
    checked = 0
    for index, entry in enumerate(entries):
        if len(problems) == _MOST_SHOWN_PROBLEMS:
            break
        checked += 1
        desired, found = _parse(entry, data_store_id, quote=quote)
        name = _name_of(entry)
        if name is not None and name in first_with:
            found.append(f"entry {first_with[name]} has the same technicalName")
        elif name is not None:
            first_with[name] = index
        if found:
            shown = f" ({shorten(repr(name), 80)})" if quote and name is not None else ""
            problems.append(f"entry {index}{shown}: {'; '.join(found)}")
        elif desired is not None:
            desired_assets.append(desired)
    if problems:
        is_whole = checked == len(entries)
        raise QlikValidationError(
            f"{len(problems)} of {'' if is_whole else f'the first {checked} of '}{len(entries)} desired data "
            f"assets are invalid; nothing was sent. {' | '.join(problems)}."
            + ("" if is_whole else " The other entries were not checked.")
        )
    return desired_assets


def _as_list(entries: Any, *, quote: bool) -> list[Any]:
    if isinstance(entries, Mapping) and ENTRIES in entries:
        unknown = [key for key in entries if key != ENTRIES and not str(key).startswith(_IGNORED_PREFIX)]
        if unknown:
            key = f"the unknown key {shorten(repr(unknown[0]), 60)}" if quote else "an unknown key"
            raise QlikValidationError(
                f"Next to {ENTRIES} there is {key}: remove it, or begin its name with {_IGNORED_PREFIX!r} "
                "if it only holds anchors."
            )
        entries = entries[ENTRIES]
    if isinstance(entries, (str, bytes, Mapping, DataAsset)) or not isinstance(entries, Iterable):
        raise QlikValidationError(
            f"{ENTRIES} must be a list of data assets, or an object with that list in {ENTRIES!r}, not "
            f"{type(entries).__name__}."
        )
    return list(entries)


def _name_of(entry: Any) -> str | None:
    """Return the technical name of an entry, even if the entry is invalid otherwise."""
    if isinstance(entry, DataAsset):
        return entry.technical_name
    if not isinstance(entry, Mapping):
        return None
    name = entry.get("technicalName", entry.get("technical_name"))
    return name if isinstance(name, str) and name else None


def _parse(entry: Any, data_store_id: str | None, *, quote: bool) -> tuple[DataAsset | None, list[str]]:
    """Return the desired data asset of an entry, if there is one, and the problems of the entry."""
    asset, problems = _read(entry, quote=quote)
    if asset is None:
        return None, problems
    if asset.technical_name is None:
        problems.append("technicalName is missing")
    if not asset.app_type:
        problems.append("appType is missing, which is needed if the data asset has to be created")
    refused = sorted(asset.model_fields_set - asset.given_fields)
    if refused:
        problems.append(f"{', '.join(refused)} cannot be set: Qlik Cloud sets it")
    if "data_store_info" in asset.model_fields_set and data_store_id not in {None, asset.store_id}:
        problems.append("dataStoreInfo names another data store than data_store_id")
    try:
        asset = leave_missing_freshness(asset)
    except QlikValidationError as error:
        why = str(error).rstrip(".") if quote else "more than a day in the future"
        problems.append(f"dataFreshness: {why}")
    if data_store_id is not None:
        asset = asset.model_copy(update={"data_store_info": DataStoreInfo(id=data_store_id)})
    return asset, problems


def _read(entry: Any, *, quote: bool) -> tuple[DataAsset | None, list[str]]:
    """Return the data asset of an entry without unreadable fields, and the problems of the entry."""
    problems: list[str] = []
    if isinstance(entry, DataAsset):
        asset = entry
    elif isinstance(entry, Mapping):
        try:
            asset = DataAsset.model_validate(dict(entry))
        except ValidationError as error:
            problems.append(describe_problems(error, DataAsset, quote=quote))
            unreadable = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
            rest = {name: value for name, value in entry.items() if name not in unreadable}
            try:
                asset = DataAsset.model_validate(rest)
            except ValidationError:
                return None, problems
            if unreadable & {"technicalName", "technical_name", "appType", "app_type"}:
                # Wrong, not missing.
                return None, problems + _limits(asset)
    else:
        return None, [f"a data asset must be an object (dict), not {type(entry).__name__}"]
    return asset, problems + _limits(asset)


def _limits(asset: DataAsset) -> list[str]:
    try:
        asset.check()
    except QlikValidationError as error:
        return [str(error).removeprefix(_PREFIX).rstrip(".")]
    return []

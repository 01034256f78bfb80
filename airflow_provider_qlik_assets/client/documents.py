"""Turn the documents in Qlik Cloud's answers into typed objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_qlik_assets.client.errors import QlikResponseError, QlikValidationError, shorten
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.paging import MOST_PER_PAGE, Page


def parse_asset(path: str, expected_id: str | None, document: Any) -> DataAsset:
    """Return the data asset of an answer, after checking its id if one was requested."""
    if not isinstance(document, dict):
        raise _not_expected(path, "a data asset")
    try:
        asset = DataAsset.from_json(document)
    except QlikValidationError as error:
        raise _not_expected(path, "a data asset", f": {error}", concerns_one=True) from None
    if expected_id is not None and asset.id != expected_id:
        answered = (
            "with a data asset without an id" if asset.id is None else f"with {shorten(repr(asset.id), 100)}"
        )
        raise QlikResponseError(
            f"{path} answered {answered} instead of the data asset that was requested. A proxy or gateway "
            "may be mixing up answers: check it if this persists.",
            http_status=200,
        )
    return asset


def parse_written(path: str, expected_id: str | None, document: Any) -> DataAsset:
    """Return the data asset of the answer to a write.

    Qlik's schema does not require the id in the answer; the other required fields identify the document.
    """
    asset = parse_asset(path, None, document)
    if expected_id is not None and asset.id is None and asset.technical_name and asset.app_type:
        return asset.model_copy(update={"id": expected_id})
    return parse_asset(path, expected_id, document)


def created_parser(path: str, body: Mapping[str, Any]) -> Callable[[Any], DataAsset]:
    """Return what turns the answer to a create into the new data asset, and believes no other one.

    :param body: as it was sent.
    """
    sent = DataAsset.from_json(body)

    def parse(document: Any) -> DataAsset:
        asset = parse_asset(path, None, document)
        if asset.id is None:
            raise _not_expected(path, "a new data asset", ": it has no id")
        is_named = asset.technical_name in {None, sent.technical_name}
        if not is_named or (sent.store_id is not None and asset.store_id not in {None, sent.store_id}):
            raise QlikResponseError(
                f"{path} answered with data asset {asset.label}, which has another technicalName or data "
                f"store than was to be created: {shorten(repr(sent.technical_name))}. A proxy or gateway may "
                "be mixing up answers: check it if this persists.",
                http_status=201,
            )
        return asset

    return parse


def written_parser(path: str, expected_id: str) -> Callable[[Any], DataAsset | None]:
    """Return :func:`parse_written` for an answer that may be empty (204)."""
    return lambda document: None if document is None else parse_written(path, expected_id, document)


def parse_user(path: str, document: Any) -> dict[str, Any]:
    """Return the user of an answer."""
    if not isinstance(document, dict):
        raise _not_expected(path, "a user")
    return document


def parse_page(path: str, document: Any) -> Page:
    """Return the page of an answer."""
    try:
        data = document["data"]
        if len(data) > MOST_PER_PAGE:
            raise ValueError(f"it has {len(data)} data assets, but {MOST_PER_PAGE} were requested")
        items = [_listed(item) for item in data]
        page = Page(items, pages=_number(document, "pages"), total=_number(document, "total"))
    except (QlikValidationError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise _not_expected(path, "a page of data assets", f": {error}") from None
    if any(asset.id is None for asset in items):
        raise _not_expected(path, "a page of data assets", ": some have no id")
    return page


def _listed(item: Any) -> DataAsset:
    try:
        return DataAsset.from_json(item)
    except QlikValidationError as error:
        raise QlikValidationError(f"data asset {shorten(repr(item.get('id')), 100)}: {error}") from None


def _number(document: dict[str, Any], name: str) -> int:
    try:
        return int(document[name])
    except ValueError:  # its text contains a part of the value
        raise ValueError(f"{name} is not a number") from None


def _not_expected(path: str, what: str, why: str = "", *, concerns_one: bool = False) -> QlikResponseError:
    return QlikResponseError(
        f"{path} answered with JSON that is not {what}{why}. Check that the host is a Qlik Cloud tenant.",
        http_status=200,
        concerns_one=concerns_one,
    )

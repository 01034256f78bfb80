"""Read all pages of a listing while others change it.

Pages are counted by position, so deleting an asset moves all later ones forward. A reader that goes forward
then misses the one that moves from the page it reads next to the page it has read. Reading from the last page
to the first, in an order in which assets only ever move forward (by creation: new ones come last), cannot
miss any: whatever moves forward is met again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_provider_qlik_assets.client.errors import QlikBadRequestError
from airflow_provider_qlik_assets.client.models import DataAsset

logger = logging.getLogger(__name__)

_MOST_READINGS = 10
# An order in which assets never move back.
_BY_CREATION = "createdTime"


@dataclass(frozen=True)
class Page:
    """One page of a listing.

    :param items: the data assets on it.
    :param pages: number of pages at that moment.
    :param total: number of data assets at that moment.
    """

    items: list[DataAsset]
    pages: int
    total: int


ReadPage = Callable[[int, str | None], Page]


def listing(read_page: ReadPage, *, sort: str | None = None) -> Iterator[DataAsset]:
    """Iterate over the data assets of a listing, each once.

    Where the tenant refuses to sort, assets may move either way; then all pages are read again until two
    readings find the same.

    :param read_page: reads the page with a number (from 0) in an order (``None``: unspecified).
    :param sort: order to keep; assets that were moved past the reader meanwhile come last, out of order.
    """
    seen: set[str | None] = set()
    if sort is not None:
        totals: set[int] = set()
        for page in _forward(read_page, sort):
            totals.add(page.total)
            yield from _unseen(page, seen)
        if totals == {len(seen)}:
            return
    order, first = _first_page(read_page)
    found_before = None
    for _ in range(_MOST_READINGS):
        found: set[str | None] = set()
        for page in _backward(read_page, order, first):
            found.update(asset.id for asset in page.items)
            yield from _unseen(page, seen)
        if order is not None or first.pages <= 1 or found == found_before:
            return
        found_before, first = found, read_page(0, order)
    logger.warning(
        "The listing never stood still, and the tenant does not sort it: some assets may be missing."
    )


def _forward(read_page: ReadPage, order: str) -> Iterator[Page]:
    page = read_page(0, order)
    yield page
    number = 1
    while number < page.pages:
        page = read_page(number, order)
        yield page
        number += 1


def _first_page(read_page: ReadPage) -> tuple[str | None, Page]:
    try:
        return _BY_CREATION, read_page(0, _BY_CREATION)
    except QlikBadRequestError:
        return None, read_page(0, None)


def _backward(read_page: ReadPage, order: str | None, first: Page) -> Iterator[Page]:
    yield first
    for number in range(first.pages - 1, 0, -1):
        yield read_page(number, order)
    if first.pages > 1:
        yield read_page(0, order)


def _unseen(page: Page, seen: set[str | None]) -> Iterator[DataAsset]:
    for asset in page.items:
        if asset.id not in seen:
            seen.add(asset.id)
            yield asset

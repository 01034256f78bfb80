"""Read all pages of a listing while others change it.

Pages are counted by position, so deleting a data asset moves all later ones forward. A reader that goes
forward then misses the one that moves from the next page to the page just read. This reader therefore goes
from the last page to the first, sorted by creation. In that order, data assets only move forward and new ones
come last, so the reader meets again whatever moves, and misses nothing.

The number of pages that a tenant reports is not trusted: reading ends at the first empty page, and fails if
page after page shows nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_provider_qlik_assets.client.errors import QlikBadRequestError, QlikResponseError
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.models import DataAsset

logger = get_logger(__name__)

MOST_PER_PAGE = 100
_MOST_READINGS = 10
_MOST_PAGES_WITHOUT_NEWS = 10
# Pages of 100 data assets; reading them uses ten minutes of the quota.
_MOST_PAGES = 10_000
# An order in which data assets never move back.
_BY_CREATION = "createdTime"


@dataclass(frozen=True)
class Page:
    """One page of a listing.

    :param items: the data assets on it.
    :param pages: number of pages at the time of reading.
    :param total: number of data assets at the time of reading.
    """

    items: list[DataAsset]
    pages: int
    total: int

    @property
    def last(self) -> int:
        """Number of the last page that both the number of pages and the total allow."""
        return min(self.pages, -(-self.total // len(self.items)) if self.items else 1) - 1


ReadPage = Callable[[int, str | None], Page]


def listing(read_page: ReadPage, *, sort: str | None = None) -> Iterator[DataAsset]:
    """Iterate over the data assets of a listing, each once.

    If the tenant refuses to sort, data assets may move in both directions. All pages are then read again
    until two readings agree.

    :param read_page: reads a page by its number (from 0), in an order (``None``: unspecified).
    :param sort: order to keep; data assets that move past the reader come last, out of order.
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
        if order is not None or first.last <= 0 or found == found_before:
            return
        found_before, first = found, read_page(0, order)
    logger.warning(
        "The listing kept changing and the tenant does not sort it: some data assets may be missing."
    )


def _forward(read_page: ReadPage, order: str) -> Iterator[Page]:
    check = NewsCheck()
    number = 0
    while True:
        page = check(read_page(number, order))
        yield page
        if number >= page.last or not page.items:
            return
        number += 1


def _first_page(read_page: ReadPage) -> tuple[str | None, Page]:
    try:
        return _BY_CREATION, read_page(0, _BY_CREATION)
    except QlikBadRequestError:
        return None, read_page(0, None)


def _backward(read_page: ReadPage, order: str | None, first: Page) -> Iterator[Page]:
    check = NewsCheck()
    yield check(first)
    number = first.last
    while number > 0:
        page = check(read_page(number, order))
        yield page
        # There may be fewer pages now.
        number = min(number, page.pages) - 1
    if first.last > 0:
        yield read_page(0, order)


class NewsCheck:
    """End a reading that would otherwise never end; each of its pages passes through here.

    :raises QlikResponseError: when called with one page too many.
    """

    def __init__(self) -> None:
        self._found: set[str | None] = set()
        self._without_news = 0
        self._pages = 0

    def __call__(self, page: Page) -> Page:
        before = len(self._found)
        self._found.update(asset.id for asset in page.items)
        self._pages += 1
        self._without_news = 0 if len(self._found) > before else self._without_news + 1
        if self._without_news > _MOST_PAGES_WITHOUT_NEWS or self._pages > _MOST_PAGES:
            raise QlikResponseError(
                f"The listing of data assets does not end: it reports {page.pages} pages, but after "
                f"{self._pages} of them only {len(self._found)} data assets were found. Check that the host "
                "is a Qlik Cloud tenant.",
                http_status=200,
            )
        return page


def _unseen(page: Page, seen: set[str | None]) -> Iterator[DataAsset]:
    for asset in page.items:
        if asset.id not in seen:
            seen.add(asset.id)
            yield asset

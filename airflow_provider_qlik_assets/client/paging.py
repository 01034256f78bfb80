"""Read all pages of a listing while others change it.

Pages are counted by position, so deleting an asset moves all later ones forward. A reader that goes forward
then misses the one that moves from the page it reads next to the page it has read. Reading from the last page
to the first, in an order in which assets only ever move forward (by creation: new ones come last), cannot
miss any: whatever moves forward is met again.

A tenant is not believed how many pages it has: a reading ends at the first empty page, and with an error if
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
# Of 100 data assets each; reading them takes ten minutes of the quota.
_MOST_PAGES = 10_000
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

    @property
    def last(self) -> int:
        """Number of the last page, as far as the numbers of pages and of data assets agree."""
        return min(self.pages, -(-self.total // len(self.items)) if self.items else 1) - 1


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
        # There may be fewer pages by now.
        number = min(number, page.pages) - 1
    if first.last > 0:
        yield read_page(0, order)


class NewsCheck:
    """End a reading that a tenant would never let end: each page of it goes through here.

    :raises QlikResponseError: when called with a page too many.
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

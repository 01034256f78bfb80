"""Read all pages of a listing while others change it.

Pages are counted by position, so deleting a data asset moves all later ones forward. A reader that goes
forward then misses the one that moves from the next page to the page just read. This reader therefore goes
from the last page to the first, sorted by creation. In that order, data assets only move forward and new ones
come last, so the reader meets again whatever moves, and misses nothing.

An older one may still appear in between, such as one that was moved into the data store: that pushes others
back, onto the page that was read before. So whenever the total differs from that of the page before, that
page is read again.

That holds as long as the tenant keeps to that order, so the order of what comes is checked. Data assets that
were created at the same moment are sorted by id. Where a tenant does not do that, or does not sort at all,
one that moves between two pages may be missed: the pages are then read again until they show as many data
assets as the tenant counts. If they never do, a warning says so.

The number of pages that a tenant reports is not trusted: what follows a full page is read, too, reading ends
at the first empty page, and fails if page after page shows nothing new.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
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
# Orders in which data assets never move back; a tenant may refuse to sort by two fields.
_BY_CREATION = ("createdTime,id", "createdTime")


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
        return max(min(self.pages, -(-self.total // len(self.items)) if self.items else 1) - 1, 0)

    @property
    def is_full(self) -> bool:
        """Whether others may follow, whatever the tenant counts."""
        return len(self.items) >= MOST_PER_PAGE


ReadPage = Callable[[int, str | None], Page]


def listing(read_page: ReadPage, *, sort: str | None = None) -> Iterator[DataAsset]:
    """Iterate over the data assets of a listing, each once.

    :param read_page: reads a page by its number (from 0), in an order (``None``: unspecified).
    :param sort: order to keep; data assets that move past the reader come last, out of order.
    """
    seen: set[str | None] = set()
    if sort is not None:
        pages = 0
        for page in _forward(read_page, sort):
            pages += 1
            yield from _unseen(page, seen)
        # Only a single page cannot be changed while others are read.
        if pages == 1 and page.total == len(seen) and not page.is_full:
            return
    order, first = _first_page(read_page)
    readings: list[_Reading] = []
    for _ in range(_MOST_READINGS):
        reading = _Reading(is_sorted=order is not None)
        for page, is_again in _backward(read_page, order, first):
            reading.add(page, is_again=is_again)
            yield from _unseen(page, seen)
        readings.append(reading)
        if _are_complete(readings):
            return
        if _agree(readings):
            break
        first = read_page(0, order)
    logger.warning(
        "The listing of data assets did not become consistent (the tenant counts %d, and %d were found): "
        "some data assets may be missing.",
        max(readings[-1].totals), len(readings[-1].found),
    )  # fmt: skip


class _Order(enum.Enum):
    """How far the data assets of a reading are in order of their creation."""

    NONE = 0
    UP_TO_TIES = 1
    COMPLETE = 2


class _Reading:
    """What one reading of all pages, from the last to the first, has shown.

    :param is_sorted: whether the tenant was asked to sort, and did not refuse.
    """

    def __init__(self, *, is_sorted: bool) -> None:
        self.found: set[str | None] = set()
        self.totals: set[int] = set()
        self.order = _Order.COMPLETE if is_sorted else _Order.NONE
        self.has_jumped = False  # so many came in between that reading one page again may not show all
        self._later: list[DataAsset] = []  # the page that was read before
        self._total = 0
        self._pages = 0

    def add(self, page: Page, *, is_again: bool) -> None:
        """Take a page into account.

        :param is_again: whether it is the later page of the last one, read once more.
        """
        self.found.update(asset.id for asset in page.items)
        self.totals.add(page.total)
        if is_again:
            return
        self.has_jumped |= self._pages > 0 and page.total - self._total > len(page.items)
        # The first page is read at the beginning and at the end, so it has no later one at the beginning.
        later = [] if not self._pages or page.total < self._total else self._later[:1]
        self.order = min(self.order, _order_of([*page.items, *later]), key=lambda order: order.value)
        self._later = page.items if self._pages else []
        self._total = page.total
        self._pages += 1

    @property
    def is_still(self) -> bool:
        """Whether the tenant counted as many at the end as at the beginning."""
        return len(self.totals) == 1

    @property
    def is_single(self) -> bool:
        """Whether all was on one page, which nothing can leave unseen."""
        return self._pages == 1


def _order_of(assets: list[DataAsset]) -> _Order:
    keys = [(asset.created_time, asset.id or "") for asset in assets if asset.created_time is not None]
    pairs = list(itertools.pairwise(keys))
    if len(keys) < len(assets) or any(one[0] > other[0] for one, other in pairs):
        return _Order.NONE
    return _Order.COMPLETE if all(one < other for one, other in pairs) else _Order.UP_TO_TIES


def _are_complete(readings: list[_Reading]) -> bool:
    """Return whether nothing that existed during all readings is missing in them."""
    last = readings[-1]
    if last.has_jumped:
        return False
    if last.order is _Order.COMPLETE:
        return len(last.found) >= min(last.totals)
    if last.order is _Order.NONE and not (_agree(readings) or last.is_single):
        return False
    # As long as their number stays the same, they are taken to be the same ones.
    same = list(itertools.takewhile(lambda reading: reading.totals == last.totals, reversed(readings)))
    return {len(set().union(*(reading.found for reading in same)))} == last.totals


def _agree(readings: list[_Reading]) -> bool:
    """Return whether the last two readings have shown the same, with nothing changing in between."""
    last, *before = readings[::-1]
    return (
        bool(before) and last.found == before[0].found and last.totals == before[0].totals and last.is_still
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
    for order in _BY_CREATION:
        with contextlib.suppress(QlikBadRequestError):
            return order, read_page(0, order)
    return None, read_page(0, None)


def _backward(read_page: ReadPage, order: str | None, first: Page) -> Iterator[tuple[Page, bool]]:
    """Read all pages, the last one first; tell of each whether it is the one before it, read again."""
    yield first, False
    number, page = _last_page(read_page, order, first)
    if number == 0:
        return
    check, before = NewsCheck(), first
    check(page)
    while True:
        yield page, False
        if order is not None and page.total != before.total and number + 1 < page.pages:
            yield read_page(number + 1, order), True
        if number == 0:
            return
        before = page
        # After an empty page, there may be fewer pages now.
        number = number - 1 if page.items else max(min(number, page.pages) - 1, 0)
        page = check(read_page(number, order))


def _last_page(read_page: ReadPage, order: str | None, first: Page) -> tuple[int, Page]:
    """Return the number of the last page, and the page; the tenant may count too few."""
    check = NewsCheck()
    number, page = first.last, check(first)
    if number > 0:
        page = check(read_page(number, order))
    while page.is_full:
        beyond = check(read_page(number + 1, order))
        if not any(_unseen(beyond, {asset.id for asset in page.items})):
            break
        number, page = number + 1, beyond
    return number, page


class NewsCheck:
    """End a reading that would otherwise never end; each of its pages passes through here.

    :raises QlikResponseError: when called with one page too many.
    """

    def __init__(self) -> None:
        self._found: set[str | None] = set()
        self._without_news = 0
        self._pages = 0
        self._total = 0

    def __call__(self, page: Page) -> Page:
        before = len(self._found)
        self._found.update(asset.id for asset in page.items)
        self._pages += 1
        # After deletions, pages show again what has moved onto them.
        is_news = len(self._found) > before or page.total < self._total
        self._without_news = 0 if is_news else self._without_news + 1
        self._total = page.total
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

"""How far to read a newest-first listing to see every change.

Instants come from Qlik Cloud and are only compared with each other. The clock here only measures durations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import count, pairwise

import pendulum

from airflow_provider_qlik_assets.client.errors import QlikBadRequestError
from airflow_provider_qlik_assets.client.models import DataAsset
from airflow_provider_qlik_assets.client.paging import NewsCheck, Page, ReadPage

# A change may become visible later than its own instant says: it may be committed later, or made by a server
# whose clock is behind.
SETTLING_SECONDS = 10.0
_MOST_READINGS = 5


class Watermark:
    """The instant up to which every change has been seen.

    ``newest`` is the latest modification seen, or ``None``. While other changes of about that time may still
    become visible, everything up to some seconds older must be read again.
    """

    def __init__(self) -> None:
        self.started = False
        self.newest: pendulum.DateTime | None = None
        self._seen_at = 0.0
        self._settled = False

    def is_above(self, modified: pendulum.DateTime | None) -> bool:
        """Return whether a modification is above the mark, so that those after it may be, too."""
        if self.newest is None or modified is None:
            return True
        margin = 0.0 if self._settled else SETTLING_SECONDS
        return modified > self.newest - timedelta(seconds=margin)

    def is_before(self, instant: pendulum.DateTime | None) -> bool:
        """Return whether an instant is after the latest modification seen."""
        return self.newest is not None and instant is not None and instant > self.newest

    def advance(self, newest: pendulum.DateTime | None, began: float, ended: float) -> None:
        """Record that everything above the mark has been read.

        :param newest: the latest modification seen.
        :param began: when reading began, in seconds on a monotonic clock.
        :param ended: when it ended.
        """
        if not self.started or newest != self.newest:
            self.started, self.newest, self._seen_at, self._settled = True, newest, ended, False
        elif began - self._seen_at >= SETTLING_SECONDS:
            self._settled = True


def is_newest_first(instants: Iterable[pendulum.DateTime | None]) -> bool:
    """Return whether all are known, and none is later than the one before it."""
    instants = list(instants)
    return all(
        one is not None and other is not None and one >= other
        for one, other in pairwise([*instants, *instants[-1:]])
    )


class NotSortedError(Exception):
    """The tenant does not sort the listing."""


def _read_in_order(read_page: ReadPage, number: int, orders: list[str]) -> Page:
    """Read a page in the first order that the tenant does not refuse; forget the others."""
    while True:
        try:
            return read_page(number, orders[0])
        except QlikBadRequestError as error:
            del orders[0]
            if not orders:
                raise NotSortedError from error


def read_newest(
    read_page: ReadPage,
    field: str,
    instant_of: Callable[[DataAsset], pendulum.DateTime | None],
    since: pendulum.DateTime | None,
) -> list[DataAsset]:
    """Return the data assets of a listing whose instant is not before ``since``, the latest first.

    Whatever was deleted while the pages were read, none of the others is left out.

    :param read_page: reads the page with a number (from 0) in an order.
    :param field: API name of the field to sort by.
    :param instant_of: returns its value.
    :param since: ``None`` reads all.
    :raises NotSortedError: the tenant refuses the sort, or ignores it, so that some may be left out.
    """
    orders = [f"-{field},id", f"-{field}"]  # a tenant may refuse to sort by two fields
    for _ in range(_MOST_READINGS):
        found: dict[str | None, DataAsset] = {}
        check, total, before, last_id = NewsCheck(), 0, None, ""
        for number in count():
            page = check(_read_in_order(read_page, number, orders))
            instants = [instant_of(asset) for asset in page.items]
            if page.pages > 1 and not is_newest_first([*([before] if before else []), *instants]):
                raise NotSortedError
            ids = [asset.id or "" for asset in page.items]
            keys = list(zip([before, *instants], [last_id, *ids], strict=True))
            if len(orders) == 2 and page.pages > 1:
                if any(one == other and key >= later for (one, key), (other, later) in pairwise(keys)):
                    del orders[0]  # the tenant accepts two fields, but sorts by the first one only
                    break
            elif before is not None and instants[:1] == [before]:
                raise NotSortedError  # these two may change places from one page to the next
            found.update((asset.id, asset) for asset in page.items)
            if page.total < total:  # some may have moved to a page that was read already
                break
            total = page.total
            before, last_id = keys[-1] if instants else (None, "")
            if before is None or number >= page.last or (since is not None and before < since):
                return [
                    asset
                    for asset in found.values()
                    if since is None or (instant_of(asset) or since) >= since
                ]
    raise NotSortedError

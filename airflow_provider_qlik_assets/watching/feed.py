"""Follow the changes of the catalog with about one request per poll.

The listing of data assets, the last modified first, shows on its first page what has changed since it was
last read. A :class:`ChangeFeed` therefore reads page by page until a page contains nothing new. It also reads
each data asset once that is new to the feed. What was modified at the same moment may change places while the
pages are read, so they are read again if they show a data asset twice. If a tenant refuses that listing or
does not sort it, the feed lists the data stores in question or reads single data assets, whichever takes
fewer requests.

Deletions only show in the total of such a listing. When the total is smaller than expected, and once an hour
in any case, everything of interest is read again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pendulum

from airflow_provider_qlik_assets.client.errors import (
    QlikApiError,
    QlikBadRequestError,
    QlikNotFoundError,
    QlikPermissionError,
)
from airflow_provider_qlik_assets.client.log import get_logger
from airflow_provider_qlik_assets.client.newest_first import Watermark, is_newest_first
from airflow_provider_qlik_assets.client.paging import NewsCheck
from airflow_provider_qlik_assets.watching.state import STATE_FIELDS, AssetState

if TYPE_CHECKING:
    from airflow_provider_qlik_assets.client.client import QlikCloudClient

logger = get_logger(__name__)

ALL_STORES = "*"
_OLDEST_FIRST, _NEWEST_FIRST = "lastModifiedTime", "-lastModifiedTime"
# Data assets modified at the same moment in an order of their own, or in any.
_WITH_TIES, _WITHOUT_TIES = [_NEWEST_FIRST], [_NEWEST_FIRST, "id"]
_MOST_READINGS = 3
_REFUSALS = (QlikBadRequestError, QlikPermissionError, QlikNotFoundError)
_SECONDS_BETWEEN_CHECKS = 3600.0
_POLLS_BETWEEN_CHECKS = 10
_MOST_STORES = 100  # their ids are part of one URL

Stores = str | tuple[str, ...]
"""``"*"``, or ids of data stores."""


@dataclass(frozen=True)
class Interest:
    """What the readers of a feed are interested in.

    :param ids: ids of data assets.
    :param store_ids: ids of the data stores that contain them, as far as known.
    :param stores: ids of data stores whose data assets are all of interest; ``"*"`` means all data stores.
    """

    ids: frozenset[str] = frozenset()
    store_ids: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Snapshot:
    """What a feed knows. If a mapping is the same object in two snapshots, it has not changed.

    :param states: data assets by id.
    :param errors: Qlik Cloud's error by the id of a data asset or store of interest: it does not exist, or
        the user may not see it. An id that is neither here nor in ``states`` has not been read yet.
    :param stores: data stores of interest whose data assets are all in ``states``.
    """

    states: Mapping[str, AssetState]
    errors: Mapping[str, QlikApiError]
    stores: frozenset[str] = frozenset()


class _News(NamedTuple):
    """What one reading of the listing has shown.

    :param places: the id in each place above the watermark.
    :param newest: the latest modification.
    :param stood_still: whether nothing was deleted meanwhile.
    """

    places: list[str]
    newest: pendulum.DateTime | None
    stood_still: bool


class ChangeFeed:
    """Follow the changes of data assets. Only one thread at a time may use it.

    :param clock: seconds on a monotonic clock.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[str, AssetState] = {}
        self._errors: dict[str, QlikApiError] = {}
        self._followed: set[str] = set()  # ids that the listing keeps up to date
        self._complete: set[str] = set()  # stores all of whose data assets are followed
        self._refused: dict[str, QlikApiError | None] = {}  # "*", "stores", "sort" and "sort by two"
        self._told: set[str] = set()
        self._listed: Stores | None = None
        self._pages = 1
        self._expected_total: int | None = None
        self._watermark = Watermark()
        self._order_is_proven = False
        self._suspects_deletions = False
        self._checked_at = clock()
        self._polls_since_check = _POLLS_BETWEEN_CHECKS

    def poll(self, client: QlikCloudClient, interest: Interest) -> Snapshot:
        """Read what has changed and what is new to the feed; return everything known.

        :raises QlikCloudError: if a request failed; the next poll continues where this one stopped.
        """
        states, errors = self._states, self._errors
        self._states, self._errors = dict(states), dict(errors)
        try:
            self._check_if_due()
            if not self._follow(client, interest):
                self._start_anew()
            self._read_what_is_missing(client, interest)
        finally:
            self._states = states if self._states == states else self._states
            self._errors = errors if self._errors == errors else self._errors
        return Snapshot(self._states, self._errors, frozenset(self._complete))

    # --- the listing, the last modified first ------------------------------------------------------------

    def _follow(self, client: QlikCloudClient, interest: Interest) -> bool:
        """Read what has changed; return whether the tenant offers a listing that shows it."""
        while "sort" not in self._refused and (stores := self._listable(interest)):
            if stores != self._listed:
                self._start_anew(stores)
            try:
                return self._read_news(client, interest, stores)
            except _REFUSALS as refusal:
                self._find_out_what_is_refused(client, stores, refusal)
        return False

    def _listable(self, interest: Interest) -> Stores | None:
        """Return the stores to list, all if possible; ``None`` if there is nothing that may be listed."""
        if ALL_STORES not in self._refused:
            return ALL_STORES
        known = (self._states[key].store_id for key in interest.ids if key in self._states)
        stores = {*interest.store_ids, *interest.stores, *filter(None, known)} - {ALL_STORES}
        if "stores" in self._refused or not 0 < len(stores) <= _MOST_STORES:
            return None
        return tuple(sorted(stores))

    def _find_out_what_is_refused(
        self, client: QlikCloudClient, stores: Stores, refusal: QlikApiError
    ) -> None:
        if isinstance(refusal, QlikBadRequestError) and "sort by two" not in self._refused:
            self._refused["sort by two"] = refusal
            return
        if isinstance(refusal, QlikBadRequestError):
            try:
                self._pages = client.read_page(stores, projections=STATE_FIELDS).pages
            except _REFUSALS as error:
                refusal = error
            else:
                self._refuse("sort", f"The tenant does not sort data assets ({refusal})", refusal)
                return
        self._refuse_to_list(stores, refusal)

    def _refuse_to_list(self, stores: Stores, error: QlikApiError) -> None:
        every = stores == ALL_STORES
        what = "all data stores" if every else f"the data stores {', '.join(stores)}"
        self._refuse(
            ALL_STORES if every else "stores", f"The data assets of {what} cannot be listed ({error})", error
        )

    def _refuse(self, what: str, why: str, error: QlikApiError | None = None) -> None:
        self._refused[what] = error
        self._tell(what, why)

    def _tell(self, what: str, why: str) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning("%s. Changes are still found, but with more requests.", why)

    def _read_news(self, client: QlikCloudClient, interest: Interest, stores: Stores) -> bool:
        """Read pages until one holds nothing new; return whether the tenant sorts them."""
        began = self._clock()
        readings: list[_News] = []
        found: set[str] = set()
        while len(readings) < _MOST_READINGS and (not readings or len(found) < len(readings[-1].places)):
            news = self._read_pages(client, interest, stores)
            if news is None:
                self._refuse("sort", "The tenant ignores the `sort` parameter")
                return False
            found.update(news.places)
            readings.append(news)
        if len(found) < len(readings[-1].places):
            self._tell("ties", "The tenant shows data assets modified at the same moment in changing order")
            self._followed.clear()  # reads them all in another way
            self._complete.clear()
        if readings[-1].stood_still:
            self._watermark.advance(readings[0].newest, began, self._clock())
        return True

    def _read_pages(self, client: QlikCloudClient, interest: Interest, stores: Stores) -> _News | None:
        """Read pages until one holds nothing new; return ``None`` if the tenant does not sort them."""
        mark, places = self._watermark, list[str]()
        newest, total, stood_still = mark.newest, 0, True
        check = NewsCheck()
        order = _WITH_TIES if "sort by two" in self._refused else _WITHOUT_TIES
        for number in itertools.count():
            page = check(client.read_page(stores, number, projections=STATE_FIELDS, sort=order))
            states = [AssetState.of(asset) for asset in page.items]
            self._pages = page.pages
            if not self._is_sorted(client, stores, states):
                return None
            if number == 0 and states:
                newest = max(filter(None, (states[0].modified, newest)))
            # A deletion moves others to a page that was already read; the next poll then reads everything
            # again.
            stood_still &= page.total >= total
            total = page.total
            may_go_on = mark.started and states and number + 1 < page.pages
            goes_on = may_go_on and (mark.is_above(states[-1].modified) or self._is_new(states[-1]))
            if self._expected_total is not None:
                self._expected_total += sum(self._is_created(state) for state in states)
            self._take(states)
            places += [state.id for state in states if mark.is_above(state.modified)]
            if not goes_on:
                break
            if not interest.stores and number >= len(interest.ids):
                # So much has changed that reading only what is of interest takes fewer requests.
                self._followed.clear()
                break
        self._suspects_deletions |= self._expected_total is not None and total < self._expected_total
        self._expected_total = total
        return _News(places, newest, stood_still)

    def _is_sorted(self, client: QlikCloudClient, stores: Stores, states: list[AssetState]) -> bool:
        """Return whether states are in order because of the sort, and not by chance.

        Data assets that were not modified since their creation may be in order without sorting.
        """
        modified = [state.modified for state in states]
        if not is_newest_first(modified):
            return False
        if self._order_is_proven or self._pages <= 1 or not states:
            return True
        page = client.read_page(stores, projections=STATE_FIELDS, sort=[_OLDEST_FIRST])
        oldest = [asset.last_modified_time for asset in page.items]
        self._order_is_proven = modified[0] != oldest[0]
        return is_newest_first(oldest[::-1]) and is_newest_first([modified[-1], oldest[0]])

    def _is_new(self, state: AssetState) -> bool:
        return self._states.get(state.id) != state

    def _is_created(self, state: AssetState) -> bool:
        return state.id not in self._states and self._watermark.is_before(state.created)

    def _take(self, states: Iterable[AssetState]) -> None:
        for state in states:
            if not state.is_older_than(self._states.get(state.id)):
                self._states[state.id] = state
            self._errors.pop(state.id, None)
            self._followed.add(state.id)

    # --- what the listing does not show ------------------------------------------------------------------

    def _check_if_due(self) -> None:
        """From time to time, discard everything that was read before."""
        self._polls_since_check += 1
        now = self._clock()
        if now - self._checked_at >= _SECONDS_BETWEEN_CHECKS or (
            self._suspects_deletions and self._polls_since_check >= _POLLS_BETWEEN_CHECKS
        ):
            self._checked_at, self._polls_since_check = now, 0
            self._refused.clear()
            self._start_anew()

    def _start_anew(self, stores: Stores | None = None) -> None:
        """Follow a listing, or none, from now on."""
        self._listed = stores
        self._expected_total = None
        self._watermark = Watermark()
        self._order_is_proven = False
        self._suspects_deletions = False
        self._followed.clear()
        self._complete.clear()

    def _read_what_is_missing(self, client: QlikCloudClient, interest: Interest) -> None:
        """Read what is of interest and is not followed."""
        if ALL_STORES not in self._complete:
            for store in sorted(interest.stores - self._complete):
                self._list_completely(client, store)
        listable = self._listable(interest)
        if listable and sum(key not in self._followed for key in interest.ids) > self._pages + 1:
            self._list_completely(client, listable)
        for key in interest.ids - self._followed:
            self._read_one(client, key)

    def _list_completely(self, client: QlikCloudClient, stores: Stores) -> None:
        found = set()
        try:
            for asset in client.list_data_assets(stores, projections=STATE_FIELDS):
                self._take([AssetState.of(asset)])
                found.add(asset.id or "")
        except _REFUSALS as error:
            if isinstance(stores, str):
                self._errors[stores] = error
            else:
                self._refuse_to_list(stores, error)
            return
        if stores == ALL_STORES:
            for key in self._states.keys() - found:  # deleted, or in no store
                del self._states[key]
                self._followed.discard(key)
        for store in [stores] if isinstance(stores, str) else stores:
            self._complete.add(store)
            self._errors.pop(store, None)

    def _read_one(self, client: QlikCloudClient, key: str) -> None:
        """Read a data asset that may be in no listing, or not exist at all."""
        try:
            state = AssetState.of(client.get_data_asset(key, projections=STATE_FIELDS))
        except _REFUSALS as error:
            self._states.pop(key, None)
            self._errors[key] = error
            # It would show up when it is created, but in any data store, which another listing may not
            # include.
            if self._listed == ALL_STORES:
                self._followed.add(key)
        else:
            self._take([state])
            listed = self._listed or ()
            if not (state.store_id and (listed == ALL_STORES or state.store_id in listed)):
                self._followed.discard(key)

"""Listings that a tenant does not keep in order: complete, or said not to be."""

from __future__ import annotations

import random
from collections.abc import Callable

import pendulum
import pytest

from airflow_provider_qlik_assets.client import DataAsset, QlikBadRequestError, QlikCloudClient
from airflow_provider_qlik_assets.client.newest_first import NotSortedError, read_newest
from airflow_provider_qlik_assets.client.paging import Page, listing
from airflow_provider_qlik_assets.sandbox import Sandbox

SIZE = 10
BEGAN = pendulum.datetime(2026, 1, 1)
INCOMPLETE = "some data assets may be missing"

Order = Callable[[list[int], str | None, int], list[int]]


class Tied:
    """Data assets, some of which were created at the same moment.

    :param created: the second in which each was created.
    :param order: returns the places in which a request finds them, given the sort and the number of the page.
    """

    def __init__(self, created: list[int], order: Order, *, two_fields: bool = True) -> None:
        self.created = dict(enumerate(created))
        self.reads = 0
        self.between: Callable[[int], None] = lambda reads: None
        self._order = order
        self._two_fields = two_fields

    def read_page(self, number: int, order: str | None) -> Page:
        if order and "," in order and not self._two_fields:
            raise QlikBadRequestError("GET", "u", 400)
        self.between(self.reads)
        self.reads += 1
        keys = self._order(list(self.created), order, number)
        if order and order.endswith(",id"):
            keys.sort()
        if order:
            keys.sort(key=self.created.__getitem__, reverse=order.startswith("-"))
        shown = keys[number * SIZE : (number + 1) * SIZE]
        items = [
            DataAsset(id=f"{key:04}", created_time=BEGAN.add(seconds=self.created[key])) for key in shown
        ]
        return Page(items, pages=-(-len(keys) // SIZE), total=len(keys))


def shuffled(seed: int) -> Order:
    """Return the order of a tenant whose ties come in another order with each request."""
    generator = random.Random(seed)

    def order(keys: list[int], sort: str | None, number: int) -> list[int]:
        return generator.sample(keys, len(keys))

    return order


def by_page(keys: list[int], sort: str | None, number: int) -> list[int]:
    """Return an order that depends on the page, as that of a query with a limit may."""
    return random.Random(number).sample(keys, len(keys))


def some_ties(seed: int) -> list[int]:
    generator = random.Random(seed)
    return [generator.randrange(1 + seed % 12) for _ in range(SIZE * 4 + generator.randrange(SIZE))]


@pytest.mark.parametrize("two_fields", [True, False])
def test_ties_in_unstable_order_are_all_found_or_said_to_be_missing(
    caplog: pytest.LogCaptureFixture, two_fields: bool
) -> None:
    complete = 0
    for seed in range(200):
        catalog = Tied(some_ties(seed), shuffled(seed), two_fields=two_fields)
        caplog.clear()

        found = [asset.id for asset in listing(catalog.read_page)]

        assert len(found) == len(set(found))
        assert len(found) == len(catalog.created) or INCOMPLETE in caplog.text
        complete += len(found) == len(catalog.created)
    assert complete >= 199


def test_ties_whose_order_depends_on_the_page_are_all_found_or_said_to_be_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for seed in range(200):
        catalog = Tied(some_ties(seed), by_page, two_fields=False)
        caplog.clear()

        found = [asset.id for asset in listing(catalog.read_page)]

        assert len(found) == len(catalog.created) or INCOMPLETE in caplog.text


@pytest.mark.parametrize("seed", range(20))
def test_where_the_sort_is_ignored_an_insert_hides_nothing(seed: int) -> None:
    """In order of the ids, so that what is created somewhere in between moves others on."""
    generator = random.Random(seed)
    created = [generator.randrange(1000) for _ in range(SIZE * 4)]
    catalog = Tied(created, lambda keys, sort, number: sorted(keys))
    catalog.created = {2 * key: second for key, second in catalog.created.items()}
    old = {f"{key:04}" for key in catalog.created}
    ignoring = Tied.read_page

    def insert(reads: int) -> None:
        if reads == generator.randrange(1, 4):
            catalog.created[2 * generator.randrange(SIZE) + 1] = 2000

    catalog.between = insert
    found = {asset.id for asset in listing(lambda number, order: ignoring(catalog, number, None))}

    assert old <= found


@pytest.mark.parametrize("two_fields", [True, False])
@pytest.mark.parametrize("ties", [True, False])
def test_a_tenant_that_keeps_its_order_is_read_once(*, two_fields: bool, ties: bool) -> None:
    created = [number // 3 if ties else number for number in range(SIZE * 4)]
    catalog = Tied(created, lambda keys, sort, number: sorted(keys), two_fields=two_fields)

    assert len(list(listing(catalog.read_page))) == SIZE * 4
    assert catalog.reads == 4 + 1


def test_a_total_that_never_fits_is_said(caplog: pytest.LogCaptureFixture) -> None:
    catalog = Tied(list(range(SIZE * 4)), lambda keys, sort, number: sorted(keys))

    def read(number: int, order: str | None) -> Page:
        page = catalog.read_page(number, order)
        return Page(page.items, page.pages, page.total + 7)

    assert len(list(listing(read))) == SIZE * 4
    assert "the tenant counts 47, and 40 were found" in caplog.text
    assert catalog.reads == 2 * (4 + 1)


# --- the newest first ------------------------------------------------------------------------------------


@pytest.mark.parametrize("two_fields", [True, False])
def test_the_newest_are_complete_or_not_taken_for_sorted(two_fields: bool) -> None:
    told = 0
    for seed in range(200):
        catalog = Tied(some_ties(seed), shuffled(seed), two_fields=two_fields)
        since = BEGAN.add(seconds=max(catalog.created.values()))
        try:
            found = read_newest(catalog.read_page, "createdTime", lambda asset: asset.created_time, since)
        except NotSortedError:
            told += 1
        else:
            newest = [key for key, second in catalog.created.items() if BEGAN.add(seconds=second) >= since]
            assert {asset.id for asset in found} == {f"{key:04}" for key in newest}
    assert (told == 0) is two_fields


def test_the_newest_are_complete_where_only_the_first_field_is_obeyed() -> None:
    for seed in range(200):
        catalog = Tied(some_ties(seed), shuffled(seed))

        def read(number: int, order: str | None, catalog: Tied = catalog) -> Page:
            return catalog.read_page(number, order and order.removesuffix(",id"))

        try:
            found = read_newest(read, "createdTime", lambda asset: asset.created_time, BEGAN)
        except NotSortedError:
            continue
        assert len(found) == len(catalog.created)


# --- over HTTP -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("two_fields", [True, False])
def test_a_bulk_load_is_listed_completely(
    sandbox: Sandbox, store_id: str, client: QlikCloudClient, two_fields: bool
) -> None:
    sandbox.settings.unstable_ties = True
    sandbox.settings.sort_by_two = two_fields
    ids = {
        sandbox.add_asset(store_id, technicalName=f"t{number}", createdTime="2026-01-01T00:00:00.000Z")["id"]
        for number in range(250)
    }

    for _ in range(4):
        assert {asset.id for asset in client.list_data_assets(store_id, projections=["technicalName"])} == ids
    if two_fields:
        assert len(sandbox.journal) == 4 * (3 + 1)


@pytest.mark.parametrize("switch", ["sort_ignored", "sort_refused"])
def test_an_insert_meanwhile_hides_nothing_where_the_tenant_does_not_sort(
    sandbox: Sandbox, store_id: str, client: QlikCloudClient, switch: str
) -> None:
    setattr(sandbox.settings, switch, True)
    ids = [
        sandbox.add_asset(
            store_id,
            id=f"b{number:03}",
            technicalName=f"t{number}",
            createdTime=f"2026-01-01T00:{(number * 7) % 60:02}:00.000Z",
        )["id"]
        for number in range(250)
    ]
    read_page = client._page_reader(store_id, None)
    reads: list[int] = []

    def read(number: int, order: str | None) -> Page:
        page = read_page(number, order)
        reads.append(number)
        if len(reads) == 2:  # after the last page
            sandbox.add_asset(store_id, id="a", technicalName="new")
        return page

    assert set(ids) <= {asset.id for asset in listing(read)}

"""Listings that are read while others create and delete."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pendulum
import pytest

from airflow_provider_qlik_assets.client import (
    DataAsset,
    QlikBadRequestError,
    QlikCloudClient,
    QlikNotFoundError,
    QlikResponseError,
    QlikValidationError,
)
from airflow_provider_qlik_assets.client.paging import Page, listing
from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.wire import answer

SIZE = 10
BEGAN = pendulum.datetime(2026, 1, 1)


class Catalog:
    """Data assets in memory, listed by pages; something may happen between two reads."""

    def __init__(self, count: int, *, sortable: bool = True) -> None:
        self.numbers = list(range(count))
        self.reads: list[tuple[int, str | None]] = []
        self.sortable = sortable
        self.between: Callable[[], None] = lambda: None

    def read_page(self, number: int, order: str | None) -> Page:
        if self.reads:
            self.between()
        self.reads.append((number, order))
        if order and not self.sortable:
            raise QlikBadRequestError("GET", "u", 400)
        found = sorted(self.numbers)
        if order is None:
            random.Random(7).shuffle(found)  # the order is unspecified, but does not change on its own
        if order and order.startswith("-"):
            found.reverse()
        items = [self.asset(each) for each in found[number * SIZE : (number + 1) * SIZE]]
        return Page(items, pages=-(-len(found) // SIZE), total=len(found))

    @staticmethod
    def asset(number: int) -> DataAsset:
        return DataAsset(id=str(number), created_time=BEGAN.add(seconds=number))

    def listed(self, sort: str | None = None) -> list[int]:
        return [int(asset.id or "") for asset in listing(self.read_page, sort=sort)]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
@pytest.mark.parametrize("sort", [None, "createdTime", "-lastModifiedTime"])
@pytest.mark.parametrize("sortable", [True, False])
def test_all_come_once(count: int, sort: str | None, sortable: bool) -> None:
    catalog = Catalog(count, sortable=sortable)
    if sort and not sortable:
        with pytest.raises(QlikBadRequestError):
            catalog.listed(sort)
        return

    found = catalog.listed(sort)

    assert sorted(found) == list(range(count))


def test_a_given_order_is_kept() -> None:
    assert Catalog(35).listed("-lastModifiedTime") == list(reversed(range(35)))


def test_a_single_page_is_read_once() -> None:
    catalog = Catalog(SIZE)
    catalog.listed()
    catalog.listed("createdTime")

    assert len(catalog.reads) == 2


def test_pages_are_read_as_they_are_needed() -> None:
    catalog = Catalog(95)

    next(listing(catalog.read_page, sort="createdTime"))

    assert len(catalog.reads) == 1


@pytest.mark.parametrize("sort", [None, "createdTime", "-createdTime"])
@pytest.mark.parametrize("seed", range(20))
def test_none_that_exists_all_the_while_is_left_out(sort: str | None, seed: int) -> None:
    generator = random.Random(seed)
    catalog = Catalog(64)
    kept = set(generator.sample(range(64), 40))

    def churn() -> None:
        doomed = [number for number in catalog.numbers if number not in kept]
        for number in generator.sample(doomed, min(len(doomed), generator.randrange(6))):
            catalog.numbers.remove(number)
        newest = max(catalog.numbers)
        catalog.numbers += range(newest + 1, newest + 1 + generator.randrange(6))

    catalog.between = churn
    found = catalog.listed(sort)

    assert kept <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("change", ["insert", "delete", "both"])
@pytest.mark.parametrize("seed", range(20))
def test_none_is_left_out_where_sorting_is_refused(change: str, seed: int) -> None:
    generator = random.Random(seed)
    kept = set(generator.sample(range(0, 128, 2), 40))

    class Unsorted(Catalog):
        def read_page(self, number: int, order: str | None) -> Page:
            if order is not None:
                raise QlikBadRequestError("GET", "u", 400)
            return super().read_page(number, "by id")

    catalog = Unsorted(0)
    catalog.numbers = list(range(0, 128, 2))
    changes = iter(range(4))  # then the others pause

    def churn() -> None:
        if next(changes, None) is None:
            return
        doomed = [number for number in catalog.numbers if number not in kept]
        if change != "insert":
            for number in generator.sample(doomed, min(len(doomed), 3)):
                catalog.numbers.remove(number)
        if change != "delete":
            catalog.numbers += [number for number in generator.sample(range(1, 129, 2), 3)]  # noqa: C416
            catalog.numbers = sorted(set(catalog.numbers))

    catalog.between = churn
    found = catalog.listed()

    assert kept <= set(found)
    assert len(found) == len(set(found))


def test_a_catalog_that_never_stands_still_is_read_for_a_bounded_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    catalog = Catalog(64, sortable=False)
    catalog.between = lambda: catalog.numbers.append(len(catalog.numbers))

    assert set(range(64)) <= set(catalog.listed())
    assert len(catalog.reads) < 200
    assert "some data assets may be missing" in caplog.text


# --- over HTTP -------------------------------------------------------------------------------------------


@pytest.fixture
def ids(sandbox: Sandbox, store_id: str) -> list[str]:
    return [
        sandbox.add_asset(
            store_id,
            id=f"a{number:03}",
            technicalName=f"t{number:03}",
            createdTime=f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000Z",
        )["id"]
        for number in range(250)
    ]


@pytest.mark.parametrize("stores", ["*", "store", ["store"], ["other", "store"]])
def test_listing_reads_all_pages(
    sandbox: Sandbox, client: QlikCloudClient, ids: list[str], stores: Any
) -> None:
    sandbox.add_store(id="other", name="Other")

    assert sorted(str(asset.id) for asset in client.list_data_assets(stores)) == ids
    assert {entry.query["limit"] for entry in sandbox.journal.requests()} == {"100"}


@pytest.mark.parametrize(
    "settings",
    [
        {"sort_refused": True},
        {"links": "relative"},
        {"missing_link": "null"},
        {"missing_link": "empty"},
        {"limit_over_maximum": "clamped"},
        {"unset_fields": "null"},
        {"id_in_projections": "when_asked"},
        {"id_in_projections": "always"},
        {"unknown_projection": "ignored"},
    ],
    ids=str,
)
def test_every_variant_of_a_tenant_is_read(
    sandbox: Sandbox, client: QlikCloudClient, ids: list[str], settings: dict[str, Any]
) -> None:
    for name, value in settings.items():
        setattr(sandbox.settings, name, value)

    found = list(client.list_data_assets(projections=["technicalName"]))

    assert sorted(str(asset.id) for asset in found) == ids
    assert {asset.technical_name for asset in found} == {f"t{number:03}" for number in range(250)}


def test_others_may_change_the_catalog_meanwhile(
    sandbox: Sandbox, client: QlikCloudClient, connect: Any, ids: list[str]
) -> None:
    other = connect()
    assets = client.list_data_assets("store")
    found = [next(assets)]
    other.delete_data_assets(ids[:50])
    for number in range(50):
        sandbox.add_asset("store", technicalName=f"new{number}")

    found += assets

    names = [str(asset.id) for asset in found]
    assert set(ids[50:]) <= set(names)
    assert len(names) == len(set(names))


def test_a_sorted_listing_under_deletions_is_complete(
    sandbox: Sandbox, client: QlikCloudClient, connect: Any, ids: list[str]
) -> None:
    other = connect()
    assets = client.list_data_assets("store", sort=["createdTime"])
    found = [next(assets)]
    other.delete_data_assets(ids[:50])

    found += assets

    assert set(ids[50:]) <= {str(asset.id) for asset in found}


@pytest.mark.parametrize("count", [1, 150])
def test_older_ones_that_appear_meanwhile_hide_no_other(
    sandbox: Sandbox, client: QlikCloudClient, ids: list[str], count: int
) -> None:
    assets = client.list_data_assets("store")
    found = [next(assets) for _ in range(101)]  # two of the three pages were read
    for number in range(count):  # moved into the store, or shared
        created = f"2026-01-01T00:00:30.{number + 1:03}Z"
        sandbox.add_asset("store", id=f"m{number}", technicalName=f"m{number}", createdTime=created)

    found += assets

    names = [str(asset.id) for asset in found]
    assert set(ids) <= set(names)
    assert len(names) == len(set(names))
    if count == 1:
        assert [entry.query["page"] for entry in sandbox.journal.requests()] == ["0", "2", "1", "2", "0"]


def test_a_given_order_that_changes_meanwhile_hides_none(
    sandbox: Sandbox, client: QlikCloudClient, connect: Any, ids: list[str]
) -> None:
    assets = client.list_data_assets("store", sort=["technicalName"])
    found = [next(assets)]
    sandbox.touch(ids[-1], technicalName="a")  # moves to the page that was read
    connect().delete_data_assets(ids[:1])  # and the total stays as it is
    sandbox.add_asset("store", technicalName="z")

    found += assets

    assert set(ids) <= {str(asset.id) for asset in found}


def tenant_of(created: list[int], *, pages: int | None, total: int | None) -> Callable[[int, str], bytes]:
    """Return what a tenant answers that may count other than it lists.

    :param created: the second of each data asset; may change.
    """

    def listed(count: int, path: str) -> bytes:
        number = int(parse_qs(urlsplit(path).query)["page"][0])
        data = [
            {"id": f"{second:05}", "createdTime": BEGAN.add(seconds=second).isoformat()}
            for second in created[number * 100 : (number + 1) * 100]
        ]
        counted = {
            "pages": -(-len(created) // 100) if pages is None else pages,
            "total": len(created) if total is None else total,
        }
        return answer({"data": data, **counted})

    return listed


@pytest.mark.parametrize(
    ("pages", "total"), [(10, 1000), (None, 100), (None, 0), (1, None), (-1, None), (None, -1), (1, 100)]
)
def test_a_tenant_that_counts_too_few_is_read_to_the_end(
    connect: Any, tenant: Any, pages: int | None, total: int | None
) -> None:
    server = tenant(tenant_of(list(range(1050)), pages=pages, total=total))

    assert len(list(connect(server.url).list_data_assets())) == 1050


def test_a_page_that_is_shown_for_every_number_ends_the_listing(connect: Any, tenant: Any) -> None:
    listed = tenant_of(list(range(100)), pages=None, total=None)
    server = tenant(lambda count, path: listed(count, "?page=0"))

    assert len(list(connect(server.url).list_data_assets())) == 100
    assert len(server.requests) == 2


def test_a_mass_deletion_does_not_end_the_listing(connect: Any, tenant: Any) -> None:
    created = list(range(3000))
    listed = tenant_of(created, pages=None, total=None)

    def deleting(count: int, path: str) -> bytes:
        page = listed(count, path)
        del created[:100]
        return page

    server = tenant(deleting)

    assert list(connect(server.url).list_data_assets())


def test_an_unknown_store_is_an_error_where_the_tenant_says_so(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    with pytest.raises(QlikNotFoundError):
        list(client.list_data_assets("nowhere"))

    sandbox.settings.unknown_store = "empty"
    assert list(client.list_data_assets("nowhere")) == []


@pytest.mark.parametrize("stores", [[], "", [""], ["a", ".."], [None], ["a\n"]])
def test_what_is_no_store_is_refused_at_once(client: QlikCloudClient, stores: Any) -> None:
    with pytest.raises(QlikValidationError):
        client.list_data_assets(stores)


def test_ids_of_stores_are_encoded(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.add_store(id="a/b %2F ключ", name="odd")
    sandbox.add_asset("a/b %2F ключ", technicalName="orders")

    assert [asset.technical_name for asset in client.list_data_assets("a/b %2F ключ")] == ["orders"]


@pytest.mark.parametrize("option", ["projections", "sort"])
@pytest.mark.parametrize("value", [["a,b"], [""], [None], [5], "a,b"])
def test_what_is_no_list_of_fields_is_refused_at_once(
    client: QlikCloudClient, option: str, value: Any
) -> None:
    with pytest.raises(QlikValidationError, match=f"{option} must be a list of field names"):
        client.list_data_assets(**{option: value})


@pytest.mark.parametrize(
    "document",
    [
        [],
        None,
        "text",
        {},
        {"data": None, "pages": 1, "total": 1},
        {"data": ["a"], "pages": 1, "total": 1},
        {"data": [{"id": 5}], "pages": 1, "total": 1},
        {"data": [{"technicalName": "a"}], "pages": 1, "total": 1},
        {"data": [], "pages": None, "total": 0},
        {"data": [], "pages": "many", "total": 0},
        {"data": []},
    ],
    ids=str,
)
def test_what_is_no_page_is_a_clear_error(connect: Any, serve: Any, reply: Any, document: Any) -> None:
    server = serve(lambda request: reply(json.dumps(document).encode()))

    with pytest.raises(QlikResponseError, match="is not a page of data assets"):
        list(connect(server.url).list_data_assets())


@pytest.mark.parametrize("odd", [{"dataFreshness": "2018-10-30"}, {"tags": "a"}, {"version": "x"}], ids=str)
def test_an_odd_data_asset_is_named(connect: Any, tenant: Any, odd: dict[str, Any]) -> None:
    page = {"data": [{"id": "good"}, {"id": "bad", **odd}], "pages": 1, "total": 2}
    server = tenant(lambda count, path: answer(page))

    with pytest.raises(QlikResponseError, match="data asset 'bad': "):
        list(connect(server.url).list_data_assets())

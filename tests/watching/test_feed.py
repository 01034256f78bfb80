"""The change feed: nothing is missed, for about one request a poll."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pendulum
import pytest

from airflow_provider_qlik_assets.client import (
    DataAsset,
    QlikCloudClient,
    QlikResponseError,
    QlikServerError,
    paging,
)
from airflow_provider_qlik_assets.client.instants import format_instant, parse_instant
from airflow_provider_qlik_assets.client.paging import Page
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.watching.feeds import OLD, Reader, seed

NEW = "2026-02-01T00:00:00.000Z"
NEWER = "2026-03-01T00:00:00.000Z"


# --- requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 100])
def test_one_page_takes_one_request_a_poll(reader: Reader, sandbox: Sandbox, count: int) -> None:
    reader.wait_for(*seed(sandbox, count))

    assert [reader.requests() for _ in range(3)] == [1, 1, 1]


def test_many_pages_take_one_request_a_poll_once_the_feed_has_begun(reader: Reader, sandbox: Sandbox) -> None:
    reader.wait_for(*seed(sandbox, 450))

    # The first page, the proof that it is sorted, and a listing of all; that reads its first page twice.
    assert [reader.requests() for _ in range(4)] == [1 + 1 + 6, 1, 1, 1]


def test_few_data_assets_are_read_one_by_one(reader: Reader, sandbox: Sandbox) -> None:
    reader.wait_for(*seed(sandbox, 450)[:3])

    assert [reader.requests() for _ in range(3)] == [1 + 1 + 3, 1, 1]


def test_newcomers_are_read_once(reader: Reader, sandbox: Sandbox) -> None:
    ids = seed(sandbox, 450)
    reader.wait_for(ids[0])
    reader.poll()
    reader.wait_for(*ids[:3])

    assert [reader.requests() for _ in range(2)] == [1 + 2, 1]


def test_known_ones_need_not_be_read_for_newcomers(reader: Reader, sandbox: Sandbox) -> None:
    ids = seed(sandbox, 450)
    reader.wait_for(*ids[:300])
    reader.poll()
    reader.wait_for(*ids)

    assert reader.requests() == 1


def test_a_change_does_not_cost_a_request_more(reader: Reader, sandbox: Sandbox) -> None:
    reader.wait_for(*seed(sandbox, 450)[:3])
    reader.poll()
    sandbox.touch("store-0000", dataFreshness=NEW)

    assert reader.requests() == 1


def test_a_flood_of_changes_is_not_read_for_the_sake_of_a_few(reader: Reader, sandbox: Sandbox) -> None:
    ids = seed(sandbox, 1000)
    reader.wait_for(ids[5])
    reader.poll()
    reader.poll()
    for key in ids:
        sandbox.touch(key, dataFreshness=NEW)
    sandbox.journal.clear()

    assert reader.freshness() == {"store-0005": NEW}
    assert len(sandbox.journal) <= 3


# --- nothing is missed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 449])
def test_changes_are_seen(reader: Reader, sandbox: Sandbox, number: int) -> None:
    key = seed(sandbox, 450)[number]
    reader.wait_for(key)

    seen = [reader.freshness()]
    for instant in (NEW, OLD, NEWER, None):
        sandbox.touch(key, dataFreshness=instant)
        seen.append(reader.freshness())

    assert seen == [{key: OLD}, {key: NEW}, {key: OLD}, {key: NEWER}, {key: None}]


def test_more_changes_than_a_page_holds_are_seen(reader: Reader, sandbox: Sandbox) -> None:
    ids = seed(sandbox, 450)
    reader.wait_for(*ids)
    reader.poll()
    reader.poll()
    for key in ids[:250]:
        sandbox.touch(key, dataFreshness=NEW)

    assert set(reader.freshness().values()) == {NEW, OLD}
    assert sum(instant == NEW for instant in reader.freshness().values()) == 250


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_a_change_that_shows_late_is_seen(reader: Reader, sandbox: Sandbox, seconds: float) -> None:
    """It bears the instant of the newest one known, or an earlier one, and comes behind a page of others."""
    stamp = parse_instant("2026-01-02T00:00:00Z")
    ids = seed(sandbox, 150, lastModifiedTime=format_instant(stamp))
    reader.wait_for(*ids, "zz-late")
    reader.poll()
    sandbox.add_asset(
        "store",
        id="zz-late",
        technicalName="late",
        dataFreshness=NEW,
        lastModifiedTime=format_instant(stamp.add(seconds=seconds)),
        createdTime=OLD,
    )

    assert reader.freshness(5.0)["zz-late"] == NEW


def test_equal_instants_do_not_cost_requests_for_ever(reader: Reader, sandbox: Sandbox) -> None:
    reader.wait_for(*seed(sandbox, 450, lastModifiedTime=OLD))
    for _ in range(2):
        reader.poll()

    # The order of equals proves nothing, so the proof is asked for again.
    assert [reader.requests() for _ in range(3)] == [2, 2, 2]


def between_pages(client: QlikCloudClient, after_page: int, action: Callable[[], object]) -> None:
    """Do something once, right after a page was read."""
    read_page = client.read_page
    done: list[object] = []

    def read(data_store_ids: Any = (), number: int = 0, **options: Any) -> Page:
        page = read_page(data_store_ids, number, **options)
        if number == after_page and not done and "-lastModifiedTime" in options.get("sort", ()):
            done.append(action())
        return page

    client.read_page = read  # type: ignore[method-assign]


def test_changes_while_paging_are_seen(reader: Reader, sandbox: Sandbox) -> None:
    ids = seed(sandbox, 450)
    reader.wait_for(*ids)
    reader.poll()
    reader.poll()
    for key in ids[:250]:
        sandbox.touch(key, dataFreshness=NEW)
    between_pages(reader.client, 0, lambda: [sandbox.touch(key, dataFreshness=NEWER) for key in ids[250:]])
    reader.poll()

    freshness = reader.freshness()
    assert {freshness[key] for key in ids[:250]} == {NEW}
    assert {freshness[key] for key in ids[250:]} == {NEWER}


def test_deletions_while_paging_hide_nothing(reader: Reader, sandbox: Sandbox) -> None:
    seed(sandbox, 450)
    ids = [f"new-{number:04}" for number in range(250)]
    reader.wait_for(*ids)
    reader.poll()
    # So that everything was just read again because of a deletion, and will not be so soon.
    reader.client.delete_data_assets(["store-0001"])
    for _ in range(3):
        reader.poll()
    for number, key in enumerate(ids):
        stamp = f"2026-01-02T00:{number // 60:02}:{number % 60:02}Z"
        sandbox.add_asset("store", id=key, technicalName=key, lastModifiedTime=stamp, createdTime=stamp)
    # The data assets that page 2 begins with move to page 1, which was read already.
    between_pages(reader.client, 1, lambda: reader.client.delete_data_assets(ids[50:150]))
    reader.poll()

    assert set(ids[:50]) <= reader.poll().states.keys()


def test_a_replica_that_lags_behind_does_not_turn_back_time(reader: Reader, sandbox: Sandbox) -> None:
    (key,) = seed(sandbox, 1)
    reader.wait_for(key)
    reader.poll()
    old = {"data": [sandbox.assets[key]], "pages": 1, "total": 1}
    sandbox.touch(key, dataFreshness=NEW)
    reader.poll()
    sandbox.add_fault(Fault(kind="status", status=200, body=old))

    assert reader.freshness() == {key: NEW}


def test_created_data_assets_are_seen(reader: Reader, sandbox: Sandbox) -> None:
    seed(sandbox, 450)
    reader.wait_for("new")
    missing = reader.poll()
    requests = reader.requests()
    sandbox.add_asset("store", id="new", technicalName="new", dataFreshness=NEW)

    assert "Qlik trace id" in str(missing.errors["new"])
    assert requests == 1
    assert reader.freshness() == {"new": NEW}
    assert "new" not in reader.poll().errors


def test_recreated_data_assets_are_seen(reader: Reader, sandbox: Sandbox, client: QlikCloudClient) -> None:
    reader.wait_for(seed(sandbox, 450)[3])
    sandbox.touch("store-0003", description="version 2")
    reader.poll()
    client.delete_data_assets(["store-0003"])
    sandbox.add_asset("store", id="store-0003", technicalName="again", dataFreshness=NEW)

    assert reader.freshness() == {"store-0003": NEW}


@pytest.mark.parametrize("created", [0, 1])
def test_deletions_are_noticed_by_the_total(
    reader: Reader, sandbox: Sandbox, client: QlikCloudClient, created: int
) -> None:
    reader.wait_for(seed(sandbox, 450)[3])
    reader.poll()
    client.delete_data_assets(["store-0003"])
    for _ in range(created):
        sandbox.add_asset("store", technicalName="new")
    polls = [reader.poll() for _ in range(2)]

    assert "store-0003" in polls[-1].errors
    assert "store-0003" not in polls[-1].states


def test_many_deletions_do_not_cost_many_requests(
    reader: Reader, sandbox: Sandbox, client: QlikCloudClient
) -> None:
    ids = seed(sandbox, 450)
    reader.wait_for(*ids[:3])
    reader.poll()
    requests = 0
    for key in ids[100:120]:
        client.delete_data_assets([key])
        requests += reader.requests()

    assert requests <= 20 + 2 * (1 + 3)


def test_what_the_listing_does_not_show_is_seen_within_an_hour(reader: Reader, sandbox: Sandbox) -> None:
    (key, *_) = seed(sandbox, 450)
    reader.wait_for(key)
    reader.poll()
    stamp = sandbox.assets[key]["lastModifiedTime"]
    reader.client.delete_data_assets([key])
    sandbox.add_asset("store", id=key, technicalName=key, dataFreshness=NEW, lastModifiedTime=stamp)

    seen = [reader.freshness()[key] for _ in range(61)]

    assert seen[-1] == NEW


# --- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", range(8))
def test_a_poll_that_failed_is_made_up_for(reader: Reader, sandbox: Sandbox, skip: int) -> None:
    ids = seed(sandbox, 450)
    reader.wait_for(*ids)
    sandbox.add_fault(Fault(kind="status", status=500, skip=skip))
    failed = 0
    for _ in range(2):
        try:
            reader.poll()
        except QlikServerError:
            failed += 1
        for key in ids[:250]:
            sandbox.touch(key, dataFreshness=NEW)

    assert failed == 1
    assert sum(instant == NEW for instant in reader.freshness().values()) == 250


def test_what_was_read_before_a_failure_is_not_read_again(reader: Reader, sandbox: Sandbox) -> None:
    reader.wait_for(*seed(sandbox, 1500)[:10])
    sandbox.add_fault(Fault(kind="status", status=500, skip=7, path="/api/v1/data-assets/"))
    with pytest.raises(QlikServerError):
        reader.poll()

    assert reader.requests() == 1 + 3


def test_an_error_is_that_of_its_data_asset(reader: Reader, sandbox: Sandbox) -> None:
    ids = seed(sandbox, 450)
    reader.wait_for(*ids[:2])
    sandbox.add_fault(Fault(kind="status", status=403, path=f"/api/v1/data-assets/{ids[0]}"))

    snapshot = reader.poll()

    assert snapshot.errors.keys() == {ids[0]}
    assert ids[1] in snapshot.states


# --- snapshots --------------------------------------------------------------------------------------------


def test_what_has_not_changed_is_the_same_object(reader: Reader, sandbox: Sandbox) -> None:
    reader.wait_for(*seed(sandbox, 150), "nowhere")
    first, second = reader.poll(), reader.poll()
    sandbox.touch("store-0001", dataFreshness=NEW)
    third = reader.poll()

    assert second.states is first.states
    assert second.errors is first.errors
    assert third.states is not first.states
    assert first.states["store-0001"].freshness == parse_instant(OLD)


def test_a_tenant_that_always_shows_news_is_left_in_the_end(
    reader: Reader, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(sandbox, 1)
    reader.wait_for_all_of("*").poll()
    monkeypatch.setattr(paging, "_MOST_PAGES", 20)
    read = []

    def page(stores: Any, number: int = 0, **options: Any) -> Page:
        read.append(number)
        if options["sort"] == ["lastModifiedTime"]:
            return Page(
                [DataAsset(id="old", last_modified_time=pendulum.datetime(2020, 1, 1))], 10**18, 10**20
            )
        began = 1_900_000_000 - 100 * len(read)
        assets = [
            DataAsset(
                id=f"new-{len(read)}-{index}", last_modified_time=pendulum.from_timestamp(began - index)
            )
            for index in range(100)
        ]
        return Page(assets, pages=10**18, total=10**20)

    monkeypatch.setattr(reader.client, "read_page", page)

    with pytest.raises(QlikResponseError, match="The listing of data assets does not end"):
        reader.poll()

    assert len(read) <= 30

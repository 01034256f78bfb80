"""Changes made at the same moment, which a tenant shows in changing order: none is missed."""

from __future__ import annotations

import logging
import random

import pytest

from airflow_provider_qlik_assets.client.paging import Page
from airflow_provider_qlik_assets.sandbox import Sandbox
from tests.watching.feeds import Reader, seed

NEW = "2026-02-01T00:00:00.000Z"


def load(sandbox: Sandbox, ids: list[str], day: int = 1) -> None:
    """Change data assets at one moment, as a bulk load does."""
    for key in ids:
        sandbox.touch(key, dataFreshness=NEW, lastModifiedTime=f"2026-02-{day:02}T00:00:00.000Z")


def not_seen(reader: Reader, ids: list[str], seconds: float = 30.0) -> int:
    freshness = reader.freshness(seconds)
    return sum(freshness[key] != NEW for key in ids)


@pytest.mark.parametrize("interest", ["ids", "store", "few"])
@pytest.mark.parametrize("two_fields", [True, False])
def test_a_bulk_load_is_seen_at_the_next_poll(
    reader: Reader, sandbox: Sandbox, two_fields: bool, interest: str
) -> None:
    sandbox.settings.unstable_ties = True
    sandbox.settings.sort_by_two = two_fields
    ids = seed(sandbox, 350)
    loaded = ids[50:200]
    if interest == "store":
        reader.wait_for_all_of("store")
    else:
        reader.wait_for(*(ids if interest == "ids" else loaded[::50]))
    for _ in range(2):
        reader.poll(30.0)
    for day in range(1, 4):
        for key in loaded:
            sandbox.touch(key, dataFreshness=None, lastModifiedTime=f"2026-02-{day:02}T00:00:00.000Z")
        reader.poll(30.0)
        load(sandbox, loaded, day + 10)

        assert not_seen(reader, loaded[::50] if interest == "few" else loaded) == 0


def test_a_page_whose_ties_never_change_hides_nothing(reader: Reader, sandbox: Sandbox) -> None:
    """Each page has an order of its own, as a query with a limit may; reading again shows the same."""
    sandbox.settings.sort_by_two = False
    ids = seed(sandbox, 350)
    read_page = reader.client.read_page

    def read(stores: object = "*", number: int = 0, **options: object) -> Page:
        pages = [read_page(stores, each, **options) for each in range(4)]  # type: ignore[arg-type]
        if options.get("sort") != ["-lastModifiedTime"]:
            return pages[number]
        items = [item for page in pages for item in page.items]
        random.Random(number).shuffle(items)
        items.sort(key=lambda item: item.last_modified_time, reverse=True)  # type: ignore[arg-type, return-value]
        return Page(items[number * 100 : (number + 1) * 100], pages[0].pages, pages[0].total)

    reader.client.read_page = read  # type: ignore[method-assign, assignment]
    reader.wait_for(*ids)
    for _ in range(2):
        reader.poll(30.0)
    load(sandbox, ids[50:200])

    assert not_seen(reader, ids[50:200]) == 0


@pytest.mark.parametrize("two_fields", [True, False])
def test_ties_in_stable_order_cost_no_more(reader: Reader, sandbox: Sandbox, two_fields: bool) -> None:
    sandbox.settings.sort_by_two = two_fields
    ids = seed(sandbox, 350)
    reader.wait_for(*ids)
    for _ in range(2):
        reader.poll(30.0)
    load(sandbox, ids[50:200])

    # The pages with the changes, until they have settled.
    assert [reader.requests(30.0) for _ in range(3)] == [2, 2, 1]


def test_an_order_that_changes_is_said_once(
    reader: Reader, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.settings.unstable_ties = True
    sandbox.settings.sort_by_two = False
    ids = seed(sandbox, 450)
    reader.wait_for_all_of("store")
    for _ in range(2):
        reader.poll(30.0)
    with caplog.at_level(logging.WARNING):
        for day in range(1, 12):
            load(sandbox, ids, day)
            reader.poll(30.0)

    assert caplog.text.count("in changing order") == 1

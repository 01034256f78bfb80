"""The change feed where stores cannot be listed or sorted, and where all of a store is of interest."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_qlik_assets.client.instants import parse_instant
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.watching.feeds import OLD, Reader, seed

NEW = "2026-02-01T00:00:00.000Z"
NEWER = "2026-03-01T00:00:00.000Z"


# --- where the listing is not to be had -------------------------------------------------------------------


@pytest.fixture
def two_stores(sandbox: Sandbox) -> list[str]:
    sandbox.add_store(id="other", name="Other")
    return [seed(sandbox, 300)[7], seed(sandbox, 300, "other")[7]]


def test_where_not_all_stores_may_be_listed_those_concerned_are(
    reader: Reader, sandbox: Sandbox, two_stores: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.settings.all_stores_refused = True
    reader.wait_for(*two_stores)
    with caplog.at_level(logging.WARNING):
        requests = [reader.requests() for _ in range(4)]
    sandbox.touch(two_stores[1], dataFreshness=NEW)

    # Which stores are concerned is not known at first.
    assert requests == [1 + 2, 1 + 1 + 2, 1, 1]
    assert reader.freshness() == {two_stores[0]: OLD, two_stores[1]: NEW}
    assert sum("cannot be listed" in record.message for record in caplog.records) == 1


def test_stores_that_are_named_are_listed_at_once(
    reader: Reader, sandbox: Sandbox, two_stores: list[str]
) -> None:
    sandbox.settings.all_stores_refused = True
    reader.wait_for(*two_stores, stores=("other", "store"))

    assert [reader.requests() for _ in range(3)] == [2 + 1 + 2, 1, 1]


def test_a_named_store_that_does_not_exist_does_no_harm(
    reader: Reader, sandbox: Sandbox, two_stores: list[str]
) -> None:
    sandbox.settings.all_stores_refused = True
    reader.wait_for(*two_stores, stores=("nowhere",))
    reader.poll()
    sandbox.touch(two_stores[0], dataFreshness=NEW)

    assert reader.freshness()[two_stores[0]] == NEW
    assert reader.requests() == 2


@pytest.mark.parametrize("switch", ["sort_refused", "sort_ignored"])
@pytest.mark.parametrize("wanted", [2, 300])
def test_where_the_tenant_does_not_sort_the_cheaper_way_is_taken(
    reader: Reader, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, switch: str, wanted: int
) -> None:
    setattr(sandbox.settings, switch, True)
    ids = seed(sandbox, 300)
    reader.wait_for(*ids[:wanted])
    with caplog.at_level(logging.WARNING):
        requests = [reader.requests() for _ in range(3)]
    sandbox.touch(ids[1], dataFreshness=NEW)

    assert max(requests[1:]) <= min(wanted, 12)  # with the page after a full one
    assert reader.freshness()[ids[1]] == NEW
    told = [record for record in caplog.records if record.name.endswith("watching.feed")]
    assert ["sort" in record.message for record in told] == [True]


def test_an_order_that_is_no_sort_is_found_out(reader: Reader, sandbox: Sandbox) -> None:
    """Unmodified since they were created, the data assets happen to be in the order that was asked for."""
    sandbox.settings.sort_ignored = True
    for number in range(300):
        sandbox.add_asset(
            "store",
            id=f"{number:03}",
            technicalName=str(number),
            lastModifiedTime=f"2026-01-01T00:{59 - number // 60:02}:{59 - number % 60:02}Z",
        )
    reader.wait_for("250")
    reader.poll()
    sandbox.touch("250", dataFreshness=NEW)

    assert reader.freshness() == {"250": NEW}


def test_without_any_listing_each_is_read(reader: Reader, sandbox: Sandbox, two_stores: list[str]) -> None:
    sandbox.add_fault(Fault(kind="status", status=403, times=None, path="/api/v1/data-stores"))
    reader.wait_for(*two_stores)
    reader.poll()
    reader.poll()

    assert reader.requests() == 2


def test_refusals_are_forgotten_within_an_hour(
    reader: Reader, sandbox: Sandbox, two_stores: list[str]
) -> None:
    sandbox.settings.sort_refused = True
    reader.wait_for(*two_stores)
    before = [reader.requests() for _ in range(2)]
    sandbox.settings.sort_refused = False
    for _ in range(60):
        reader.poll()

    assert before[1] == 2
    assert reader.requests() == 1


# --- everything in a store --------------------------------------------------------------------------------


def test_a_whole_store_is_listed_once(reader: Reader, sandbox: Sandbox, two_stores: list[str]) -> None:
    reader.wait_for_all_of("other")
    snapshot = reader.poll()

    assert snapshot.stores == {"other"}
    assert sum(state.store_id == "other" for state in snapshot.states.values()) == 300
    assert [reader.requests() for _ in range(2)] == [1, 1]


def test_all_stores_suffice_for_each(reader: Reader, sandbox: Sandbox, two_stores: list[str]) -> None:
    reader.wait_for_all_of("*")
    reader.poll()
    reader.wait_for_all_of("*", "other")

    assert reader.requests() == 1


def test_a_store_that_may_not_be_listed_does_not_keep_others_from_it(
    reader: Reader, sandbox: Sandbox, two_stores: list[str]
) -> None:
    sandbox.add_fault(Fault(kind="status", status=403, times=None, path="/api/v1/data-stores/store/*"))
    reader.wait_for_all_of("other", "store")

    snapshot = reader.poll()

    assert snapshot.stores == {"other"}
    assert snapshot.errors["store"].http_status == 403


def test_a_store_that_may_be_listed_again_is_no_problem_any_more(
    reader: Reader, sandbox: Sandbox, two_stores: list[str]
) -> None:
    sandbox.add_fault(Fault(kind="status", status=403, path="/api/v1/data-stores/store/*"))
    reader.wait_for_all_of("store")
    before, after = reader.poll(), reader.poll()

    assert not before.stores
    assert after.stores == {"store"}
    assert (list(before.errors), list(after.errors)) == (["store"], [])


@pytest.mark.parametrize("switches", [{"all_stores_refused": True}, {"sort_refused": True}, {}])
def test_changes_of_a_whole_store_are_seen(
    reader: Reader, sandbox: Sandbox, two_stores: list[str], switches: dict[str, bool]
) -> None:
    for name, value in switches.items():
        setattr(sandbox.settings, name, value)
    reader.wait_for_all_of("other")
    reader.poll()
    sandbox.touch(two_stores[1], dataFreshness=NEW)
    sandbox.add_asset("other", id="new", technicalName="new", dataFreshness=NEWER)

    snapshot = reader.poll()

    assert snapshot.stores == {"other"}
    assert [snapshot.states[key].freshness for key in (two_stores[1], "new")] == [
        parse_instant(NEW),
        parse_instant(NEWER),
    ]

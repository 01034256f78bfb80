"""Sync of a data store over HTTP: what is read, written and left alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import DeletionGuards, Sync, sync_data_assets
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikNotFoundError, QlikValidationError
from airflow_provider_qlik_assets.sandbox import Sandbox

Wishes = list[dict[str, Any]]


def wish(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"technicalName": name, "appType": "airflow", **fields}


def wishes(number: int, **fields: Any) -> Wishes:
    return [wish(f"table_{index:03}", **fields) for index in range(number)]


def add(sandbox: Sandbox, entries: Wishes, **fields: Any) -> list[str]:
    return [sandbox.add_asset("store", **{**entry, **fields})["id"] for entry in entries]


def actions(results: Any) -> dict[str, int]:
    return dict(Counter(result.action for result in results))


def requests(sandbox: Sandbox) -> dict[str, int]:
    return dict(Counter(entry.method for entry in sandbox.journal.requests()))


def named(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    return {asset["technicalName"]: asset for asset in sandbox.assets.values()}


# --- what is written -------------------------------------------------------------------------------------


def test_creates_updates_and_leaves_alone(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, [wish("same", name="Same"), wish("changed", name="old", description="steward's")])
    unlisted = sandbox.add_asset("store", technicalName="unlisted")
    entries = [wish("same", name="Same"), wish("changed", name="new"), wish("new", tags=["x"])]

    results = sync_data_assets(client, "store", entries)

    assert actions(results) == {"unchanged": 1, "updated": 1, "created": 1}
    assert [result.data_asset and result.data_asset.technical_name for result in results] == [
        "same", "changed", "new",
    ]  # fmt: skip
    after = named(sandbox)
    assert (after["changed"]["name"], after["changed"]["description"]) == ("new", "steward's")
    assert (after["new"]["tags"], after["new"]["dataStoreInfo"]["id"]) == (["x"], "store")
    assert after["same"]["version"] == 0
    assert after["unlisted"] == unlisted


def test_running_again_only_lists(sandbox: Sandbox, client: QlikCloudClient) -> None:
    entries = wishes(150, name="n", tags=["a", "b"], dataFreshness="2026-01-31T06:30:00+01:00")
    sync_data_assets(client, "store", entries)
    before = sandbox.assets
    sandbox.journal.clear()

    assert actions(sync_data_assets(client, "store", entries)) == {"unchanged": 150}
    assert sandbox.assets == before
    assert requests(sandbox) == {"GET": 3}  # two pages, and the first one again


def test_running_again_finds_every_number_and_text_again(sandbox: Sandbox, client: QlikCloudClient) -> None:
    values = [
        2**64 - 1,
        -(2**63),
        2**53 + 1,
        1e300,
        1e22,
        5e-324,
        -0.0,
        0.1,
        True,
        None,
        "\U0001f600\ufffd",
    ]
    entries = [wish("a", properties={"values": values, "\U0001f600": 1.0})]
    sync_data_assets(client, "store", entries)

    assert actions(sync_data_assets(client, "store", entries)) == {"unchanged": 1}


def test_an_update_is_one_request(sandbox: Sandbox, client: QlikCloudClient) -> None:
    entries = wishes(250, name="n", properties={"rows": 1})
    add(sandbox, entries)
    for entry in entries[:7]:
        entry |= {"name": "new", "properties": {"rows": 2}}

    assert actions(sync_data_assets(client, "store", entries)) == {"unchanged": 243, "updated": 7}
    assert requests(sandbox) == {"GET": 4, "PATCH": 7}


def test_a_create_is_one_request_and_all_are_confirmed_by_one_listing(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    assert actions(sync_data_assets(client, "store", wishes(90))) == {"created": 90}
    assert requests(sandbox) == {"GET": 2, "POST": 90}


def test_results_say_what_changed(sandbox: Sandbox, client: QlikCloudClient) -> None:
    (key,) = add(sandbox, [wish("a", name="old", properties={"x": 1})])

    (result,) = sync_data_assets(client, "store", [wish("a", name="new", properties={"y": 2})])

    assert (result.id, result.action, result.changed_fields) == (key, "updated", ("name", "properties"))
    assert result.to_row() == {
        "id": key,
        "technical_name": "a",
        "action": "updated",
        "version": 1,
        "changed_fields": ["name", "properties"],
        "data_asset": None,
    }


def test_freshness_never_goes_back(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, [wish("a", dataFreshness="2026-02-01T00:00:00Z", name="old")])

    sync_data_assets(client, "store", [wish("a", dataFreshness="2026-01-01T00:00:00Z", name="new")])

    assert named(sandbox)["a"]["dataFreshness"] == "2026-02-01T00:00:00.000Z"
    assert named(sandbox)["a"]["name"] == "new"


def test_properties_without_a_value_are_not_created(sandbox: Sandbox, client: QlikCloudClient) -> None:
    entries = [wish("a", properties={"kept": 1, "gone": None})]

    sync_data_assets(client, "store", entries)

    assert named(sandbox)["a"]["properties"] == {"kept": 1}
    assert actions(sync_data_assets(client, "store", entries)) == {"unchanged": 1}


def test_other_data_stores_do_not_count(sandbox: Sandbox, client: QlikCloudClient) -> None:
    other = sandbox.add_store(name="Other")
    sandbox.add_asset(other, technicalName="a")
    sandbox.add_asset(other, technicalName="b")

    results = sync_data_assets(client, "store", [wish("a")], delete_unlisted=True)

    assert actions(results) == {"created": 1}
    assert len(sandbox.assets) == 3


@pytest.mark.parametrize("entries", [[wish("a"), wish("a")], [wish("a", nmae="x")], "a"])
def test_nothing_is_sent_if_a_wish_is_wrong(sandbox: Sandbox, client: QlikCloudClient, entries: Any) -> None:
    with pytest.raises(QlikValidationError):
        sync_data_assets(client, "store", entries)

    assert len(sandbox.journal) == 0


def test_an_unknown_data_store_is_an_error(client: QlikCloudClient) -> None:
    with pytest.raises(QlikNotFoundError):
        sync_data_assets(client, "nowhere", [wish("a")])


def test_a_plan_writes_nothing(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, [wish("a", name="old"), wish("unlisted")])

    plan = Sync(client, "store", [wish("a", name="new"), wish("b")], delete_unlisted=True).plan()

    assert (len(plan.to_create), len(plan.to_update), len(plan.to_delete)) == (1, 1, 1)
    assert requests(sandbox) == {"GET": 1}


# --- deleting --------------------------------------------------------------------------------------------


def test_unlisted_ones_are_deleted_after_all_other_writes(sandbox: Sandbox, client: QlikCloudClient) -> None:
    entries = wishes(20, name="n")
    add(sandbox, entries[:10], name="old")
    gone = add(sandbox, [wish("unlisted_1"), wish("unlisted_2")])

    results = sync_data_assets(client, "store", entries, delete_unlisted=True)

    assert actions(results) == {"updated": 10, "created": 10, "deleted": 2}
    assert set(named(sandbox)) == {entry["technicalName"] for entry in entries}
    writes = [entry for entry in sandbox.journal.requests() if entry.method != "GET"]
    assert (writes[-1].method, sorted(writes[-1].body["ids"])) == ("DELETE", sorted(gone))
    assert Counter(entry.method for entry in writes) == {"PATCH": 10, "POST": 10, "DELETE": 1}


def test_results_show_what_was_deleted(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, wishes(9))
    (key,) = add(sandbox, [wish("unlisted", name="as it was")])

    results = sync_data_assets(client, "store", wishes(9), delete_unlisted=True)

    (row,) = [result.to_row() for result in results if result.action == "deleted"]
    assert row["id"] == key
    assert row["data_asset"]["name"] == "as it was"


def test_protected_ones_survive(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, [wish("kept", tags=["keep", "x"]), wish("unlisted", tags=["x"]), *wishes(8)])
    guards = DeletionGuards(protected_tags=frozenset({"keep"}))

    results = sync_data_assets(client, "store", wishes(8), delete_unlisted=True, guards=guards)

    assert actions(results) == {"unchanged": 8, "skipped": 1, "deleted": 1}
    assert "kept" in named(sandbox)


@pytest.mark.parametrize(
    ("guards", "message"),
    [
        ({"max_deletions": 2}, "3 data assets would be deleted, but max_deletions allows 2"),
        ({"max_fraction": 0.2}, "3 of 10 data assets would be deleted"),
    ],
)
def test_guards_stop_before_the_first_write(
    sandbox: Sandbox, client: QlikCloudClient, guards: dict[str, Any], message: str
) -> None:
    add(sandbox, wishes(10))
    before = sandbox.assets
    sync = Sync(client, "store", wishes(7, name="new"), delete_unlisted=True, guards=DeletionGuards(**guards))

    with pytest.raises(QlikValidationError, match=message):
        sync.apply(sync.plan())

    assert sandbox.assets == before
    assert set(requests(sandbox)) == {"GET"}


def test_an_empty_list_does_not_empty_the_data_store(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, wishes(3))

    with pytest.raises(QlikValidationError, match="would delete the whole data store: nothing was sent"):
        sync_data_assets(client, "store", [], delete_unlisted=True)

    assert len(sandbox.journal) == 0


def test_an_empty_list_is_fine_without_deleting(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, wishes(3))

    assert sync_data_assets(client, "store", []) == []
    assert len(sandbox.assets) == 3


def test_what_was_changed_after_the_plan_is_not_deleted(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, wishes(20))
    first, second = add(sandbox, [wish("unlisted_1"), wish("unlisted_2")])
    sync = Sync(client, "store", wishes(20), delete_unlisted=True)
    plan = sync.plan()
    sandbox.touch(first, dataFreshness="2026-01-31T06:30:00Z")

    results = sync.apply(plan)

    assert actions(results) == {"unchanged": 20, "skipped": 1, "deleted": 1}
    assert first in sandbox.assets
    assert second not in sandbox.assets


def test_what_appeared_after_the_plan_is_not_deleted(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, [*wishes(20), wish("unlisted")])
    sync = Sync(client, "store", wishes(20), delete_unlisted=True)
    plan = sync.plan()
    add(sandbox, [wish("new of somebody else")])

    assert actions(sync.apply(plan))["deleted"] == 1
    assert "new of somebody else" in named(sandbox)


def test_what_is_gone_already_is_missing(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, wishes(20))
    keys = add(sandbox, [wish("unlisted_1"), wish("unlisted_2")])
    sync = Sync(client, "store", wishes(20), delete_unlisted=True)
    plan = sync.plan()
    client.delete_data_assets([keys[0]])

    assert actions(sync.apply(plan)) == {"unchanged": 20, "missing": 1, "deleted": 1}


def test_many_are_deleted_by_the_hundred(sandbox: Sandbox, client: QlikCloudClient) -> None:
    add(sandbox, wishes(230))
    guards = DeletionGuards(max_deletions=None, max_fraction=None)

    results = sync_data_assets(client, "store", wishes(1), delete_unlisted=True, guards=guards)

    assert actions(results) == {"unchanged": 1, "deleted": 229}
    assert [len(entry.body["ids"]) for entry in sandbox.journal.requests("DELETE")] == [100, 100, 29]


# --- several of a name -----------------------------------------------------------------------------------


def test_of_several_of_a_name_the_oldest_is_changed_and_the_others_are_left_alone(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    sandbox.settings.duplicate_technical_name = "allowed"
    (young,) = add(sandbox, [wish("a", name="n")], createdTime="2026-03-01T00:00:00Z")
    (old,) = add(sandbox, [wish("a", name="n")], createdTime="2026-01-01T00:00:00Z")

    results = sync_data_assets(client, "store", [wish("a", name="new")], delete_unlisted=True)

    assert {result.id: result.action for result in results} == {old: "updated", young: "skipped"}
    assert (sandbox.assets[old]["name"], sandbox.assets[young]["name"]) == ("new", "n")


@pytest.mark.parametrize("duplicates", ["refused", "allowed"])
def test_another_task_that_creates_it_first_wins(
    sandbox: Sandbox, client: QlikCloudClient, duplicates: Any
) -> None:
    sandbox.settings.duplicate_technical_name = duplicates
    entries = wishes(30, name="new", tags=["t"])
    sync = Sync(client, "store", entries)
    plan = sync.plan()
    theirs = add(
        sandbox,
        entries[:10],
        name="theirs",
        description="steward's",
        createdTime="2026-01-01T00:00:00Z",
    )

    results = sync.apply(plan)

    assert actions(results) == {"updated": 10, "created": 20}
    assert len(sandbox.assets) == 30
    for key in theirs:
        assert (sandbox.assets[key]["name"], sandbox.assets[key]["description"]) == ("new", "steward's")
    assert actions(sync_data_assets(client, "store", entries)) == {"unchanged": 30}


def test_another_task_that_creates_it_later_gives_way_itself(
    sandbox: Sandbox, client: QlikCloudClient, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.settings.duplicate_technical_name = "allowed"
    sync = Sync(client, "store", [wish("a", name="ours")])
    plan = sync.plan()
    (theirs,) = add(sandbox, [wish("a")], name="theirs", createdTime="2099-01-01T00:00:00Z")

    results = sync.apply(plan)

    assert [result.action for result in results] == ["created"]
    assert sandbox.assets[theirs]["name"] == "theirs"
    assert f"2 data assets with the technical name 'a' (ids {results[0].id}, {theirs})" in caplog.text


def test_own_ones_of_an_earlier_part_give_way_to_older_ones(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    (theirs,) = add(sandbox, [wish("a", name="theirs")], createdTime="2020-01-01T00:00:00Z")
    own, kept = add(sandbox, [wish("a", name="n"), wish("b", name="n")])
    sync = Sync(client, "store", [wish("a", name="n"), wish("b", name="n")], own={"a": own, "b": kept})

    results = sync.apply(sync.plan())

    assert {result.id: result.action for result in results} == {theirs: "updated", kept: "created"}
    assert own not in sandbox.assets


# --- others write, too -----------------------------------------------------------------------------------


def test_a_change_after_the_plan_survives(sandbox: Sandbox, client: QlikCloudClient) -> None:
    (key,) = add(sandbox, [wish("a", name="old")])
    sync = Sync(client, "store", [wish("a", name="new")])
    plan = sync.plan()
    sandbox.touch(key, description="steward's", dataFreshness="2026-01-31T06:30:00Z")

    assert actions(sync.apply(plan)) == {"updated": 1}
    assert (sandbox.assets[key]["name"], sandbox.assets[key]["description"]) == ("new", "steward's")


def test_one_that_is_deleted_after_the_plan_is_created_again(
    sandbox: Sandbox, client: QlikCloudClient
) -> None:
    (key,) = add(sandbox, [wish("a", name="old")])
    sync = Sync(client, "store", [wish("a", name="new")])
    plan = sync.plan()
    client.delete_data_assets([key])

    assert actions(sync.apply(plan)) == {"created": 1}
    assert named(sandbox)["a"]["name"] == "new"

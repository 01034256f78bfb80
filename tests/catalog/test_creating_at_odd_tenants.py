"""Creates at tenants that show less, more or something else than they should, and while others write."""

from __future__ import annotations

from typing import Any

import pendulum
import pytest

from airflow_provider_qlik_assets.catalog import Sync, sync_data_assets, upsert_data_asset
from airflow_provider_qlik_assets.catalog.deletion_guards import DeletionGuards
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikCloudError
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.catalog.creators import CREATED_FIRST, WISH, Meddling, both, sync, upsert, writes
from tests.clients import Clock

LISTING = "/api/v1/data-stores/*"
FIRST = {"id": "first", "technicalName": "orders", "appType": "dbt", "createdTime": CREATED_FIRST}


@pytest.fixture(autouse=True)
def duplicates_are_possible(sandbox: Sandbox) -> None:
    sandbox.settings.duplicate_technical_name = "allowed"


def hide_all(sandbox: Sandbox) -> None:
    """Show no data asset to anybody."""
    page = {"data": [], "pages": 1, "total": 0}
    sandbox.add_fault(Fault(kind="status", method="GET", path=LISTING, status=200, body=page, times=None))
    sandbox.add_fault(
        Fault(kind="status", method="GET", path="/api/v1/data-assets/*", status=404, times=None)
    )


# --- what cannot be seen ---------------------------------------------------------------------------------


@both
def test_what_nobody_can_see_is_not_created_again(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    hide_all(sandbox)

    with pytest.raises(QlikCloudError) as caught:
        create(client, visible_after=2.0)

    assert writes(sandbox) == ["POST"]
    (unseen,) = sandbox.assets
    assert unseen in str(caught.value)
    assert "may exist unseen" in str(caught.value)
    assert 8 <= sum(clock.waits) <= 12


@both
def test_what_can_be_seen_later_than_expected_counts(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    hide_all(sandbox)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if sum(clock.waits) > 5:
            sandbox.clear_faults()

    client._arguments["sleep"] = sleep

    key, action = create(client, visible_after=2.0)

    assert (list(sandbox.assets), action) == ([key], "created")
    assert writes(sandbox) == ["POST"]


@both
def test_first_ones_that_always_vanish_are_an_error_in_the_end(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    """Each time, another one is first until the own one is deleted."""

    class Vanishing(Meddling):
        def create_data_asset(self, asset: Any) -> Any:
            sandbox.add_asset("store", **FIRST)
            return client.create_data_asset(asset)

        def delete_data_assets(self, *arguments: Any, **options: Any) -> None:
            client.delete_data_assets(*arguments, **options)
            client.delete_data_assets(["first"])

        def with_options(self, **options: Any) -> Any:
            return self

        def close(self) -> None:
            pass

    with pytest.raises(QlikCloudError, match="Other writers keep"):
        create(Vanishing(client))

    assert writes(sandbox).count("POST") <= 3
    assert not sandbox.assets


# --- clocks ----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("ahead", [15, 10**8])
def test_an_instant_in_the_future_hides_no_create_without_an_answer(
    sandbox: Sandbox, client: QlikCloudClient, create: Any, ahead: int
) -> None:
    future = pendulum.now("UTC").add(seconds=ahead).isoformat()
    sandbox.add_asset("store", technicalName="odd", createdTime=future)
    sandbox.add_fault(Fault(kind="drop", method="POST", when="after"))

    assert create(client, visible_after=2.0)[1] == "created"

    assert writes(sandbox) == ["POST"]


@both
def test_an_instant_in_the_future_hides_no_first_one(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    sandbox.add_asset("store", technicalName="odd", createdTime="2099-01-01T00:00:00Z")
    theirs = {"id": "theirs", "technicalName": "orders", "appType": "dbt"}
    meddling = Meddling(client, before={"create_data_asset": lambda: sandbox.add_asset("store", **theirs)})

    assert create(meddling, visible_after=2.0)[0] == "theirs"

    assert len(sandbox.assets) == 2


@both
def test_all_is_looked_at_if_the_own_one_is_older_than_the_look(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    """The clock that makes ``createdTime`` may differ from the one that makes ``Date``."""
    sandbox.add_asset("store", technicalName="odd", createdTime="2099-01-01T00:00:00Z")

    def put_back() -> None:
        sandbox.add_asset("store", **FIRST)
        (ours,) = (key for key, asset in sandbox.assets.items() if asset.get("name") == "Orders")
        document = sandbox._tenant._documents[_asset_kind()][ours]
        document["createdTime"] = document["lastModifiedTime"] = "2026-01-02T00:00:00.000Z"
        sandbox._tenant._sorted.clear()

    assert create(Meddling(client, after={"create_data_asset": put_back}), visible_after=2.0)[0] == "first"


def _asset_kind() -> Any:
    from airflow_provider_qlik_assets.sandbox.tenant import ASSET  # noqa: PLC0415

    return ASSET


@both
def test_what_was_there_before_is_not_what_a_create_without_an_answer_left(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    sandbox.add_fault(Fault(kind="drop", method="POST"))
    before = {**WISH, "createdBy": "user-full-access", "createdTime": CREATED_FIRST}
    before["lastModifiedTime"] = CREATED_FIRST
    store = before.pop("dataStoreInfo")["id"]  # type: ignore[index]

    def share(seconds: float) -> None:
        clock.sleep(seconds)
        if not sandbox.assets:
            sandbox.add_asset(store, **before)

    client._arguments["sleep"] = share

    assert create(client, visible_after=2.0)[1] == "unchanged"


# --- what others change ----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("change", [{"technicalName": "orders_2019"}, {"dataStoreInfo": {"id": "archive"}}])
def test_one_that_is_renamed_or_moved_is_left_alone(
    sandbox: Sandbox, client: QlikCloudClient, create: Any, change: dict[str, Any]
) -> None:
    sandbox.add_store(id="archive", name="Archive")
    sandbox.add_asset("store", id="old", technicalName="orders", appType="dbt", name="Old")
    meddling = Meddling(client, before={"patch_data_asset": lambda: sandbox.touch("old", **change)})

    key, action = create(meddling)

    assert (key != "old", action) == (True, "created")
    old = sandbox.assets["old"]
    assert old["name"] == "Old"
    assert (old["technicalName"], old["dataStoreInfo"]["id"]) in {
        ("orders_2019", "store"),
        ("orders", "archive"),
    }


@both
def test_a_listing_that_lags_behind_a_deletion_is_waited_for(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    old = sandbox.add_asset("store", **{**FIRST, "id": "gone", "name": "Old"})
    client.delete_data_assets(["gone"])
    page = {"data": [old], "pages": 1, "total": 1}
    sandbox.add_fault(Fault(kind="status", method="GET", path=LISTING, status=200, body=page, times=None))
    sandbox.journal.clear()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if seconds > 1:
            sandbox.clear_faults()

    client._arguments["sleep"] = sleep

    key, action = create(client, visible_after=2.0)

    assert (list(sandbox.assets), action) == ([key], "created")


@pytest.mark.parametrize("fields", [{"ownerId": "steward"}, {"spaceId": "governed"}])
@both
def test_what_a_steward_took_over_is_not_deleted(
    sandbox: Sandbox, client: QlikCloudClient, create: Any, fields: dict[str, Any]
) -> None:
    """Neither what an earlier part of the work has created, whose first version is not known any more."""
    own = client.create_data_asset(WISH)
    assert own.id is not None
    sandbox.add_asset("store", **FIRST)
    sandbox.touch(own.id, **fields)
    options: dict[str, Any] = {"created_before": own.id} if create is upsert else {"own": {"orders": own.id}}

    if create is upsert:
        key = create(client, visible_after=2.0, **options)[0]
    else:
        work = Sync(client, "store", [WISH], visible_after=2.0, **options)
        key = work.apply(work.plan())[0].id

    assert key == "first"
    assert own.id in sandbox.assets


@both
def test_nor_what_was_created_without_being_told_its_version(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    sandbox.settings.answer_to_create = "id"

    def take_over() -> None:
        (ours,) = sandbox.assets
        sandbox.add_asset("store", **FIRST)
        sandbox.touch(ours, ownerId="steward")

    assert create(Meddling(client, after={"create_data_asset": take_over}), visible_after=2.0)[0] == "first"
    assert len(sandbox.assets) == 2


# --- answers ---------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("duplicates", ["allowed", "refused"])
@pytest.mark.parametrize("fields", ["id", "required"])
def test_an_answer_need_not_hold_more_than_is_required(
    sandbox: Sandbox, client: QlikCloudClient, create: Any, fields: Any, duplicates: Any
) -> None:
    sandbox.settings.answer_to_create = fields
    sandbox.settings.duplicate_technical_name = duplicates

    key, action = create(client, visible_after=2.0)

    assert (list(sandbox.assets), action) == ([key], "created")
    assert writes(sandbox) == ["POST"]


@both
def test_so_does_one_of_a_tenant_that_is_known_to_refuse_second_ones(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    sandbox.settings.duplicate_technical_name = "refused"
    theirs = {"id": "theirs", "technicalName": "orders", "appType": "dbt"}
    meddling = Meddling(client, before={"create_data_asset": lambda: sandbox.add_asset("store", **theirs)})
    assert create(meddling, visible_after=2.0)[0] == "theirs"
    client.delete_data_assets(["theirs"])
    sandbox.settings.answer_to_create = "id"
    sandbox.journal.clear()

    key, action = create(client, visible_after=2.0)

    assert (list(sandbox.assets), action) == ([key], "created")
    assert writes(sandbox) == ["POST"]


@both
@pytest.mark.parametrize("change", [{"technicalName": "customers"}, {"dataStoreInfo": {"id": "other"}}])
def test_an_answer_with_the_document_of_another_is_not_believed(
    sandbox: Sandbox, client: QlikCloudClient, create: Any, change: dict[str, Any]
) -> None:
    sandbox.add_store(id="other", name="Other")
    other = {"id": "theirs", "technicalName": "orders", "appType": "dbt", **change}
    store = other.pop("dataStoreInfo", {"id": "store"})["id"]
    document = sandbox.add_asset(store, **{**other, "createdTime": CREATED_FIRST})
    sandbox.add_fault(Fault(kind="status", method="POST", status=201, body=document, when="after"))

    key, action = create(client, visible_after=2.0)

    assert (set(sandbox.assets), action) == ({"theirs", key}, "created")
    assert key != "theirs"
    assert writes(sandbox) == ["POST"]


# --- other data stores -----------------------------------------------------------------------------------


def test_a_sync_deletes_nothing_of_another_data_store(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.settings.other_stores_listed = True
    sandbox.add_store(id="other", name="Other")
    sandbox.add_asset("other", id="precious", technicalName="precious")
    sandbox.add_asset("store", id="orders", technicalName="orders", appType="dbt", name="Orders")

    guards = DeletionGuards(max_deletions=None, max_fraction=None)
    results = sync_data_assets(client, "store", [WISH], delete_unlisted=True, guards=guards)

    assert [(result.id, result.action) for result in results] == [("orders", "unchanged")]
    assert "precious" in sandbox.assets


@both
@pytest.mark.parametrize("when", ["answered", "lost"])
def test_one_of_the_same_name_in_another_data_store_does_not_count(
    sandbox: Sandbox, client: QlikCloudClient, create: Any, when: str
) -> None:
    sandbox.settings.other_stores_listed = True
    sandbox.add_store(id="other", name="Other")
    other = sandbox.add_asset("other", id="theirs", technicalName="orders", createdTime=CREATED_FIRST)
    if when == "lost":
        sandbox.add_fault(Fault(kind="drop", method="POST", when="after"))

    key, action = create(client, visible_after=2.0)

    assert (set(sandbox.assets), action) == ({"theirs", key}, "created")
    assert sandbox.assets["theirs"] == other


def test_a_name_is_found_in_its_data_store_only(sandbox: Sandbox, client: QlikCloudClient) -> None:
    sandbox.settings.other_stores_listed = True
    sandbox.add_store(id="other", name="Other")
    sandbox.add_asset("other", id="theirs", technicalName="orders")

    assert client.exists("theirs")
    assert upsert_data_asset(client, WISH).id != "theirs"
    assert sync(client)[1] == "unchanged"

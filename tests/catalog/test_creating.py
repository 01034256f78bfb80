"""What the protocol of creating is for: creates at the same moment, late, lost or refused, by many tasks."""

from __future__ import annotations

import multiprocessing
import threading
import time
import warnings
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import Sync, same_name
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikCloudError, RateLimits
from airflow_provider_qlik_assets.sandbox import Fault, Sandbox
from tests.catalog.creators import CREATED_FIRST, WISH, Meddling, both, upsert, writes
from tests.clients import Clock, Connect


@pytest.fixture(autouse=True)
def duplicates_are_possible(sandbox: Sandbox) -> None:
    sandbox.settings.duplicate_technical_name = "allowed"


@both
def test_a_create_that_is_carried_out_after_its_time_out_is_not_doubled(
    sandbox: Sandbox, connect: Connect, create: Any
) -> None:
    sandbox.add_fault(Fault(kind="delay", method="POST", seconds=1.5, when="before"))
    client = connect(timeout=(0.2, 0.3), sleep=time.sleep)

    key, action = create(client, visible_after=2.0)

    assert list(sandbox.assets) == [key]
    assert action == "created"
    assert writes(sandbox) == ["POST"]


@both
def test_what_was_created_first_is_used_and_the_own_one_deleted(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    first = {"id": "theirs", "technicalName": "orders", "createdTime": CREATED_FIRST}
    meddling = Meddling(client, before={"create_data_asset": lambda: sandbox.add_asset("store", **first)})

    assert create(meddling) == ("theirs", "updated")

    assert [(key, asset["name"]) for key, asset in sandbox.assets.items()] == [("theirs", "Orders")]


@both
def test_a_first_one_that_vanishes_while_the_own_one_is_deleted_is_created_again(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    first = {"id": "theirs", "technicalName": "orders", "createdTime": CREATED_FIRST}
    meddling = Meddling(
        client,
        before={"create_data_asset": lambda: sandbox.add_asset("store", **first)},
        after={"delete_data_assets": lambda: client.delete_data_assets(["theirs"])},
    )

    key, action = create(meddling)

    assert action == "created"
    assert list(sandbox.assets) == [key]
    assert writes(sandbox) == ["POST", "DELETE", "DELETE", "POST"]


@both
def test_a_first_one_that_vanishes_before_leaves_the_own_one(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    first = {"id": "theirs", "technicalName": "orders", "createdTime": CREATED_FIRST}
    meddling = Meddling(
        client,
        before={
            "create_data_asset": lambda: sandbox.add_asset("store", **first),
            "exists": lambda: client.delete_data_assets(["theirs"]),
        },
    )

    key, action = create(meddling)

    assert (list(sandbox.assets), action) == ([key], "created")
    assert writes(sandbox) == ["POST", "DELETE"]


@both
def test_an_own_one_that_somebody_used_is_left_alone_and_reported(
    sandbox: Sandbox, client: QlikCloudClient, create: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = {"id": "theirs", "technicalName": "orders", "createdTime": CREATED_FIRST}

    def use() -> None:
        sandbox.add_asset("store", **first)
        (ours,) = sandbox.assets.keys() - {"theirs"}
        sandbox.touch(ours, description="a steward's")

    assert create(Meddling(client, after={"create_data_asset": use})) == ("theirs", "updated")

    (ours,) = sandbox.assets.keys() - {"theirs"}
    assert sandbox.assets[ours]["description"] == "a steward's"
    assert (
        f"theirs (orders) and {ours} (orders) of data store store have the same technical name" in caplog.text
    )


@both
def test_an_own_one_that_somebody_used_while_its_deletion_waited_is_left_alone(
    sandbox: Sandbox, connect: Connect, clock: Clock, create: Any
) -> None:
    """The look that the deletion is based on comes after the wait for the quota."""
    first = {"id": "theirs", "technicalName": "orders", "createdTime": CREATED_FIRST}
    edits: list[str] = []

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        for ours in sandbox.assets.keys() - {"theirs", *edits}:
            edits.append(ours)
            sandbox.touch(ours, description="a steward's")

    client = connect(rate_limits=RateLimits(tier2_limit=2), sleep=wait)
    meddling = Meddling(client, before={"create_data_asset": lambda: sandbox.add_asset("store", **first)})

    assert create(meddling)[0] == "theirs"

    (ours,) = edits
    assert sandbox.assets[ours]["description"] == "a steward's"


@both
def test_an_own_one_that_is_deleted_at_once_is_an_error(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    """It cannot be told from one that the user may not see, which must not be created again."""
    delete_all = Meddling(
        client, after={"create_data_asset": lambda: client.delete_data_assets(list(sandbox.assets))}
    )

    with pytest.raises(QlikCloudError, match="may exist unseen, or somebody has deleted it"):
        create(delete_all)

    assert writes(sandbox) == ["POST", "DELETE"]


@both
def test_one_that_is_deleted_between_reading_and_writing_is_created_again(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    sandbox.add_asset("store", id="old", technicalName="orders", appType="dbt")
    meddling = Meddling(client, before={"patch_data_asset": lambda: client.delete_data_assets(["old"])})

    key, action = create(meddling)

    assert (list(sandbox.assets), action) == ([key], "created")
    assert key != "old"


@both
def test_the_other_one_of_a_name_is_used_if_the_first_is_deleted(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    sandbox.add_asset("store", id="old", technicalName="orders", appType="dbt", createdTime=CREATED_FIRST)
    sandbox.add_asset(
        "store", id="new", technicalName="orders", appType="dbt", createdTime="2026-01-02T00:00:00Z"
    )
    sandbox.add_asset("store", id="newest", technicalName="customers")
    meddling = Meddling(client, before={"patch_data_asset": lambda: client.delete_data_assets(["old"])})

    key, action = create(meddling)[:2] if create is upsert else _first(meddling)

    assert (key, action) == ("new", "updated")
    assert sandbox.assets.keys() == {"new", "newest"}


def _first(client: Any) -> tuple[str, str]:
    work = Sync(client, "store", [WISH])
    result = work.apply(work.plan())[0]
    return result.id, result.action


@both
def test_a_tenant_may_ask_to_wait_before_the_next_create(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, method="POST", headers={"Retry-After": "77"}))

    assert create(client)[1] == "created"

    assert max(clock.waits) >= 76


@both
def test_a_wait_that_is_too_long_is_not_waited_and_nothing_is_created_twice(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    """The longest wait between retries is ten minutes."""
    asked = {"Retry-After": "86400"}
    sandbox.add_fault(Fault(kind="status", status=503, method="POST", headers=asked, times=None))

    with pytest.raises(QlikCloudError, match="503"):
        create(client)

    assert writes(sandbox) == ["POST"]
    assert sum(clock.waits) < 60
    sandbox.clear_faults()
    sandbox.add_fault(Fault(kind="status", status=503, method="POST", headers=asked, when="after"))

    assert create(client)[1] == "created"

    assert writes(sandbox) == ["POST", "POST"]


@both
def test_a_tenant_that_refused_a_second_one_of_a_name_is_not_waited_for(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    sandbox.settings.duplicate_technical_name = "refused"
    meddling = Meddling(
        client,
        before={"create_data_asset": lambda: sandbox.add_asset("store", id="theirs", technicalName="orders")},
    )
    assert create(meddling, visible_after=2.0) == ("theirs", "updated")
    client.delete_data_assets(["theirs"])
    clock.waits.clear()
    sandbox.journal.clear()

    assert create(client, visible_after=2.0)[1] == "created"

    assert clock.waits == []
    assert [entry.method for entry in sandbox.journal.requests()] == ["GET", "POST"]


@both
def test_a_create_is_looked_after_once_all_can_see_it(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    assert create(client, visible_after=2.0)[1] == "created"

    assert [round(wait, 1) for wait in clock.waits] == [2.0]
    assert [entry.method for entry in sandbox.journal.requests()] == ["GET", "POST", "GET"]


@both
def test_one_that_was_created_just_now_is_looked_at_again_before_it_is_used(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    """Its creator may find that another one was first, which is not visible to all yet, and delete it."""
    sandbox.add_asset("store", id="second", technicalName="orders", appType="dbt")

    def make_visible(seconds: float) -> None:
        clock.sleep(seconds)
        first = {"id": "first", "technicalName": "orders", "createdTime": CREATED_FIRST}
        sandbox.add_asset("store", **first)
        sandbox._tenant.delete(_asset_kind(), {"ids": ["second"]})

    client._arguments["sleep"] = make_visible

    assert create(client, visible_after=2.0) == ("first", "updated")
    assert [round(wait, 1) for wait in clock.waits] == [2.0]


@both
def test_so_is_one_that_is_found_after_a_create_without_an_answer(
    sandbox: Sandbox, client: QlikCloudClient, clock: Clock, create: Any
) -> None:
    sandbox.add_fault(Fault(kind="status", status=503, method="POST"))

    def make_visible(seconds: float) -> None:
        clock.sleep(seconds)
        if not sandbox.assets:
            sandbox.add_asset("store", id="second", technicalName="orders", appType="dbt")
        elif "second" in sandbox.assets:
            sandbox.add_asset("store", id="first", technicalName="orders", createdTime=CREATED_FIRST)
            sandbox._tenant.delete(_asset_kind(), {"ids": ["second"]})

    client._arguments["sleep"] = make_visible

    assert create(client, visible_after=2.0) == ("first", "updated")
    assert writes(sandbox) == ["POST", "PATCH"]


def _asset_kind() -> Any:
    from airflow_provider_qlik_assets.sandbox.tenant import ASSET  # noqa: PLC0415

    return ASSET


@both
def test_others_who_never_stop_are_an_error_in_the_end(
    sandbox: Sandbox, client: QlikCloudClient, create: Any
) -> None:
    class Vanishing(Meddling):
        def __getattr__(self, name: str) -> Any:
            if name == "patch_data_asset":
                client.delete_data_assets(list(sandbox.assets))
                sandbox.add_asset("store", technicalName="orders", appType="dbt")
            return super().__getattr__(name)

        def with_options(self, **options: Any) -> Any:
            return Vanishing(self._client.with_options(**options))

    sandbox.add_asset("store", technicalName="orders", appType="dbt")

    with pytest.raises(Exception, match=r"404|Other writers keep"):
        create(Vanishing(client))

    assert len(sandbox.assets) == 1


def test_a_fork_while_another_thread_takes_note_does_not_block_the_child() -> None:
    memory = same_name.Memory()
    entered, forked = threading.Event(), threading.Event()

    class Slow(type(memory._settled)):  # type: ignore[misc]
        def __setitem__(self, key: Any, value: Any) -> None:
            if threading.current_thread() is thread:
                entered.set()
                forked.wait(10)
            super().__setitem__(key, value)

    memory._settled = Slow()
    thread = threading.Thread(target=lambda: memory.note_settled("url", "one"))
    thread.start()
    assert entered.wait(10)
    child = multiprocessing.get_context("fork").Process(target=memory.note_settled, args=("url", "two"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
        child.start()
    forked.set()
    thread.join()
    child.join(5)
    is_blocked = child.is_alive()
    child.kill()
    child.join()

    assert not is_blocked

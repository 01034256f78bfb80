"""Stamping the freshness of data assets, which never goes back unless asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import (
    patch_data_asset,
    set_data_freshness,
    sync_data_assets,
    upsert_data_asset,
)
from airflow_provider_qlik_assets.catalog.freshness import (
    set_data_freshness_by_id,
    set_data_freshness_of_many,
)
from airflow_provider_qlik_assets.client import QlikCloudClient, QlikNotFoundError, QlikValidationError
from airflow_provider_qlik_assets.sandbox import Sandbox

EARLY, LATE = "2026-01-31T06:30:00.000Z", "2026-02-01T06:30:00.000Z"


@pytest.fixture(autouse=True)
def assets(sandbox: Sandbox) -> None:
    for name in ("a1", "a2", "a3"):
        sandbox.add_asset("store", id=name, technicalName=name, description="by a steward")


def freshness(sandbox: Sandbox, name: str = "a1") -> Any:
    return sandbox.assets[name].get("dataFreshness")


@pytest.mark.parametrize("unset", ["absent", "null", "empty text"])
@pytest.mark.parametrize(
    ("before", "when", "allow_backwards", "after", "action"),
    [
        (None, EARLY, False, EARLY, "updated"),
        (EARLY, LATE, False, LATE, "updated"),
        (LATE, EARLY, False, LATE, "unchanged"),
        (LATE, EARLY, True, EARLY, "updated"),
        (LATE, LATE, True, LATE, "unchanged"),
        (EARLY, "2026-01-31 07:30:00.0009+01:00", False, EARLY, "unchanged"),
        (EARLY, datetime(2026, 1, 31, 6, 30, 0, 1_999, UTC), False, "2026-01-31T06:30:00.001Z", "updated"),
    ],
)
def test_the_newer_instant_stays(
    *,
    sandbox: Sandbox,
    client: QlikCloudClient,
    unset: Any,
    before: Any,
    when: Any,
    allow_backwards: bool,
    after: str,
    action: str,
) -> None:
    sandbox.settings.unset_fields = unset
    sandbox.touch("a1", dataFreshness=before)

    result = set_data_freshness(client, "a1", when, allow_backwards=allow_backwards)

    assert (result.action, freshness(sandbox)) == (action, after)
    assert len(sandbox.journal.requests("PATCH")) == (action == "updated")
    assert sandbox.assets["a1"]["description"] == "by a steward"


@pytest.mark.parametrize("when", ["yesterday", datetime(2026, 1, 31), 5, "2026-01-31T06:30:00"])  # noqa: DTZ001
def test_what_is_no_instant_is_refused_at_once(sandbox: Sandbox, client: QlikCloudClient, when: Any) -> None:
    with pytest.raises(QlikValidationError):
        set_data_freshness(client, "a1", when)

    assert len(sandbox.journal) == 0


def test_threads_that_finish_out_of_order_leave_the_newest(
    sandbox: Sandbox, connect: Callable[..., QlikCloudClient]
) -> None:
    instants = [datetime(2026, 1, 31, tzinfo=UTC) + timedelta(hours=hour) for hour in range(8)]
    threads = [
        threading.Thread(target=set_data_freshness, args=[connect(), "a1", when])
        for when in reversed(instants)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert freshness(sandbox) == "2026-01-31T07:00:00.000Z"


def test_many_are_stamped_once_each(sandbox: Sandbox, client: QlikCloudClient) -> None:
    results = set_data_freshness_of_many(client, ["a1", "a2", "a1"], EARLY)

    assert [(result.id, result.action) for result in results] == [("a1", "updated"), ("a2", "updated")]
    assert [freshness(sandbox, name) for name in ("a1", "a2", "a3")] == [EARLY, EARLY, None]


def test_each_gets_its_own_instant(sandbox: Sandbox, client: QlikCloudClient) -> None:
    results = set_data_freshness_by_id(client, {"a3": LATE, "a1": EARLY})

    assert [result.id for result in results] == ["a3", "a1"]
    assert [freshness(sandbox, name) for name in ("a1", "a2", "a3")] == [EARLY, None, LATE]


def test_results_of_many_come_in_the_order_given(sandbox: Sandbox, client: QlikCloudClient) -> None:
    ids = [f"many {number}" for number in range(40)]
    for name in ids:
        sandbox.add_asset("store", id=name, technicalName=name)

    results = set_data_freshness_of_many(client, ids, EARLY)

    assert [(result.id, result.action) for result in results] == [(name, "updated") for name in ids]
    assert {freshness(sandbox, name) for name in ids} == {EARLY}


@pytest.mark.parametrize("missing", [["gone"], ["gone", "lost"]])
def test_those_that_do_not_exist_are_named_after_all_others_were_stamped(
    sandbox: Sandbox, client: QlikCloudClient, missing: list[str]
) -> None:
    with pytest.raises(QlikNotFoundError) as caught:
        set_data_freshness_of_many(client, ["a1", *missing, "a2"], EARLY)

    assert all(name in str(caught.value) for name in missing)
    assert (freshness(sandbox, "a1"), freshness(sandbox, "a2")) == (EARLY, EARLY)


AHEAD = "9999-12-31T00:00:00.000Z"


@pytest.mark.parametrize(
    "write",
    [
        lambda client: set_data_freshness(client, "a1", AHEAD),
        lambda client: set_data_freshness_of_many(client, ["a1"], AHEAD),
        lambda client: set_data_freshness_by_id(client, {"a1": AHEAD}),
        lambda client: upsert_data_asset(client, {"id": "a1", "dataFreshness": AHEAD}),
        lambda client: patch_data_asset(client, "a1", changes={"dataFreshness": AHEAD}),
        lambda client: sync_data_assets(
            client, "store", [{"technicalName": "a1", "appType": "app", "dataFreshness": AHEAD}]
        ),
    ],
)
def test_an_instant_far_in_the_future_is_refused(
    client: QlikCloudClient, sandbox: Sandbox, write: Callable[[QlikCloudClient], Any]
) -> None:
    with pytest.raises(QlikValidationError, match="more than a day in the future"):
        write(client)

    assert not sandbox.journal.requests()


def test_an_instant_in_the_future_that_is_meant(client: QlikCloudClient, sandbox: Sandbox) -> None:
    set_data_freshness(client, "a1", AHEAD, allow_future=True)
    set_data_freshness_of_many(client, ["a2"], AHEAD, allow_future=True)

    assert freshness(sandbox, "a1") == freshness(sandbox, "a2") == AHEAD


def test_only_a_patch_clears_the_freshness(client: QlikCloudClient, sandbox: Sandbox) -> None:
    sandbox.touch("a1", dataFreshness=EARLY)
    wish = {"dataFreshness": None, "description": None}

    assert upsert_data_asset(client, {"id": "a1", **wish}).changed_fields == ("description",)
    sync_data_assets(client, "store", [{"technicalName": "a1", "appType": "app", **wish}])
    assert freshness(sandbox, "a1") == EARLY

    patch_data_asset(client, "a1", changes={"dataFreshness": None})
    assert freshness(sandbox, "a1") is None

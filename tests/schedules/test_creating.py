"""Tasks that create the same data asset, in every order in which their requests may arrive."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_qlik_assets.catalog import Result, Sync, creation, upsert_data_asset
from airflow_provider_qlik_assets.client import QlikCloudClient
from airflow_provider_qlik_assets.sandbox.tenant import ASSET
from tests.schedules.explorer import Choices, Every, Run, Some
from tests.schedules.world import Task, World

VISIBLE_AFTER = 2.0
ASCENDING = [f"id-{number:03}" for number in range(100)]
OLDER = {
    "id": "older",
    "dataStoreInfo": {"id": "store"},
    "technicalName": "customers",
    "appType": "dbt",
    "createdTime": "2026-01-31T00:16:39.000Z",  # a second before the tasks start
    "lastModifiedTime": "2026-01-31T00:16:39.000Z",
}
MOMENTS: dict[str, dict[str, Any]] = {
    "in the same moment, ids ascend": {"ids": ASCENDING},
    "in the same moment, ids descend": {"ids": ASCENDING[::-1]},
    "one after the other": {"ids": ASCENDING, "step": 0.001},
}
REPORTS = (
    "have the same technical name",
    "data assets with the technical name",
    "two data assets with the same technical name",
    "is the oldest and counts; delete the others",
)

Work = Callable[[QlikCloudClient], Any]


def clock() -> float:
    return time.monotonic()  # the world's, as soon as it runs


def wish(value: str) -> dict[str, Any]:
    store = {"id": "store"}
    return {"dataStoreInfo": store, "technicalName": "orders", "appType": "dbt", "properties": {value: True}}


def upsert(value: str) -> Work:
    return lambda client: upsert_data_asset(client, wish(value), visible_after=VISIBLE_AFTER)


def sync(value: str) -> Work:
    def work(client: QlikCloudClient) -> Result:
        task = Sync(client, "store", [wish(value)], visible_after=VISIBLE_AFTER, clock=clock)
        plan = task.plan()
        logging.getLogger(creation.__name__).warning("%s", plan)  # as the operator does
        return task.apply(plan)[0]

    return work


TWO = {
    "upsert and upsert": {"a": upsert, "b": upsert},
    "upsert and sync": {"a": upsert, "b": sync},
    "sync and sync": {"a": sync, "b": sync},
}
THREE = {"a": upsert, "b": sync, "c": upsert}


def check(world: World, tasks: list[Task], values: dict[str, str]) -> None:
    """Make sure that one data asset is left, that holds what all wanted, and that all were told which."""
    story = world.story()
    assert all(task.result or task.error for task in tasks), story
    told = {task.result.id for task in tasks if task.result}
    assert len(told) <= 1, story
    assets = {key: asset for key, asset in world.assets.items() if key != OLDER["id"]}
    if len(assets) != 1:
        # Nobody deletes what another task may have created: two that remain are reported.
        assert 1 < len(assets) <= 1 + len(world.faults), story
        reports = [line for line in world.reported if any(report in line for report in REPORTS)]
        assert all(any(key in line for line in reports) for key in assets.keys() - told), story
    for key in told:
        assert key in assets, story
        properties = assets[key]["properties"]
        assert all(properties.get(values[task.name]) for task in tasks if task.result), story
    assert all(world.creators[key] == name for name, key in world.deleted), story
    if len(world.faults) <= world.retries:
        assert all(task.result for task in tasks), story
    if not world.faults:
        assert sum(task.result.action == "created" for task in tasks) == 1, story


def creators(
    works: Mapping[str, Callable[[str], Work]], *, same: bool = False, faults: int = 0, **options: Any
) -> Run:
    """Return a run of some tasks, each of which is run again as often as there are faults.

    :param same: whether all want the same.
    """

    def run(choices: Choices) -> None:
        world = World(choices, faults=faults, retries=faults, **options)
        world.tenant.seed(ASSET, OLDER)
        values = {name: "same" if same else name for name in works}
        tasks = [world.task(name, work(values[name])) for name, work in works.items()]
        world.run()
        check(world, tasks, values)

    return run


@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("works", TWO.values(), ids=TWO)
def test_two_creators_end_with_one_in_every_order(works: Any, moments: Any, every: Every) -> None:
    explored = every(creators(works, **moments))

    assert 60 > explored.runs > 40
    assert explored.schedules >= 80


@pytest.mark.parametrize("create", [upsert, sync])
@pytest.mark.parametrize("faults", [1, 2])
def test_one_creator_alone_never_creates_two_whatever_is_lost_or_late(
    create: Any, faults: int, every: Every
) -> None:
    def run(choices: Choices) -> None:
        world = World(choices, ids=ASCENDING, faults=faults, retries=faults)
        task = world.task("a", create("a"))
        world.run()
        assert list(world.assets) == [task.result.id], world.story()

    assert every(run).schedules > 5


@pytest.mark.slow
@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("works", [TWO["upsert and upsert"], TWO["upsert and sync"]], ids=["upsert", "sync"])
def test_and_with_every_request_or_answer_lost_or_late(works: Any, moments: Any, every: Every) -> None:
    assert every(creators(works, faults=1, **moments)).schedules > 4000


@pytest.mark.slow
@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("works", TWO.values(), ids=TWO)
@pytest.mark.parametrize("faults", [0, 1, 2])
def test_two_that_want_the_same_or_meet_several_faults(
    works: Any, moments: Any, faults: int, some: Some
) -> None:
    assert some(creators(works, faults=faults, same=faults < 2, **moments), 100).schedules > 25


@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("faults", [0, 1, 3])
def test_three_creators_end_with_one_in_some_orders(moments: Any, faults: int, some: Some) -> None:
    assert some(creators(THREE, faults=faults, **moments), 40).schedules > 35


@pytest.mark.slow
@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize(("faults", "number"), [(0, 3334), (1, 667)])
def test_three_creators_end_with_one_in_ten_thousand_orders(
    moments: Any, faults: int, number: int, some: Some
) -> None:
    assert some(creators(THREE, faults=faults, **moments), number).schedules > number * 0.7
